/// What the method was meant to reach on the real database, and whether it did.
struct Goal: Sendable {
    /// "✓" words for people.
    enum Mark: String, Sendable { case aim = "aim reached", must = "must reached", missed = "missed", unmeasured = "not measured" }

    /// A bound on one side; gains, accuracies and log-losses alike.
    struct Bound: Sendable {
        var value: Double
        var isUpper = false
        func holds(_ found: Double) -> Bool { isUpper ? found <= value : found >= value }
    }

    var name: String
    /// Formatted as the figure is.
    var found: Double?
    var must: Bound?
    var aim: Bound?
    /// Of the figure and its bounds.
    var show: @Sendable (Double?) -> String

    var mark: Mark {
        guard let found else { return .unmeasured }
        if let must, !must.holds(found) { return .missed }
        guard let aim else { return .must }
        if aim.holds(found) { return .aim }
        return must == nil ? .missed : .must
    }

    func shown(_ bound: Bound?) -> String {
        guard let bound else { return "–" }
        return (bound.isUpper ? "≤ " : "≥ ") + show(bound.value)
    }
}

/// The goals of the thermal-comfort example; set for the real database, the main split and few labels, and meaningless elsewhere.
struct Goals {
    let all: [Goal]

    /// - Returns: nil where the goals were not set for this run's data, split and labels.
    init?(_ results: ComfortResults) {
        guard !results.dataset.synthetic, results.split.name == "main", results.labels == LabelBudget.few.rawValue else { return nil }
        let single = results.methods[MethodName.baseline], ours = results.methods[MethodName.ours]
        all = Self.accuracies(single, ours) + Self.gains(results, ours) + Self.overRounds(ours) + Self.elsewhere(results)
    }

    private static func points(_ value: Double?) -> String { Shown.percent(value) }
    private static func three(_ value: Double?) -> String { Shown.number(value, decimals: 3) }
    private static func signed(_ value: Double?) -> String { Shown.number(value, decimals: 4, sign: true) }
    private static func gain(_ value: Double?) -> String { Shown.gain(value) }

    private static func accuracies(_ single: ComfortResults.Method?, _ ours: ComfortResults.Method?) -> [Goal] {
        [
            Goal(
                name: "Check of the reproduction: the baseline’s accuracy, distance from 59.25\u{a0}%",
                found: single.map { abs($0.accuracy - 0.5925) }, must: .init(value: 0.006, isUpper: true), aim: nil, show: points),
            Goal(
                name: "Accuracy of Skerry", found: ours?.accuracy, must: .init(value: 0.610), aim: .init(value: 0.618), show: points),
            Goal(
                name: "Log-loss of Skerry", found: ours?.logLoss, must: .init(value: 0.843, isUpper: true),
                aim: .init(value: 0.830, isUpper: true), show: three),
        ]
    }

    private static func gains(_ results: ComfortResults, _ ours: ComfortResults.Method?) -> [Goal] {
        func over(_ key: String) -> Double? {
            guard let ours, let other = results.methods[key], other.accuracy > 0 else { return nil }
            return ours.accuracy / other.accuracy - 1
        }
        let cityMacro = ours.flatMap { ours in
            results.methods[MethodName.baseline].map { ours.cityMacroAccuracy / $0.cityMacroAccuracy - 1 }
        }
        return [
            Goal(
                name: "Gain over one model for all", found: ours?.relativeGainVsSingle.value, must: .init(value: 0.023),
                aim: .init(value: 0.045), show: gain),
            Goal(
                name: "The same, low end of the 95\u{a0}% interval", found: ours?.relativeGainVsSingle.ci95?.low, must: .init(value: 0),
                aim: nil, show: gain),
            Goal(
                name: "Gain over one model for all, each city counted alike", found: cityMacro, must: .init(value: 0.04),
                aim: .init(value: 0.06), show: gain),
            Goal(name: "Gain over fine-tuning", found: over("finetune"), must: .init(value: 0.10), aim: nil, show: gain),
            Goal(
                name: "Gain over Sedna’s lifelong learning taken literally", found: over("sedna_lifelong"), must: .init(value: 0.20),
                aim: nil, show: gain),
        ]
    }

    private static func overRounds(_ ours: ComfortResults.Method?) -> [Goal] {
        [
            Goal(name: "Backward transfer (BWT)", found: ours?.bwt, must: .init(value: 0), aim: .init(value: 0.015), show: signed),
            Goal(name: "Forward transfer (FWT)", found: ours?.fwt, must: .init(value: 0.03), aim: .init(value: 0.05), show: signed),
            Goal(
                name: "Forgetting", found: ours?.forgetting, must: .init(value: 0.005, isUpper: true),
                aim: .init(value: 0.002, isUpper: true), show: signed),
        ]
    }

    private static func elsewhere(_ results: ComfortResults) -> [Goal] {
        let detector = results.unseenSites?.best?.detector
        let curve = [(5, 0.025, 0.04), (20, 0.04, 0.06), (50, 0.05, 0.08)].map { labels, must, aim in
            Goal(
                name: "New city with \(labels) labels: gain over the frozen global model (trees)",
                found: results.labelCurve?.bestGain(labels: labels), must: .init(value: must), aim: .init(value: aim), show: gain)
        }
        return curve + [
            Goal(
                name: "Unseen sites: area under the ROC curve", found: detector?.auroc, must: nil, aim: .init(value: 0.9),
                show: three),
            Goal(
                name: "Unseen sites: false alarms at the chosen threshold", found: detector?.falseAlarmRate, must: nil,
                aim: .init(value: 0.05, isUpper: true), show: points),
            Goal(
                name: "Random row split, LEAKY: gain over one model for all (published: +5.12\u{a0}%)",
                found: results.leakyRandomSplit?.skerry.relativeGainVsSingle.value, must: .init(value: 0.0512), aim: .init(value: 0.07),
                show: gain),
        ]
    }
}

extension ComfortResults.LabelCurve {
    /// The largest gain over the frozen model that any way reached with this number of labels.
    package func bestGain(labels count: Int) -> Double? {
        guard let index = labels.firstIndex(of: count) else { return nil }
        return series.filter { $0.key != "global" }.compactMap { key, series in
            index < series.relativeGainVsGlobal.count ? series.relativeGainVsGlobal[index] : nil
        }.max()
    }
}

extension ComfortResults.UnseenSites {
    /// The detector that a summary speaks of: of those that judge single votes the one with the largest area under its curve, the first name
    /// on a tie.
    package var best: (name: String, detector: ComfortResults.Detector)? {
        let single = detectors.filter { !$0.key.hasSuffix("_batch") }
        return (single.isEmpty ? detectors : single).max { ($0.value.auroc, $1.key) < ($1.value.auroc, $0.key) }.map { ($0.key, $0.value) }
    }
}

import ThermalComfort

/// The end of a demo on a terminal: what came out, each percentage with its baseline.
struct DemoSummary {
    let results: ComfortResults

    init(_ results: ComfortResults) { self.results = results }

    var text: String {
        let mark = results.dataset.synthetic ? "\(SyntheticComfort.mark) data: nothing below was measured.\n" : ""
        let facts = [transfer, newCity, unseen, leaky].compactMap { $0 }.joined(separator: "\n")
        return """

            \(mark)\(ComfortReport(results).headline)

            \(table.text(.table))
            Gains are relative to single_task, one model for all retrained on the same labels; 95 % intervals over buildings.
            \(overOthers)
            \(facts)
            """
    }

    private var table: AlignedTable {
        var table = AlignedTable(["METHOD", "RIGHT", "% OVER SINGLE_TASK", "95 % INTERVAL", "LOG-LOSS", "CITY-MACRO", "FORGETTING"])
        for (name, method) in results.methods.sorted(by: { ($1.value.accuracy, $0.key) < ($0.value.accuracy, $1.key) }) {
            let gain = method.relativeGainVsSingle
            let interval = gain.ci95.map { "\(percent($0.low)) to \(percent($0.high))" } ?? "–"
            table.rows.append([
                name, "\(fixed(100 * method.accuracy, decimals: 2)) %", name == "single_task" ? "baseline" : percent(gain.value), interval,
                fixed(method.logLoss), "\(fixed(100 * method.cityMacroAccuracy, decimals: 2)) %", fixed(method.forgetting, sign: true),
            ])
        }
        return table
    }

    /// Our accuracy over the other ways to update, each named.
    private var overOthers: String {
        guard let ours = results.methods["skerry"] else { return "" }
        let gains = ["finetune", "sedna_multitask", "sedna_lifelong"].compactMap { name in
            results.methods[name].map { "\(percent(ours.accuracy / $0.accuracy - 1)) over \(name)" }
        }
        return "skerry: \(gains.joined(separator: ", "))."
    }

    private var transfer: String? {
        guard let ours = results.methods["skerry"], let bwt = ours.bwt, let fwt = ours.fwt else { return nil }
        return "skerry: backward transfer \(fixed(bwt, sign: true)), forward transfer \(fixed(fwt, sign: true)) (accuracy)."
    }

    private var newCity: String? {
        guard let curve = results.labelCurve else { return nil }
        let gains = curve.labels.filter { $0 > 0 }.compactMap { count in
            curve.bestGain(labels: count).map { "\(percent($0)) with \(count)" }
        }
        return "New city, over the frozen global model (trees): \(gains.joined(separator: ", ")) labels."
    }

    private var unseen: String? {
        guard let best = results.unseenSites?.best else { return nil }
        return "New sites, by \(best.name): AUROC \(fixed(best.detector.auroc, decimals: 3)) (guessing: 0.5), "
            + "\(fixed(100 * best.detector.detectionRate, decimals: 1)) % noticed, "
            + "\(fixed(100 * best.detector.falseAlarmRate, decimals: 1)) % false alarms at known sites."
    }

    private var leaky: String? {
        guard let leaky = results.leakyRandomSplit else { return nil }
        return "Random row split (LEAKY): \(percent(leaky.skerry.relativeGainVsSingle.value)) over its single_task; "
            + "published for Sedna: \(percent(leaky.published)) over its single task, split unknown."
    }

    private func percent(_ share: Double) -> String { "\(fixed(100 * share, decimals: 2, sign: true)) %" }
}

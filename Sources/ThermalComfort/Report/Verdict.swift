/// What the run says in one sentence, and how sure that is.
struct Verdict {
    enum Outcome: Equatable { case better, noClearDifference, worse, unmeasured }

    let outcome: Outcome
    let sentence: String

    init(_ results: ComfortResults) {
        guard let ours = results.methods[MethodName.ours], let single = results.methods[MethodName.baseline] else {
            outcome = .unmeasured
            sentence = "This run did not judge lifelong learning against one model for all."
            return
        }
        let gain = ours.relativeGainVsSingle
        outcome = Self.outcome(gain)
        let accuracies = "\(Shown.percent(ours.accuracy)) of votes right instead of \(Shown.percent(single.accuracy))"
        switch outcome {
        case .better:
            sentence = "Lifelong learning beats one model for all: \(accuracies), a gain of \(Shown.percent(gain.value))"
        case .worse:
            sentence = "Lifelong learning lost to one model for all: \(accuracies), a loss of \(Shown.percent(-gain.value))"
        default:
            sentence = "Lifelong learning and one model for all cannot be told apart here: \(accuracies)"
        }
    }

    /// Better or worse only when the whole interval is on one side of nought.
    private static func outcome(_ gain: ComfortResults.Gain) -> Outcome {
        guard let interval = gain.ci95 else { return .noClearDifference }
        if interval.low > 0 { return .better }
        return interval.high < 0 ? .worse : .noClearDifference
    }
}

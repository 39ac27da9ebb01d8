#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Makes one prediction of what the retained models say of a row.
package protocol InferenceIntegration: Sendable {
    /// - Parameters:
    ///   - margins: of each retained model, oldest first, `classCount` numbers each.
    ///   - serving: position of the model that serves the row's task.
    /// - Returns: `classCount` margins.
    func integrate(_ margins: [[Double]], serving: Int) -> [Double]
}

/// The model that serves the task speaks alone.
package struct DefaultInferenceIntegrate: InferenceIntegration {
    /// Without parameters, as Sedna's.
    package init() {}

    /// The serving model's margins, unchanged.
    package func integrate(_ margins: [[Double]], serving: Int) -> [Double] { margins[serving] }
}

/// All retained models speak; the serving one has a given share and the others divide the rest: the mean of log-probabilities.
package struct LogMeanIntegration: InferenceIntegration {
    /// 0...1; 1 lets the serving model speak alone.
    package let servingShare: Double

    /// A job's own share is checked when the stage is made; here it is taken as it is.
    package init(servingShare: Double) { self.servingShare = servingShare }

    /// Weighted means of log-probabilities, which are margins; those of a single model stay as they are.
    package func integrate(_ margins: [[Double]], serving: Int) -> [Double] {
        guard margins.count > 1 else { return margins[serving] }
        let others = (1 - servingShare) / Double(margins.count - 1)
        var mean = [Double](repeating: 0, count: margins[serving].count)
        for (position, model) in margins.enumerated() {
            let weight = position == serving ? servingShare : others
            for (k, probability) in softmax(model).enumerated() { mean[k] += weight * log(probability) }
        }
        return mean
    }

    static func make(_ parameters: StageParameters) throws(StageError) -> any InferenceIntegration {
        LogMeanIntegration(servingShare: try parameters.number("serving_share", default: 0.5, in: 0...1))
    }
}

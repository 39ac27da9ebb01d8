#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension ClassProbabilities {
    /// The softmax of each row.
    ///
    /// - Parameter logits: shape [rows, classes], finite.
    package init(classCount: Int, logits: [Float]) {
        precondition(classCount > 0 && logits.count % classCount == 0, "logits must fill whole rows")
        var values = logits
        for start in stride(from: 0, to: values.count, by: classCount) {
            let row = start..<start + classCount
            let top = values[row].max()!
            var sum: Float = 0
            for index in row {
                values[index] = exp(values[index] - top)
                sum += values[index]
            }
            for index in row { values[index] /= sum }
        }
        self.init(classCount: classCount, values: values)
    }
}

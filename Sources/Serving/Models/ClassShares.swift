package import Inference

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where a model's answer says how likely each class is, and what it says.
package enum ClassShares {
    /// Names that converters give the output of a classifier.
    private static let names: Set<String> = ["probabilities", "output_probability"]
    /// How far from 1 the shares of a row may sum.
    private static let sumTolerance: Float = 0.01

    /// The output with a share for each class: by its name, else the only one of floats that has several numbers a row. Nil without one.
    package static func place(in outputs: [TensorSpec]) -> Int? {
        func isFitting(_ spec: TensorSpec) -> Bool { spec.type == .float && spec.shape.count == 2 && (spec.shape[1] ?? 2) > 1 }
        if let named = outputs.firstIndex(where: { names.contains($0.name) && isFitting($0) }) { return named }
        let fitting = outputs.indices.filter { isFitting(outputs[$0]) }
        return fitting.count == 1 ? fitting[0] : nil
    }

    /// Appends the largest share of each row; rows that do not sum to 1 are no shares, and left out.
    package static func appendFirst(of tensor: Tensor, to shares: inout [Float]) {
        guard tensor.type == .float, tensor.shape.count == 2, tensor.shape[1] > 1 else { return }
        let values = tensor.values(as: Float.self), classes = tensor.shape[1]
        for row in 0..<tensor.shape[0] {
            var (sum, most): (Float, Float) = (0, 0)
            for place in row * classes..<(row + 1) * classes {
                sum += values[place]
                most = max(most, values[place])
            }
            if abs(sum - 1) <= sumTolerance, most <= 1 + sumTolerance { shares.append(most) }
        }
    }

    /// The shares of each row, row-major: as they are where they sum to 1, else taken for the logarithms of shares (softmax), as networks without a
    /// last layer give them. Nil for what is no table of several finite numbers a row.
    package static func all(of tensor: Tensor) -> [Float]? {
        guard tensor.type == .float, tensor.shape.count == 2, tensor.shape[1] > 1 else { return nil }
        let values = tensor.values(as: Float.self), classes = tensor.shape[1]
        var found: [Float] = []
        found.reserveCapacity(values.count)
        for row in 0..<tensor.shape[0] {
            let part = values[row * classes..<(row + 1) * classes]
            guard part.allSatisfy(\.isFinite) else { return nil }
            if part.allSatisfy({ $0 >= 0 }), abs(part.reduce(0, +) - 1) <= sumTolerance {
                found += part
            } else {
                let most = part.max() ?? 0, raised = part.map { exp($0 - most) }, sum = raised.reduce(0, +)
                found += raised.map { $0 / sum }
            }
        }
        return found
    }
}

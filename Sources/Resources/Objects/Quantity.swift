/// An amount of a resource as Kubernetes writes it: `500m`, `1.5`, `2Gi`, `1e3`.
package struct Quantity: Sendable, Hashable, Comparable {
    /// The amount in the resource's unit: cores, bytes, pieces.
    package let value: Double

    /// An amount that was computed; it is taken as it is.
    package init(_ value: Double) { self.value = value }

    private static let suffixes: [String: Double] = [
        "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Ki": 1024, "Mi": 1_048_576,
        "Gi": 1_073_741_824, "Ti": 1_099_511_627_776, "Pi": 1_125_899_906_842_624, "Ei": 1_152_921_504_606_846_976,
    ]

    /// Nil for text that is no quantity.
    package init?(_ text: String) {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == "." || $0 == "-" || $0 == "+") }
        let suffix = String(text.dropFirst(digits.count))
        guard let number = Double(digits), number.isFinite else { return nil }
        if let factor = Self.suffixes[suffix] {
            value = number * factor
        } else if suffix.first == "e" || suffix.first == "E", let all = Double(text), all.isFinite {
            value = all
        } else {
            return nil
        }
    }

    /// A field of an object: a text or a number.
    package init?(_ value: JSON?) {
        switch value {
        case .string(let text): self.init(text)
        case .integer, .decimal: self.init(value?.number ?? 0)
        default: return nil
        }
    }

    /// By amount: `1000m` is not less than `1`.
    package static func < (left: Quantity, right: Quantity) -> Bool { left.value < right.value }
}

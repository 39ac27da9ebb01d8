import Crypto

/// Why biases cannot be deployed.
package enum AdapterError: Error, Equatable, CustomStringConvertible {
    /// Two keys, or a key and the unknown one (empty), share a hash.
    case hashCollision(first: String, second: String, hash: UInt32)
    case biasOutOfRange(key: String, value: Double)

    /// One sentence: the keys or the bias at fault, and what to change before deploying again.
    package var description: String {
        switch self {
        case .hashCollision(let first, let second, let hash):
            "the keys \"\(first)\" and \"\(second)\" share the 31-bit hash \(hash); deploy without one of them, or rename it"
        case .biasOutOfRange(let key, let value):
            "the bias \(value) of \"\(key)\" is no finite number within ±65504 (half precision); fit it with a larger lambda"
        }
    }
}

/// The biases of the known tasks of one kind (sites, persons) as a deployed model carries them: rounded to half precision, and under hashes
/// in place of names, so that a model file holds nobody's identifier.
package struct AdapterTable: Sendable, Equatable {
    /// Numbers of one key's bias, in the order of the model's classes.
    package let classCount: Int
    /// Hashes of the known keys, ascending, each in 1..<2³¹.
    package let hashes: [UInt32]
    /// Shape [hashes.count, classCount], natural-log units; every value is exactly a half-precision number.
    package let biases: [Float]

    /// - Throws: `AdapterError` when two keys cannot be told apart or a bias has no half-precision value.
    package init(_ table: BiasTable) throws(AdapterError) {
        var names: [UInt32: String] = [0: ""]
        var rows: [(hash: UInt32, bias: [Float])] = []
        for (key, bias) in table.biases.sorted(by: { $0.key < $1.key }) {
            let hash = Self.hash(key)
            if let other = names.updateValue(key, forKey: hash) { throw .hashCollision(first: other, second: key, hash: hash) }
            let halves = bias.map { Float(Float16($0)) }
            if let worst = zip(halves, bias).first(where: { !$0.0.isFinite }) { throw .biasOutOfRange(key: key, value: worst.1) }
            // A row of zeros says the same as no row.
            if halves.contains(where: { $0 != 0 }) { rows.append((hash, halves)) }
        }
        rows.sort { $0.hash < $1.hash }
        classCount = table.classCount
        hashes = rows.map(\.hash)
        biases = rows.flatMap(\.bias)
    }

    /// What a model is asked with in place of a key: the first 31 bits of the key's SHA-256, big-endian; 0 for no key and the empty one.
    package static func hash(_ key: String?) -> UInt32 {
        guard let key, !key.isEmpty else { return 0 }
        return SHA256.hash(data: Array(key.utf8)).prefix(4).reduce(0) { $0 << 8 | UInt32($1) } >> 1
    }

    /// The correction of each class; all 0 for a key that is unknown.
    package func bias(of key: String?) -> [Float] {
        let hash = Self.hash(key)
        var range = 0..<hashes.count
        while !range.isEmpty {
            let middle = (range.lowerBound + range.upperBound) / 2
            if hashes[middle] == hash { return Array(biases[middle * classCount..<(middle + 1) * classCount]) }
            range = hashes[middle] < hash ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return [Float](repeating: 0, count: classCount)
    }
}

package import Learning

/// Changes inputs a little, as a seed says: bits, bytes, numbers, words, parts of other inputs.
package struct Mutator {
    /// Longest result but for the rare inputs that are made large, in bytes.
    private static let bytesMax = 64 << 10
    /// Longest of the rare ones.
    private static let largeMax = 4 << 20
    package var random: SeededGenerator
    /// What the format under test is made of.
    private let words: [[UInt8]]

    package init(seed: UInt64, words: [String]) {
        random = SeededGenerator(seed: seed)
        self.words = words.map { Array($0.utf8) } + Self.always
    }

    /// Extremes of numbers, broken UTF-8, controls: what every reader meets one day.
    private static let always: [[UInt8]] =
        [
            "0", "-0", "-1", "1e999", "1E-999", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
            "18446744073709551616",
            "0.1e+308", "00", "null", "true", "\u{0}", "\r\n", "\u{feff}", "\u{2028}", "%00", "%", "%ff", "é", "𐍈",
        ].map { Array($0.utf8) } + [
            [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80], [0x7f], [0xff, 0xff, 0xff, 0xff, 0x0f],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ]

    /// An input changed by one to eight steps.
    ///
    /// - Parameter others: inputs to take parts from.
    package mutating func changed(_ input: [UInt8], others: [[UInt8]]) -> [UInt8] {
        var bytes = input
        for _ in 0..<(1 << Int.random(in: 0...3, using: &random)) { step(&bytes, others) }
        if Int.random(in: 0..<2000, using: &random) == 0 { enlarge(&bytes) }
        if bytes.count > Self.largeMax { bytes.removeLast(bytes.count - Self.largeMax) }
        return bytes
    }

    private mutating func range(_ bytes: [UInt8]) -> Range<Int> {
        if bytes.isEmpty { return 0..<0 }
        let start = Int.random(in: 0..<bytes.count, using: &random)
        let longest = min(bytes.count - start, 1 << Int.random(in: 0...9, using: &random))
        return start..<(start + Int.random(in: 1...longest, using: &random))
    }

    private mutating func step(_ bytes: inout [UInt8], _ others: [[UInt8]]) {
        let place = Int.random(in: 0...bytes.count, using: &random)
        switch Int.random(in: 0..<10, using: &random) {
        case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1 where place < bytes.count: bytes[place] = .random(in: 0...255, using: &random)
        case 2: bytes.removeSubrange(range(bytes))
        case 3: bytes.insert(contentsOf: bytes[range(bytes)], at: place)
        case 4: bytes.insert(.random(in: 0...255, using: &random), at: place)
        case 5: bytes.replaceSubrange(range(bytes), with: words.randomElement(using: &random) ?? [])
        case 6: if let other = others.randomElement(using: &random) { bytes.insert(contentsOf: other[range(other)], at: place) }
        case 7:
            if let other = others.randomElement(using: &random) { bytes.replaceSubrange(range(bytes), with: other[range(other)]) }
        case 8: bytes.insert(contentsOf: [UInt8](repeating: bytes.randomElement(using: &random) ?? 0, count: 1 << (place % 8)), at: place)
        default: bytes.insert(contentsOf: words.randomElement(using: &random) ?? [], at: place)
        }
        if bytes.count > Self.bytesMax { bytes.removeLast(bytes.count - Self.bytesMax) }
    }

    /// Repeats a part until it is as large as a server must bear.
    private mutating func enlarge(_ bytes: inout [UInt8]) {
        let part = Array(bytes[range(bytes)].prefix(64))
        guard !part.isEmpty else { return }
        let count = Int.random(in: 1...(Self.largeMax / part.count), using: &random)
        let place = Int.random(in: 0...bytes.count, using: &random)
        bytes.insert(contentsOf: repeatElement(part, count: count).joined(), at: place)
    }
}

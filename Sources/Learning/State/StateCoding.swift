/// Why saved knowledge cannot be written or read.
package enum StateError: Error, Equatable, CustomStringConvertible {
    /// The bytes do not begin as saved knowledge does.
    case foreign(expected: String)
    case newer(version: Int, known: Int)
    case damaged(reason: String)
    /// A stage of a job's own has no saved form.
    case unsavable(stage: String)

    /// One sentence: what was expected, what was found, and what to do.
    package var description: String {
        switch self {
        case .foreign(let expected): "these bytes are no \(expected); give the file that the round before has written"
        case .newer(let version, let known):
            "the saved state has version \(version), this program reads up to \(known); use the program that wrote it, or a newer one"
        case .damaged(let reason): "the saved state is damaged: \(reason); fetch it again, or learn from the first round on"
        case .unsavable(let stage): "what \(stage) has learned cannot be saved; choose a built-in stage"
        }
    }
}

/// Writes numbers and texts in one order of bytes, little end first: the same state gives the same bytes on every machine.
package struct StateWriter {
    /// All that was written so far.
    package private(set) var bytes: [UInt8] = []

    /// Empty.
    package init() {}

    /// The number's bytes, lowest first.
    package mutating func write<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// As a count: 32 bits. Traps at 4 billion.
    package mutating func write(count: Int) { write(UInt32(count)) }
    /// The bit pattern: what is read is the same number, NaN included.
    package mutating func write(_ number: Float) { write(number.bitPattern) }
    /// The bit pattern.
    package mutating func write(_ number: Double) { write(number.bitPattern) }
    /// One byte.
    package mutating func write(_ claim: Bool) { write(UInt8(claim ? 1 : 0)) }

    /// Its length in bytes, then UTF-8.
    package mutating func write(_ text: String) {
        write(count: text.utf8.count)
        bytes.append(contentsOf: text.utf8)
    }

    /// Their number, then each.
    package mutating func write(_ numbers: [Float]) {
        write(count: numbers.count)
        for number in numbers { write(number) }
    }

    /// Their number, then each.
    package mutating func write(_ numbers: [Double]) {
        write(count: numbers.count)
        for number in numbers { write(number) }
    }

    /// Their number, then each.
    package mutating func write(_ texts: [String]) {
        write(count: texts.count)
        for text in texts { write(text) }
    }

    /// Their number, then the bytes as they are.
    package mutating func write(block: [UInt8]) {
        write(UInt64(block.count))
        bytes.append(contentsOf: block)
    }
}

/// Reads what `StateWriter` wrote. Nothing is allocated for more than the bytes that are there.
package struct StateReader {
    private let bytes: [UInt8]
    private var position = 0

    /// - Parameter bytes: from the first one written on.
    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Bytes not yet read.
    package var remaining: Int { bytes.count - position }

    /// - Throws: `.damaged` where bytes are left over.
    package func finish() throws(StateError) {
        guard remaining == 0 else { throw .damaged(reason: "\(remaining) bytes follow its end") }
    }

    /// - Throws: `.damaged` at the end.
    package mutating func integer<Number: FixedWidthInteger>(_: Number.Type = Number.self) throws(StateError) -> Number {
        let size = Number.bitWidth / 8
        guard remaining >= size else { throw .damaged(reason: "it ends after \(bytes.count) bytes, within a number") }
        defer { position += size }
        var number = Number.zero
        withUnsafeMutableBytes(of: &number) { $0.copyBytes(from: bytes[position..<position + size]) }
        return Number(littleEndian: number)
    }

    /// A count of elements that are still to come.
    ///
    /// - Parameters:
    ///   - elementBytes: what an element takes at least: a count that the rest cannot hold is refused.
    ///   - limit: the largest that makes sense.
    /// - Throws: `.damaged`.
    package mutating func count(of what: String, elementBytes: Int, limit: Int = .max) throws(StateError) -> Int {
        let count = Int(try integer(UInt32.self))
        guard count <= limit, count <= remaining / max(elementBytes, 1) else {
            throw .damaged(reason: "it claims \(count) \(what); \(min(limit, remaining / max(elementBytes, 1))) can be")
        }
        return count
    }

    /// - Throws: `.damaged` at the end.
    package mutating func float() throws(StateError) -> Float { Float(bitPattern: try integer()) }
    /// - Throws: `.damaged` at the end.
    package mutating func double() throws(StateError) -> Double { Double(bitPattern: try integer()) }

    /// - Throws: `.damaged` for a byte other than 0 and 1.
    package mutating func claim() throws(StateError) -> Bool {
        let byte = try integer(UInt8.self)
        guard byte <= 1 else { throw .damaged(reason: "\(byte) stands where 0 or 1 belongs") }
        return byte == 1
    }

    /// - Throws: `.damaged`, also for what is no UTF-8.
    package mutating func text() throws(StateError) -> String {
        let count = try count(of: "bytes of a text", elementBytes: 1)
        defer { position += count }
        guard let text = String(validating: bytes[position..<position + count], as: UTF8.self) else {
            throw .damaged(reason: "a text is no UTF-8")
        }
        return text
    }

    /// - Throws: `.damaged`.
    package mutating func floats() throws(StateError) -> [Float] {
        let count = try count(of: "numbers", elementBytes: 4)
        var numbers: [Float] = []
        numbers.reserveCapacity(count)
        for _ in 0..<count { numbers.append(try float()) }
        return numbers
    }

    /// - Throws: `.damaged`.
    package mutating func doubles() throws(StateError) -> [Double] {
        let count = try count(of: "numbers", elementBytes: 8)
        var numbers: [Double] = []
        numbers.reserveCapacity(count)
        for _ in 0..<count { numbers.append(try double()) }
        return numbers
    }

    /// - Throws: `.damaged`.
    package mutating func texts() throws(StateError) -> [String] {
        let count = try count(of: "texts", elementBytes: 4)
        var texts: [String] = []
        for _ in 0..<count { texts.append(try text()) }
        return texts
    }

    /// - Throws: `.damaged`.
    package mutating func block() throws(StateError) -> [UInt8] {
        let count = try integer(UInt64.self)
        guard count <= UInt64(remaining) else { throw .damaged(reason: "it claims \(count) bytes, \(remaining) are left") }
        defer { position += Int(count) }
        return Array(bytes[position..<position + Int(count)])
    }
}

/// Writes numbers in the machine's byte order.
struct ByteWriter {
    private var bytes: [UInt8] = []

    /// - Parameter byteCount: room for about as much, at once.
    init(expecting byteCount: Int = 64) { bytes.reserveCapacity(byteCount) }

    mutating func append<Number: BitwiseCopyable>(_ number: Number) { withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) } }

    mutating func append<Number: BitwiseCopyable>(_ numbers: [Number]) { numbers.withUnsafeBytes { bytes.append(contentsOf: $0) } }

    mutating func append(_ text: String) {
        append(UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// Writes the length into the first four bytes.
    consuming func finishedFrame() -> [UInt8] {
        withUnsafeBytes(of: UInt32(bytes.count - InferenceFrame.lengthBytes)) { length in
            for (index, byte) in length.enumerated() { bytes[index] = byte }
        }
        return bytes
    }
}

/// Reads what `ByteWriter` wrote, within bounds.
struct ByteReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var remaining: Int { bytes.count - position }
    var isAtEnd: Bool { remaining == 0 }

    mutating func integer<Number: FixedWidthInteger & BitwiseCopyable>(_: Number.Type) throws(WorkersError) -> Number {
        guard remaining >= MemoryLayout<Number>.size else {
            throw .malformedFrame(reason: "a number of \(MemoryLayout<Number>.size) bytes, \(remaining) are left")
        }
        defer { position += MemoryLayout<Number>.size }
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: position, as: Number.self) }
    }

    /// - Parameter count, times: their product is the number of elements.
    mutating func array<Number: BitwiseCopyable>(_: Number.Type, count: Int, times: Int = 1) throws(WorkersError) -> [Number] {
        let (elements, isTooMany) = count.multipliedReportingOverflow(by: times)
        guard !isTooMany, elements <= remaining / MemoryLayout<Number>.size else {
            throw .malformedFrame(reason: "\(count) × \(times) numbers announced, \(remaining) bytes are left")
        }
        let byteCount = elements * MemoryLayout<Number>.size
        let start = position
        position += byteCount
        return [Number](unsafeUninitializedCapacity: elements) { memory, filled in
            bytes.withUnsafeBytes { all in
                UnsafeMutableRawBufferPointer(memory).copyMemory(from: UnsafeRawBufferPointer(rebasing: all[start..<start + byteCount]))
            }
            filled = elements
        }
    }

    mutating func text() throws(WorkersError) -> String {
        let content = try array(UInt8.self, count: Int(try integer(UInt32.self)))
        guard let text = String(validating: content, as: UTF8.self) else { throw .malformedFrame(reason: "a text is no UTF-8") }
        return text
    }
}

/// Writes JSON without spaces.
package struct JSONWriter {
    /// How the members of objects are ordered.
    package enum Order: Sendable {
        /// As they stand in the value.
        case kept
        /// By key, as Kubernetes writes untyped objects; equal values get equal bytes.
        case sorted
    }

    private static let hex = [UInt8]("0123456789abcdef".utf8)
    /// What was written so far, UTF-8.
    package private(set) var bytes: [UInt8] = []
    private let order: Order

    /// The capacity is only what is reserved at once; the text grows as it needs.
    package init(order: Order = .kept, capacityBytes: Int = 512) {
        self.order = order
        bytes.reserveCapacity(capacityBytes)
    }

    /// Appends a value. A decimal is written by the text it was read with, so that nothing is rounded.
    package mutating func write(_ value: JSON) {
        switch value {
        case .null: raw("null")
        case .bool(let value): raw(value ? "true" : "false")
        case .integer(let value): bytes.append(contentsOf: String(value).utf8)
        case .decimal(let text): bytes.append(contentsOf: text.utf8)
        case .string(let text): write(text)
        case .array(let elements):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                write(element)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let object): write(object)
        }
    }

    private mutating func write(_ object: JSONObject) {
        bytes.append(UInt8(ascii: "{"))
        var isFirst = true
        for member in order == .kept ? object.members : object.members.sorted(by: { $0.key < $1.key }) {
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
            write(key: member.key, member.value)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    /// Appends a member of an object; braces and commas are the caller's.
    package mutating func write(key: String, _ value: JSON) {
        write(key)
        bytes.append(UInt8(ascii: ":"))
        write(value)
    }

    /// Appends text that is JSON already.
    package mutating func raw(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    /// Appends bytes that are JSON already.
    package mutating func raw(_ text: [UInt8]) { bytes.append(contentsOf: text) }

    /// Appends bytes that are JSON already.
    package mutating func raw(_ text: ArraySlice<UInt8>) { bytes.append(contentsOf: text) }

    /// Appends a string in quotes.
    package mutating func write(_ text: String) {
        var text = text
        text.withUTF8 { source in
            bytes.append(UInt8(ascii: "\""))
            var start = 0
            for index in 0..<source.count where Self.isEscaped(source[index]) {
                bytes.append(contentsOf: UnsafeBufferPointer(rebasing: source[start..<index]))
                escape(source[index])
                start = index + 1
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: source[start...]))
            bytes.append(UInt8(ascii: "\""))
        }
    }

    private static func isEscaped(_ byte: UInt8) -> Bool { byte < 0x20 || byte == 0x22 || byte == 0x5c }

    private mutating func escape(_ byte: UInt8) {
        bytes.append(0x5c)
        switch byte {
        case 0x22, 0x5c: bytes.append(byte)
        case 0x0a: bytes.append(UInt8(ascii: "n"))
        case 0x0d: bytes.append(UInt8(ascii: "r"))
        case 0x09: bytes.append(UInt8(ascii: "t"))
        default: bytes.append(contentsOf: [UInt8(ascii: "u"), 0x30, 0x30, Self.hex[Int(byte >> 4)], Self.hex[Int(byte & 15)]])
        }
    }
}

extension JSON {
    /// The value as JSON without spaces.
    package func bytes(order: JSONWriter.Order = .kept) -> [UInt8] {
        var writer = JSONWriter(order: order)
        writer.write(self)
        return writer.bytes
    }

    /// The value as JSON without spaces, keys sorted.
    package var text: String { String(decoding: bytes(order: .sorted), as: UTF8.self) }
}

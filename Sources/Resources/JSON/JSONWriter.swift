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
        let members = object.members
        if order == .kept || members.count < 2 {
            for place in members.indices { write(members[place], isFirst: place == 0) }
        } else {
            for (place, member) in Self.sorted(members).enumerated() { write(members[member], isFirst: place == 0) }
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private mutating func write(_ member: JSONObject.Member, isFirst: Bool) {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        write(key: member.key, member.value)
    }

    /// The places of members in the order of their keys. Objects have few members: places are moved instead of members.
    private static func sorted(_ members: [JSONObject.Member]) -> [Int] {
        var places = Array(members.indices)
        guard members.count <= 16 else {
            places.sort { members[$0].key < members[$1].key }
            return places
        }
        for end in 1..<places.count {
            let place = places[end]
            var free = end
            while free > 0, members[place].key < members[places[free - 1]].key {
                places[free] = places[free - 1]
                free -= 1
            }
            places[free] = place
        }
        return places
    }

    /// Appends the members of an object in order, with their commas and without its braces.
    ///
    /// - Parameter before: called before the value of each member is written, with its key.
    package mutating func write(membersOf object: JSONObject, _ before: (String, borrowing JSONWriter) -> Void) {
        let places = order == .kept || object.count < 2 ? Array(object.members.indices) : Self.sorted(object.members)
        for (place, number) in places.enumerated() {
            let member = object.members[number]
            if place > 0 { bytes.append(UInt8(ascii: ",")) }
            write(member.key)
            bytes.append(UInt8(ascii: ":"))
            before(member.key, self)
            write(member.value)
        }
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

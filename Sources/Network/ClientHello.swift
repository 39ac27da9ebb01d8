/// What a TLS client says first, in plain text (RFC 8446, section 4.1.2). Pure.
package enum ClientHello: Equatable {
    /// More of it is to come.
    case incomplete
    /// No such message, or one in several records: whoever speaks TLS will judge it.
    case unknown
    /// Names of the protocols that the client would speak within TLS, in its order (RFC 7301); most clients name one or two.
    case offers([String])

    /// Bytes of a record with its head; nothing beyond is looked at.
    package static let bytesMax = (16 << 10) + 5
    private static let protocolsExtension = 16

    /// Reads the beginning of a connection.
    package init(_ bytes: some Collection<UInt8>) {
        var record = Fields(bytes.prefix(Self.bytesMax))
        guard let type = record.number(1) else { self = .incomplete; return }
        guard type == 22 else { self = .unknown; return }
        guard record.skip(2), let length = record.number(2) else { self = .incomplete; return }
        guard length <= 16 << 10 else { self = .unknown; return }
        guard let message = record.take(length) else { self = .incomplete; return }
        self = Self.protocols(message).map { .offers($0) } ?? .unknown
    }

    private static func protocols(_ message: Fields) -> [String]? {
        var message = message
        guard message.number(1) == 1, let length = message.number(3), var hello = message.take(length) else { return nil }
        // Version and random bytes; the session's name, ciphers, compressions.
        guard hello.skip(34), hello.vector(1) != nil, hello.vector(2) != nil, hello.vector(1) != nil else { return nil }
        guard var extensions = hello.vector(2) else { return [] }
        while let type = extensions.number(2), let body = extensions.vector(2) {
            if type == protocolsExtension { return names(body) }
        }
        return []
    }

    private static func names(_ body: Fields) -> [String]? {
        var body = body
        guard var list = body.vector(2) else { return nil }
        var names: [String] = []
        while let name = list.vector(1) { names.append(String(decoding: name.bytes, as: UTF8.self)) }
        return names
    }

    /// Numbers and vectors out of bytes; nil where there are too few.
    private struct Fields {
        var bytes: ArraySlice<UInt8>

        init(_ bytes: some Collection<UInt8>) { self.bytes = Array(bytes)[...] }

        mutating func number(_ width: Int) -> Int? {
            guard let field = take(width) else { return nil }
            return field.bytes.reduce(0) { $0 << 8 | Int($1) }
        }

        mutating func take(_ count: Int) -> Fields? {
            guard count <= bytes.count else { return nil }
            defer { bytes = bytes.dropFirst(count) }
            return Fields(bytes.prefix(count))
        }

        mutating func skip(_ count: Int) -> Bool { take(count) != nil }

        /// Bytes behind their count, which has so many bytes itself.
        mutating func vector(_ width: Int) -> Fields? { number(width).flatMap { take($0) } }
    }
}

import Crypto

/// What a machine is given to become a node: `K1.<SHA-256 of the authority's certificate>.<HOST:PORT>.<secret>`.
///
/// It names the cloud that may be trusted, so nothing secret is ever sent to another one, and proves by its secret that it was made there.
package struct JoinToken: Sendable, Equatable, CustomStringConvertible {
    /// A longer text is refused unread.
    package static let bytesMax = 512
    private static let version = "K1"
    private static let digestCount = 64
    private static let hostBytesMax = 253

    /// SHA-256 of the authority's certificate (DER), 64 digits in lower case.
    package let authority: String
    /// A name or an address, without brackets.
    package let host: String
    /// 1 to 65535.
    package let port: Int
    /// Known to the bearer; the cloud keeps its hash.
    package let secret: JoinSecret

    /// Puts a token together.
    ///
    /// - Parameters:
    ///   - authority: as `Authority.fingerprint`.
    ///   - host: a name or an address, without brackets.
    /// - Throws: `IdentityError` for a part that `init(_:)` would not read.
    package init(authority: String, host: String, port: Int, secret: JoinSecret) throws(IdentityError) {
        try self.init("\(Self.version).\(authority).\(Self.address(host, port)).\(secret.text)")
    }

    /// Reads a token; the error says what is wrong with it and never holds its secret.
    ///
    /// - Throws: `IdentityError` naming the part.
    package init(_ text: String) throws(IdentityError) {
        let remedy = "copy the whole token that 'skerry token create' printed"
        guard !text.isEmpty else { throw IdentityError("the join token is empty; \(remedy)") }
        guard text.utf8.count <= Self.bytesMax else {
            throw IdentityError("the join token has \(text.utf8.count) bytes, at most \(Self.bytesMax) are read; \(remedy)")
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 4 else {
            throw IdentityError("the join token has too few dots: \(parts.count - 1), expected 3 or more; \(remedy)")
        }
        guard parts[0] == Self.version else {
            throw IdentityError(
                "the join token begins with \"\(parts[0].prefix(8))\", this program reads \(Self.version); use the skerry of the cloud's release"
            )
        }
        guard parts[1].utf8.count == Self.digestCount, parts[1].utf8.allSatisfy(Hexadecimal.isDigit) else {
            throw IdentityError(
                "the join token's second part is no SHA-256: found \(parts[1].utf8.count) characters, expected \(Self.digestCount) of 0-9 and a-f; \(remedy)"
            )
        }
        let address = parts[2..<parts.count - 1].joined(separator: ".")
        guard let (host, port) = Self.split(address) else {
            throw IdentityError("the join token's address is \"\(address)\", expected HOST:PORT; \(remedy)")
        }
        authority = String(parts[1])
        self.host = host
        self.port = port
        secret = try JoinSecret(text: parts[parts.count - 1])
    }

    /// The token as it is handed over, secret and all; `description` leaves the secret out.
    package var text: String { "\(Self.version).\(authority).\(Self.address(host, port)).\(secret.text)" }

    /// For logs: the cloud and the token's id, without the secret.
    package var description: String { "join token \(secret.id) for \(Self.address(host, port))" }

    private static func address(_ host: String, _ port: Int) -> String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Host and port of `NAME:PORT`, `192.0.2.1:PORT` and `[2001:db8::1]:PORT`; nil for anything else.
    package static func split(_ address: String) -> (host: String, port: Int)? {
        guard let colon = address.lastIndex(of: ":") else { return nil }
        let digits = address[address.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.count <= 5, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits),
            port > 0
        else { return nil }
        var host = address[..<colon]
        if host.first == "[", host.last == "]" {
            host = host.dropFirst().dropLast()
            guard host.contains(":"), host.utf8.count <= 45,
                host.utf8.allSatisfy({ Hexadecimal.isDigit($0 | 0x20) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") })
            else { return nil }
            return (String(host), Int(port))
        }
        guard !host.isEmpty, host.utf8.count <= hostBytesMax, host.first != "-", host.first != ".", host.utf8.allSatisfy(isNamePart) else {
            return nil
        }
        return (String(host), Int(port))
    }

    private static func isNamePart(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "."): true
        default: false
        }
    }
}

/// The secret of a join token: 128 random bits.
package struct JoinSecret: Sendable, Equatable, CustomStringConvertible {
    /// Bytes of a secret.
    package static let byteCount = 16
    private let bytes: [UInt8]

    /// - Parameter bytes: `byteCount` bytes that nobody can guess.
    package init(bytes: [UInt8]) {
        precondition(bytes.count == Self.byteCount, "a join secret has \(Self.byteCount) bytes")
        self.bytes = bytes
    }

    init(text: Substring) throws(IdentityError) {
        guard text.utf8.count == Self.byteCount * 2, let bytes = Hexadecimal.decode(text.utf8) else {
            throw IdentityError(
                "the join token's secret has \(text.utf8.count) characters, expected \(Self.byteCount * 2) of 0-9 and a-f; copy the whole token that 'skerry token create' printed"
            )
        }
        self.bytes = bytes
    }

    /// 32 digits; only for the token's text.
    var text: String { Hexadecimal.encode(bytes) }

    /// What the cloud keeps: SHA-256 in 64 digits. The secret is random, so nothing slower is needed against guessing.
    package var hash: String { Hexadecimal.encode(SHA256.hash(data: Array("skerry join token\n".utf8) + bytes)) }

    /// How people name the token, as in 'skerry token revoke': the first 10 digits of the hash.
    package var id: String { String(hash.prefix(10)) }

    /// The id alone.
    package var description: String { id }
}

/// Bytes as digits in lower case.
enum Hexadecimal {
    private static let digits = Array("0123456789abcdef".utf8)

    static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) }

    static func encode(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// Nil for anything but pairs of digits in lower case.
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count % 2 == 0, text.allSatisfy(isDigit) else { return nil }
        let values = text.map { $0 < 0x40 ? $0 - 0x30 : $0 - 0x57 }
        return stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] }
    }

    /// Compares without telling by its time where two texts differ.
    static func isSame(_ left: String, _ right: String) -> Bool {
        guard left.utf8.count == right.utf8.count else { return false }
        return zip(left.utf8, right.utf8).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

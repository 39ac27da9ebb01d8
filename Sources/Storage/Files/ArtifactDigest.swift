import Crypto

/// The digest of bytes that come one piece after the other; a copy goes on by itself.
package struct RollingDigest: Sendable {
    private var hash = SHA256()
    /// Bytes taken so far.
    package private(set) var byteCount: Int64 = 0

    /// Of no bytes yet.
    package init() {}

    /// Takes the next bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        hash.update(bufferPointer: bytes)
        byteCount += Int64(bytes.count)
    }

    /// The name of what has come so far.
    package var value: ArtifactDigest { ArtifactDigest(hash.finalize()) }
}

/// The name of a file by its content: SHA-256. Immutable by nature, and no text from outside ever becomes a path but by this.
package struct ArtifactDigest: Sendable, Hashable, Comparable, CustomStringConvertible {
    private static let digitCount = 64
    /// 64 digits in lower case.
    package let hex: String

    /// Nil for anything but 64 digits 0-9 and a-f.
    package init?(hex: some StringProtocol) {
        guard hex.utf8.count == Self.digitCount, hex.utf8.allSatisfy(Self.isDigit) else { return nil }
        self.hex = String(hex)
    }

    /// Of `sha256:` and 64 digits, as objects name an artifact; nil for anything else.
    package init?(reference: some StringProtocol) {
        guard reference.utf8.starts(with: Self.scheme) else { return nil }
        self.init(hex: reference.dropFirst(Self.scheme.count))
    }

    /// What a hash function has found.
    init(_ digest: SHA256.Digest) {
        let digits = Array("0123456789abcdef".utf8)
        hex = String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// The name of some bytes.
    package init(of bytes: some Sequence<UInt8>) {
        var hash = SHA256()
        hash.update(data: Array(bytes))
        self.init(hash.finalize())
    }

    /// `sha256:` and the digits, as objects name it.
    package var description: String { "sha256:\(hex)" }

    /// By the digits.
    package static func < (left: ArtifactDigest, right: ArtifactDigest) -> Bool { left.hex < right.hex }

    private static let scheme = Array("sha256:".utf8)

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) }

    /// Every artifact that a text names, wherever in it the names stand: `sha256:` and exactly 64 digits.
    package static func named(in text: some Collection<UInt8>) -> Set<ArtifactDigest> {
        text.withContiguousStorageIfAvailable { named(in: $0) } ?? Array(text).withUnsafeBufferPointer { named(in: $0) }
    }

    private static func named(in text: UnsafeBufferPointer<UInt8>) -> Set<ArtifactDigest> {
        var found: Set<ArtifactDigest> = []
        var index = 0
        let last = text.count - scheme.count - digitCount
        while index <= last {
            guard text[index] == scheme[0], text[index..<index + scheme.count].elementsEqual(scheme) else {
                index += 1
                continue
            }
            let start = index + scheme.count
            let digits = text[start..<start + digitCount]
            let isLonger = start + digitCount < text.count && isDigit(text[start + digitCount])
            if !isLonger, digits.allSatisfy(isDigit), let digest = ArtifactDigest(hex: String(decoding: digits, as: UTF8.self)) {
                found.insert(digest)
            }
            index = start
        }
        return found
    }
}

import Crypto

/// Where a file is cut by its content, and the digest of each piece.
///
/// A cut depends on the bytes just before it alone, so two versions of a file are cut alike wherever they are alike, also behind what was put
/// in or taken out. Who has one version and this list of another knows which bytes are missing. (FastCDC, Xia et al., USENIX ATC 2016: a gear
/// hash, no cut before a least length, one at a greatest.)
package struct FileChunks: Sendable, Equatable {
    /// A piece.
    package struct Chunk: Sendable, Hashable {
        /// The first half of the SHA-256 of its bytes; the whole file is verified by its own digest.
        package let digest: [UInt8]
        /// At least 1.
        package let byteCount: Int
    }

    /// Pieces of one file; files are cut so that there are about 4,096 to 8,192.
    package static let countMax = 64 << 10
    /// Bytes of the longest list.
    package static let bytesMax = headerBytes + countMax * entryBytes
    private static let magic = Array("SKC1".utf8)
    private static let digestBytes = 16
    private static let entryBytes = 4 + digestBytes
    private static let headerBytes = 16
    /// Of the mean length of a piece, as a power of two: 4 KiB for what is smaller than 16 MiB.
    package static let scales = 12...24

    /// The mean length of a piece is 2 to the power of this; one of `scales`.
    package let scale: Int
    /// In their order; they follow each other from the file's beginning to its end.
    package let chunks: [Chunk]

    /// Bytes of the file.
    package var size: Int64 { chunks.reduce(0) { $0 + Int64($1.byteCount) } }

    /// How a file of so many bytes is cut.
    package static func scale(size: Int64) -> Int {
        scales.first { size >> $0 <= 4096 } ?? scales.upperBound
    }

    init(scale: Int, chunks: [Chunk]) {
        self.scale = scale
        self.chunks = chunks
    }

    /// Cuts a whole file; other tasks have a turn between the pieces that are read.
    ///
    /// - Parameter scale: nil for what fits its size.
    /// - Throws: `ArtifactError.failed` for a file that cannot be read; `CancellationError`.
    package init(of reader: ArtifactReader, scale: Int? = nil) async throws {
        var cutter = ContentCutter(scale: scale ?? Self.scale(size: reader.size))
        var offset: Int64 = 0
        while offset < reader.size {
            try Task.checkCancellation()
            let bytes = try reader.read(at: offset, count: 1 << 20)
            cutter.take(bytes)
            offset += Int64(bytes.count)
            await Task.yield()
        }
        self = cutter.finish()
    }

    // MARK: As bytes

    /// `SKC1`, the scale, and length and digest of each piece; numbers with their lowest byte first.
    package var bytes: [UInt8] {
        var bytes = Self.magic + Self.bytes(of: UInt32(scale)) + Self.bytes(of: UInt32(chunks.count)) + Self.bytes(of: UInt32(0))
        bytes.reserveCapacity(Self.headerBytes + chunks.count * Self.entryBytes)
        for chunk in chunks { bytes += Self.bytes(of: UInt32(chunk.byteCount)) + chunk.digest }
        return bytes
    }

    /// Nil for anything that `bytes` does not write, and for more than `countMax` pieces.
    package init?(bytes: [UInt8]) {
        guard bytes.count >= Self.headerBytes, bytes.count <= Self.bytesMax, bytes.starts(with: Self.magic) else { return nil }
        let scale = Int(Self.number(bytes, at: 4))
        let count = (bytes.count - Self.headerBytes) / Self.entryBytes
        guard Self.scales.contains(scale), Int(Self.number(bytes, at: 8)) == count, Self.number(bytes, at: 12) == 0,
            bytes.count == Self.headerBytes + count * Self.entryBytes
        else { return nil }
        var chunks: [Chunk] = []
        chunks.reserveCapacity(count)
        for index in 0..<count {
            let start = Self.headerBytes + index * Self.entryBytes
            let byteCount = Int(Self.number(bytes, at: start))
            guard (1...ContentCutter.bytesMax(scale: scale)).contains(byteCount) else { return nil }
            chunks.append(Chunk(digest: Array(bytes[start + 4..<start + Self.entryBytes]), byteCount: byteCount))
        }
        self.scale = scale
        self.chunks = chunks
    }

    private static func bytes(of number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }

    private static func number(_ bytes: [UInt8], at index: Int) -> UInt32 {
        bytes[index..<index + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    static func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var hash = SHA256()
        hash.update(bufferPointer: bytes)
        return Array(hash.finalize().prefix(digestBytes))
    }
}

/// Cuts bytes that come one piece after the other; where does not depend on how they come.
struct ContentCutter {
    private let scale: Int
    private var chunks: [FileChunks.Chunk] = []
    /// Behind the last cut.
    private var rest: [UInt8] = []
    private var hash: UInt64 = 0
    /// Bytes of the rest that have been looked at.
    private var looked = 0

    init(scale: Int) { self.scale = scale }

    static func bytesMin(scale: Int) -> Int { 1 << (scale - 2) }
    static func bytesMax(scale: Int) -> Int { 1 << (scale + 2) }

    /// A number for each byte; part of what both sides must agree on.
    private static let gear: [UInt64] = {
        // SplitMix64 from 0 (Steele, Lea, Flood 2014).
        var state: UInt64 = 0
        return (0..<256).map { _ in
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
            return value ^ value >> 31
        }
    }()

    /// The hash forgets a byte after so many.
    private static let window = 64

    mutating func take(_ bytes: [UInt8]) {
        rest += bytes
        var start = 0
        let (least, most, mask) = (Self.bytesMin(scale: scale), Self.bytesMax(scale: scale), UInt64.max << (64 - scale))
        rest.withUnsafeBytes { rest in
            Self.gear.withUnsafeBufferPointer { gear in
                var index = looked
                while index < rest.count {
                    // Before the least length there is no cut; the hash needs the window before it alone.
                    if index - start < least - Self.window { index = min(start + least - Self.window, rest.count) }
                    let end = min(start + most, rest.count)
                    var isCut = false
                    while index < end {
                        hash = hash << 1 &+ gear[Int(rest[index])]
                        index += 1
                        if hash & mask == 0, index - start >= least {
                            isCut = true
                            break
                        }
                    }
                    guard isCut || index - start == most else { break }
                    add(UnsafeRawBufferPointer(rebasing: rest[start..<index]))
                    start = index
                    hash = 0
                }
                looked = index - start
            }
        }
        rest.removeFirst(start)
    }

    private mutating func add(_ bytes: UnsafeRawBufferPointer) {
        chunks.append(FileChunks.Chunk(digest: FileChunks.digest(bytes), byteCount: bytes.count))
    }

    /// All pieces; the last ends where the bytes end.
    mutating func finish() -> FileChunks {
        if !rest.isEmpty {
            let last = rest
            last.withUnsafeBytes { add($0) }
            rest = []
        }
        return FileChunks(scale: scale, chunks: chunks)
    }
}

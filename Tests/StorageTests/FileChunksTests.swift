import Storage
import TestKit
import Testing

@Suite(.offThePool) struct FileChunksTests {
    private let folder = try! TemporaryFolder()
    private let store: ArtifactStore

    init() throws { store = try ArtifactStore(folder: folder.path + "/artifacts", now: { 1_800_000_000 }) }

    private static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }

    private func chunks(_ bytes: [UInt8], scale: Int? = nil) async throws -> FileChunks {
        let digest = ArtifactDigest(of: bytes)
        _ = try store.append(bytes, to: digest, at: 0, of: Int64(bytes.count))
        return try await FileChunks(of: try store.open(digest), scale: scale)
    }

    @Test func `pieces are within their bounds and make up the file`() async throws {
        let file = Self.bytes(3_000_000, seed: 1)
        let cut = try await chunks(file)
        #expect(cut.scale == 12 && cut.size == 3_000_000)
        #expect(cut.chunks.dropLast().allSatisfy { (1024...16384).contains($0.byteCount) })
        #expect((300...1500).contains(cut.chunks.count), "\(cut.chunks.count) pieces")
        #expect(try await chunks(file, scale: 14).chunks.count < cut.chunks.count / 2)
        // A file without anything to cut at.
        #expect(try await chunks([UInt8](repeating: 0, count: 100_000)).chunks.dropLast().allSatisfy { $0.byteCount <= 16384 })
        #expect(try await chunks([]).chunks.isEmpty)
    }

    @Test func `what is put in or taken out changes the pieces around it alone`() async throws {
        let file = Self.bytes(2_000_000, seed: 2)
        var other = file
        other.insert(contentsOf: [1, 2, 3], at: 700_000)
        other.removeSubrange(1_500_000..<1_500_500)
        let (before, after) = (try await chunks(file), try await chunks(other))
        let delta = FileDelta(after, from: [before])
        #expect(delta.copiedBytes > 1_900_000, "\(delta.copiedBytes) of \(other.count)")
        // The pieces say how the file is made.
        var made: [UInt8] = []
        for piece in delta.pieces {
            #expect(piece.range.lowerBound == Int64(made.count))
            if let source = piece.source {
                made += file[Int(source.offset)..<Int(source.offset) + piece.range.count]
            } else {
                made += other[Int(piece.range.lowerBound)..<Int(piece.range.upperBound)]
            }
        }
        #expect(made == other)
        let middle = try #require(delta.piece(at: 1_000_000))
        #expect(middle.range.lowerBound == 1_000_000 && middle.source.map { file[Int($0.offset)] == other[1_000_000] } ?? false)
        #expect(delta.piece(at: Int64(other.count)) == nil)
    }

    @Test func `files with nothing in common have no delta`() async throws {
        let delta = FileDelta(try await chunks(Self.bytes(500_000, seed: 3)), from: [try await chunks(Self.bytes(500_000, seed: 4))])
        #expect(delta.copiedBytes == 0 && delta.pieces.count == 1)
    }

    @Test func `a list comes back as it was written, and what is none is refused`() async throws {
        let cut = try await chunks(Self.bytes(300_000, seed: 5))
        let bytes = cut.bytes
        #expect(FileChunks(bytes: bytes) == cut)
        #expect(FileChunks(bytes: try await chunks([]).bytes)?.size == 0)
        for count in [0, 3, 15, bytes.count - 1] { #expect(FileChunks(bytes: Array(bytes.prefix(count))) == nil) }
        #expect(FileChunks(bytes: bytes + [0]) == nil)
        // The magic, the scale, the number of pieces, what is reserved, the first length.
        for index in [0, 4, 8, 11, 12, 19] {
            var wrong = bytes
            wrong[index] ^= 0xff
            #expect(FileChunks(bytes: wrong) == nil, "byte \(index)")
        }
        var none = bytes
        for index in 16..<20 { none[index] = 0 }
        #expect(FileChunks(bytes: none) == nil, "a piece of no bytes")
        #expect(FileChunks(bytes: [UInt8](repeating: 0, count: FileChunks.bytesMax + 20)) == nil)
    }

    @Test func `the mean piece grows with the file, so that lists stay short`() {
        #expect(FileChunks.scale(size: 0) == 12)
        #expect(FileChunks.scale(size: 16 << 20) == 12)
        #expect(FileChunks.scale(size: 1 << 30) == 18)
        #expect(FileChunks.scale(size: 16 << 30) == 22)
        #expect(FileChunks.scale(size: .max) == 24)
    }
}

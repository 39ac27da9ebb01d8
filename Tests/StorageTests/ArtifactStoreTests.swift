import Storage
import Synchronization
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite(.offThePool) struct ArtifactStoreTests {
    private final class Clock: Sendable {
        let seconds = Atomic<Int64>(1_800_000_000)
        var now: Int64 { seconds.load(ordering: .relaxed) }
    }

    private let folder = try! TemporaryFolder()
    private let clock = Clock()
    private static let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }
    private let digest = ArtifactDigest(of: bytes)

    private func store(_ limits: ArtifactStore.Limits = .init()) throws -> ArtifactStore {
        let clock = clock
        return try ArtifactStore(folder: folder.path + "/artifacts", limits: limits, now: { clock.now })
    }

    private func read(_ store: ArtifactStore, _ digest: ArtifactDigest) throws -> [UInt8] {
        let reader = try store.open(digest)
        return try reader.read(at: 0, count: Int(reader.size))
    }

    /// Sends a file in parts.
    private func send(_ bytes: [UInt8], _ digest: ArtifactDigest, to store: ArtifactStore, from start: Int = 0, part: Int = 300_000) throws
    {
        var offset = start
        while offset < bytes.count {
            let end = min(offset + part, bytes.count)
            let count = try store.append(Array(bytes[offset..<end]), to: digest, at: Int64(offset), of: Int64(bytes.count))
            #expect(count == Int64(end))
            offset = end
        }
    }

    private func files(_ path: String = "") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path + "/artifacts" + path).filter { $0 != "parts" }.sorted()
    }

    @Test func `the digest is SHA-256`() {
        #expect(ArtifactDigest(of: []).hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(ArtifactDigest(of: Array("abc".utf8)).hex == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test func `a digest that rolls is the digest of all that came`() {
        var rolling = RollingDigest()
        for start in stride(from: 0, to: Self.bytes.count, by: 70_001) {
            Self.bytes[start..<min(Self.bytes.count, start + 70_001)].withUnsafeBytes { rolling.update($0) }
            let copy = rolling
            #expect(copy.value == rolling.value && copy.byteCount == rolling.byteCount)
        }
        #expect(rolling.value == digest && rolling.byteCount == 1_000_000)
    }

    @Test func `a file is taken from a descriptor, whole or not at all`() throws {
        let path = folder.path + "/source"
        try Data(Self.bytes).write(to: URL(filePath: path))
        let file = open(path, O_RDONLY)
        defer { close(file) }
        let store = try store()
        try store.take(digest, from: file, size: 1_000_000)
        #expect(try read(store, digest) == Self.bytes)
        try store.take(digest, from: -1, size: 1_000_000)
        let other = ArtifactDigest(of: [1])
        #expect(throws: ArtifactError.wrongContent(other, found: digest)) { try store.take(other, from: file, size: 1_000_000) }
        #expect(throws: ArtifactError.wrongSize(other, size: 1_000_000, expected: 1_000_001)) {
            try store.take(other, from: file, size: 1_000_001)
        }
        let empty = ArtifactDigest(of: [])
        try store.take(empty, from: file, size: 0)
        #expect(store.size(empty) == 0 && store.progress(other) == nil)
    }

    @Test func `a file that comes in parts is whole under its name`() throws {
        let store = try store()
        try send(Self.bytes, digest, to: store)
        #expect(store.size(digest) == Int64(Self.bytes.count))
        #expect(try read(store, digest) == Self.bytes)
        #expect(try files() == [digest.hex])
        #expect(try files("/parts").isEmpty)
        let reader = try store.open(digest)
        #expect(try reader.read(at: 999_990, count: 100) == Array(Self.bytes[999_990...]))
        #expect(try reader.read(at: 1_000_000, count: 1).isEmpty)
    }

    @Test func `an empty file is a file`() throws {
        let store = try store()
        let empty = ArtifactDigest(of: [])
        #expect(try store.append([], to: empty, at: 0, of: 0) == 0)
        #expect(store.size(empty) == 0)
        #expect(try read(store, empty).isEmpty)
    }

    @Test func `a file that was there takes nothing`() throws {
        let store = try store()
        try send(Self.bytes, digest, to: store)
        #expect(try store.append([1, 2, 3], to: digest, at: 0, of: 3) == Int64(Self.bytes.count))
        #expect(try read(store, digest) == Self.bytes)
    }

    @Test func `a part survives the program and is gone on with`() throws {
        do {
            let first = try store()
            #expect(try first.append(Array(Self.bytes[..<400_000]), to: digest, at: 0, of: 1_000_000) == 400_000)
        }
        let second = try store()
        #expect(second.size(digest) == nil)
        #expect(second.progress(digest)?.byteCount == 400_000)
        #expect(second.progress(digest)?.size == 1_000_000)
        #expect(throws: ArtifactError.wrongOffset(digest, found: 300_000, expected: 400_000)) {
            try second.append([1], to: digest, at: 300_000, of: 1_000_000)
        }
        #expect(throws: ArtifactError.wrongSize(digest, size: 999_999, expected: 1_000_000)) {
            try second.append([1], to: digest, at: 400_000, of: 999_999)
        }
        try send(Self.bytes, digest, to: second, from: 400_000)
        #expect(try read(second, digest) == Self.bytes)
    }

    @Test func `a file begun anew forgets what came before`() throws {
        let store = try store()
        _ = try store.append([1, 2, 3], to: digest, at: 0, of: 5)
        try send(Self.bytes, digest, to: store)
        #expect(try read(store, digest) == Self.bytes)
        #expect(try files("/parts").isEmpty)
    }

    @Test func `what is not what its name says is not kept`() throws {
        let store = try store()
        var wrong = Self.bytes
        wrong[500_000] ^= 1
        #expect(throws: ArtifactError.wrongContent(digest, found: ArtifactDigest(of: wrong))) { try send(wrong, digest, to: store) }
        #expect(store.size(digest) == nil && store.progress(digest) == nil)
        #expect(try files().isEmpty && files("/parts").isEmpty)
        try send(Self.bytes, digest, to: store)
        #expect(try read(store, digest) == Self.bytes)
    }

    /// What a power cut leaves: a part of the right length whose last bytes never reached the disk.
    @Test func `a part with bytes torn out does not become a file`() throws {
        do { _ = try store().append(Array(Self.bytes[..<400_000]), to: digest, at: 0, of: 1_000_000) }
        let path = folder.path + "/artifacts/parts/\(digest.hex).1000000"
        let descriptor = open(path, O_WRONLY)
        #expect(pwrite(descriptor, [UInt8](repeating: 0, count: 4096), 4096, 390_000) == 4096)
        close(descriptor)
        let store = try store()
        #expect(throws: ArtifactError.self) { try send(Self.bytes, digest, to: store, from: 400_000) }
        #expect(store.progress(digest) == nil)
        try send(Self.bytes, digest, to: store)
        #expect(store.size(digest) == 1_000_000)
    }

    @Test(arguments: [
        "", "abc", String(repeating: "a", count: 63), String(repeating: "a", count: 65), String(repeating: "A", count: 64),
        "../" + String(repeating: "a", count: 61), String(repeating: "a", count: 62) + "/.", String(repeating: "é", count: 32),
        String(repeating: "a", count: 63) + "\0",
    ])
    func `what is no digest names no file`(text: String) {
        #expect(ArtifactDigest(hex: text) == nil)
        #expect(ArtifactDigest(reference: "sha256:" + text) == nil)
    }

    @Test func `digests are found in a text wherever they stand, and nothing else is`() {
        let a = ArtifactDigest(of: [1])
        let b = ArtifactDigest(of: [2])
        let text = "{\"x\":\"artifact://\(a)\",\"y\":\"\(b)\",\"z\":\"sha256:\(a.hex)0\",\"w\":\"sha256:12\",\"v\":\"ssha256:\(b.hex)\"}"
        #expect(ArtifactDigest.named(in: Array(text.utf8)) == [a, b])
        #expect(ArtifactDigest.named(in: Array("sha256:\(a.hex)0".utf8)).isEmpty)
        #expect(ArtifactDigest.named(in: Array("sha256:\(a.hex.dropLast())".utf8)).isEmpty)
        #expect(ArtifactDigest.named(in: []).isEmpty)
    }

    @Test func `bounds hold before anything is written`() throws {
        var limits = ArtifactStore.Limits()
        limits.bytesMax = 1000
        limits.totalBytesMax = 1500
        limits.partsMax = 2
        let store = try store(limits)
        #expect(throws: ArtifactError.tooLarge(digest, size: 1_000_000, max: 1000)) {
            try store.append([1], to: digest, at: 0, of: 1_000_000)
        }
        #expect(throws: ArtifactError.self) { try store.append([1, 2], to: digest, at: 0, of: 1) }
        #expect(throws: ArtifactError.self) { try store.append([1], to: digest, at: .max, of: .max) }
        #expect(throws: ArtifactError.self) { try store.append([1], to: digest, at: -1, of: 10) }
        #expect(throws: ArtifactError.self) { try store.append([], to: digest, at: 0, of: -1) }
        _ = try store.append([1], to: ArtifactDigest(of: [1]), at: 0, of: 800)
        // 800 are promised.
        #expect(throws: ArtifactError.noSpace(digest, size: 800, free: 700)) { try store.append([1], to: digest, at: 0, of: 800) }
        _ = try store.append([1], to: ArtifactDigest(of: [2]), at: 0, of: 100)
        #expect(throws: ArtifactError.tooManyParts(max: 2)) { try store.append([1], to: digest, at: 0, of: 10) }
        #expect(try files("/parts").count == 2)
    }

    /// `/dev/shm` as a small disk needs rights to mount; a limit on the file size fails in the same place with the same kind of error.
    @Test func `a disk without room is refused before it is filled`() throws {
        var limits = ArtifactStore.Limits()
        limits.freeBytesMin = .max / 2
        let store = try store(limits)
        #expect(throws: ArtifactError.self) { try store.append([1], to: digest, at: 0, of: 10) }
        #expect(try files("/parts").isEmpty)
    }

    @Test func `what nobody refers to goes after a while, what is asked for stays`() throws {
        let store = try store()
        let names = try (0..<4).map { number -> ArtifactDigest in
            let digest = ArtifactDigest(of: [UInt8(number)])
            _ = try store.append([UInt8(number)], to: digest, at: 0, of: 1)
            return digest
        }
        _ = try store.append([9], to: digest, at: 0, of: 10)
        #expect(store.collect(keeping: [names[0]], graceSeconds: 100).count == 0)
        clock.seconds.add(99, ordering: .relaxed)
        #expect(store.size(names[1]) == 1)
        clock.seconds.add(1, ordering: .relaxed)
        let open = try store.open(names[0])
        let collected = store.collect(keeping: [names[0]], graceSeconds: 100)
        #expect(collected.count == 2 && collected.byteCount == 2)
        #expect(store.size(names[0]) == 1 && store.size(names[1]) == 1)
        #expect(store.size(names[2]) == nil && store.size(names[3]) == nil)
        #expect(throws: ArtifactError.missing(names[2])) { try store.open(names[2]) }
        #expect(try open.read(at: 0, count: 1) == [0])
        #expect(store.progress(digest)?.byteCount == 1)
        clock.seconds.add(7 * 86400, ordering: .relaxed)
        #expect(store.collect(keeping: [], graceSeconds: .max / 2).partCount == 1)
        #expect(store.progress(digest) == nil)
        #expect(try files().count == 2 && files("/parts").isEmpty)
    }

    @Test func `what a store left is found, and what is none of its own is let be or removed`() throws {
        do { try send(Self.bytes, digest, to: store()) }
        let root = folder.path + "/artifacts"
        try "x".write(toFile: root + "/readme", atomically: false, encoding: .utf8)
        try "x".write(toFile: root + "/parts/nonsense", atomically: false, encoding: .utf8)
        let other = ArtifactDigest(of: [1])
        #expect(symlink("/etc/hostname", root + "/" + other.hex) == 0)
        let store = try store()
        #expect(store.count == 1 && store.byteCount == 1_000_000)
        #expect(store.size(other) == nil)
        #expect(try files("/parts").isEmpty)
        #expect(store.entries().map(\.digest) == [digest])
    }

    @Test func `of two writers of one file one at a time is let in, and the file is whole`() async throws {
        let store = try store()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var offset = 0
                    while store.size(self.digest) == nil {
                        let end = min(offset + 10_000, Self.bytes.count)
                        do throws(ArtifactError) {
                            offset = Int(
                                try store.append(Array(Self.bytes[offset..<end]), to: self.digest, at: Int64(offset), of: 1_000_000))
                        } catch {
                            offset = Int(store.progress(self.digest)?.byteCount ?? 0)
                            await Task.yield()
                        }
                    }
                }
            }
        }
        #expect(try read(store, digest) == Self.bytes)
    }
}

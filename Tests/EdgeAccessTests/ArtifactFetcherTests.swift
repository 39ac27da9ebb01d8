import APIServer
import EdgeAccess
import Network
import Storage
import Synchronization
import TestKit
import Testing

@Suite(.offThePool) struct ArtifactFetcherTests {
    private static let bytes = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 9) }
    private let digest = ArtifactDigest(of: bytes)

    /// A cloud, a node of it, and the node's own files.
    private struct Scene {
        let cloud: TestCloud
        let folder = try! TemporaryFolder()
        let edge: EdgeMembership
        let files: ArtifactStore

        init() async throws {
            cloud = try await TestCloud()
            edge = try await cloud.enter(folder.path + "/edge", token: try await cloud.token(node: "n1"))
            let clock = cloud.clock
            files = try ArtifactStore(folder: folder.path + "/files", now: { clock.now })
        }

        func fetcher(_ change: (inout ArtifactFetcher.Limits) -> Void = { _ in }) -> ArtifactFetcher {
            var limits = ArtifactFetcher.Limits()
            limits.failuresMax = 3
            change(&limits)
            let edge = edge
            return ArtifactFetcher(
                store: files, host: "127.0.0.1", port: cloud.port, userAgent: "test", limits: limits, jitter: { 0 }, trust: { edge.trust })
        }

        /// Keeps requests for files as `METHOD RANGE`, and lets `answer` answer them.
        func watch(_ answer: @escaping @Sendable (HTTPRequest, APIServer, Int) async -> HTTPResponse? = { _, _, _ in nil }) -> Requests {
            let requests = Requests()
            cloud.interpose { request, api in
                guard request.path.hasPrefix("/artifacts") else { return nil }
                let about = request.path.hasSuffix("/chunks") ? "chunks" : ""
                let number = requests.add("\(request.method) \(about)\(request.headers["range"] ?? request.headers["content-range"] ?? "")")
                return await answer(request, api, number)
            }
            return requests
        }
    }

    private final class Requests: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) -> Int {
            lines.withLock {
                $0.append(line)
                return $0.count
            }
        }
    }

    /// Gives a stream's first bytes and then breaks the connection.
    private final class Broken: HTTPBodyStream {
        private let rest: Mutex<[UInt8]?>
        init(_ bytes: [UInt8]) { rest = Mutex(bytes) }
        func start(wake: @escaping @Sendable () -> Void) {}
        func next() -> HTTPBodyStep {
            rest.withLock { rest in
                defer { rest = nil }
                return rest.map { .chunk($0) } ?? .failed
            }
        }
        func stop() {}
    }

    private func put(_ scene: Scene) async throws {
        _ = try scene.cloud.artifacts.append(Self.bytes, to: digest, at: 0, of: Int64(Self.bytes.count))
        try await scene.cloud.name(digest, for: "n1")
    }

    private func read(_ store: ArtifactStore) throws -> [UInt8] { try store.open(digest).read(at: 0, count: Self.bytes.count) }

    @Test func `a file is fetched once and verified`() async throws {
        let scene = try await Scene()
        try await put(scene)
        let requests = scene.watch()
        let fetcher = scene.fetcher()
        try await fetcher.fetch(digest)
        try await fetcher.fetch(digest)
        #expect(try read(scene.files) == Self.bytes)
        #expect(requests.all == ["GET "])
        await scene.cloud.stop()
    }

    @Test func `two that want the same file at once fetch it once`() async throws {
        let scene = try await Scene()
        try await put(scene)
        let requests = scene.watch()
        let fetcher = scene.fetcher()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { try await fetcher.fetch(self.digest) } }
            try await group.waitForAll()
        }
        #expect(try read(scene.files) == Self.bytes)
        #expect(requests.all == ["GET "])
        await scene.cloud.stop()
    }

    @Test func `a break is gone on from where it was`() async throws {
        let scene = try await Scene()
        try await put(scene)
        let size = Self.bytes.count
        let requests = scene.watch { _, _, number in
            guard number == 1 else { return nil }
            return HTTPResponse(
                status: 200, headers: ["Content-Length": String(size)], body: .stream(Broken(Array(Self.bytes[..<2_000_000]))))
        }
        try await scene.fetcher().fetch(digest)
        #expect(try read(scene.files) == Self.bytes)
        #expect(requests.all == ["GET ", "GET bytes=2000000-"])
        await scene.cloud.stop()
    }

    @Test func `a part of a former life is gone on with`() async throws {
        let scene = try await Scene()
        try await put(scene)
        _ = try scene.files.append(Array(Self.bytes[..<1_234_567]), to: digest, at: 0, of: Int64(Self.bytes.count))
        let requests = scene.watch()
        try await scene.fetcher().fetch(digest)
        #expect(try read(scene.files) == Self.bytes)
        #expect(requests.all == ["GET bytes=1234567-"])
        await scene.cloud.stop()
    }

    @Test func `a cloud that is away, or does not answer, is tried again`() async throws {
        let scene = try await Scene()
        try await put(scene)
        await scene.cloud.stop()
        do throws(EdgeAccessError) {
            try await scene.fetcher { $0.failuresMax = 1 }.fetch(digest)
            Issue.record("fetched from nowhere")
        } catch { #expect(error.code == .unreachable, "\(error)") }
        try await scene.cloud.restart()
        let requests = scene.watch { _, _, number in number < 3 ? HTTPResponse(status: 503) : nil }
        try await scene.fetcher().fetch(digest)
        #expect(try read(scene.files) == Self.bytes)
        #expect(requests.all == ["GET ", "GET ", "GET "])
        await scene.cloud.stop()
    }

    @Test func `a file that no object of the node names, or that is not there, is refused and not tried again`() async throws {
        let scene = try await Scene()
        _ = try scene.cloud.artifacts.append([1], to: ArtifactDigest(of: [1]), at: 0, of: 1)
        let requests = scene.watch()
        for (digest, status) in [(ArtifactDigest(of: [1]), 403), (ArtifactDigest(of: [2]), 404)] {
            if status == 404 { try await scene.cloud.name(digest, for: "n1") }
            do throws(EdgeAccessError) {
                try await scene.fetcher { $0.failuresMax = nil }.fetch(digest)
                Issue.record("fetched")
            } catch { #expect(error.code == .refused(status: status), "\(error)") }
        }
        #expect(requests.all.count == 2)
        await scene.cloud.stop()
    }

    @Test func `a file that arrives as another is not kept, and given up after three times`() async throws {
        let scene = try await Scene()
        var wrong = Self.bytes
        wrong[4_999_999] ^= 1
        let body = wrong
        let requests = scene.watch { _, _, _ in HTTPResponse(status: 200, body: .bytes(body)) }
        do throws(EdgeAccessError) {
            try await scene.fetcher { $0.failuresMax = nil }.fetch(digest)
            Issue.record("fetched")
        } catch { #expect(error.code == .malformed && error.description.contains("nothing of it was kept"), "\(error)") }
        #expect(requests.all.count == 3)
        #expect(scene.files.size(digest) == nil && scene.files.progress(digest) == nil)
        await scene.cloud.stop()
    }

    @Test func `an answer that lies about its size or place is refused before it is kept`() async throws {
        for (status, headers): (Int, HTTPHeaders) in [
            (200, ["Content-Length": "99999999999999999"]), (206, ["Content-Range": "bytes 5-9/10"]), (206, ["Content-Range": "bytes 0-9"]),
            (206, [:]), (204, [:]),
        ] {
            let scene = try await Scene()
            _ = scene.watch { _, _, _ in HTTPResponse(status: status, headers: headers, body: .stream(Broken([1, 2, 3]))) }
            await #expect(throws: EdgeAccessError.self) { try await scene.fetcher { $0.failuresMax = 1 }.fetch(digest) }
            #expect(scene.files.size(digest) == nil && scene.files.progress(digest) == nil, "\(status) \(headers.fields)")
            await scene.cloud.stop()
        }
    }

    @Test func `a file is sent in parts, and a break is gone on from`() async throws {
        let scene = try await Scene()
        _ = try scene.files.append(Self.bytes, to: digest, at: 0, of: Int64(Self.bytes.count))
        let requests = scene.watch { request, api, number in
            guard number == 3 else { return nil }
            // Taken, and its answer is lost.
            _ = await api.respond(to: request)
            return HTTPResponse(status: 503)
        }
        try await scene.fetcher().send(digest)
        #expect(try read(scene.cloud.artifacts) == Self.bytes)
        let part = 1 << 20
        #expect(
            requests.all.prefix(5) == [
                "PUT bytes */5000000", "PUT bytes 0-\(part - 1)/5000000", "PUT bytes \(part)-\(2 * part - 1)/5000000",
                "PUT bytes */5000000",
                "PUT bytes \(2 * part)-\(3 * part - 1)/5000000",
            ], "\(requests.all)")
        let count = requests.all.count
        try await scene.fetcher().send(digest)
        #expect(requests.all.count == count + 1)
        await scene.cloud.stop()
    }

    @Test func `an empty file travels both ways`() async throws {
        let scene = try await Scene()
        let empty = ArtifactDigest(of: [])
        _ = try scene.files.append([], to: empty, at: 0, of: 0)
        try await scene.fetcher().send(empty)
        #expect(scene.cloud.artifacts.size(empty) == 0)
        let other = try await Scene()
        _ = try other.cloud.artifacts.append([], to: empty, at: 0, of: 0)
        try await other.cloud.name(empty, for: "n1")
        try await other.fetcher().fetch(empty)
        #expect(other.files.size(empty) == 0)
        await scene.cloud.stop()
        await other.cloud.stop()
    }

    @Test func `a rate is kept, with a burst after a rest`() {
        var bucket = TokenBucket(bytesPerSecond: 1000, burstSeconds: 0.25)
        let start = ContinuousClock.now
        #expect(bucket.take(250, now: start) == .zero)
        #expect(bucket.take(500, now: start) == .milliseconds(500))
        #expect(bucket.take(100, now: start + .milliseconds(500)) == .milliseconds(100))
        #expect(bucket.take(250, now: start + .seconds(100)) == .zero)
        #expect(bucket.take(1, now: start + .seconds(100)) == .milliseconds(1))
    }

    @Test func `a fetch whose task is cancelled ends, and the next one goes on`() async throws {
        let scene = try await Scene()
        try await put(scene)
        // At this rate the file would take days.
        let slow = scene.fetcher { $0.bytesPerSecond = 100 }
        let task = Task { try await slow.fetch(digest) }
        while scene.files.progress(digest) == nil { await Task.yield() }
        task.cancel()
        await #expect(throws: EdgeAccessError(.cancelled, "cancelled")) { try await task.value }
        try await scene.fetcher().fetch(digest)
        #expect(try read(scene.files) == Self.bytes)
        await scene.cloud.stop()
    }

    // MARK: Another version is here

    private static let before: [UInt8] = {
        var state: UInt64 = 27
        return (0..<5_000_000).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }()

    /// The file with something put in and something taken out.
    private static let next: [UInt8] = {
        var next = before
        next.replaceSubrange(3_000_000..<3_100_000, with: before[0..<10].map { $0 ^ 1 })
        next.insert(contentsOf: before[0..<50_000].map { $0 ^ 1 }, at: 1_000_000)
        return next
    }()

    /// A scene whose edge has the file and whose cloud has the next version of it.
    private func versions() async throws -> Scene {
        let scene = try await Scene()
        _ = try scene.files.append(Self.before, to: ArtifactDigest(of: Self.before), at: 0, of: Int64(Self.before.count))
        let next = ArtifactDigest(of: Self.next)
        _ = try scene.cloud.artifacts.append(Self.next, to: next, at: 0, of: Int64(Self.next.count))
        try await scene.cloud.name(next, for: "n1")
        return scene
    }

    /// Bytes that requests for ranges have asked for.
    private static func asked(_ requests: Requests) -> Int {
        requests.all.reduce(0) { sum, line in
            let ends = line.drop { $0 != "=" }.dropFirst().split(separator: "-").compactMap { Int($0) }
            return sum + (ends.count == 2 ? ends[1] - ends[0] + 1 : line == "GET " ? next.count : 0)
        }
    }

    @Test func `of a new version only what is not here is brought, and a break is gone on from`() async throws {
        let scene = try await versions()
        let next = ArtifactDigest(of: Self.next)
        let requests = scene.watch { _, _, number in number == 3 ? HTTPResponse(status: 503) : nil }
        try await scene.fetcher().fetch(next)
        #expect(try scene.files.open(next).read(at: 0, count: Self.next.count) == Self.next)
        #expect(requests.all.first == "GET chunks" && Self.asked(requests) < 250_000, "\(requests.all)")
        #expect(requests.all.filter { $0 == "GET chunks" }.count == 1)
        await scene.cloud.stop()
    }

    @Test func `a cloud that tells no pieces, or wrong ones, gives the file whole`() async throws {
        let next = ArtifactDigest(of: Self.next)
        // A liar's: the pieces of the file that is here.
        let liar = try await versions()
        let others = try await FileChunks(of: try liar.files.open(ArtifactDigest(of: Self.before))).bytes
        await liar.cloud.stop()
        for (status, body) in [(404, []), (200, [1, 2, 3]), (200, others)] as [(Int, [UInt8])] {
            let scene = try await versions()
            let requests = scene.watch { request, _, _ in
                request.path.hasSuffix("/chunks") ? HTTPResponse(status: status, body: .bytes(body)) : nil
            }
            try await scene.fetcher().fetch(next)
            #expect(try scene.files.open(next).read(at: 0, count: Self.next.count) == Self.next, "\(status) \(body.count)")
            #expect(requests.all.last == "GET ", "\(requests.all)")
            await scene.cloud.stop()
        }
    }

    @Test func `a list of pieces of a file of another size is not used, whether something of the file is here or not`() async throws {
        let next = ArtifactDigest(of: Self.next)
        let liar = try await versions()
        let part = Array(Self.next[0..<3_000_000])
        let digest = ArtifactDigest(of: part)
        _ = try liar.files.append(part, to: digest, at: 0, of: Int64(part.count))
        let short = try await FileChunks(of: try liar.files.open(digest)).bytes
        await liar.cloud.stop()
        for begun in [0, 2_999_000, 3_000_000] {
            let scene = try await versions()
            if begun > 0 { _ = try scene.files.append(Array(Self.next[0..<begun]), to: next, at: 0, of: Int64(Self.next.count)) }
            let requests = scene.watch { request, _, _ in
                request.path.hasSuffix("/chunks") ? HTTPResponse(status: 200, body: .bytes(short)) : nil
            }
            try await scene.fetcher().fetch(next)
            #expect(try scene.files.open(next).read(at: 0, count: Self.next.count) == Self.next, "\(begun)")
            // What had come before the list was asked for is not brought again.
            #expect(requests.all.last == (begun > 0 ? "GET bytes=\(begun)-" : "GET "), "\(requests.all)")
            await scene.cloud.stop()
        }
    }

    @Test func `a rate that is set while files travel holds from the next piece on`() async throws {
        let scene = try await Scene()
        try await put(scene)
        let asked = Atomic(0)
        let edge = scene.edge
        // The second piece would take days; without the bound the rest would come at once.
        let slow = ArtifactFetcher(
            store: scene.files, host: "127.0.0.1", port: scene.cloud.port, userAgent: "test",
            rate: { asked.wrappingAdd(1, ordering: .relaxed).newValue < 2 ? nil : 1 }, jitter: { 0 }, trust: { edge.trust })
        let task = Task { try await slow.fetch(digest) }
        while asked.load(ordering: .relaxed) < 2 { await Task.yield() }
        task.cancel()
        await #expect(throws: EdgeAccessError(.cancelled, "cancelled")) { try await task.value }
        #expect(scene.files.size(digest) == nil)
        await scene.cloud.stop()
    }
}

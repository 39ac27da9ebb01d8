package import Network
import Reconciliation
import Resources
package import Storage
import Synchronization

/// Brings files from the cloud by digest and takes files there: over HTTPS with the node's certificate, resumed after a break, verified by the
/// store on arrival, within a bandwidth. One file at a time from and to the cloud, so that a slow link is not divided further.
package actor ArtifactFetcher {
    /// Bounds of the transfers.
    package struct Limits: Sendable {
        /// Bytes a second in both directions together; nil for as fast as it goes.
        package var bytesPerSecond: Int64?
        /// Time of one request; beyond, the next one goes on where it ended.
        package var requestTimeout: Duration = .seconds(120)
        /// Failures in a row without a byte of progress, before the transfer is given up; nil to try as long as the task lives.
        package var failuresMax: Int?

        /// Every bound as it stands here.
        package init() {}
    }

    /// Bytes that are written to the store, or sent, at once.
    private static let pieceBytes = 1 << 20
    /// Times that a file may arrive whole and wrong.
    private static let wrongMax = 3
    private static let backoff = ExponentialBackoff(first: .seconds(1), limit: .seconds(60))
    private let store: ArtifactStore
    private let host: String
    private let port: Int
    private let userAgent: String
    private let limits: Limits
    private let trust: @Sendable () -> TLSTrust
    private let jitter: @Sendable () -> Double
    private var bucket: TokenBucket?
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// - Parameters:
    ///   - trust: asked for at each connection, for the certificate changes.
    ///   - jitter: lots in 0..<1, that machines which lost the same cloud do not come back together.
    package init(
        store: ArtifactStore, host: String, port: Int, userAgent: String, limits: Limits = Limits(),
        jitter: @escaping @Sendable () -> Double, trust: @escaping @Sendable () -> TLSTrust
    ) {
        self.store = store
        self.host = host
        self.port = port
        self.userAgent = userAgent
        self.limits = limits
        self.jitter = jitter
        self.trust = trust
        bucket = limits.bytesPerSecond.map { TokenBucket(bytesPerSecond: $0) }
    }

    /// Returns when the store has a file; at once if it has it already. A break is gone on from, also that of a former life of this program.
    ///
    /// - Throws: `EdgeAccessError`: `.refused` for a file that this node's objects do not name (403), or that the cloud does not have (404),
    ///   `.storage` for a full disk, `.cancelled`, and whatever stood last in the way after `failuresMax` failures.
    package func fetch(_ digest: ArtifactDigest) async throws(EdgeAccessError) {
        try await transfer { () throws(EdgeAccessError) in
            self.store.size(digest) != nil
        } step: { http throws(EdgeAccessError) in
            try await self.fetchPart(digest, http)
        }
    }

    /// Takes a file of the store to the cloud; returns when the cloud has it whole.
    ///
    /// - Throws: as `fetch`; `.storage` for a file that is not in the store.
    package func send(_ digest: ArtifactDigest) async throws(EdgeAccessError) {
        let reader: ArtifactReader
        do throws(ArtifactError) { reader = try store.open(digest) } catch { throw EdgeAccessError(error) }
        let place = SendingPlace()
        try await transfer { () throws(EdgeAccessError) in
            place.isWhole
        } step: { http throws(EdgeAccessError) in
            try await self.sendParts(digest, reader, place, http)
        }
    }

    // MARK: One after the other

    private func enter() async {
        while isBusy { await withCheckedContinuation { waiting.append($0) } }
        isBusy = true
    }

    private func leave() {
        isBusy = false
        if !waiting.isEmpty { waiting.removeFirst().resume() }
    }

    /// What a step did: bytes that came through, and why it ended, if it did not end well.
    private struct Outcome {
        var byteCount: Int64 = 0
        var failure: EdgeAccessError?
    }

    private func transfer(
        isDone: () throws(EdgeAccessError) -> Bool, step: (PooledHTTPClient) async throws(EdgeAccessError) -> Outcome
    ) async throws(EdgeAccessError) {
        if try isDone() { return }
        await enter()
        defer { leave() }
        var failures = 0
        while try !isDone() {
            if Task.isCancelled { throw EdgeAccessError(.cancelled, "cancelled") }
            let http: PooledHTTPClient
            do { http = try PooledHTTPClient(host: host, port: port, trust: trust()) } catch {
                throw EdgeAccessError(.unusable, "\(error)")
            }
            let outcome: Result<Outcome, EdgeAccessError>
            do throws(EdgeAccessError) { outcome = .success(try await step(http)) } catch { outcome = .failure(error) }
            await http.close()
            let result = try outcome.get()
            guard let failure = result.failure else { continue }
            failures = result.byteCount > 0 ? 0 : failures + 1
            if let max = limits.failuresMax, failures >= max { throw failure }
            guard failures > 0 else { continue }
            do { try await Task.sleep(for: Self.backoff.wait(afterFailures: failures) * (0.5 + jitter() / 2)) } catch {
                throw EdgeAccessError(.cancelled, "cancelled")
            }
        }
    }

    private func pay(_ byteCount: Int) async throws(EdgeAccessError) {
        guard let wait = bucket?.take(byteCount, now: .now), wait > .zero else { return }
        do { try await Task.sleep(for: wait) } catch { throw EdgeAccessError(.cancelled, "cancelled") }
    }

    private var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    private func request(_ method: String, _ digest: ArtifactDigest, _ headers: HTTPHeaders = [:], _ body: [UInt8] = []) -> HTTPRequest {
        var request = HTTPRequest(method: method, path: "/artifacts/sha256/\(digest.hex)", headers: headers, body: body)
        request.headers["Host"] = address
        request.headers["User-Agent"] = userAgent
        return request
    }

    /// A failure that may pass is an outcome; every other is thrown.
    private func outcome(_ error: EdgeAccessError, _ byteCount: Int64) throws(EdgeAccessError) -> Outcome {
        guard error.isRetryable else { throw error }
        return Outcome(byteCount: byteCount, failure: error)
    }

    private func refusal(_ status: Int, _ body: [UInt8]) -> EdgeAccessError {
        let message = (try? JSONParser.parse(body))?["message"]?.string ?? "HTTP status \(status)"
        return EdgeAccessError(status >= 500 || status == 429 ? .unavailable : .refused(status: status), "\(address): \(message)")
    }

    // MARK: From the cloud

    private func fetchPart(_ digest: ArtifactDigest, _ http: PooledHTTPClient) async throws(EdgeAccessError) -> Outcome {
        var byteCount: Int64 = 0
        let offset = store.progress(digest)?.byteCount ?? 0
        do {
            let answer = try await http.open(
                request("GET", digest, offset > 0 ? ["Range": "bytes=\(offset)-"] : [:]), timeLimit: limits.requestTimeout)
            guard [200, 206].contains(answer.status) else {
                var body: [UInt8] = []
                while body.count < 64 << 10, let chunk = try await answer.next() { body += chunk }
                // Another size than the part's: what there is of it is not of this file.
                if answer.status == 416, offset > 0 { return try restart(digest) }
                return try outcome(refusal(answer.status, body), 0)
            }
            guard let part = Self.part(answer, offset) else {
                throw EdgeAccessError(
                    .malformed, "\(address) sends artifact \(digest) without saying how long it is, or from elsewhere than asked for")
            }
            return try await receive(answer, digest, part, &byteCount)
        } catch let error as HTTPClientError {
            return try outcome(EdgeAccessError(error, from: address), byteCount)
        } catch let error as EdgeAccessError {
            throw error
        } catch { throw EdgeAccessError(.malformed, "\(error)") }
    }

    /// Where an answer begins and what the whole will have; nil for one that does not say.
    private static func part(_ answer: HTTPAnswerStream, _ asked: Int64) -> (offset: Int64, size: Int64)? {
        if answer.status == 200 {
            guard let size = answer.headers["content-length"].flatMap({ Int64($0) }), size >= 0 else { return nil }
            return (0, size)
        }
        // bytes A-B/SIZE
        guard let text = answer.headers["content-range"], text.hasPrefix("bytes "), let slash = text.firstIndex(of: "/"),
            let dash = text.firstIndex(of: "-"), dash < slash, let first = Int64(text[..<dash].dropFirst(6)), first == asked,
            let size = Int64(text[text.index(after: slash)...]), size > first
        else { return nil }
        return (first, size)
    }

    private func receive(
        _ answer: HTTPAnswerStream, _ digest: ArtifactDigest, _ part: (offset: Int64, size: Int64), _ byteCount: inout Int64
    ) async throws(EdgeAccessError) -> Outcome {
        var waiting: [UInt8] = []
        var offset = part.offset
        var isOver = false
        var failure: EdgeAccessError?
        while !isOver {
            do throws(HTTPClientError) {
                if let chunk = try await answer.next() { waiting += chunk } else { isOver = true }
            } catch {
                isOver = true
                failure = EdgeAccessError(error, from: address)
            }
            // What has come before a break is kept: the next request goes on behind it.
            guard waiting.count >= Self.pieceBytes || isOver && (!waiting.isEmpty || part.size == 0 && failure == nil) else { continue }
            do throws(ArtifactError) {
                offset = try store.append(waiting, to: digest, at: offset, of: part.size)
            } catch {
                answer.close()
                if case .wrongContent = error { return try wrong(error) }
                throw EdgeAccessError(error)
            }
            byteCount += Int64(waiting.count)
            let count = waiting.count
            waiting = []
            try await pay(count)
        }
        if let failure { return try outcome(failure, byteCount) }
        wrongCount = 0
        guard offset == part.size else {
            return Outcome(
                byteCount: byteCount,
                failure: EdgeAccessError(.unreachable, "\(address) ended artifact \(digest) at byte \(offset) of \(part.size)"))
        }
        return Outcome(byteCount: byteCount)
    }

    private var wrongCount = 0

    /// A file came whole and was another; nothing of it was kept.
    private func wrong(_ error: ArtifactError) throws(EdgeAccessError) -> Outcome {
        wrongCount += 1
        guard wrongCount < Self.wrongMax else {
            wrongCount = 0
            throw EdgeAccessError(.malformed, "\(address): \(error)")
        }
        return Outcome(failure: EdgeAccessError(.unavailable, "\(error)"))
    }

    private func restart(_ digest: ArtifactDigest) throws(EdgeAccessError) -> Outcome {
        store.drop(digest)
        return Outcome(failure: EdgeAccessError(.unavailable, "\(address) has artifact \(digest) in another size than what is here of it"))
    }

    // MARK: To the cloud

    /// Whether the cloud has the file whole.
    private final class SendingPlace: Sendable {
        private let whole = Atomic(false)
        var isWhole: Bool {
            get { whole.load(ordering: .relaxed) }
            set { whole.store(newValue, ordering: .relaxed) }
        }
    }

    private func sendParts(
        _ digest: ArtifactDigest, _ reader: ArtifactReader, _ place: SendingPlace, _ http: PooledHTTPClient
    ) async throws(EdgeAccessError) -> Outcome {
        var byteCount: Int64 = 0
        // Nothing is sent with the first request: it asks how far the cloud is, from an attempt before or from somebody else.
        var offset: Int64?
        while !place.isWhole {
            var bytes: [UInt8] = []
            if let offset {
                do throws(ArtifactError) { bytes = try reader.read(at: offset, count: Self.pieceBytes) } catch {
                    throw EdgeAccessError(error)
                }
            }
            let range = bytes.isEmpty ? "*" : "\(offset!)-\(offset! + Int64(bytes.count) - 1)"
            // An empty file has no range to name.
            let headers: HTTPHeaders = reader.size == 0 ? [:] : ["Content-Range": "bytes \(range)/\(reader.size)"]
            let answer: HTTPAnswer
            do throws(HTTPClientError) { answer = try await http.send(request("PUT", digest, headers, bytes)) } catch {
                return try outcome(EdgeAccessError(error, from: address), byteCount)
            }
            switch (answer.status, answer.headers["upload-offset"].flatMap { Int64($0) }) {
            case (200, _), (201, _): place.isWhole = true
            case (202, let next?) where (offset.map { next > $0 } ?? true) && next >= 0 && next < reader.size: offset = next
            case (409, _):
                return try outcome(EdgeAccessError(.unavailable, "\(address): artifact \(digest) is being sent by another"), byteCount)
            default: return try outcome(refusal(answer.status, answer.body), byteCount)
            }
            byteCount += Int64(bytes.count)
            try await pay(bytes.count)
        }
        return Outcome(byteCount: byteCount)
    }
}

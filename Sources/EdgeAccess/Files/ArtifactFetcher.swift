package import Network
import Reconciliation
import Resources
package import Storage
import Synchronization

/// Brings files from the cloud by digest and takes files there: over HTTPS with the node's certificate, resumed after a break, verified by the
/// store on arrival, within a bandwidth. What other files of the store have of a file is not brought again. One file at a time from and to
/// the cloud, so that a slow link is not divided further.
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

    /// Bytes that are written to the store, or sent, at once; fewer where they would take the link for more than a second.
    private static let pieceBytesMax = 1 << 20
    private static let pieceBytesMin = 64 << 10
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
    private let rate: @Sendable () async -> Int64?
    private let report: @Sendable (String) -> Void
    private var bucket: TokenBucket?
    private var bytesPerSecond: Int64?
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// - Parameters:
    ///   - trust: asked for at each connection, for the certificate changes.
    ///   - rate: bytes a second as somebody wants it now, asked for with every piece; nil for that of `limits`.
    ///   - report: takes a sentence for the log.
    ///   - jitter: lots in 0..<1, that machines which lost the same cloud do not come back together.
    package init(
        store: ArtifactStore, host: String, port: Int, userAgent: String, limits: Limits = Limits(),
        rate: @escaping @Sendable () async -> Int64? = { nil }, report: @escaping @Sendable (String) -> Void = { _ in },
        jitter: @escaping @Sendable () -> Double, trust: @escaping @Sendable () -> TLSTrust
    ) {
        self.store = store
        self.host = host
        self.port = port
        self.userAgent = userAgent
        self.limits = limits
        self.jitter = jitter
        self.trust = trust
        self.rate = rate
        self.report = report
    }

    /// Returns when the store has a file; at once if it has it already. A break is gone on from, also that of a former life of this program.
    ///
    /// - Throws: `EdgeAccessError`: `.refused` for a file that this node's objects do not name (403), or that the cloud does not have (404),
    ///   `.storage` for a full disk, `.cancelled`, and whatever stood last in the way after `failuresMax` failures.
    package func fetch(_ digest: ArtifactDigest) async throws(EdgeAccessError) {
        let guide = DeltaGuide()
        try await transfer { () throws(EdgeAccessError) in
            self.store.size(digest) != nil
        } step: { http throws(EdgeAccessError) in
            try await self.fetchPart(digest, guide, http)
        }
        guard let copied = guide.plan?.delta.copiedBytes, let size = store.size(digest) else { return }
        report("artifact \(digest): \(size - copied) of \(size) bytes came from the cloud, the others were here in files before it")
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

    /// How much is taken at once at the rate that holds now.
    private func pieceBytes() async -> Int {
        let wanted = await rate() ?? limits.bytesPerSecond
        if wanted != bytesPerSecond {
            bytesPerSecond = wanted
            bucket = wanted.map { TokenBucket(bytesPerSecond: max(1, $0)) }
        }
        return Int(max(Int64(Self.pieceBytesMin), min(Int64(Self.pieceBytesMax), wanted ?? .max)))
    }

    private func pay(_ byteCount: Int) async throws(EdgeAccessError) {
        guard let wait = bucket?.take(byteCount, now: .now), wait > .zero else { return }
        do { try await Task.sleep(for: wait) } catch { throw EdgeAccessError(.cancelled, "cancelled") }
    }

    private var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    private func request(
        _ method: String, _ digest: ArtifactDigest, _ headers: HTTPHeaders = [:], _ body: [UInt8] = [], about: String = ""
    ) -> HTTPRequest {
        var request = HTTPRequest(method: method, path: "/artifacts/sha256/\(digest.hex)\(about)", headers: headers, body: body)
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

    private func fetchPart(
        _ digest: ArtifactDigest, _ guide: DeltaGuide, _ http: PooledHTTPClient
    ) async throws(EdgeAccessError) -> Outcome {
        if !guide.isAsked { try await ask(guide, digest, http) }
        // A part of a former life that is to have another size: then the list is of another file.
        if let plan = guide.plan, let part = store.progress(digest), part.size != plan.delta.size { guide.giveUp() }
        guard let plan = guide.plan else { return try await fetchRange(digest, nil, guide, http) }
        var byteCount: Int64 = 0
        while store.size(digest) == nil, let piece = plan.delta.piece(at: store.progress(digest)?.byteCount ?? 0) {
            guard let source = piece.source else {
                let outcome = try await fetchRange(digest, piece.range, guide, http)
                byteCount += outcome.byteCount
                if let failure = outcome.failure { return Outcome(byteCount: byteCount, failure: failure) }
                // The plan was found to be of another file.
                if guide.plan == nil { return Outcome(byteCount: byteCount) }
                continue
            }
            if let failure = try await copy(
                piece.range, from: plan.files[source.file], at: source.offset, to: digest, plan.delta, guide)
            {
                return failure
            }
        }
        return Outcome(byteCount: byteCount)
    }

    /// - Parameter range: nil for all that is missing.
    private func fetchRange(
        _ digest: ArtifactDigest, _ range: Range<Int64>?, _ guide: DeltaGuide, _ http: PooledHTTPClient
    ) async throws(EdgeAccessError) -> Outcome {
        var byteCount: Int64 = 0
        let offset = store.progress(digest)?.byteCount ?? 0
        let last = range.map { String($0.upperBound - 1) } ?? ""
        do {
            let answer = try await http.open(
                request("GET", digest, offset > 0 || range != nil ? ["Range": "bytes=\(offset)-\(last)"] : [:]),
                timeLimit: limits.requestTimeout)
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
            if range != nil, let plan = guide.plan, plan.delta.size != part.size {
                // The list is of a file of another size: nothing that was taken by it stays.
                answer.close()
                guide.giveUp()
                store.drop(digest)
                return Outcome()
            }
            return try await receive(answer, digest, part, upTo: range?.upperBound ?? part.size, guide, &byteCount)
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
        _ answer: HTTPAnswerStream, _ digest: ArtifactDigest, _ part: (offset: Int64, size: Int64), upTo end: Int64,
        _ guide: DeltaGuide, _ byteCount: inout Int64
    ) async throws(EdgeAccessError) -> Outcome {
        var waiting: [UInt8] = []
        var offset = part.offset
        var pieceBytes = await pieceBytes()
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
            guard waiting.count >= pieceBytes || isOver && (!waiting.isEmpty || part.size == 0 && failure == nil) else { continue }
            do throws(ArtifactError) {
                offset = try store.append(waiting, to: digest, at: offset, of: part.size)
            } catch {
                answer.close()
                if case .wrongContent = error { return try wrong(error, guide) }
                throw EdgeAccessError(error)
            }
            byteCount += Int64(waiting.count)
            let count = waiting.count
            waiting = []
            try await pay(count)
            pieceBytes = await self.pieceBytes()
        }
        if let failure { return try outcome(failure, byteCount) }
        wrongCount = 0
        guard offset == end else {
            return Outcome(
                byteCount: byteCount,
                failure: EdgeAccessError(.unreachable, "\(address) ended artifact \(digest) at byte \(offset) of \(end)"))
        }
        return Outcome(byteCount: byteCount)
    }

    private var wrongCount = 0

    /// A file came whole and was another; nothing of it was kept.
    private func wrong(_ error: ArtifactError, _ guide: DeltaGuide) throws(EdgeAccessError) -> Outcome {
        // Whatever was wrong, the next attempt takes nothing from here.
        guide.giveUp()
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

    // MARK: What is here already

    /// Asks the cloud where the file is cut, if there are files here that may have some of it. A cloud that does not say is no failure.
    private func ask(_ guide: DeltaGuide, _ digest: ArtifactDigest, _ http: PooledHTTPClient) async throws(EdgeAccessError) {
        let candidates = DeltaGuide.candidates(store.entries())
        guard !candidates.isEmpty else { return guide.giveUp() }
        let answer: HTTPAnswer
        do throws(HTTPClientError) { answer = try await http.send(request("GET", digest, about: "/chunks")) } catch {
            // Without a link the request for the file itself says so.
            return
        }
        // Refusals are told by that request too.
        guard answer.status == 200, let wanted = FileChunks(bytes: answer.body) else { return guide.giveUp() }
        do { try await guide.compare(wanted, with: candidates, in: store) } catch {
            guard !(error is CancellationError) else { throw EdgeAccessError(.cancelled, "cancelled") }
            // A file that cannot be read here is no reason not to bring another.
            guide.giveUp()
        }
    }

    /// Takes a piece from a file that is here.
    ///
    /// - Returns: nil when it is there.
    private func copy(
        _ range: Range<Int64>, from file: ArtifactReader, at start: Int64, to digest: ArtifactDigest, _ delta: FileDelta,
        _ guide: DeltaGuide
    ) async throws(EdgeAccessError) -> Outcome? {
        var offset = range.lowerBound
        while offset < range.upperBound {
            if Task.isCancelled { throw EdgeAccessError(.cancelled, "cancelled") }
            do throws(ArtifactError) {
                let count = Int(min(Int64(Self.pieceBytesMax), range.upperBound - offset))
                let bytes = try file.read(at: start + offset - range.lowerBound, count: count)
                guard bytes.count == count else {
                    throw .failed(path: "artifact \(digest)", reason: "a file it is made from became shorter")
                }
                offset = try store.append(bytes, to: digest, at: offset, of: delta.size)
            } catch {
                if case .wrongContent = error { return try wrong(error, guide) }
                if case .wrongSize = error {
                    // A part of a former life has another size than the list says.
                    guide.giveUp()
                    return try restart(digest)
                }
                throw EdgeAccessError(error)
            }
            await Task.yield()
        }
        return nil
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
                let count = await pieceBytes()
                do throws(ArtifactError) { bytes = try reader.read(at: offset, count: count) } catch {
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

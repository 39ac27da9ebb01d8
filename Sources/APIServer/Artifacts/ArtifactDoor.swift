package import Identity
package import Network
package import Resources
package import Storage
import Synchronization

/// `/artifacts/sha256/HEX`: files by digest.
///
///     GET, HEAD   the file, or a part of it by `Range: bytes=A-B`
///     PUT         a part, by `Content-Range: bytes A-B/SIZE`, or all of it: 202 with `Upload-Offset` until it is whole, then 201;
///                 with `bytes */SIZE` and no body it asks how much there is
///     GET …/chunks   where the file is cut by its content, and the digest of each piece (`FileChunks`): who has another version asks for
///                 the ranges alone that are missing
///
/// A part that begins elsewhere than where the parts before it ended is answered by 409 and `Upload-Offset`; HEAD of a file that is not
/// whole by 404 and `Upload-Offset`. Users need the verbs `get` and `put` for the path; a node may read what its objects name, and write
/// within a budget.
package struct ArtifactDoor: ServerDoor {
    /// What nodes may send.
    package struct Limits: Sendable {
        /// Bytes that one node may send within `nodeSeconds`; beyond: 429.
        package var nodeBytesMax: Int64 = 8 << 30
        /// The span of time that is meant.
        package var nodeSeconds: Int64 = 86400

        /// Every bound as it stands here.
        package init() {}
    }

    private final class Budgets: Sendable {
        struct Budget {
            var since: Int64
            var byteCount: Int64
        }
        let nodes = Mutex<[String: Budget]>([:])
    }

    /// `/artifacts`.
    package let path = "/artifacts"
    /// Who asks must have a name.
    package let isOpen = false
    private static let folder = "/artifacts/sha256/"
    private static let chunks = "/chunks"
    private let rights: any ArtifactRights
    private let store: ArtifactStore
    private let limits: Limits
    private let budgets = Budgets()
    private let lists: ChunkLists

    /// - Parameter service: asked for rights and for what objects name.
    package init(service: ObjectService, store: ArtifactStore, limits: Limits = Limits()) {
        rights = ServiceArtifactRights(service: service)
        self.store = store
        lists = ChunkLists(store: store)
        self.limits = limits
    }

    /// Files of a cloud beside a Kubernetes that somebody else runs.
    ///
    /// - Parameter client: asked for what objects of nodes name.
    package init(client: any ObjectClient, store: ArtifactStore, now: @escaping @Sendable () -> Timestamp, limits: Limits = Limits()) {
        rights = ClientArtifactRights(client: client, clock: now)
        self.store = store
        lists = ChunkLists(store: store)
        self.limits = limits
    }

    /// Gives a file or takes a part of one.
    ///
    /// - Throws: 403, 404 for a path that is no digest, 429 for a node beyond its budget.
    package func answer(
        _ request: HTTPRequest, _ user: User, _ notes: inout [String: String]
    ) async throws(APIStatus) -> HTTPResponse {
        // No decoding: a digest has nothing to escape, and anything else is no digest.
        let isAboutChunks = request.path.hasSuffix(Self.chunks)
        guard request.path.hasPrefix(Self.folder),
            let digest = ArtifactDigest(
                hex: request.path.dropFirst(Self.folder.utf8.count).dropLast(isAboutChunks ? Self.chunks.utf8.count : 0))
        else {
            throw APIStatus(
                code: 404, reason: "NotFound",
                message: "\(request.path.prefix(128)): expected \(Self.folder) and a SHA-256 of 64 digits 0-9 and a-f")
        }
        switch request.method {
        case "GET" where isAboutChunks:
            try await checkReading(digest, user)
            return try await chunks(digest)
        case _ where isAboutChunks: throw .methodNotAllowed
        case "GET", "HEAD":
            try await checkReading(digest, user)
            return try request.method == "GET" ? get(digest, request) : head(digest)
        case "PUT":
            try checkWriting(digest, user, request)
            return try put(digest, request)
        default: throw .methodNotAllowed
        }
    }

    // MARK: Rights

    private func checkReading(_ digest: ArtifactDigest, _ user: User) async throws(APIStatus) {
        if let node = user.nodeName, !user.isMaster {
            if try await rights.isNamed(digest, for: node) { return }
            throw APIStatus(
                code: 403, reason: "Forbidden",
                message:
                    "artifact \(digest) is named by no Pod, ConfigMap, Model or Dataset of node \"\(node)\", which may read only those that are"
            )
        }
        try rights.check(user, AccessRequest(verb: "get", path: Self.folder + digest.hex))
    }

    private func checkWriting(_ digest: ArtifactDigest, _ user: User, _ request: HTTPRequest) throws(APIStatus) {
        guard let node = user.nodeName, !user.isMaster else {
            return try rights.check(user, AccessRequest(verb: "put", path: Self.folder + digest.hex))
        }
        let now = rights.now.seconds
        let wait = budgets.nodes.withLock { budgets -> Int64 in
            var budget = budgets[node] ?? .init(since: now, byteCount: 0)
            if now - budget.since >= limits.nodeSeconds { budget = .init(since: now, byteCount: 0) }
            guard budget.byteCount + Int64(request.body.count) <= limits.nodeBytesMax else {
                return budget.since + limits.nodeSeconds - now
            }
            budget.byteCount += Int64(request.body.count)
            budgets[node] = budget
            return 0
        }
        guard wait == 0 else { throw .tooManyRequests(retryAfterSeconds: Int(max(1, wait))) }
    }

    // MARK: Reading

    private func head(_ digest: ArtifactDigest) throws(APIStatus) -> HTTPResponse {
        guard let size = store.size(digest) else { return missing(digest) }
        return HTTPResponse(status: 200, headers: Self.headers(digest, size), body: .stream(ArtifactStream(nil, 0..<0)))
    }

    private static func headers(_ digest: ArtifactDigest, _ count: Int64) -> HTTPHeaders {
        [
            "Content-Type": "application/octet-stream", "Content-Length": String(count), "Accept-Ranges": "bytes",
            "ETag": "\"\(digest)\"", "Cache-Control": "private, max-age=31536000, immutable",
        ]
    }

    private func missing(_ digest: ArtifactDigest) -> HTTPResponse {
        var answer = APIServer.answer(APIStatus(code: 404, reason: "NotFound", message: "there is no artifact \(digest)"))
        if let progress = store.progress(digest) { answer.headers["Upload-Offset"] = String(progress.byteCount) }
        return answer
    }

    private func get(_ digest: ArtifactDigest, _ request: HTTPRequest) throws(APIStatus) -> HTTPResponse {
        let reader: ArtifactReader
        do throws(ArtifactError) { reader = try store.open(digest) } catch {
            if case .missing = error { return missing(digest) }
            throw Self.status(error)
        }
        guard let text = request.headers["range"] else {
            return HTTPResponse(
                status: 200, headers: Self.headers(digest, reader.size), body: .stream(ArtifactStream(reader, 0..<reader.size)))
        }
        guard let range = ByteRange.read(text, size: reader.size) else {
            var answer = APIServer.answer(
                APIStatus(
                    code: 416, reason: "RangeNotSatisfiable",
                    message: "Range: \(text.prefix(64)): artifact \(digest) has \(reader.size) bytes; ask for one range bytes=A-B within it"
                ))
            answer.headers["Content-Range"] = "bytes */\(reader.size)"
            return answer
        }
        var headers = Self.headers(digest, range.upperBound - range.lowerBound)
        headers["Content-Range"] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(reader.size)"
        return HTTPResponse(status: 206, headers: headers, body: .stream(ArtifactStream(reader, range)))
    }

    private func chunks(_ digest: ArtifactDigest) async throws(APIStatus) -> HTTPResponse {
        do throws(ArtifactError) {
            let bytes = try await lists.bytes(of: digest)
            return HTTPResponse(
                status: 200,
                headers: [
                    "Content-Type": "application/octet-stream", "ETag": "\"\(digest)-chunks\"",
                    "Cache-Control": "private, max-age=31536000, immutable",
                ],
                body: .bytes(bytes))
        } catch {
            if case .missing = error { return missing(digest) }
            throw Self.status(error)
        }
    }

    // MARK: Writing

    private func put(_ digest: ArtifactDigest, _ request: HTTPRequest) throws(APIStatus) -> HTTPResponse {
        var offset: Int64 = 0
        var size = Int64(request.body.count)
        if let text = request.headers["content-range"] {
            if text.hasPrefix("bytes */") { return try progress(digest, text, request) }
            guard let part = ByteRange.readPart(text), part.range.upperBound - part.range.lowerBound == Int64(request.body.count) else {
                throw .badRequest(
                    "Content-Range: \(text.prefix(64)): expected bytes A-B/SIZE of the \(request.body.count) bytes that were sent")
            }
            (offset, size) = (part.range.lowerBound, part.size)
        }
        let wasThere = store.size(digest) != nil
        do throws(ArtifactError) {
            let count = try store.append(request.body, to: digest, at: offset, of: size)
            var answer = HTTPResponse(status: count < size ? 202 : wasThere ? 200 : 201, headers: ["Upload-Offset": String(count)])
            if count == size { answer.headers["Location"] = Self.folder + digest.hex }
            return answer
        } catch {
            var answer = APIServer.answer(Self.status(error))
            if case .wrongOffset(_, _, let expected) = error { answer.headers["Upload-Offset"] = String(expected) }
            return answer
        }
    }

    /// How much of a file there is.
    private func progress(_ digest: ArtifactDigest, _ text: String, _ request: HTTPRequest) throws(APIStatus) -> HTTPResponse {
        guard let size = ByteRange.number(text.dropFirst(8)), request.body.isEmpty else {
            throw .badRequest("Content-Range: \(text.prefix(64)): expected bytes */SIZE, and no body")
        }
        if let count = store.size(digest) { return HTTPResponse(status: 200, headers: ["Upload-Offset": String(count)]) }
        let progress = store.progress(digest)
        return HTTPResponse(status: 202, headers: ["Upload-Offset": String(progress?.size == size ? progress!.byteCount : 0)])
    }

    private static func status(_ error: ArtifactError) -> APIStatus {
        func status(_ code: Int, _ reason: String, retryAfter: Int = 0) -> APIStatus {
            var status = APIStatus(code: code, reason: reason, message: "\(error)")
            status.retryAfterSeconds = retryAfter
            return status
        }
        return switch error {
        case .missing: status(404, "NotFound")
        case .wrongContent, .wrongSize: status(422, "Invalid")
        case .wrongOffset: status(409, "Conflict")
        case .tooLarge: status(413, "RequestEntityTooLarge")
        case .noSpace: status(507, "InsufficientStorage", retryAfter: 60)
        case .busy, .tooManyParts: status(503, "ServiceUnavailable", retryAfter: 1)
        case .failed: status(500, "InternalError")
        }
    }
}

/// Ranges of bytes as headers write them.
enum ByteRange {
    /// Of `bytes=A-B`, `bytes=A-` or `bytes=-N`; nil for several ranges, and for none within the size.
    static func read(_ text: String, size: Int64) -> Range<Int64>? {
        guard text.hasPrefix("bytes=") else { return nil }
        let sides = text.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard sides.count == 2 else { return nil }
        if sides[0].isEmpty {
            guard let count = number(sides[1]), count > 0, size > 0 else { return nil }
            return max(0, size - count)..<size
        }
        guard let first = number(sides[0]), first < size else { return nil }
        if sides[1].isEmpty { return first..<size }
        guard let last = number(sides[1]), last >= first else { return nil }
        return first..<min(last, size - 1) + 1
    }

    /// Of `bytes A-B/SIZE`; nil for anything else, and for a part beyond the size.
    static func readPart(_ text: String) -> (range: Range<Int64>, size: Int64)? {
        guard text.hasPrefix("bytes ") else { return nil }
        let sides = text.dropFirst(6).split(separator: "/", omittingEmptySubsequences: false)
        guard sides.count == 2, let size = number(sides[1]) else { return nil }
        let ends = sides[0].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = number(ends[0]), let last = number(ends[1]), first <= last, last < size else { return nil }
        return (first..<last + 1, size)
    }

    /// Digits alone: no sign, no space, nothing that overflows when one is added.
    static func number(_ text: Substring) -> Int64? {
        guard !text.isEmpty, text.utf8.count <= 18, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(text)
    }
}

/// A range of a file, read ahead by one piece while its connection sends the last.
final class ArtifactStream: HTTPBodyStream {
    private static let pieceBytes = 256 << 10

    private struct State {
        var offset: Int64
        var ready: [UInt8]?
        var isReading = false
        var isOver = false
        /// The file cannot be read any further.
        var hasFailed = false
        var wake: (@Sendable () -> Void)?
    }

    private let reader: ArtifactReader?
    private let end: Int64
    private let state: Mutex<State>

    init(_ reader: ArtifactReader?, _ range: Range<Int64>) {
        self.reader = reader
        end = range.upperBound
        state = Mutex(State(offset: range.lowerBound))
    }

    func start(wake: @escaping @Sendable () -> Void) {
        state.withLock { $0.wake = wake }
        readAhead()
    }

    /// Reads the next piece away from the connection's thread: the disk may be slow.
    private func readAhead() {
        let offset = state.withLock { state -> Int64? in
            guard !state.isReading, !state.isOver, state.ready == nil, state.offset < end else { return nil }
            state.isReading = true
            return state.offset
        }
        guard let offset, let reader else { return }
        let count = Int(min(Int64(Self.pieceBytes), end - offset))
        // Bounded by one piece; what it finds is dropped when the stream has stopped.
        Task {
            let bytes = try? reader.read(at: offset, count: count)
            let wake = state.withLock { state -> (@Sendable () -> Void)? in
                state.isReading = false
                state.ready = bytes
                if bytes == nil { state.hasFailed = true }
                return state.wake
            }
            wake?()
        }
    }

    func next() -> HTTPBodyStep {
        let (step, isMore) = state.withLock { state -> (HTTPBodyStep, Bool) in
            if let bytes = state.ready {
                state.ready = nil
                state.offset += Int64(bytes.count)
                return (.chunk(bytes), true)
            }
            if state.hasFailed { return (.failed, false) }
            return (state.isOver || state.offset >= end ? .end : .wait, false)
        }
        if isMore { readAhead() }
        return step
    }

    func stop() {
        state.withLock { state in
            state.isOver = true
            state.ready = nil
            state.wake = nil
        }
    }
}

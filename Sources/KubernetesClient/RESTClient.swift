package import Network
package import Resources

/// Any Kubernetes server as controllers see it, over its REST API.
///
/// Nothing is sent twice: a request that fails is told of, and who asked tries again. A server that cannot be reached, or answers
/// what no Kubernetes would, is 503 `ServiceUnavailable` or 502 `BadGateway` with a sentence that names it.
package struct RESTClient: ObjectClient {
    let access: ClusterAccess
    let http: PooledHTTPClient
    private let read: FileReader
    private let fieldManager: String
    private let userAgent: String
    private let limits: HTTPClientLimits
    /// Whom requests are made for, where that is somebody else than who makes them.
    private var other: (user: String, groups: [String])?

    /// As a client has them that is given no others: as with client-go, all watches and requests share few connections where the server speaks
    /// HTTP/2.
    package static var sharing: HTTPClientLimits {
        var limits = HTTPClientLimits()
        limits.streamsPerConnectionMax = 100
        return limits
    }

    /// - Parameters:
    ///   - fieldManager: who the fields belong to that it sets.
    ///   - userAgent: who it says it is, as `skerry/1.0`.
    ///   - read: opens the files of a token, a certificate, a key; called before each request.
    /// - Throws: `NetworkError` for a certificate or key that cannot be read.
    package init(
        _ access: ClusterAccess, fieldManager: String = "skerry", userAgent: String, limits: HTTPClientLimits = RESTClient.sharing,
        read: @escaping FileReader
    ) throws {
        self.access = access
        self.fieldManager = fieldManager
        self.userAgent = userAgent
        self.limits = limits
        self.read = read
        if let trust = access.trust, let files = access.certificateFiles {
            http = try PooledHTTPClient(host: access.host, port: access.port, limits: limits) {
                try Self.renewed(trust, from: files, read)
            }
        } else {
            http = try PooledHTTPClient(host: access.host, port: access.port, trust: access.trust, limits: limits)
        }
    }

    private static func renewed(_ trust: TLSTrust, from files: CertificateFiles, _ read: FileReader) throws -> TLSTrust {
        var trust = trust
        func text(_ path: String) throws -> String { String(decoding: try read(path).prefix(Kubeconfig.bytesMax), as: UTF8.self) }
        trust.chainPEM = try text(files.chainPath)
        trust.keyPEM = try text(files.keyPath)
        return trust
    }

    /// The same server, asked in somebody else's name and with no more rights than they have; this client's user must be allowed to
    /// `impersonate` them. The connections are this client's.
    package func acting(as user: String, groups: [String]) -> RESTClient {
        var client = self
        client.other = (user, groups)
        return client
    }

    /// Closes all connections; requests in flight fail. To be called once, last.
    package func close() async { await http.close() }

    /// Connections that are open, those at rest included.
    package var connectionCount: Int { http.connectionCount }

    /// What the server has at a path that is no object's.
    ///
    /// - Throws: the server's refusal; 503 for a server that cannot be reached.
    package func bytes(_ path: String) async throws(APIStatus) -> [UInt8] { try await send(try request("GET", path)).body }

    /// What the server says to a request at a path that is no object's, with whatever status.
    ///
    /// - Parameter type: media type of the body; empty for none.
    /// - Throws: 503 for a server that cannot be reached.
    package func ask(_ method: String, _ path: String, type: String = "", _ body: [UInt8] = []) async throws(APIStatus) -> HTTPAnswer {
        var asked = try request(method, path)
        asked.body = body
        if !type.isEmpty { asked.headers.add("Content-Type", type) }
        return try await send(asked)
    }

    /// `gitVersion` of the server, as `v1.32.4`.
    package func version() async throws(APIStatus) -> String {
        guard let version = try await object(request("GET", "/version"))["gitVersion"]?.string else {
            throw alien("the answer to /version has no gitVersion")
        }
        return version
    }

    // MARK: Requests

    func request(_ method: String, _ path: String, _ query: QueryText = QueryText(), _ body: JSON? = nil) throws(APIStatus)
        -> HTTPRequest
    {
        var headers: HTTPHeaders = [
            "Host": access.host.contains(":") ? "[\(access.host)]:\(access.port)" : "\(access.host):\(access.port)",
            "User-Agent": userAgent, "Accept": "application/json",
        ]
        if body != nil { headers.add("Content-Type", "application/json") }
        if let token = try token() { headers.add("Authorization", "Bearer \(token)") }
        if let other {
            headers.add("Impersonate-User", other.user)
            for group in other.groups { headers.add("Impersonate-Group", group) }
        }
        return HTTPRequest(
            method: method, path: access.basePath + path, query: query.text, headers: headers, body: body?.bytes() ?? [])
    }

    private func token() throws(APIStatus) -> String? {
        switch access.token {
        case .none: return nil
        case .fixed(let token): return token
        case .file(let path):
            let bytes: [UInt8]
            do { bytes = try read(path) } catch { throw Self.unavailable("cannot read tokenFile \(path) of \(access.origin): \(error)") }
            let token = String(decoding: bytes.prefix(Kubeconfig.bytesMax).filter { $0 > 0x20 && $0 < 0x7f }, as: UTF8.self)
            guard !token.isEmpty else { throw Self.unavailable("tokenFile \(path) of \(access.origin) holds no token") }
            return token
        }
    }

    private func path(_ kind: ResourceKind, namespace: String) -> String {
        // Words of other servers, found by discovery: they may hold anything.
        let version = QueryText.encoded(kind.version)
        var path = kind.group.isEmpty ? "/api/\(version)" : "/apis/\(QueryText.encoded(kind.group))/\(version)"
        if kind.isNamespaced, !namespace.isEmpty { path += "/namespaces/\(QueryText.encoded(namespace))" }
        return path + "/\(QueryText.encoded(kind.plural))"
    }

    /// What is shown to the server now.
    func currentTrust() throws(APIStatus) -> TLSTrust? {
        guard let trust = access.trust, let files = access.certificateFiles else { return access.trust }
        do { return try Self.renewed(trust, from: files, read) } catch {
            throw Self.unavailable("cannot read the certificate of \(access.origin): \(error)")
        }
    }

    func path(_ kind: ResourceKind, _ key: ObjectKey, _ part: ObjectPart = .whole) throws(APIStatus) -> String {
        guard !key.name.isEmpty, !kind.isNamespaced || !key.namespace.isEmpty else {
            throw .badRequest("\(kind): metadata.name\(kind.isNamespaced ? " and metadata.namespace" : "") must be given, found \"\(key)\"")
        }
        let path = path(kind, namespace: key.namespace) + "/\(QueryText.encoded(key.name))"
        return part == .whole ? path : "\(path)/\(part.rawValue)"
    }

    // MARK: Answers

    func send(_ request: HTTPRequest) async throws(APIStatus) -> HTTPAnswer {
        do throws(HTTPClientError) { return try await http.send(request) } catch { throw unreachable(error) }
    }

    /// The object that a request is answered with.
    private func object(_ request: HTTPRequest) async throws(APIStatus) -> JSON {
        let answer = try await send(request)
        guard (200..<300).contains(answer.status) else { throw AnsweredStatus.read(answer, from: "\(access)") }
        let value = try parsed(answer.body)
        guard value.object != nil else { throw alien("expected an object, found \(value.typeName)") }
        return value
    }

    private func parsed(_ bytes: [UInt8]) throws(APIStatus) -> JSON {
        do throws(JSONParseError) {
            return try JSONParser.parse(bytes, limits: .init(depthMax: 256, bytesMax: limits.answerBytesMax))
        } catch { throw alien("no JSON: \(error)") }
    }

    private static func unavailable(_ message: String) -> APIStatus {
        APIStatus(code: 503, reason: "ServiceUnavailable", message: message)
    }

    func alien(_ reason: String) -> APIStatus {
        APIStatus(
            code: 502, reason: "BadGateway",
            message: "\(access) answers what no Kubernetes would: \(reason); see whether server in \(access.origin) is right")
    }

    func unreachable(_ error: HTTPClientError) -> APIStatus {
        let remedy =
            switch error.code {
            case .unreachable: "; see whether it runs, and whether server in \(access.origin) is right"
            case .untrusted: "; see whether certificate-authority-data and client-certificate-data in \(access.origin) are of this server"
            case .timedOut, .tooLarge, .closedEarly, .malformed, .busy, .cancelled: ""
            }
        return Self.unavailable("\(access): \(error)\(remedy)")
    }

    // MARK: Verbs

    /// Asks `/api`, `/apis` and each group's version in turn; one that fails fails the whole.
    package func kinds() async throws(APIStatus) -> [ResourceKind] {
        var found = DiscoveredKinds()
        for version in try await object(request("GET", "/api"))["versions"]?.array ?? [] {
            guard let version = version.string else { continue }
            found.add(try await object(request("GET", "/api/\(QueryText.encoded(version))")), group: "", version: version)
        }
        for (group, versions) in DiscoveredKinds.groups(try await object(request("GET", "/apis"))) {
            for version in versions {
                let path = "/apis/\(QueryText.encoded(group))/\(QueryText.encoded(version))"
                found.add(try await object(request("GET", path)), group: group, version: version)
            }
        }
        return found.kinds
    }

    /// One GET: the newest state.
    package func get(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        try await object(request("GET", try path(kind, key)))
    }

    /// One GET of one page. The server decides what a limit and a revision mean to it.
    package func list(_ kind: ResourceKind, _ query: ListQuery) async throws(APIStatus) -> ObjectList {
        var text = QueryText()
        text.add("labelSelector", query.labelSelector)
        text.add("fieldSelector", query.fieldSelector)
        text.add("limit", query.limit > 0 ? String(query.limit) : "")
        text.add("continue", query.continueToken)
        text.add("resourceVersion", query.resourceVersion)
        let answer = try await object(request("GET", path(kind, namespace: query.namespace), text))
        guard let metadata = answer["metadata"], let version = metadata["resourceVersion"]?.string,
            let items = answer["items"] == .null ? [] : answer["items"]?.array
        else { throw alien("a list of \(kind) without items or metadata.resourceVersion") }
        return ObjectList(
            items: try items.map { (item) throws(APIStatus) in try complete(item, kind) }, resourceVersion: version,
            continueToken: metadata["continue"]?.string ?? "")
    }

    /// An item of a list says nothing of its kind.
    private func complete(_ item: JSON, _ kind: ResourceKind) throws(APIStatus) -> JSON {
        guard item.object != nil, item["metadata"]?["name"]?.string != nil else { throw alien("one of \(kind) without metadata.name") }
        var item = item
        if item["apiVersion"] == nil { item["apiVersion"] = .string(kind.apiVersion) }
        if item["kind"] == nil { item["kind"] = .string(kind.kind) }
        return item
    }

    /// One GET that stays open, with bookmarks. The stream also ends, without an error, some time after the server should have ended it,
    /// and when its reader is cancelled.
    package func watch(_ kind: ResourceKind, _ query: WatchQuery) async throws(APIStatus) -> ObjectWatch {
        var text = QueryText()
        text.add("watch", "true")
        text.add("allowWatchBookmarks", "true")
        text.add("labelSelector", query.labelSelector)
        text.add("fieldSelector", query.fieldSelector)
        text.add("resourceVersion", query.resourceVersion)
        text.add("timeoutSeconds", query.timeoutSeconds > 0 ? String(query.timeoutSeconds) : "")
        let request = try request("GET", path(kind, namespace: query.namespace), text)
        // Servers end watches after an hour at most; one that is silent for longer is gone.
        let limit: Duration = .seconds((query.timeoutSeconds > 0 ? query.timeoutSeconds : 3600) + 30)
        let stream: HTTPAnswerStream
        do throws(HTTPClientError) { stream = try await http.open(request, timeLimit: limit) } catch { throw unreachable(error) }
        guard stream.status == 200 else { throw AnsweredStatus.read(try await whole(stream), from: "\(access)") }
        let lines = WatchLines(stream)
        return ObjectWatch { () async throws(APIStatus) in
            let line: [UInt8]?
            do throws(HTTPClientError) { line = try await lines.next() } catch {
                if error.code == .timedOut || error.code == .cancelled { return nil }
                throw unreachable(error)
            }
            guard let line else { return nil }
            return try event(line, kind)
        }
    }

    /// The answer to a watch that was refused; no more than an error has.
    func whole(_ stream: HTTPAnswerStream) async throws(APIStatus) -> HTTPAnswer {
        var body: [UInt8] = []
        do throws(HTTPClientError) {
            while body.count < 64 << 10, let chunk = try await stream.next() { body += chunk }
        } catch { throw unreachable(error) }
        return HTTPAnswer(status: stream.status, headers: stream.headers, body: body)
    }

    private func event(_ line: [UInt8], _ kind: ResourceKind) throws(APIStatus) -> WatchEvent {
        let value = try parsed(line)
        let object = value["object"] ?? .null
        switch value["type"]?.string {
        case "ADDED": return .added(try complete(object, kind))
        case "MODIFIED": return .modified(try complete(object, kind))
        case "DELETED": return .deleted(try complete(object, kind))
        case "BOOKMARK":
            guard let version = object["metadata"]?["resourceVersion"]?.string else { throw alien("a bookmark without resourceVersion") }
            return .bookmark(resourceVersion: version)
        case "ERROR": throw AnsweredStatus.read(object, httpCode: 500)
        default: throw alien("a watch event of type \(value["type"]?.string ?? value.typeName)")
        }
    }

    private func writing() -> QueryText {
        var text = QueryText()
        text.add("fieldManager", fieldManager)
        return text
    }

    /// One POST. A namespace that is missing is refused here, 400.
    package func create(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        let key = ObjectKey(object)
        guard part == .whole else { return try await self.object(request("POST", try path(kind, key, part), writing(), object)) }
        guard !kind.isNamespaced || !key.namespace.isEmpty else {
            throw .badRequest("\(kind) \"\(key.name)\": metadata.namespace must be given")
        }
        return try await self.object(request("POST", path(kind, namespace: key.namespace), writing(), object))
    }

    /// One PUT. A name or namespace that is missing is refused here, 400.
    package func update(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        try await self.object(request("PUT", try path(kind, ObjectKey(object), part), writing(), object))
    }

    /// One PATCH, by the patch's manager, or by this client's if it names none.
    package func patch(
        _ kind: ResourceKind, _ key: ObjectKey, _ patch: ObjectPatch, part: ObjectPart
    ) async throws(APIStatus) -> JSON {
        var text = QueryText()
        text.add("fieldManager", patch.fieldManager.isEmpty ? fieldManager : patch.fieldManager)
        if patch.isForced { text.add("force", "true") }
        var request = try request("PATCH", try path(kind, key, part), text, patch.body)
        request.headers["Content-Type"] = patch.form.rawValue
        return try await object(request)
    }

    /// One DELETE with `DeleteOptions`; what the server answers is not told, unless it is a refusal.
    package func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion) async throws(APIStatus) {
        _ = try await object(request("DELETE", try path(kind, key), QueryText(), deletion.json))
    }
}

/// What stands behind `?` in a URL.
struct QueryText {
    private(set) var text = ""

    /// Nothing for an empty value.
    mutating func add(_ name: String, _ value: String) {
        guard !value.isEmpty else { return }
        text += "\(text.isEmpty ? "" : "&")\(name)=\(Self.encoded(value))"
    }

    /// Every byte that is neither letter, digit nor one of `-._~` as a percent and two digits.
    static func encoded(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                result += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return result
    }
}

package import Identity
package import Network
package import Resources
import Storage
import Synchronization

/// The front door: turns HTTP requests into verbs on objects and their results into answers, as kubectl and client-go expect them.
package struct APIServer: HTTPResponder {
    /// The release of Kubernetes whose API is spoken.
    static let kubernetesVersion = (major: "1", minor: "32", full: "v1.32.4")

    let service: ObjectService
    let authenticator: Authenticator
    /// Version of this program.
    let programVersion: String
    private let audit: AuditLog?
    private let doors: [any ServerDoor]
    /// The way into nodes; nil where there is none.
    let calls: (any NodeCalls)?
    /// Who asks, where only one can; nil to find out.
    private let everybody: User?

    /// `tokens` signs and reads what service accounts show; the version stands in `/version`, behind that of Kubernetes.
    ///
    /// - Parameters:
    ///   - audit: takes a line a request; nil for none.
    ///   - doors: answer what is no object; the first that is meant by a path.
    ///   - calls: the way into nodes, for logs and commands; nil for none.
    ///   - everybody: who asks, where the connection itself lets nobody else in; nil to find out by certificate and token.
    package init(
        service: ObjectService, tokens: ServiceTokens, programVersion: String, audit: AuditLog? = nil, doors: [any ServerDoor] = [],
        calls: (any NodeCalls)? = nil, everybody: User? = nil
    ) {
        self.everybody = everybody
        self.audit = audit
        self.doors = doors
        self.calls = calls
        self.service = service
        authenticator = Authenticator(service: service, tokens: tokens)
        self.programVersion = programVersion
    }

    /// Never fails: a refusal is answered with its `Status` and code.
    package func respond(to request: HTTPRequest) async -> HTTPResponse {
        var entry = AuditLog.Entry()
        guard let audit else { return await answer(request, &entry) }
        let received = service.environment.now()
        let id = service.environment.newUID()
        var response = await answer(request, &entry)
        response.headers["Audit-Id"] = id
        audit.write(entry, request, status: response.status, id: id, from: received, to: service.environment.now())
        return response
    }

    /// A `Status`, as of every refusal.
    package func refusal(_ status: Int, _ text: String) -> HTTPResponse {
        Self.answer(APIStatus(code: status, reason: status == 413 ? "RequestEntityTooLarge" : "TooManyRequests", message: text))
    }

    private func answer(_ request: HTTPRequest, _ entry: inout AuditLog.Entry) async -> HTTPResponse {
        do throws(APIStatus) {
            return try await answered(request, &entry)
        } catch {
            return Self.answer(error)
        }
    }

    private func answered(_ request: HTTPRequest, _ entry: inout AuditLog.Entry) async throws(APIStatus) -> HTTPResponse {
        let target = try RequestTarget(path: request.path, query: request.query)
        entry.path = ResourcePath(target.segments)
        let door = doors.first { $0.isMeant(by: request.path) }
        if let door, door.isOpen { return try await door.answer(request, .anonymous, &entry.notes) }
        var user = User.anonymous
        if let everybody { user = everybody } else { user = try authenticator.user(request) }
        entry.user = user
        if let other = try impersonated(request, by: user) {
            user = other
            entry.impersonated = other
        }
        if let door { return try await door.answer(request, user, &entry.notes) }
        if let path = entry.path,
            let definition = service.registry.definition(groupVersion: path.groupVersion, plural: path.plural)
        {
            let call = ResourceCall(server: self, request: request, target: target, path: path, definition: definition, user: user)
            entry.verb = (try? call.verb()) ?? ""
            return try await call.answer()
        }
        return try answerOther(request, target, user)
    }

    /// Whom a user asks to be; nil for themselves.
    ///
    /// - Throws: `APIStatus` 400 for headers that name no user or say what is not understood: what was to be done as another is never done as
    ///   the user; 403.
    private func impersonated(_ request: HTTPRequest, by user: User) throws(APIStatus) -> User? {
        let fields = request.headers.fields.filter { Self.asksForAnother($0.name) }.map { $0.name.lowercased() }
        guard !fields.isEmpty else { return nil }
        if let other = fields.first(where: { $0 != "impersonate-user" && $0 != "impersonate-group" }) {
            throw .badRequest("the header \(other) is not understood here; impersonate by Impersonate-User and Impersonate-Group alone")
        }
        guard let name = request.headers["impersonate-user"], !name.isEmpty else {
            throw .badRequest("requested \(fields[0]) without impersonating a user; add Impersonate-User")
        }
        let authorizer = Authorizer(service: service)
        var groups = request.headers[all: "impersonate-group"]
        for group in groups { try authorizer.check(user, AccessRequest(verb: "impersonate", group: "", resource: "groups", name: group)) }
        let parts = name.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if parts.count == 4, parts[0] == "system", parts[1] == "serviceaccount" {
            try authorizer.check(
                user, AccessRequest(verb: "impersonate", group: "", resource: "serviceaccounts", name: parts[3], namespace: parts[2]))
            if groups.isEmpty { groups = ["system:serviceaccounts", "system:serviceaccounts:\(parts[2])"] }
        } else {
            try authorizer.check(user, AccessRequest(verb: "impersonate", group: "", resource: "users", name: name))
        }
        let everybody = name == User.anonymous.name ? "system:unauthenticated" : "system:authenticated"
        return User(name: name, groups: groups.contains(everybody) ? groups : groups + [everybody])
    }

    private static let impersonation = Array("impersonate-".utf8)

    /// Whether a header's name begins with `impersonate-`, however it is written. Asked for each header of each request.
    private static func asksForAnother(_ name: String) -> Bool {
        let name = name.utf8
        return name.count >= impersonation.count
            && zip(name, impersonation).allSatisfy { $0 == $1 || $1 >= UInt8(ascii: "a") && $0 | 0x20 == $1 }
    }

    /// Paths that name no resource.
    private func answerOther(_ request: HTTPRequest, _ target: RequestTarget, _ user: User) throws(APIStatus) -> HTTPResponse {
        let path = "/" + target.segments.joined(separator: "/")
        let verb = request.method == "HEAD" ? "get" : request.method.lowercased()
        try Authorizer(service: service).check(user, AccessRequest(verb: verb, path: path))
        guard verb == "get" else { throw ["api", "apis"].contains(target.segments.first) ? .noSuchPath : .methodNotAllowed }
        switch path {
        case "/livez", "/healthz": return health(target)
        case "/livez/ping", "/healthz/ping", "/readyz/ping": return Self.text("ok")
        case "/readyz", "/readyz/store":
            if let failure = service.store.failure { throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "\(failure)") }
            return health(target)
        case "/":
            return Self.json(["paths": .array(paths.map { .string($0) })])
        case "/version": return Self.json(version)
        case "/metrics":
            return HTTPResponse(
                status: 200, headers: ["Content-Type": "text/plain; version=0.0.4; charset=utf-8"], body: .bytes(Array(try metrics().utf8)))
        default: break
        }
        switch target.segments.first {
        case "api", "apis": return try answerDiscovery(request, target.segments)
        case "openapi" where target.segments.dropFirst().first == "v3":
            return try answerOpenAPI(request, Array(target.segments.dropFirst(2)))
        case "openapi" where target.segments.dropFirst() == ["v2"]: return try answerSwagger(request)
        default: throw .noSuchPath
        }
    }

    /// `ok`, or with `verbose` each check in a line of its own, as operators' scripts read it.
    private func health(_ target: RequestTarget) -> HTTPResponse {
        guard target.flag("verbose"), let name = target.segments.first else { return Self.text("ok") }
        let checks = name == "readyz" ? ["ping", "store"] : ["ping"]
        return Self.text(checks.map { "[+]\($0) ok\n" }.joined() + "\(name) check passed\n")
    }

    /// What `/` shows: where the API begins.
    private var paths: [String] {
        let versions = service.registry.groupVersions.filter { !$0.group.isEmpty }
        var groups = Set<String>()
        let groupPaths = versions.flatMap { group, version in
            (groups.insert(group).inserted ? ["/apis/\(group)"] : []) + ["/apis/\(group)/\(version)"]
        }
        return ["/api", "/api/v1", "/apis"] + groupPaths + [
            "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version",
        ]
    }

    private var version: JSON {
        [
            "major": .string(Self.kubernetesVersion.major), "minor": .string(Self.kubernetesVersion.minor),
            "gitVersion": .string("\(Self.kubernetesVersion.full)-skerry-\(programVersion)"), "gitCommit": "", "gitTreeState": "",
            "buildDate": "",
            "goVersion": "", "compiler": "swift", "platform": "linux",
        ]
    }

    /// The store's state, and what jobs have come to, in Prometheus' text format.
    private func metrics() throws(APIStatus) -> String {
        var text = "# HELP skerry_store_revision Newest revision of the object store.\n# TYPE skerry_store_revision counter\n"
        text += "skerry_store_revision \(service.store.revision)\n"
        text += "# HELP skerry_store_failed 1 if the store takes no more writes.\n# TYPE skerry_store_failed gauge\n"
        text += "skerry_store_failed \(service.store.failure == nil ? 0 : 1)\n"
        text += "# HELP skerry_watch_looks_total Times that watches have looked for changes.\n"
        text += "# TYPE skerry_watch_looks_total counter\nskerry_watch_looks_total \(service.watchLooks.load(ordering: .relaxed))\n"
        if let audit {
            text += "# HELP skerry_audit_failures_total Lines of the audit log that could not be written.\n"
            text += "# TYPE skerry_audit_failures_total counter\nskerry_audit_failures_total \(audit.failureCount)\n"
        }
        text += "# HELP skerry_objects Objects by resource.\n# TYPE skerry_objects gauge\n"
        for collection in service.store.collections {
            text += "skerry_objects{resource=\"\(collection)\"} \(service.store.count(collection))\n"
        }
        return try text + jobMetrics()
    }

    private func jobMetrics() throws(APIStatus) -> String {
        var jobs: [JSON] = [], count = 0
        for definition in BuiltInKinds.all where ["IncrementalLearningJob", "LifelongLearningJob"].contains(definition.kind) {
            count += service.store.count(definition.collection)
            jobs += try service.first(JobMetrics.jobsMax - jobs.count, of: definition)
        }
        return JobMetrics.text(jobs, of: count)
    }

    private func answerDiscovery(_ request: HTTPRequest, _ segments: [String]) throws(APIStatus) -> HTTPResponse {
        let discovery = Discovery(registry: service.registry)
        let isCore = segments[0] == "api"
        if segments.count == 1 {
            if case .discovery(let version) = try AnswerFormat(accept: request.headers["accept"]) {
                var response = Self.json(discovery.aggregated(core: isCore, version: version))
                response.headers["Content-Type"] = "application/json;g=apidiscovery.k8s.io;v=\(version);as=APIGroupDiscoveryList"
                response.headers["Vary"] = "Accept"
                return response
            }
            return Self.json(isCore ? discovery.coreVersions() : discovery.groupList())
        }
        let found =
            isCore || segments.count == 3
            ? discovery.resources(groupVersion: segments.dropFirst().joined(separator: "/")) : discovery.group(segments[1])
        guard segments.count <= (isCore ? 2 : 3), let found else { throw .noSuchPath }
        return Self.json(found)
    }

    private var documents: OpenAPI { OpenAPI(registry: service.registry, catalog: service.catalog, programVersion: programVersion) }

    private func answerOpenAPI(_ request: HTTPRequest, _ segments: [String]) throws(APIStatus) -> HTTPResponse {
        guard !segments.isEmpty else { return Self.json(documents.index()) }
        let groupVersion = segments.dropFirst().joined(separator: "/")
        let etag = "\"\(documents.hash(groupVersion))\""
        guard ["api", "apis"].contains(segments[0]), service.registry.definitions(groupVersion: groupVersion).first != nil else {
            throw .noSuchPath
        }
        if Self.holds(request, etag) { return Self.notModified(etag) }
        guard let document = documents.document(groupVersion) else { throw .noSuchPath }
        var response = Self.json(document)
        response.headers["ETag"] = etag
        response.headers["Cache-Control"] = "public"
        return response
    }

    /// The schemas of everything in the older form; made anew for each client that does not have it yet.
    private func answerSwagger(_ request: HTTPRequest) throws(APIStatus) -> HTTPResponse {
        let isProtobuf = SwaggerProtobuf.isAccepted(request.headers["accept"])
        if !isProtobuf { _ = try AnswerFormat(accept: request.headers["accept"]) }
        let etag = "\"\(documents.swaggerHash)\(isProtobuf ? "P" : "J")\""
        if Self.holds(request, etag) { return Self.notModified(etag) }
        var response = Self.bytes(isProtobuf ? SwaggerProtobuf.bytes(documents.swagger()) : documents.swagger().bytes())
        if isProtobuf { response.headers["Content-Type"] = SwaggerProtobuf.mediaType }
        response.headers["ETag"] = etag
        response.headers["Vary"] = "Accept"
        return response
    }

    /// Whether a client has a document of this mark already.
    private static func holds(_ request: HTTPRequest, _ etag: String) -> Bool {
        request.headers["if-none-match"]?.split(separator: ",").contains { $0.filter { $0 != " " } == etag } ?? false
    }

    private static func notModified(_ etag: String) -> HTTPResponse {
        HTTPResponse(status: 304, headers: ["ETag": etag], body: .bytes([]))
    }

    // MARK: Answers

    static func json(_ value: JSON, status: Int = 200, warnings: [String] = []) -> HTTPResponse {
        bytes(value.bytes(), status: status, warnings: warnings)
    }

    static func bytes(_ bytes: [UInt8], status: Int = 200, warnings: [String] = []) -> HTTPResponse {
        var response = HTTPResponse(
            status: status, headers: ["Content-Type": "application/json", "Cache-Control": "no-cache, private"], body: .bytes(bytes))
        for warning in warnings.prefix(32) {
            // A header holds one line; quotes and backslashes are escaped (RFC 7234, section 5.5).
            let text = warning.filter { $0 >= " " }.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
            response.headers.add("Warning", "299 - \"\(text.prefix(1024))\"")
        }
        return response
    }

    static func text(_ text: String) -> HTTPResponse {
        HTTPResponse(status: 200, headers: ["Content-Type": "text/plain; charset=utf-8"], body: .bytes(Array(text.utf8)))
    }

    static func answer(_ status: APIStatus) -> HTTPResponse {
        var response = json(status.json, status: status.code)
        if status.retryAfterSeconds > 0 { response.headers["Retry-After"] = String(status.retryAfterSeconds) }
        if status.code == 401 { response.headers["WWW-Authenticate"] = "Bearer" }
        return response
    }
}

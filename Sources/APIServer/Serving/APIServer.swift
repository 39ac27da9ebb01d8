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
        if let name = request.headers["impersonate-user"] {
            user = try impersonated(name, request, by: user)
            entry.impersonated = user
        }
        if let door { return try await door.answer(request, user, &entry.notes) }
        if let path = ResourcePath(target.segments),
            let definition = service.registry.definition(groupVersion: path.groupVersion, plural: path.plural)
        {
            let call = ResourceCall(server: self, request: request, target: target, path: path, definition: definition, user: user)
            entry.verb = (try? call.verb()) ?? ""
            return try await call.answer()
        }
        return try answerOther(request, target, user)
    }

    private func impersonated(_ name: String, _ request: HTTPRequest, by user: User) throws(APIStatus) -> User {
        let authorizer = Authorizer(service: service)
        let groups = request.headers[all: "impersonate-group"]
        try authorizer.check(user, AccessRequest(verb: "impersonate", group: "", resource: "users", name: name))
        for group in groups { try authorizer.check(user, AccessRequest(verb: "impersonate", group: "", resource: "groups", name: group)) }
        return User(name: name, groups: groups + ["system:authenticated"])
    }

    /// Paths that name no resource.
    private func answerOther(_ request: HTTPRequest, _ target: RequestTarget, _ user: User) throws(APIStatus) -> HTTPResponse {
        let path = "/" + target.segments.joined(separator: "/")
        let verb = request.method == "HEAD" ? "get" : request.method.lowercased()
        try Authorizer(service: service).check(user, AccessRequest(verb: verb, path: path))
        guard verb == "get" else { throw ["api", "apis"].contains(target.segments.first) ? .noSuchPath : .methodNotAllowed }
        switch path {
        case "/livez", "/healthz": return Self.text("ok")
        case "/readyz":
            if let failure = service.store.failure { throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "\(failure)") }
            return Self.text("ok")
        case "/version": return Self.json(version)
        case "/metrics":
            return HTTPResponse(
                status: 200, headers: ["Content-Type": "text/plain; version=0.0.4; charset=utf-8"], body: .bytes(Array(metrics.utf8)))
        default: break
        }
        switch target.segments.first {
        case "api", "apis": return try answerDiscovery(request, target.segments)
        case "openapi" where target.segments.dropFirst().first == "v3": return try answerOpenAPI(Array(target.segments.dropFirst(2)))
        default: throw .noSuchPath
        }
    }

    private var version: JSON {
        [
            "major": .string(Self.kubernetesVersion.major), "minor": .string(Self.kubernetesVersion.minor),
            "gitVersion": .string("\(Self.kubernetesVersion.full)-skerry-\(programVersion)"), "gitCommit": "", "gitTreeState": "",
            "buildDate": "",
            "goVersion": "", "compiler": "swift", "platform": "linux",
        ]
    }

    /// The store's state in Prometheus' text format.
    private var metrics: String {
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
        return text
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

    private func answerOpenAPI(_ segments: [String]) throws(APIStatus) -> HTTPResponse {
        let documents = OpenAPI(registry: service.registry, catalog: service.catalog, programVersion: programVersion)
        guard !segments.isEmpty else { return Self.json(documents.index()) }
        let groupVersion = segments.dropFirst().joined(separator: "/")
        guard ["api", "apis"].contains(segments[0]), let document = documents.document(groupVersion) else { throw .noSuchPath }
        var response = Self.json(document)
        response.headers["ETag"] = "\"\(documents.hash(groupVersion))\""
        response.headers["Cache-Control"] = "public"
        return response
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

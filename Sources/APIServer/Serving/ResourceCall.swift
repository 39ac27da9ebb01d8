import Identity
import Network
import Resources
import Storage

/// One request about one kind: who may, what is asked, what comes out.
struct ResourceCall {
    let server: APIServer
    let request: HTTPRequest
    let target: RequestTarget
    let path: ResourcePath
    let definition: KindDefinition
    let user: User

    var service: ObjectService { server.service }
    /// The namespace an object of the kind lies in; a path of a cluster's kind may not name one.
    var namespace: String { definition.isNamespaced ? path.namespace : "" }

    func answer() async throws(APIStatus) -> HTTPResponse {
        guard definition.isNamespaced || path.namespace.isEmpty else { throw .noSuchPath }
        let verb = try verb()
        let selector = try fieldSelector()
        let isReaching = Self.reaching.contains(path.subresource) && definition.kind == "Pod" && definition.group.isEmpty
        let access = AccessRequest(
            verb: isReaching ? "create" : verb, group: definition.group, resource: definition.plural, subresource: path.subresource,
            name: path.name,
            namespace: namespace)
        try Authorizer(service: service).check(user, access, fieldSelector: selector)
        if !path.subresource.isEmpty { return try await answerSubresource(verb) }
        guard definition.verbs.contains(verb) else { throw .methodNotAllowed }
        switch verb {
        case "get": return try get()
        case "list": return try list(selector)
        case "watch": return try watch(selector)
        case "create": return try await create()
        case "update": return try await update(.whole)
        case "patch": return try await patch(.whole)
        case "delete": return try await delete()
        default: return try await deleteCollection(selector)
        }
    }

    /// The path names a namespace where the kind has one, or gives no reason to.
    private var isInPlace: Bool { !definition.isNamespaced || !path.namespace.isEmpty || definition.verbs == ["create"] }

    /// Kubernetes' verb of the request.
    func verb() throws(APIStatus) -> String {
        let isCollection = path.name.isEmpty
        switch request.method {
        case "GET", "HEAD":
            if path.isWatch || (isCollection && target.flag("watch")) { return "watch" }
            return isCollection ? "list" : "get"
        // Over all namespaces objects are read, never made or deleted.
        case "POST" where isInPlace: return "create"
        case "PUT" where !isCollection: return "update"
        case "PATCH" where !isCollection: return "patch"
        case "DELETE" where isInPlace: return isCollection ? "deletecollection" : "delete"
        default: throw .methodNotAllowed
        }
    }

    private func fieldSelector() throws(APIStatus) -> FieldSelector {
        var selector: FieldSelector
        do throws(SelectorError) {
            selector = try FieldSelector(target["fieldSelector"] ?? "")
        } catch {
            throw .badRequest(
                "Unable to find \"\(definition.groupVersion), Resource=\(definition.plural)\" that match field selector: \(error)")
        }
        for requirement in selector.requirements where definition.selectedValue(requirement.field, of: .object([:])) == nil {
            throw .badRequest(
                "Unable to find \"\(definition.groupVersion), Resource=\(definition.plural)\" that match label selector \"\(target["labelSelector"] ?? "")\", field selector \"\(target["fieldSelector"] ?? "")\": field label not supported: \(requirement.field)"
            )
        }
        // The old form of a watch names one object in its path.
        if path.isWatch, !path.name.isEmpty { selector.requirements.append(.init(field: "metadata.name", value: path.name, isEqual: true)) }
        return selector
    }

    private func view(_ selector: FieldSelector = FieldSelector()) throws(APIStatus) -> ObjectView {
        var view = ObjectView(definition: definition, service: service)
        view.format = try AnswerFormat(accept: request.headers["accept"])
        view.fields = selector
        do throws(SelectorError) {
            view.labels = try LabelSelector(target["labelSelector"] ?? "")
        } catch {
            throw .badRequest("unable to parse requirement: \(error)")
        }
        view.includeObject = target["includeObject"] ?? "Metadata"
        guard ["None", "Metadata", "Object"].contains(view.includeObject) else {
            throw .badRequest("includeObject must be None, Metadata or Object, found \(view.includeObject)")
        }
        return view
    }

    // MARK: Reading

    private func get() throws(APIStatus) -> HTTPResponse {
        guard let value = service.store.get(definition.collection, definition.key(namespace: namespace, name: path.name)) else {
            throw .notFound(definition, name: path.name)
        }
        var bytes: [UInt8] = []
        try view().write(value, into: &bytes)
        return APIServer.bytes(bytes)
    }

    private func list(_ selector: FieldSelector) throws(APIStatus) -> HTTPResponse {
        let query = try ListQuery(target, namespace: namespace, newest: service.store.revision)
        return APIServer.bytes(try view(selector).list(query))
    }

    private func watch(_ selector: FieldSelector) throws(APIStatus) -> HTTPResponse {
        let view = try view(selector)
        let version = try ListQuery.revision(target["resourceVersion"])
        let newest = service.store.revision
        let wantsInitial = target["sendInitialEvents"].map { $0 == "true" || $0 == "1" }
        if wantsInitial != nil, target["resourceVersionMatch"] != "NotOlderThan" {
            throw .invalid(
                definition, name: "",
                [.forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")])
        }
        var query = WatchStream.Query(revision: version ?? 0, timeout: try timeout())
        query.namespace = namespace
        query.hasBookmarks = target.flag("allowWatchBookmarks")
        // Without a revision a watch begins with the state; with one, behind it.
        if wantsInitial ?? (version == nil || version == 0) {
            let page: (values: [RevisionedValue], revision: Int64, hasMore: Bool)
            do { page = try service.store.list(definition.collection, prefix: namespace.isEmpty ? "" : namespace + "/") } catch {
                throw .internalError("\(error)")
            }
            for value in page.values where try view.matches(value) { query.initial.append(value) }
            query.revision = page.revision
            query.marksInitialEnd = wantsInitial == true && query.hasBookmarks
        } else if version == nil || version == 0 {
            query.revision = newest
        } else if let version, version > newest {
            throw .tooLargeRevision(version, newest: newest)
        }
        return HTTPResponse(
            status: 200, headers: ["Content-Type": "application/json", "Cache-Control": "no-cache, private"],
            body: .stream(WatchStream(view, query)))
    }

    /// How long a watch lasts: what the client asks for, or half an hour and up to as much again, so that clients do not come back at once.
    private func timeout() throws(APIStatus) -> Duration {
        if let text = target["timeoutSeconds"], !text.isEmpty {
            guard let seconds = Int64(text), seconds >= 0 else { throw .badRequest("timeoutSeconds: invalid value \"\(text)\"") }
            if seconds > 0 { return .seconds(min(seconds, 24 * 3600)) }
        }
        if let text = target["timeout"], text.hasSuffix("s"), let seconds = Int64(text.dropLast()), seconds > 0 {
            return .seconds(min(seconds, 24 * 3600))
        }
        return .seconds(1800 + Int64(service.environment.random() % 1800))
    }

    // MARK: Writing

    /// The request's body as JSON; protobuf is read by a kind's schema.
    private func body(_ schema: Schema) throws(APIStatus) -> (value: JSON, duplicates: [String]) {
        let type = mediaType
        if type == "application/vnd.kubernetes.protobuf" {
            do throws(ProtobufReader.Unreadable) {
                return (try ProtobufReader(catalog: service.catalog).object(request.body, schema: schema), [])
            } catch {
                throw .badRequest("the protobuf body cannot be read: \(error.reason)")
            }
        }
        guard
            ["application/json", "", "text/plain", "application/yaml"].contains(type) || type.hasSuffix("+json") || type.hasSuffix("+yaml")
        else {
            throw .unsupportedMediaType(["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"])
        }
        // kubectl writes JSON where it says YAML.
        if type.hasSuffix("yaml"), request.body.first(where: { $0 > 0x20 }) != UInt8(ascii: "{") {
            do throws(YAMLParseError) { return (try YAMLParser.parse(request.body), []) } catch {
                throw .badRequest("the body is no YAML: \(error)")
            }
        }
        do throws(JSONParseError) {
            let (value, duplicates) = try JSONParser.parseReportingDuplicates(request.body, limits: .init(depthMax: 200, bytesMax: 3 << 20))
            return (value, duplicates)
        } catch {
            throw .badRequest("the body is no JSON: \(error)")
        }
    }

    private var mediaType: String {
        let type = request.headers["content-type"] ?? ""
        // By far the most.
        if Self.frequentMediaTypes.contains(type) { return type }
        return type.prefix { $0 != ";" }.lowercased().filter { $0 != " " }
    }

    private static let frequentMediaTypes = [
        "application/json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
    ]

    private func options(duplicates: [String] = []) throws(APIStatus) -> WriteOptions {
        var options = WriteOptions(user: user)
        options.isDryRun = try isDryRun()
        options.fieldManager = target["fieldManager"] ?? ""
        if options.fieldManager.utf8.count > 128 { throw .badRequest("fieldManager: Too long: may not be more than 128 bytes") }
        if options.fieldManager.isEmpty, mediaType != "application/apply-patch+yaml" {
            options.fieldManager = String((request.headers["user-agent"] ?? "unknown").prefix { $0 != "/" }.prefix(128))
        }
        if let text = target["fieldValidation"], !text.isEmpty {
            guard let validation = WriteOptions.FieldValidation(rawValue: text) else {
                throw .badRequest(
                    "fieldValidation: Unsupported value: \"\(text)\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"")
            }
            options.fieldValidation = validation
        }
        options.isForced = target.flag("force")
        options.duplicates = duplicates
        return options
    }

    private func refuseForeign(_ object: JSON) throws(APIStatus) {
        guard let node = user.nodeName, !user.isMaster else { return }
        if let reason = NodeAccess(node: node, service: service).refusal(definition, object) {
            throw .forbidden(definition, name: object["metadata"]?["name"]?.string ?? "", reason)
        }
        try refuseEscalation(object)
    }

    /// Nobody grants what they may not do themselves.
    private func refuseEscalation(_ object: JSON) throws(APIStatus) {
        guard definition.group == "rbac.authorization.k8s.io", !user.isMaster else { return }
        let book = try service.accessBook()
        var rules: [AccessRule]
        if definition.kind.hasSuffix("Binding") {
            let isLocal = object["roleRef"]?["kind"] == "Role"
            rules = book.roles[.init(namespace: isLocal ? namespace : "", name: object["roleRef"]?["name"]?.string ?? "")] ?? []
        } else {
            rules = AccessBook.rules(object["rules"])
            // What an aggregation will gather is not known: only who may do everything makes one.
            if !(object["aggregationRule"] ?? .null).isNull {
                rules.append(AccessRule(verbs: ["*"], groups: ["*"], resources: ["*"]))
            }
        }
        guard book.covers(rules, user, in: namespace) else {
            throw .forbidden(
                definition, name: object["metadata"]?["name"]?.string ?? "",
                "user \"\(user.name)\" (groups=\(JSON.array(user.groups.map { .string($0) }).text)) is attempting to grant RBAC permissions not currently held"
            )
        }
    }

    private func isDryRun() throws(APIStatus) -> Bool {
        let values = target.all("dryRun").filter { !$0.isEmpty }
        if let other = values.first(where: { $0 != "All" }) {
            throw .badRequest("dryRun: Unsupported value: \"\(other)\": supported values: \"All\"")
        }
        return !values.isEmpty
    }

    /// - Parameter isStored: the object stands in the store as it is here, unless it has changed since.
    private func answer(_ result: WriteResult, isStored: Bool) throws(APIStatus) -> HTTPResponse {
        let format = try AnswerFormat(accept: request.headers["accept"])
        let object: JSON
        switch format {
        case .table:
            object = try view().table([result.object], resourceVersion: result.object["metadata"]?["resourceVersion"], hasColumns: true)
        case .partial: object = ObjectView.partial(result.object)
        default:
            if isStored, let bytes = storedText(of: result.object) {
                return APIServer.bytes(bytes, status: result.isNew ? 201 : 200, warnings: result.warnings)
            }
            object = result.object
        }
        return APIServer.json(object, status: result.isNew ? 201 : 200, warnings: result.warnings)
    }

    /// The text of an object as it was just stored, so that it is not written twice; nil if it is stored otherwise than it is shown, or has
    /// changed since.
    private func storedText(of object: JSON) -> [UInt8]? {
        let key = ObjectKey(object)
        guard let version = object["metadata"]?["resourceVersion"]?.string, let revision = Int64(version),
            let value = service.store.get(definition.collection, definition.key(namespace: key.namespace, name: key.name)),
            value.revision == revision, ObjectBytes.isStored(value, in: definition)
        else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(value.bytes.count + 48)
        ObjectBytes.text(value, into: &bytes)
        return bytes
    }

    private func create() async throws(APIStatus) -> HTTPResponse {
        guard path.name.isEmpty else { throw .methodNotAllowed }
        let (body, duplicates) = try body(definition.schema)
        let options = try options(duplicates: duplicates)
        if definition.verbs == ["create"] {
            let read = try service.admission(definition).read(body, options)
            let answer = try Reviews(service: service, authenticator: server.authenticator).answer(
                definition, namespace: namespace, read.object, user)
            return APIServer.json(answer, status: 201)
        }
        try refuseForeign(body)
        if let node = user.nodeName, !user.isMaster, let reason = NodeAccess(node: node, service: service).refusalOfNew(definition, body) {
            throw .forbidden(definition, name: body["metadata"]?["name"]?.string ?? "", reason)
        }
        try refuseEscalation(body)
        return try answer(
            try await service.create(definition, namespace: namespace, body, options), isStored: !options.isDryRun)
    }

    private func update(_ part: ObjectService.Part) async throws(APIStatus) -> HTTPResponse {
        let (body, duplicates) = try body(definition.schema)
        try refuseForeign(body)
        try refuseEscalation(body)
        let options = try options(duplicates: duplicates)
        return try answer(
            try await service.update(definition, namespace: namespace, name: path.name, part: part, body, options),
            isStored: !options.isDryRun)
    }

    private func patch(_ part: ObjectService.Part) async throws(APIStatus) -> HTTPResponse {
        let (body, duplicates) = try body(definition.schema)
        let patch: ObjectPatch
        switch mediaType {
        case "application/json-patch+json": patch = .json(body)
        case "application/merge-patch+json": patch = .merge(body)
        case "application/strategic-merge-patch+json": patch = .strategic(body)
        case "application/apply-patch+yaml": patch = .apply(body)
        default:
            throw .unsupportedMediaType(OpenAPI.patches(definition))
        }
        if case .apply = patch, service.store.get(definition.collection, definition.key(namespace: namespace, name: path.name)) == nil {
            try Authorizer(service: service).check(
                user, AccessRequest(verb: "create", group: definition.group, resource: definition.plural, name: "", namespace: namespace))
        }
        var options = try options(duplicates: duplicates)
        if definition.group == "rbac.authorization.k8s.io", !user.isMaster {
            options.permits = { (object: JSON) throws(APIStatus) in try refuseEscalation(object) }
        }
        return try answer(
            try await service.patch(definition, namespace: namespace, name: path.name, part: part, patch, options),
            isStored: !options.isDryRun)
    }

    private static let deleteOptionsSchema = Schema(.object, reference: BuiltInKinds.metaPrefix + "DeleteOptions")

    private func deleteOptions() throws(APIStatus) -> DeleteOptions {
        var options = try DeleteOptions(request.body.isEmpty ? nil : try body(Self.deleteOptionsSchema).value)
        if let text = target["propagationPolicy"] { options = try merged(options, ["propagationPolicy": .string(text)]) }
        if let text = target["gracePeriodSeconds"], !text.isEmpty {
            guard let seconds = Int64(text) else { throw .badRequest("gracePeriodSeconds: invalid value \"\(text)\": must be a number") }
            options.gracePeriodSeconds = max(0, seconds)
        }
        if try isDryRun() { options.isDryRun = true }
        return options
    }

    private func merged(_ options: DeleteOptions, _ body: JSON) throws(APIStatus) -> DeleteOptions {
        var options = options
        options.propagation = try DeleteOptions(body).propagation
        return options
    }

    private func delete() async throws(APIStatus) -> HTTPResponse {
        switch try await service.delete(definition, namespace: namespace, name: path.name, try deleteOptions()) {
        case .gone(let status): return APIServer.json(status.json)
        case .pending(let object): return try answer(WriteResult(object: object), isStored: false)
        }
    }

    private func deleteCollection(_ selector: FieldSelector) async throws(APIStatus) -> HTTPResponse {
        let options = try deleteOptions()
        let view = try view(selector)
        var items: [JSON] = []
        for object in try service.all(definition, namespace: namespace) where view.matches(object) {
            do {
                _ = try await service.delete(
                    definition, namespace: object["metadata"]?["namespace"]?.string ?? "", name: object["metadata"]?["name"]?.string ?? "",
                    options)
                items.append(object)
            } catch  where error.reason == "NotFound" {
                continue
            }
        }
        return APIServer.json([
            "kind": .string(definition.listKind), "apiVersion": .string(definition.groupVersion),
            "metadata": ["resourceVersion": .string(String(service.store.revision))], "items": .array(items),
        ])
    }

    // MARK: Subresources

    private func answerSubresource(_ verb: String) async throws(APIStatus) -> HTTPResponse {
        guard !path.name.isEmpty else { throw .noSuchPath }
        switch path.subresource {
        case "status" where definition.hasStatus: return try await answerPart(verb, .status)
        case "finalize" where definition.kind == "Namespace" && verb == "update": return try await update(.finalize)
        case "scale" where definition.scale != nil: return try await scale(verb)
        case "token" where definition.kind == "ServiceAccount" && verb == "create":
            let schema = Schema(.object, reference: "io.k8s.api.authentication.v1.TokenRequest")
            let wanted = try body(schema).value
            if let node = user.nodeName, !user.isMaster,
                let reason = try NodeAccess(node: node, service: service).refusal(ofToken: wanted, namespace: namespace)
            {
                throw .forbidden(definition, name: path.name, reason)
            }
            return APIServer.json(
                try server.authenticator.issueToken(namespace: namespace, name: path.name, wanted), status: 201)
        case "binding" where definition.kind == "Pod" && verb == "create": return try await bind()
        case "eviction" where definition.kind == "Pod" && verb == "create":
            let schema = Schema(.object, reference: "io.k8s.api.policy.v1.Eviction")
            let options = try DeleteOptions(try body(schema).value["deleteOptions"])
            _ = try await service.delete(definition, namespace: namespace, name: path.name, options)
            return APIServer.json(["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": 201], status: 201)
        case "log", "exec", "attach", "portforward":
            guard definition.kind == "Pod", definition.group.isEmpty else { throw .noSuchPath }
            return try await answerPodStream()
        default: throw .noSuchPath
        }
    }

    private func answerPart(_ verb: String, _ part: ObjectService.Part) async throws(APIStatus) -> HTTPResponse {
        switch verb {
        case "get": return try get()
        case "update": return try await update(part)
        case "patch": return try await patch(part)
        default: throw .methodNotAllowed
        }
    }

    /// Puts a Pod on a node.
    private func bind() async throws(APIStatus) -> HTTPResponse {
        let binding = try body(Schema(.object, reference: "io.k8s.api.core.v1.Binding")).value
        guard let node = binding["target"]?["name"]?.string, !node.isEmpty else {
            throw .invalid(definition, name: path.name, [.required("target.name")])
        }
        var named = binding
        named[path: ["target", "name"]] = .string(node)
        _ = try await service.bind(definition, named, ObjectKey(namespace: namespace, name: path.name), try options())
        return APIServer.json(["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": 201], status: 201)
    }

    private func scale(_ verb: String) async throws(APIStatus) -> HTTPResponse {
        guard let paths = definition.scale else { throw .noSuchPath }
        let current = try service.get(definition, namespace: namespace, name: path.name)
        if verb == "get" { return APIServer.json(Self.scale(of: current, paths)) }
        let schema = Schema(.object, reference: "io.k8s.api.autoscaling.v1.Scale")
        let body = try body(schema).value
        let options = try options()
        let mediaType = mediaType
        guard verb == "update" || verb == "patch" else { throw .methodNotAllowed }
        let changed = try await service.change(definition, namespace: namespace, name: path.name, part: .whole, options) {
            (object: JSON) throws(APIStatus) in
            let old = Self.scale(of: object, paths)
            let new: JSON
            do throws(PatchError) {
                switch (verb, mediaType) {
                case ("update", _): new = body
                case (_, "application/json-patch+json"): new = try JSONPatch.apply(body, to: old)
                default: new = MergePatch.apply(body, to: old)
                }
            } catch {
                throw .badRequest("error decoding patch: \(error)")
            }
            guard let replicas = new["spec"]?["replicas"]?.integer ?? (new["spec"]?["replicas"] == nil ? 0 : nil), replicas >= 0 else {
                throw APIStatus(
                    code: 422, reason: "Invalid",
                    message:
                        "Scale.autoscaling is invalid: spec.replicas: Invalid value: \(new["spec"]?["replicas"]?.text ?? "null"): must be greater than or equal to 0"
                )
            }
            var object = object
            object[path: paths.specReplicas] = .integer(replicas)
            if let version = new["metadata"]?["resourceVersion"], verb == "update" || body["metadata"]?["resourceVersion"] != nil {
                object[path: ["metadata", "resourceVersion"]] = version
            } else {
                object[path: ["metadata", "resourceVersion"]] = nil
            }
            return object
        }
        return APIServer.json(Self.scale(of: changed, paths))
    }

    private static func scale(of object: JSON, _ paths: KindDefinition.ScalePaths) -> JSON {
        var metadata: JSON = [:]
        for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] { metadata[key] = object["metadata"]?[key] }
        var status: JSON = ["replicas": object[path: paths.statusReplicas] ?? 0]
        if let selector = paths.selector.flatMap({ object[path: $0] }) {
            status["selector"] = selector.string.map { .string($0) } ?? .string(Self.selectorText(selector))
        }
        return [
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": ["replicas": object[path: paths.specReplicas] ?? 0],
            "status": status,
        ]
    }

    private static func selectorText(_ selector: JSON) -> String {
        (selector["matchLabels"]?.object ?? [:]).map { "\($0)=\($1.string ?? "")" }.sorted().joined(separator: ",")
    }
}

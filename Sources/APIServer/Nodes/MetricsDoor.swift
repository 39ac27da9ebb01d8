package import Identity
package import Network
package import Resources

/// `metrics.k8s.io/v1beta1`, what `kubectl top` asks: what nodes and Pods use now. Each request has the nodes measure it; nothing is stored, and a
/// node that is away is left out.
package struct MetricsDoor: ServerDoor {
    private static let root = "/apis/metrics.k8s.io/v1beta1"
    private static let apiVersion = "metrics.k8s.io/v1beta1"

    /// `…/nodes`, `…/pods` or `…/namespaces`.
    package let path: String
    /// Who asks must be allowed to list or get `nodes` or `pods` of the group.
    package let isOpen = false
    private let service: ObjectService
    private let client: ServiceClient
    private let questions: NodeQuestions

    /// The doors of all paths: whatever else is of the group is discovery's.
    package static func all(service: ObjectService, questions: NodeQuestions) -> [MetricsDoor] {
        ["nodes", "pods", "namespaces"].map { MetricsDoor(path: "\(root)/\($0)", service: service, questions: questions) }
    }

    private init(path: String, service: ObjectService, questions: NodeQuestions) {
        (self.path, self.service, self.questions) = (path, service, questions)
        client = ServiceClient(service, user: User(name: "system:skerry:metrics", groups: ["system:masters"]))
    }

    /// See `ServerDoor`.
    package func answer(_ request: HTTPRequest, _ user: User, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse {
        let target = try RequestTarget(path: request.path, query: request.query)
        guard request.method == "GET" else { throw .methodNotAllowed }
        var words = target.segments.dropFirst(3)
        var namespace = ""
        if words.first == "namespaces" {
            guard words.count >= 3 else { throw .noSuchPath }
            namespace = words[words.startIndex + 1]
            words = words.dropFirst(2)
            guard words.first == "pods" else { throw .noSuchPath }
        }
        guard let plural = words.first, words.count <= 2 else { throw .noSuchPath }
        let name = words.count == 2 ? words.last! : ""
        guard name.isEmpty || plural == "nodes" || !namespace.isEmpty else { throw .noSuchPath }
        try Authorizer(service: service).check(
            user,
            AccessRequest(
                verb: name.isEmpty ? "list" : "get", group: "metrics.k8s.io", resource: plural, name: name, namespace: namespace))
        let kind = plural == "nodes" ? "NodeMetrics" : "PodMetrics"
        let selector = target["labelSelector"] ?? ""
        let items = plural == "nodes" ? try await nodes(name, selector) : try await pods(namespace, name, selector)
        if !name.isEmpty {
            guard var item = items.first else {
                throw APIStatus(
                    code: 404, reason: "NotFound",
                    message: "\(plural).metrics.k8s.io \"\(name)\" not found: there is none, or its node cannot be reached now")
            }
            (item["apiVersion"], item["kind"]) = (.string(Self.apiVersion), .string(kind))
            return Self.response(item)
        }
        return Self.response([
            "kind": .string("\(kind)List"), "apiVersion": .string(Self.apiVersion), "metadata": [:], "items": .array(items),
        ])
    }

    private static func response(_ json: JSON) -> HTTPResponse {
        HTTPResponse(status: 200, headers: ["Content-Type": "application/json"], body: .bytes(json.bytes()))
    }

    private func objects(_ kind: ResourceKind, _ namespace: String, _ name: String, _ selector: String) async throws(APIStatus) -> [JSON] {
        let found = try await client.listAll(kind, Resources.ListQuery(namespace: namespace, labelSelector: selector)).items
        return name.isEmpty ? found : found.filter { ObjectKey($0).name == name }
    }

    private func usage(of nodes: some Sequence<String>) async -> [String: JSON] {
        await questions.ask(NodeQuestion(method: "GET", path: NodeQuestion.usagePath), of: Set(nodes).sorted())
    }

    private func nodes(_ name: String, _ selector: String) async throws(APIStatus) -> [JSON] {
        let objects = try await objects(.node, "", name, selector)
        let found = await usage(of: objects.map { ObjectKey($0).name })
        return objects.compactMap { object in
            guard let told = found[ObjectKey(object).name], let usage = told["node"] else { return nil }
            return Self.item(about: object, told, ["usage": usage])
        }
    }

    private func pods(_ namespace: String, _ name: String, _ selector: String) async throws(APIStatus) -> [JSON] {
        let objects = try await objects(.pod, namespace, name, selector)
        let found = await usage(of: objects.compactMap { $0["spec"]?["nodeName"]?.string })
        return objects.compactMap { object in
            guard let node = object["spec"]?["nodeName"]?.string, let told = found[node] else { return nil }
            let key = ObjectKey(object)
            let entry = (told["pods"]?.array ?? []).first { $0["namespace"]?.string == key.namespace && $0["name"]?.string == key.name }
            let containers = (entry?["containers"]?.array ?? []).map { container -> JSON in
                ["name": container["name"] ?? "", "usage": ["cpu": container["cpu"] ?? "0", "memory": container["memory"] ?? "0"]]
            }
            return containers.isEmpty ? nil : Self.item(about: object, told, ["containers": .array(containers)])
        }
    }

    private static func item(about object: JSON, _ told: JSON, _ figures: JSON) -> JSON {
        let key = ObjectKey(object)
        var metadata: JSON = ["name": .string(key.name), "creationTimestamp": told["timestamp"] ?? .null]
        if !key.namespace.isEmpty { metadata["namespace"] = .string(key.namespace) }
        metadata["labels"] = object["metadata"]?["labels"]
        var item: JSON = ["metadata": metadata, "timestamp": told["timestamp"] ?? .null, "window": told["window"] ?? "1s"]
        for (field, value) in figures.object ?? [:] { item[field] = value }
        return item
    }
}

package import Identity
package import Network
package import Resources

/// `/datasets/v1/NAMESPACE/NAME/labels`: the rows of a data set that wait for a label (GET), and labels for them (POST), brought to and from the node
/// that has the rows. Who may get the Dataset may see them; who may update it may label. Nodes may neither.
package struct LabelDoor: ServerDoor {
    /// `/datasets/v1`.
    package let path = "/datasets/v1"
    /// Who asks must have a name.
    package let isOpen = false
    private let service: ObjectService
    private let client: ServiceClient
    private let questions: NodeQuestions

    /// - Parameters:
    ///   - service: says who may do what, and on which node a data set lies.
    ///   - questions: reaches every node.
    package init(service: ObjectService, questions: NodeQuestions) {
        (self.service, self.questions) = (service, questions)
        client = ServiceClient(service, user: User(name: "system:skerry:labels", groups: ["system:masters"]))
    }

    /// Answers with the agent's own answer.
    ///
    /// - Throws: 403 and 404; 503 while the node is away, 504.
    package func answer(_ request: HTTPRequest, _ user: User, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse {
        let words = try RequestTarget(path: request.path, query: request.query).segments
        guard words.count == 5, words[4] == "labels" else {
            throw APIStatus(code: 404, reason: "NotFound", message: "\(request.path.prefix(128)): expected \(path)/NAMESPACE/NAME/labels")
        }
        guard request.method == "GET" || request.method == "POST" else { throw .methodNotAllowed }
        let key = ObjectKey(namespace: words[2], name: words[3])
        try Authorizer(service: service).check(
            user,
            AccessRequest(
                verb: request.method == "GET" ? "get" : "update", group: "sedna.io", resource: "datasets", name: key.name,
                namespace: key.namespace))
        guard user.nodeName == nil else {
            throw APIStatus(code: 403, reason: "Forbidden", message: "\(user.name) is a node; rows of other nodes are none of its business")
        }
        notes["datasets.skerry.io/labels"] = "\(key)"
        let kind = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Dataset", plural: "datasets")
        let dataset = try await client.get(kind, key)
        guard let node = dataset["spec"]?["nodeName"]?.string, !node.isEmpty else {
            throw APIStatus(code: 422, reason: "Invalid", message: "dataset \(key) names no node that has its rows; set spec.nodeName")
        }
        let question = NodeQuestion(
            method: request.method, path: "/datasets/\(key.namespace)/\(key.name)/labels", type: request.headers["content-type"] ?? "")
        let answer = try await questions.ask(question, body: request.body, of: node)
        return HTTPResponse(status: answer.status, headers: ["Content-Type": "application/json"], body: .bytes(answer.body.bytes()))
    }
}

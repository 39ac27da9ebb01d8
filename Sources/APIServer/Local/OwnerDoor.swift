import Identity
import Network
import Resources

/// `/edge/v1`: what the owner of a node does on the node itself. Behind the agent's socket only, which no other user can open.
///
///     GET /edge/v1/status     POST /edge/v1/restart {"namespace","pod","container"}
///     POST /edge/v1/deploy {"objects":[…]}     POST /edge/v1/remove {"pod"}
struct OwnerDoor: ServerDoor {
    static let root = "/edge/v1"
    let path = OwnerDoor.root
    let isOpen = false
    let verbs: any NodeVerbs
    let pods: LocalPods

    func answer(_ request: HTTPRequest, _ user: User, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse {
        let verb = request.path.dropFirst(path.utf8.count + 1)
        if verb == "status", request.method == "GET" { return APIServer.json(await verbs.status()) }
        guard ["restart", "deploy", "remove"].contains(verb) else { throw .noSuchPath }
        guard request.method == "POST" else { throw .methodNotAllowed }
        let body: JSON
        do { body = try JSONParser.parse(request.body, limits: .init(depthMax: 64, bytesMax: 2 << 20)) } catch {
            throw .badRequest("the request's body is no JSON: \(error)")
        }
        switch verb {
        case "restart":
            let pod = ObjectKey(namespace: body["namespace"]?.string ?? "", name: body["pod"]?.string ?? "")
            let names = try await verbs.restart(pod, container: body["container"]?.string ?? "")
            return APIServer.json(["containers": .array(names.map { .string($0) })])
        case "deploy":
            let told = try await pods.deploy(body["objects"]?.array ?? [])
            return APIServer.json(["objects": .array(told.map { .string($0) })])
        default:
            try await pods.remove(body["pod"]?.string ?? "")
            return APIServer.json([:])
        }
    }
}

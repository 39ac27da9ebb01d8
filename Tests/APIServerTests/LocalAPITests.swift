import APIServer
import Identity
import Network
import Resources
import TestKit
import Testing

/// What a node shows of itself on its loopback.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct LocalAPITests {
    private static let pod: JSON = [
        "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "web", "namespace": "default", "labels": ["app": "web"]],
        "spec": ["containers": [["name": "c", "image": "x"]]],
    ]
    private static let pods = "/api/v1/namespaces/default/pods"

    /// A node's copy (a server in memory stands for it) and what is shown of it.
    private func withLocalAPI(_ body: (LocalAPI, ServiceClient) async throws -> Void) async throws {
        let copy = try await TestAPI()
        let client = ServiceClient(copy.service, user: User(name: "hub", groups: ["system:masters"]))
        let local = try await LocalAPI(
            client: client, kinds: [.pod, .node, ResourceKind(group: "", version: "v1", kind: "Secret", plural: "secrets")],
            environment: copy.service.environment, programVersion: "test")
        let task = Task { await local.run() }
        try await body(local, client)
        task.cancel()
        await task.value
    }

    private func ask(
        _ api: LocalAPI, _ method: String, _ path: String, accept: String = "application/json"
    ) async -> (status: Int, json: JSON) {
        var headers = HTTPHeaders()
        headers.add("Accept", accept)
        let answer = await api.respond(
            to: HTTPRequest(method: method, path: path, query: "", headers: headers, body: [], certificate: nil))
        guard case .bytes(let bytes) = answer.body else { return (answer.status, .null) }
        return (answer.status, (try? JSONParser.parse(bytes)) ?? .null)
    }

    /// Asks until the Pods shown are those named.
    private func wait(_ api: LocalAPI, pods names: [String]) async throws {
        while await ask(api, "GET", Self.pods).json["items"]?.array?.compactMap({ $0["metadata"]?["name"]?.string }) != names {
            try Task.checkCancellation()
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test func `objects of the copy are shown to nobody in particular, and follow its changes`() async throws {
        try await withLocalAPI { local, client in
            try await client.create(.pod, Self.pod)
            try await wait(local, pods: ["web"])
            let table = await ask(local, "GET", Self.pods, accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
            #expect(table.json["kind"] == "Table")
            #expect(table.json["rows"]?.array?.count == 1)
            let relabelled: JSON = ["metadata": ["labels": ["app": "other"]]]
            _ = try await client.patch(.pod, ObjectKey(Self.pod), ObjectPatch(.merge, relabelled), part: .whole)
            while await ask(local, "GET", "\(Self.pods)/web").json["metadata"]?["labels"]?["app"] != "other" {
                try Task.checkCancellation()
                try await Task.sleep(for: .milliseconds(5))
            }
            try await client.delete(.pod, ObjectKey(Self.pod), Deletion(gracePeriodSeconds: 0))
            try await wait(local, pods: [])
        }
    }

    @Test func `what kubectl asks first is answered`() async throws {
        try await withLocalAPI { local, _ in
            for path in ["/api", "/apis", "/api/v1", "/apis/apps/v1", "/version", "/openapi/v3"] {
                #expect(await ask(local, "GET", path).status == 200, "\(path)")
            }
        }
    }

    @Test func `secrets are not shown, and nothing is changed here`() async throws {
        try await withLocalAPI { local, client in
            let secret: JSON = [
                "apiVersion": "v1", "kind": "Secret", "metadata": ["name": "s", "namespace": "default"], "stringData": ["key": "hidden"],
            ]
            try await client.create(ResourceKind(group: "", version: "v1", kind: "Secret", plural: "secrets"), secret)
            #expect(await ask(local, "GET", "/api/v1/namespaces/default/secrets").status == 403)
            #expect(await ask(local, "GET", "/api/v1/namespaces/default/secrets/s").status == 403)
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let answer = await ask(local, method, "\(Self.pods)/web")
                #expect(answer.status == 405)
                #expect(answer.json["message"]?.string?.contains("send changes to the cloud") == true)
            }
        }
    }
}

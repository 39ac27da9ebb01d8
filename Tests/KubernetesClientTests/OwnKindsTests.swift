import Controllers
import KubernetesClient
import Resources
import TestKit
import Testing

@Suite(.offThePool) struct OwnKindsTests {
    /// Our kinds under another group, for the server under test has them built in.
    private static let kinds = OwnKinds.all.map { kind in
        var kind = kind
        kind.group = "learning.example"
        return kind
    }

    @Test func `a server that lacks our kinds learns them once, and checks what it is given`() async throws {
        try await ForeignServer.with { _, client in
            let made = try await OwnKinds.make(Self.kinds, by: client)
            #expect(made == Self.kinds.map(\.resourceName) && made.contains("lifelonglearningjobs.learning.example"))
            #expect(try await OwnKinds.make(Self.kinds, by: client) == [])
            let dataset = ResourceKind(group: "learning.example", version: "v1alpha1", kind: "Dataset", plural: "datasets")
            var object: JSON = [
                "apiVersion": "learning.example/v1alpha1", "kind": "Dataset", "metadata": ["name": "d", "namespace": "default"],
                "spec": ["url": "/a.csv", "format": "csv", "nodeName": "edge-1"],
            ]
            let taken = try await client.create(dataset, object)
            #expect(taken["spec"] == object["spec"])
            object[path: ["metadata", "name"]] = "e"
            object[path: ["spec", "url"]] = nil
            let lacking = object
            let refused = try await refusal { () async throws(APIStatus) in try await client.create(dataset, lacking) }
            #expect(refused.code == 422 && refused.message.contains("spec.url"))
        }
    }
}

import KubernetesClient
import Resources
import Storage
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `skerry cloud` and `skerry edge` as processes, killed at any moment: what the API says arrives on the edge's disk, and the node's Lease is
/// renewed. `SKERRY_CUTS=200` kills oftener.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct HubTests {
    private static let cuts = getenv("SKERRY_CUTS").flatMap { Int(String(cString: $0)) } ?? 6
    private static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    private static let key = ObjectKey(namespace: "default", name: "settings")

    private struct Failed: Error { let text: String }

    private static func until(_ text: @autoclosure () -> String, _ isSo: () async throws -> Bool) async throws {
        for _ in 0..<6000 {
            if try await isSo() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw Failed(text: "within a minute it did not come to this: " + text())
    }

    private static func skerry(_ arguments: [String], _ folder: String) -> ServingProgram {
        ServingProgram(
            "\(ServingProgram.builtFolder)/skerry", arguments, environment: ["KUBECONFIG": "\(folder)/admin.kubeconfig"], folder: folder)
    }

    private static func cloud(_ folder: String, port: Int? = nil) async throws -> ServingProgram {
        try await Cloud.start(in: folder, port: port).program
    }

    private static func edge(_ folder: String, _ options: [String] = []) async throws -> ServingProgram {
        let program = skerry(["edge", "--data-dir", folder + "/edge", "--listen", "127.0.0.1:0"] + options, folder)
        try await until("the edge is in: \(program.error)") { program.error.contains("node e1 of") }
        return program
    }

    private static func client(_ folder: String) throws -> RESTClient {
        @Sendable func read(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }
        return try RESTClient(
            try Kubeconfig(path: "\(folder)/admin.kubeconfig", read: read).access(context: nil), userAgent: "test", read: read)
    }

    /// What the edge has on its disk, as it stands there.
    private static func held(_ folder: String, _ plural: String) -> [JSON] {
        var options = SQLiteOptions(.readOnly)
        options.busyTimeout = .seconds(5)
        guard let database = try? SQLiteDatabase(.file("\(folder)/edge/edge.db"), options) else { return [] }
        return
            (try? database.map("SELECT body FROM objects WHERE plural = ?", [.text(plural)]) { try JSONParser.parse($0.blob(0)) }) ?? []
    }

    @Test func `whatever is killed, the edge holds in the end what the API says, and its Lease is renewed`() async throws {
        let folder = try Cloud.newFolder()
        var cloud = try await Self.cloud(folder)
        let first = try Self.client(folder)
        // The next life of the cloud has the same address.
        let port = try #require(cloud.error.split(separator: "127.0.0.1:").dropFirst().first?.prefix { $0.isNumber }).description
        let tokens = await Self.skerry(["token", "create", "--node", "e1"], folder).wait()
        #expect(tokens.status == 0, "\(tokens.error)")
        var edge = try await Self.edge(folder, ["--join", String(tokens.output.prefix { $0 != "\n" })])
        try await first.create(Self.configMap, ["metadata": ["namespace": "default", "name": "settings"], "data": ["round": "0"]])
        try await first.create(
            .pod,
            [
                "metadata": ["namespace": "default", "name": "web"],
                "spec": [
                    "nodeName": "e1", "containers": [["name": "c", "image": "x"]],
                    "volumes": [["name": "a", "configMap": ["name": "settings"]]],
                ],
            ])
        await first.close()
        for round in 1...Self.cuts {
            switch round % 3 {
            case 0:
                cloud.signal(SIGKILL)
                _ = await cloud.wait()
                cloud = try await Self.cloud(folder, port: try #require(Int(port)))
            case 1:
                edge.signal(SIGKILL)
                _ = await edge.wait()
                edge = try await Self.edge(folder)
            default: break
            }
            let client = try Self.client(folder)
            _ = try await client.patch(
                Self.configMap, Self.key, ObjectPatch(.merge, ["data": ["round": .string("\(round)")]]), part: .whole)
            try await Self.until("round \(round) at the edge, which has \(Self.held(folder, "configmaps")): \(edge.error)") {
                Self.held(folder, "configmaps").first?["data"]?["round"]?.string == "\(round)" && Self.held(folder, "pods").count == 1
            }
            let key = ObjectKey(namespace: "kube-node-lease", name: "e1")
            try await Self.until("a Lease of e1") { (try? await client.get(.lease, key))?["spec"]?["holderIdentity"] == "e1" }
            await client.close()
        }
        edge.signal(SIGTERM)
        #expect(await edge.wait().status == 0)
        cloud.signal(SIGTERM)
        #expect(await cloud.wait().status == 0)
        try FileManager.default.removeItem(atPath: folder)
    }
}

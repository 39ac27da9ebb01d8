import Network
import Resources
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A small model at one edge that asks the large one at another, through the cloud that neither of them need run models.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct JointPeerTests {
    private static let repository = FileManager.default.currentDirectoryPath

    private static func metric(_ name: String, _ cloud: Cloud) async -> String {
        await cloud.kubectl(["get", "ji", "comfort", "-o", "jsonpath={.status.metrics[?(@.key==\"\(name)\")].value}"]).output
    }

    /// Who answered each row of the example's question.
    private static func answerers(_ address: String) async throws -> [String] {
        let parts = address.split(separator: ":")
        guard parts.count == 2, let port = Int(parts[1]) else { return [] }
        let question = try Data(contentsOf: URL(filePath: "\(repository)/examples/joint-inference/question.json"))
        let client = try PooledHTTPClient(host: String(parts[0]), port: port, trust: nil)
        let answer = try? await client.send(HTTPRequest(method: "POST", path: "/v2/models/comfort/infer", body: [UInt8](question)))
        await client.close()
        let outputs = answer.flatMap { try? JSONParser.parse($0.body) }?["outputs"]?.array ?? []
        return outputs.first { $0["name"] == "answered_by" }?["data"]?.array?.compactMap(\.string) ?? []
    }

    @Test func `what is hard for one edge's model is answered by the large model of another edge`() async throws {
        try await Cloud.with { cloud in
            let first = try await Edge.join(cloud)
            let token = await Edge.skerry(["token", "create", "--node", "e2"], in: cloud.folder).wait()
            let folder = cloud.folder + "/peer"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            let second = try await Edge.start(folder, ["--join", String(token.output.prefix { $0 != "\n" })])
            let example = try String(contentsOfFile: "\(Self.repository)/examples/joint-inference/service.yaml", encoding: .utf8)
            let service = example.replacing("/models/", with: "\(Self.repository)/models/thermal-comfort/").replacing("cloud-0", with: "e2")
            try cloud.write("service.yaml", service)
            let applied = await cloud.kubectl("apply -f \(cloud.folder)/service.yaml")
            #expect(applied.status == 0, "\(applied.error)")
            try await Edge.until("the other edge's answers") {
                try await Self.answerers(await Self.metric("address", cloud)).contains("cloud")
            }
            try await Edge.until("uploads in the status") { (Int(await Self.metric("uploadNumber", cloud)) ?? 0) > 0 }
            let places = await cloud.kubectl(["get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name}={.spec.nodeName} {end}"])
            #expect(places.output == "comfort-cloud=e2 comfort-edge=e1 ")

            // Without the other edge the first one answers alone, and asks again when that is back.
            await second.kill()
            let address = await Self.metric("address", cloud)
            try await Edge.until("the edge's own answers") { Set(try await Self.answerers(address)) == ["edge"] }
            let again = try await Edge.start(folder)
            try await Edge.until("the other edge's answers again") { try await Self.answerers(address).contains("cloud") }
            #expect(await cloud.kubectl("delete ji comfort").status == 0)
            try await Edge.until("no Pod") { await cloud.kubectl("get pods -o name").output.isEmpty }
            await again.stop()
            await first.stop()
        }
    }
}

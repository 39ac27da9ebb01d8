import Network
import Resources
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A joint inference service for all nodes: real edges that join while it runs, are asked, killed and taken away.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct JointEdgesTests {
    private static let repository = FileManager.default.currentDirectoryPath

    private static func status(_ cloud: Cloud) async -> JSON {
        let found = await cloud.kubectl(["get", "ji", "comfort", "-o", "json"])
        return (try? JSONParser.parse(Array(found.output.utf8)))?["status"] ?? [:]
    }

    private static func metric(_ name: String, _ cloud: Cloud) async -> String {
        await status(cloud)["metrics"]?.array?.first { $0["key"]?.string == name }?["value"]?.string ?? ""
    }

    private static func workers(_ cloud: Cloud) async -> [JSON] { await status(cloud)["workers"]?.array ?? [] }

    private static func states(_ cloud: Cloud) async -> [String] {
        await workers(cloud).map { "\($0["node"]?.string ?? "") \($0["state"]?.string ?? "")" }
    }

    /// Rows of the example's question that a worker has answered.
    private static func ask(_ address: String) async throws -> Int {
        let parts = address.split(separator: ":")
        guard parts.count == 2, let port = Int(parts[1]) else { return 0 }
        let question = try Data(contentsOf: URL(filePath: "\(repository)/examples/joint-inference/question.json"))
        let client = try PooledHTTPClient(host: String(parts[0]), port: port, trust: nil)
        let answer = try? await client.send(HTTPRequest(method: "POST", path: "/v2/models/comfort/infer", body: [UInt8](question)))
        await client.close()
        let outputs = answer.flatMap { try? JSONParser.parse($0.body) }?["outputs"]?.array ?? []
        return outputs.first { $0["name"] == "answered_by" }?["data"]?.array?.count ?? 0
    }

    private static func address(_ node: String, _ cloud: Cloud) async -> String {
        await workers(cloud).first { $0["node"]?.string == node }?["address"]?.string ?? ""
    }

    /// The process of the worker that began last.
    private static func newestWorker(_ cloud: Cloud) throws -> pid_t {
        let pids = try String(contentsOfFile: cloud.folder + "/pids", encoding: .utf8).split(separator: "\n").compactMap { pid_t($0) }
        return try #require(pids.last)
    }

    @Test func `each edge of a service for all nodes answers, and the status has the counts of all`() async throws {
        try await Cloud.with { cloud in
            let first = try await Edge.join(cloud)
            let example = try String(contentsOfFile: "\(Self.repository)/examples/joint-inference/service.yaml", encoding: .utf8)
            // Workers tell their process, so that one can be killed.
            let shell = "echo $$$$ >> \(cloud.folder)/pids; exec \(ServingProgram.builtFolder)/skerry worker infer"
            let parts = example.replacing("/models/", with: "\(Self.repository)/models/thermal-comfort/").split(separator: "  cloudWorker:")
            let edges = parts[0].replacing("        nodeName: e1\n", with: "")
                .replacing("  edgeWorker:\n", with: "  edgeWorker:\n    nodes: [\"*\"]\n")
                .replacing("args: [infer]", with: "command: [/bin/sh, -c, '\(shell)']")
            try cloud.write("service.yaml", edges + "  cloudWorker:" + parts[1])
            let applied = await cloud.kubectl("apply -f \(cloud.folder)/service.yaml")
            #expect(applied.status == 0, "\(applied.error)")
            try await Edge.until("the first edge's worker") { await Self.states(cloud) == ["e1 Running"] }

            // An edge that joins later has its worker too.
            let token = await Edge.skerry(["token", "create", "--node", "e2"], in: cloud.folder).wait()
            let folder = cloud.folder + "/second"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            let second = try await Edge.start(folder, ["--join", String(token.output.prefix { $0 != "\n" })])
            try await Edge.until("a worker on both edges") { await Self.states(cloud) == ["e1 Running", "e2 Running"] }
            var rows = 0
            for node in ["e1", "e2"] {
                var answered = 0
                try await Edge.until("an answer of \(node)") {
                    answered = try await Self.ask(await Self.address(node, cloud))
                    return answered > 0
                }
                rows += answered
            }
            try await Edge.until("the counts of both") { await Self.metric("inferenceNumber", cloud) == "\(rows)" }

            // Counts outlive the process that has counted them.
            let killed = try Self.newestWorker(cloud)
            kill(killed, SIGKILL)
            let restarts = "get pods -o jsonpath={.items[*].status.containerStatuses[0].restartCount}"
            try await Edge.until("another life") { await cloud.kubectl(restarts).output.contains("1") }
            var more = 0
            try await Edge.until("an answer of the next life") {
                more = try await Self.ask(await Self.address("e2", cloud))
                return more > 0
            }
            rows += more
            try await Edge.until("the counts of both lives") { await Self.metric("inferenceNumber", cloud) == "\(rows)" }

            // Who leaves takes the worker along, and not what it has counted.
            await second.stop()
            #expect(await cloud.kubectl("delete node e2").status == 0)
            // Nobody is left on that machine who would end what outlives its agent.
            let left = try Self.newestWorker(cloud)
            #expect(left != killed)
            kill(left, SIGKILL)
            try await Edge.until("one worker") { await Self.states(cloud) == ["e1 Running"] }
            #expect(await Self.metric("inferenceNumber", cloud) == "\(rows)")
            #expect(await cloud.kubectl("delete ji comfort").status == 0)
            try await Edge.until("no Pod") { await cloud.kubectl("get pods -o name").output.isEmpty }
            await first.stop()
        }
    }
}

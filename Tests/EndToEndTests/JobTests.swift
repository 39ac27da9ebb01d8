import Resources
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

/// Jobs as people submit them: kubectl and files, a cloud with a node of its own, and an edge that has the data.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct JobTests {
    /// Rows whose vote follows the warmth, in each season from another point on.
    private static func rows(_ range: Range<Int>) -> String {
        range.map { row in
            let season = row % 2 == 0 ? "summer" : "winter"
            let warmth = Double((row * 37) % 200) / 10
            let humidity = Double((row * 61) % 100)
            let vote = warmth > (season == "summer" ? 12 : 7) ? "warm" : "cold"
            return "\(row),\(season),\(warmth),\(humidity),\(vote)\n"
        }.joined()
    }

    @Test func `a lifelong job learns rounds from an edge's rows, serves them there, and kubectl asks what was learned`() async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder, node: true)
        let tokens = await ServingProgram(
            "\(ServingProgram.builtFolder)/skerry", ["token", "create", "--node", "e1"],
            environment: ["KUBECONFIG": "\(folder)/admin.kubeconfig"], folder: folder
        ).wait()
        let (edge, _) = try await EdgeTests.edge(cloud, ["--join", String(tokens.output.prefix { $0 != "\n" })])
        try FileManager.default.createDirectory(atPath: folder + "/data", withIntermediateDirectories: false)
        try cloud.write("data/rooms.csv", "room,season,warmth,humidity,vote\n" + Self.rows(0..<400))
        let example = try String(contentsOf: URL(filePath: "examples/lifelong/job.yaml"), encoding: .utf8)
        try cloud.write("job.yaml", example.split(separator: "/data/").joined(separator: "\(folder)/data/"))
        #expect(await cloud.kubectl("apply -f \(folder)/job.yaml").status == 0)

        let trained = await cloud.kubectl("wait ll/rooms --for=condition=Deployed --timeout=180s")
        let told = await cloud.kubectl("get ll rooms -o jsonpath={.status.conditions}").output
        #expect(trained.status == 0, "\(trained.error) \(told) \(edge.error)")
        let accuracy = await cloud.kubectl("get ll rooms -o jsonpath={.status.accuracy}").output
        #expect(Double(accuracy) ?? 0 > 0.9, "\(accuracy)")
        #expect(await cloud.kubectl("get model rooms -o jsonpath={.status.serving}").output == "1")

        // The model serves at the edge, by its own process.
        try await EdgeTests.until("the serving Pod at the edge: \(edge.error)") {
            await cloud.kubectl("get pod rooms-infer -o jsonpath={.spec.nodeName}/{.status.phase}").output == "e1/Running"
        }

        // More rows, another round: what was learned stays.
        try await append(cloud, Self.rows(400..<800))
        try await EdgeTests.until("a second round: \(await cloud.kubectl("get ll rooms -o jsonpath={.status.conditions}").output)") {
            await cloud.kubectl("get ll rooms -o jsonpath={.status.round}").output == "2"
        }
        let rounds = await cloud.kubectl("get ll rooms -o jsonpath={.status.rounds[*].result}").output
        #expect(["Deployed Deployed", "Deployed Kept"].contains(rounds), "\(rounds)")

        try await EdgeTests.until("the knowledge base to know both rounds") {
            await cloud.kubectl("get knowledgetasks -o jsonpath={.items[*].lastRound}").output == "2 2"
        }
        let tasks = await cloud.kubectl("get knowledgetasks")
        #expect(tasks.output.contains("summer") && tasks.output.contains("winter"), "\(tasks.output)")
        #expect(await cloud.kubectl("get knowledgemodels").output.contains("rooms"))
        let refused = await cloud.kubectl("delete knowledgetasks --all")
        #expect(refused.status != 0 && refused.error.contains("the server does not allow this method on the requested resource"))
        let listed = await ServingProgram(
            "\(ServingProgram.builtFolder)/skerry", ["kb", "rounds", "-o", "csv"],
            environment: ["KUBECONFIG": "\(folder)/admin.kubeconfig"], folder: folder
        ).wait()
        #expect(listed.output.split(separator: "\n").count == 3, "\(listed.output) \(listed.error)")
        // What left the edge, and why, is part of what is known.
        let departed = await ServingProgram(
            "\(ServingProgram.builtFolder)/skerry", ["kb", "decisions", "--action", "collect", "-o", "csv"],
            environment: ["KUBECONFIG": "\(folder)/admin.kubeconfig"], folder: folder
        ).wait()
        let left = departed.output.split(separator: "\n").filter { $0.contains("left their node as train.csv by the rule all") }
        #expect(left.count == 2 && left.allSatisfy { $0.contains("rooms") }, "\(departed.output) \(departed.error)")

        try await cloud.removeJobs()
        edge.signal(SIGTERM)
        _ = await edge.wait()
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }

    private func append(_ cloud: Cloud, _ rows: String) async throws {
        let file = try #require(fopen("\(cloud.folder)/data/rooms.csv", "a"))
        fputs(rows, file)
        fclose(file)
    }
}

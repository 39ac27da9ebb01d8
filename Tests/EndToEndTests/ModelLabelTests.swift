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

/// Labels that people give at an edge, with the cloud and without it.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct ModelLabelTests {
    @Test func `rows that wait are listed at the edge and labelled there, also while the cloud is away`() async throws {
        let folder = try Cloud.newFolder()
        var cloud = try await Cloud.start(in: folder)
        let edge = try await Edge.join(cloud)
        try cloud.write("rooms.csv", "room,warmth,vote\n1,20,cold\n2,25,\n3,30,\n")
        try cloud.write(
            "dataset.yaml",
            """
            apiVersion: sedna.io/v1alpha1
            kind: Dataset
            metadata: {name: rooms}
            spec: {url: \(folder)/rooms.csv, format: csv, nodeName: e1, label: vote}
            """)
        let applied = await cloud.kubectl("apply -f \(folder)/dataset.yaml")
        #expect(applied.status == 0, "\(applied.error)")
        let place = String(edge.server.dropFirst("--server=".count))
        func label(_ words: String) async -> ServingProgram.Result {
            await Edge.skerry("dataset label rooms --edge \(place) \(words)".split(separator: " ").map(String.init), in: folder).wait()
        }
        try await Edge.until("the edge to know the data set") { await label("").error.contains("takes no labels here") }
        let allowed = await cloud.kubectl("annotate dataset rooms jobs.skerry.io/takes-labels=true")
        #expect(allowed.status == 0, "\(allowed.error)")
        try await Edge.until("the edge to take labels") { await label("").status == 0 }
        let listed = await label("-o csv")
        #expect(listed.output == "room,warmth,vote\n2,25,\n3,30,\n")

        // From anywhere, through the cloud, which keeps no row.
        func far(_ words: String) async -> ServingProgram.Result {
            let words = "dataset label rooms --kubeconfig \(folder)/admin.kubeconfig \(words)".split(separator: " ").map(String.init)
            return await Edge.skerry(words, in: folder).wait()
        }
        let seen = await far("-o csv")
        #expect(seen.output == "room,warmth,vote\n2,25,\n3,30,\n", "\(seen.error)")
        try cloud.write("far.csv", "room,warmth,vote\n2,25,cold\n")
        let given = await far("--csv \(folder)/far.csv")
        #expect(given.output == "dataset/rooms: 1 label taken\n", "\(given.error)")
        let stranger = await Edge.skerry(
            ["dataset", "label", "halls", "--kubeconfig", "\(folder)/admin.kubeconfig"], in: folder
        ).wait()
        #expect(stranger.status == 1 && stranger.error.contains("datasets.sedna.io \"halls\" not found"), "\(stranger.error)")
        try cloud.write("rooms.csv", "room,warmth,vote\n1,20,cold\n2,25,\n3,30,\n")

        // A job's budget bounds what is asked for.
        let stage = "{template: {spec: {containers: [{name: w, image: skerry/worker:builtin}]}}"
        try cloud.write(
            "job.yaml",
            """
            apiVersion: sedna.io/v1alpha1
            kind: LifelongLearningJob
            metadata: {name: j}
            spec:
              dataset: {name: rooms, trainProb: 0.8}
              outputDir: \(folder)/output
              labelBudget: 1
              trainSpec: \(stage), trigger: {condition: {metric: num_of_samples, operator: ">", threshold: 1000}}}
              evalSpec: \(stage)}
              deploySpec: \(stage)}
            """)
        let wished = await cloud.kubectl("apply -f \(folder)/job.yaml")
        #expect(wished.status == 0, "\(wished.error)")
        try await Edge.until("the edge to ask for one row") { await far("-o csv").output == "room,warmth,vote\n2,25,\n" }
        #expect(await far("").error.contains("job j asks for 1 labels a round; 0 given, 1 left: the oldest first"))
        let unwished = await cloud.kubectl("delete ll j")
        #expect(unwished.status == 0, "\(unwished.error)")
        try await Edge.until("the edge to list all") { await label("-o csv").output == "room,warmth,vote\n2,25,\n3,30,\n" }

        await cloud.stop()
        let away = await far("")
        #expect(away.status == 1 && away.error.contains("127.0.0.1"), "\(away.error)")
        try cloud.write("labels.json", "[{\"room\": 2, \"warmth\": 25, \"vote\": \"warm\"}]")
        let taken = await label("--json \(folder)/labels.json")
        #expect(taken.output == "dataset/rooms: 1 label taken\n", "\(taken.error)")
        let left = await label("-o csv")
        #expect(left.output == "room,warmth,vote\n3,30,\n")
        try cloud.write("wrong.csv", "room,vote\n3,warm\n")
        let wrong = await label("--csv \(folder)/wrong.csv")
        #expect(wrong.status == 1 && wrong.error.contains("row 1: no column \"warmth\""), "\(wrong.error)")
        let file = try String(contentsOf: URL(filePath: "\(folder)/rooms.csv"), encoding: .utf8)
        #expect(file == "room,warmth,vote\n1,20,cold\n2,25,\n3,30,\n2,25,warm\n")

        let port = Int(cloud.program.error.split(separator: "\n").first?.split(separator: ":").last ?? "") ?? 0
        cloud = try await Cloud.start(in: folder, port: port)
        try await Edge.until("the cloud to hear of the label") {
            await cloud.kubectl("get dataset rooms -o jsonpath={.status.labels}").output == "{\"cold\":1,\"warm\":1}"
        }
        await edge.stop()
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}

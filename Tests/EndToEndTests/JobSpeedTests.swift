import Resources
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// How long a new model takes from `kubectl apply` to its first prediction at the edge: told, not judged, as machines differ.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct JobSpeedTests {
    @Test func `a lifelong job on a prepared data set comes from apply to a prediction at the edge`() async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder, node: true)
        let edge = try await Edge.join(cloud)
        let rows = (0..<2000).map { row in
            let isWinter = row % 2 == 1, warmth = Double((row * 37) % 200) / 10
            return
                "\(row),\(isWinter ? "winter" : "summer"),\(warmth),\((row * 61) % 100),\(warmth > (isWinter ? 7 : 12) ? "warm" : "cold")\n"
        }
        try cloud.write("rooms.csv", "room,season,warmth,humidity,vote\n" + rows.joined())
        let example = try String(contentsOfFile: "examples/lifelong/job.yaml", encoding: .utf8).replacing("/data/", with: "\(folder)/")
        let parts = example.split(separator: "---\n", maxSplits: 1).map(String.init)
        try cloud.write("dataset.yaml", parts[0])
        try cloud.write("job.yaml", parts[1])
        #expect(await cloud.kubectl("apply -f \(folder)/dataset.yaml").status == 0)
        try await Edge.until("the rows to be counted") {
            await cloud.kubectl("get dataset rooms -o jsonpath={.status.numberOfSamples}").output == "2000"
        }

        let begin = ContinuousClock.now
        let applied = await cloud.kubectl("apply -f \(folder)/job.yaml")
        #expect(applied.status == 0, "\(applied.error)")
        let deployed = await cloud.kubectl("wait ll/rooms --for=condition=Deployed --timeout=300s")
        #expect(deployed.status == 0, "\(deployed.error)")
        let row = #"{"room": 1, "season": "summer", "warmth": 19.5, "humidity": 40}"#
        var answer = ""
        try await Edge.until("a prediction at the edge: \(edge.program.error)") {
            let asked = await Edge.skerry(
                ["predict", "rooms", "--node", "e1", "--kubeconfig", "\(folder)/admin.kubeconfig", "--json", row, "-o", "csv"], in: folder
            ).wait()
            answer = asked.output
            return asked.status == 0
        }
        let seconds = begin.duration(to: .now) / .seconds(1)
        #expect(answer.contains("warm"), "\(answer)")
        let state = "{.status.containerStatuses[0].state.terminated"
        let times = await cloud.kubectl(["get", "pod", "rooms-train-1", "-o", "jsonpath=\(state).startedAt} \(state).finishedAt}"]).output
        let trained = times.split(separator: " ").compactMap { Timestamp(String($0))?.seconds }
        #expect(trained.count == 2, "\(times)")
        let training = Double((trained.last ?? 0) - (trained.first ?? 0))
        print(
            "apply to the first prediction by the new model at the edge: \((seconds * 10).rounded() / 10) s, of which training \(training) s;"
                + " the rest \(((seconds - training) * 10).rounded() / 10) s")
        #expect(await cloud.kubectl("delete -f \(folder)/job.yaml").status == 0)
        try await Edge.until("the worker to end") { await cloud.kubectl("get pods -o name").output.isEmpty }
        await edge.stop()
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}

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

/// `skerry edge status|logs|restart|deploy|remove`: what the owner of a node does on it while no cloud is in reach.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct EdgeVerbTests {
    private static let pod = """
        apiVersion: v1
        kind: Pod
        metadata: {name: web}
        spec:
          nodeName: e1
          terminationGracePeriodSeconds: 1
          containers:
            - name: web
              image: none
              command: [/bin/sh, -c, "echo life $$$$; exec sleep 1000"]
        """
    private static let own = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: words}
        data: {greeting: hello}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: own}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
            - name: own
              image: none
              command: [/bin/sh, -c, "echo $GREETING; exec sleep 1000"]
              env: [{name: GREETING, valueFrom: {configMapKeyRef: {name: words, key: greeting}}}]
        """

    private static func rows(_ edge: Edge, _ sheet: String) async throws -> [JSON] {
        let answer = await edge.verb("status -o json")
        try #require(answer.status == 0, "\(answer.error)")
        return try JSONParser.parse(Array(answer.output.utf8))[sheet]?.array ?? []
    }

    private static func isRunning(_ edge: Edge, _ pod: String, restarts: String = "0") async throws -> Bool {
        try await rows(edge, "pods").contains { row in
            row["name"]?.string == pod && row["status"]?.string == "Running" && row["ready"]?.string == "1/1"
                && (row["restarts"]?.string ?? row["restarts"]?.text ?? "").hasPrefix(restarts)
        }
    }

    @Test func `an owner looks at, restarts and deploys Pods on a node without a cloud, and they come back with it`() async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder)
        let port = try #require(cloud.program.error.split(separator: "127.0.0.1:").dropFirst().first?.prefix { $0.isNumber })
        let first = try await Edge.join(cloud)
        try cloud.write("pod.yaml", Self.pod)
        try cloud.write("own.yaml", Self.own)
        #expect(await cloud.kubectl("apply -f \(folder)/pod.yaml").status == 0)
        #expect(await cloud.kubectl("wait pod/web --for=condition=Ready --timeout=60s").status == 0)
        try await Edge.until("a link in step") { try await Self.rows(first, "node").first?["link"] == "in step" }
        cloud.program.signal(SIGKILL)
        _ = await cloud.program.wait()

        try await Edge.until("a link that is away") { try await Self.rows(first, "node").first?["link"] == "away" }
        var life = ""
        try await Edge.until("what the first life prints: \(life)") {
            life = await first.verb("logs web").output
            return life.hasPrefix("life ")
        }
        let restarted = await first.verb("restart web")
        #expect(restarted.output == "container/web/web restarted\n", "\(restarted.error)")
        try await Edge.until("a second life") { try await Self.isRunning(first, "web", restarts: "1") }
        var second = ""
        try await Edge.until("what the second life prints: \(second)") {
            second = await first.verb("logs default/web --tail=1").output
            return second.hasPrefix("life ") && second != life
        }
        #expect(await first.verb("logs web --previous").output == life)

        let deployed = await first.verb("deploy \(folder)/own.yaml")
        #expect(deployed.output == "configmap/words created\npod/own created\n", "\(deployed.error)")
        try await Edge.until("a Pod of the node's own") { try await Self.isRunning(first, "own") }
        try await Edge.until("what it prints") { await first.verb("logs own").output == "hello\n" }
        let twice = await first.verb("deploy \(folder)/own.yaml")
        #expect(twice.status == 1 && twice.error.contains("skerry edge remove own"), "\(twice.error)")
        #expect(await cloud.kubectl("\(first.server) get pod own -n skerry-local -o name").output == "pod/own\n")

        // Killed without a word and started without a cloud, the node runs what it ran.
        await first.kill()
        let again = try await Edge.start(folder)
        try await Edge.until("both Pods as they were") {
            let own = try await Self.isRunning(again, "own")
            let web = try await Self.isRunning(again, "web", restarts: "1")
            return own && web
        }
        #expect(await again.verb("logs web").output == second)
        #expect(await again.verb("remove own").output == "pod/own is being removed\n")
        try await Edge.until("no own Pod") { try await !Self.rows(again, "pods").contains { $0["name"] == "own" } }
        let foreign = await again.verb("remove web")
        #expect(foreign.status == 1 && foreign.error.contains("kubectl delete pod web"), "\(foreign.error)")
        let missing = await again.verb("logs nobody")
        #expect(missing.status == 1 && missing.error.contains("default/web"), "\(missing.error)")
        #expect(await again.verb("restart web nobody").error.contains("it has: web"))
        try await deployModels(again)
        // The way in is its owner's alone.
        var place = stat()
        #expect(stat(folder + "/edge/agent", &place) == 0 && place.st_mode & 0o777 == 0o700)
        await again.stop()
        let absent = await again.verb("status")
        #expect(absent.status == 1 && absent.error.contains("start it with 'skerry edge --data-dir"), "\(absent.error)")
        try await Self.end(folder, port: try #require(Int(port)))
    }

    /// A model is looked at before a worker loads it.
    private func deployModels(_ edge: Edge) async throws {
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        let deployed = await edge.verb("deploy \(root)/models/thermal-comfort/comfort-small.onnx --name comfort")
        #expect(deployed.output == "pod/comfort created\n", "\(deployed.error)")
        try await Edge.until("a worker that has loaded the model") { try await Self.isRunning(edge, "comfort") }
        try "no model".write(to: URL(filePath: "\(edge.folder)/broken.onnx"), atomically: true, encoding: .utf8)
        let broken = await edge.verb("deploy \(edge.folder)/broken.onnx")
        #expect(broken.status == 1 && broken.error.contains("broken.onnx"), "\(broken.error)")
        #expect(await edge.verb("remove comfort").output == "pod/comfort is being removed\n")
        try await Edge.until("no worker") { try await !Self.rows(edge, "pods").contains { $0["name"] == "comfort" } }
    }

    /// Ends what still runs: the Pods outlive their agent.
    private static func end(_ folder: String, port: Int) async throws {
        let cloud = try await Cloud.start(in: folder, port: port)
        let edge = try await Edge.start(folder)
        _ = await cloud.kubectl("delete pod web --timeout=60s")
        try await Edge.until("no Pod") { try await rows(edge, "pods").isEmpty }
        await edge.stop()
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}

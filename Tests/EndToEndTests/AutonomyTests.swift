import KubernetesClient
import Network
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

/// An edge with running Pods whose link is cut, whose agent or cloud is killed, and which begins again without a link: no Pod is restarted for
/// it, and what a Pod has come to meanwhile is told once. `SKERRY_CUTS=200` does it oftener and prints how long both sides took to be equal.
@Suite(.offThePool, .timeLimit(.minutes(60))) struct AutonomyTests {
    private static let cuts = getenv("SKERRY_CUTS").flatMap { Int(String(cString: $0)) } ?? 4
    private static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    private static let settings = ObjectKey(namespace: "default", name: "settings")

    /// What goes wrong in a cycle.
    private enum Fault: Int, CaseIterable { case cut, edgeKilled, cloudKilled, beginsWithoutLink }

    /// The way between the edge and its cloud.
    private struct Relay {
        let program: ServingProgram
        let port: String
        private let folder: String

        init(to port: String, folder: String) async throws {
            self.folder = folder
            let program = Edge.skerry(["demo", "relay", "--to", port], in: folder)
            try await Edge.until("a relay: \(program.error)") { program.error.contains("relay on 127.0.0.1:") }
            self.program = program
            self.port = String(program.error.split(separator: "relay on 127.0.0.1:").last?.prefix { $0.isNumber } ?? "")
        }

        private func lines(_ word: String) -> Int { program.error.split(separator: "\n").count { $0.contains(word) } }

        func cut() async throws { try await tell(SIGUSR1, "is cut") }
        func mend() async throws { try await tell(SIGUSR2, "is mended") }

        private func tell(_ signal: Int32, _ word: String) async throws {
            let before = lines(word)
            program.signal(signal)
            try await Edge.until("the relay says \(word)") { lines(word) > before }
        }
    }

    /// Everything of one run.
    private final class Scene {
        let folder: String
        var cloud: Cloud
        var edge: Edge
        let relay: Relay
        let cloudPort: Int
        private var client: RESTClient

        init() async throws {
            folder = try Cloud.newFolder()
            cloud = try await Cloud.start(in: folder)
            let port = String(cloud.program.error.split(separator: "127.0.0.1:").dropFirst().first?.prefix { $0.isNumber } ?? "")
            cloudPort = try #require(Int(port))
            relay = try await Relay(to: port, folder: folder)
            let made = await Edge.skerry(["token", "create", "--node", "e1", "--cloud", "127.0.0.1:\(relay.port)"], in: folder).wait()
            try #require(made.status == 0, "\(made.error)")
            edge = try await Edge.start(folder, ["--join", String(made.output.prefix { $0 != "\n" })])
            client = try Self.client(folder)
        }

        private static func client(_ folder: String) throws -> RESTClient {
            @Sendable func read(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }
            return try RESTClient(
                try Kubeconfig(path: "\(folder)/admin.kubeconfig", read: read).access(context: nil), userAgent: "test", read: read)
        }

        func killCloud() async {
            await client.close()
            cloud.program.signal(SIGKILL)
            _ = await cloud.program.wait()
        }

        func startCloud() async throws {
            cloud = try await Cloud.start(in: folder, port: cloudPort)
            client = try Self.client(folder)
        }

        func api() -> RESTClient { client }

        /// An object as the node itself shows it; nil if it does not.
        func atEdge(_ path: String) async throws -> JSON? {
            let server = edge.server.split(separator: ":").last.flatMap { Int($0) } ?? 0
            let http = try PooledHTTPClient(host: "127.0.0.1", port: server, trust: nil)
            let answer = try? await http.send(
                HTTPRequest(method: "GET", path: "/api/v1/namespaces/default/\(path)", headers: ["Host": "localhost"]))
            await http.close()
            guard let answer, answer.status == 200 else { return nil }
            return try JSONParser.parse(answer.body)
        }

        func lines(_ file: String) -> [String] {
            ((try? String(contentsOf: URL(filePath: "\(folder)/\(file)"), encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
        }

        func pod(_ name: String, _ script: String) async throws {
            try await client.create(
                .pod,
                [
                    "metadata": ["namespace": "default", "name": .string(name)],
                    "spec": [
                        "nodeName": "e1", "restartPolicy": name == "web" ? "Always" : "Never", "terminationGracePeriodSeconds": 1,
                        "containers": [["name": "c", "image": "none", "command": ["/bin/sh", "-c", .string(script)]]],
                        "volumes": [["name": "settings", "configMap": ["name": "settings"]]],
                    ],
                ])
        }

        /// How a Pod's container stands in the API.
        func status(_ pod: String) async -> JSON? {
            (try? await client.get(.pod, ObjectKey(namespace: "default", name: pod)))?["status"]?["containerStatuses"]?.array?.first
        }

        func end() async throws {
            try await client.delete(.pod, ObjectKey(namespace: "default", name: "web"), Deletion())
            try await Edge.until("web is gone") { await status("web") == nil }
            await client.close()
            await edge.stop()
            await cloud.stop()
            relay.program.signal(SIGTERM)
            _ = await relay.program.wait()
            try FileManager.default.removeItem(atPath: folder)
        }

        /// Ends what was started, as far as it is known.
        func abandon() {
            for program in [edge.program, cloud.program, relay.program] { program.signal(SIGKILL) }
        }
    }

    /// A Pod that ends as it is told, with a status of its own; breaks something while it runs, and has it end before that is mended.
    private func cycle(_ number: Int, _ fault: Fault, _ scene: Scene) async throws -> Duration {
        let (name, code) = ("task-\(number)", number % 7)
        let go = "\(scene.folder)/go-\(number)"
        try await scene.pod(
            name, "echo \(number) >> \(scene.folder)/begun; while [ ! -e \(go) ]; do sleep 0.05; done; exit \(code)")
        try await Edge.until("\(name) runs, in the API too") { await scene.status(name)?["state"]?["running"] != nil }
        let change = ObjectPatch(.merge, ["data": ["round": .string("\(number)")]])
        func isOver(_ container: JSON?) -> Bool { container?["state"]?["terminated"]?["exitCode"]?.integer == Int64(code) }
        switch fault {
        case .cut, .beginsWithoutLink:
            try await scene.relay.cut()
            _ = try await scene.api().patch(Self.configMap, Self.settings, change, part: .whole)
            if fault == .beginsWithoutLink {
                await scene.edge.kill()
                scene.edge = try await Edge.start(scene.folder)
            }
        case .edgeKilled:
            await scene.edge.kill()
            _ = try await scene.api().patch(Self.configMap, Self.settings, change, part: .whole)
        case .cloudKilled: await scene.killCloud()
        }
        #expect(FileManager.default.createFile(atPath: go, contents: nil))
        if fault == .edgeKilled {
            scene.edge = try await Edge.start(scene.folder)
        } else {
            try await Edge.until("the end of \(name) on the node, which has no cloud") {
                isOver(try await scene.atEdge("pods/\(name)")?["status"]?["containerStatuses"]?.array?.first)
            }
        }
        var mended = ContinuousClock.now
        if fault == .cloudKilled {
            try await scene.startCloud()
            mended = .now
            _ = try await scene.api().patch(Self.configMap, Self.settings, change, part: .whole)
        } else if fault != .edgeKilled {
            try await scene.relay.mend()
        }
        try await Edge.until("the end of \(name) in the API") { isOver(await scene.status(name)) }
        try await Edge.until("round \(number) on the node") {
            try await scene.atEdge("configmaps/settings")?["data"]?["round"]?.string == "\(number)"
        }
        let took = ContinuousClock.now - mended
        try await check(number, name, scene)
        return took
    }

    private func check(_ number: Int, _ name: String, _ scene: Scene) async throws {
        let restarts = await scene.status(name)?["restartCount"]?.integer
        #expect(restarts == 0)
        #expect(scene.lines("begun").count { $0 == "\(number)" } == 1, "\(name) began again")
        // Each sentence about the Pod once: none lost, none doubled.
        try await Edge.until("an event about the start of \(name)") { try await Self.events(name, scene)["Started"] != nil }
        let events = try await Self.events(name, scene)
        #expect(events["Created"] == 1 && events["Started"] == 1, "\(name): \(events)")
        try await scene.api().delete(.pod, ObjectKey(namespace: "default", name: name), Deletion())
        try await Edge.until("\(name) is gone on both sides") {
            if await scene.status(name) != nil { return false }
            return try await scene.atEdge("pods/\(name)") == nil
        }
    }

    /// How often each reason was told about a Pod.
    private static func events(_ name: String, _ scene: Scene) async throws -> [String: Int64] {
        let list = try await scene.api().list(.event, ListQuery(namespace: "default", fieldSelector: "involvedObject.name=\(name)"))
        return list.items.reduce(into: [:]) { $0[$1["reason"]?.string ?? "", default: 0] += $1["count"]?.integer ?? 1 }
    }

    @Test func `whatever breaks between an edge and its cloud, no Pod is restarted and what came meanwhile is told once`() async throws {
        let scene = try await Scene()
        do {
            try await scene.api().create(
                Self.configMap, ["metadata": ["namespace": "default", "name": "settings"], "data": ["round": "0"]])
            try await scene.pod("web", "echo life >> \(scene.folder)/lives; exec sleep 100000")
            try await Edge.until("web runs: \(scene.edge.program.error)") { await scene.status("web")?["state"]?["running"] != nil }
            let first = await scene.status("web")
            var times: [Fault: [Duration]] = [:]
            for number in 1...max(1, Self.cuts) {
                let fault = Fault.allCases[number % Fault.allCases.count]
                times[fault, default: []].append(try await cycle(number, fault, scene))
                let last = await scene.status("web")
                try #require(scene.lines("lives") == ["life"], "cycle \(number), \(fault): the Pod web was begun again")
                #expect(last?["restartCount"]?.integer == 0 && last?["containerID"] == first?["containerID"], "cycle \(number)")
            }
            for fault in Fault.allCases {
                guard let sorted = times[fault]?.sorted(), let last = sorted.last else { continue }
                print("\(fault): \(sorted.count) cycles, both sides equal after \(sorted[sorted.count / 2]) (median), \(last) (worst)")
            }
            try await scene.end()
        } catch {
            scene.abandon()
            throw error
        }
    }

    /// A damaged file, as worn-out flash leaves it, and no cloud in reach to ask what it held.
    @Test func `an edge whose copy is damaged sets it aside, restarts no Pod, and is equal to its cloud once that is in reach`()
        async throws
    {
        let scene = try await Scene()
        do {
            try await scene.api().create(
                Self.configMap, ["metadata": ["namespace": "default", "name": "settings"], "data": ["round": "0"]])
            try await scene.pod("web", "echo life >> \(scene.folder)/lives; exec sleep 100000")
            try await Edge.until("web runs: \(scene.edge.program.error)") { await scene.status("web")?["state"]?["running"] != nil }
            let first = await scene.status("web")
            try await scene.relay.cut()
            await scene.edge.kill()
            let damaged = Data(repeating: 0xff, count: 40_000)
            for end in ["", "-wal"] { try damaged.write(to: URL(filePath: "\(scene.folder)/edge/edge.db\(end)")) }
            scene.edge = try await Edge.start(scene.folder)
            try await Edge.until("it says what it does: \(scene.edge.program.error)") {
                scene.edge.program.error.contains("edge.db is damaged") && scene.edge.program.error.contains("Pods stay as they are")
            }
            // Killed before it knows anything, the next one knows that it does not.
            await scene.edge.kill()
            scene.edge = try await Edge.start(scene.folder)
            try await Edge.until("it knows that it knows nothing: \(scene.edge.program.error)") {
                scene.edge.program.error.contains("Pods stay as they are")
            }
            try await scene.relay.mend()
            let change = ObjectPatch(.merge, ["data": ["round": "1"]])
            _ = try await scene.api().patch(Self.configMap, Self.settings, change, part: .whole)
            try await Edge.until("round 1 and web on the node: \(scene.edge.program.error)") {
                guard try await scene.atEdge("configmaps/settings")?["data"]?["round"] == "1" else { return false }
                return try await scene.atEdge("pods/web")?["status"]?["containerStatuses"]?.array?.first?["containerID"]
                    == first?["containerID"]
            }
            // The agent is at work again: it ends another Pod that comes now.
            _ = try await cycle(1, .cut, scene)
            #expect(scene.lines("lives") == ["life"], "the Pod web was begun again")
            try await scene.end()
        } catch {
            scene.abandon()
            throw error
        }
    }
}

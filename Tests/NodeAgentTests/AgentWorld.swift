import APIServer
import Identity
import Network
import Resources
import Storage
import Synchronization
import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

/// The embedded API with a store in memory, and an agent with real processes in a folder of its own.
final class AgentWorld: Sendable {
    static let node = "n1"
    let folder: TemporaryFolder
    let client: ServiceClient
    private let store: RevisionStore
    /// The files of the node, which are the cloud's own here.
    let artifacts: ArtifactStore
    /// Whether workers may report; the port stays the same from one agent to the next.
    private let takesReports: Bool
    private let reports = Mutex<(server: HTTPServer?, ports: [Int])>((nil, KeptPort.choices()))
    private let agents = Mutex<[(agent: NodeAgent, runtime: ProcessRuntime, task: Task<Void, any Error>)]>([])
    private static let begin = ContinuousClock.now
    let clock = Clock()

    init(takesReports: Bool = false) async throws {
        self.takesReports = takesReports
        folder = try TemporaryFolder()
        artifacts = try ArtifactStore(folder: "\(folder.path)/artifacts", now: { Int64(time(nil)) })
        store = try RevisionStore(.memory)
        let service = try ObjectService(
            store: store, environment: APIEnvironment(now: { Self.now().time }, random: { .random(in: 0 ... .max) }))
        try await InitialObjects.make(in: service)
        client = ServiceClient(service, user: User(name: "admin", groups: ["system:masters"]))
    }

    static func now() -> Moment { Moment(time: Timestamp(seconds: Int64(time(nil))), uptime: begin.duration(to: .now)) }

    /// The agent's.
    final class Clock: Sendable {
        private let state = Mutex<(asked: Int, ahead: Duration)>((0, .zero))

        func now() -> Moment {
            var moment = AgentWorld.now()
            state.withLock {
                $0.asked += 1
                moment.uptime += $0.ahead
            }
            return moment
        }

        /// Sets the uptime forward.
        func goForward(_ time: Duration) { state.withLock { $0.ahead += time } }

        /// How often the agent has asked for the time.
        var asked: Int { state.withLock { $0.asked } }
    }

    /// Starts an agent on this world's folder; one at a time.
    ///
    /// - Parameters:
    ///   - client: in the place of the world's own.
    ///   - tokens: gives tokens of service accounts; nil for nobody.
    ///   - send: takes files of workers to a cloud; without it they are there as soon as they are in the store.
    @discardableResult
    func startAgent(
        client other: (any ObjectClient)? = nil, tokens: (any PodTokens)? = nil,
        send: (@Sendable (ArtifactDigest) async throws(NodeFilesError) -> Void)? = nil
    ) async throws -> NodeAgent {
        var settings = ProcessRuntime.Settings(
            folder: "\(folder.path)/node", worker: [Program.path, "worker"], controlGroup: "skerry-test-\(folder.path.suffix(12))",
            programVersion: "test"
        )
        settings.shimProgram = Program.path
        let runtime = try ProcessRuntime(settings)
        var configuration = NodeAgent.Configuration(
            nodeName: Self.node, address: "127.0.0.1", client: other ?? client, runtime: runtime,
            facts: MachineFacts(folder: folder.path, runtimeVersion: runtime.version, programVersion: "test"),
            now: { [clock] in clock.now() },
            random: { .random(in: 0 ... .max) }, report: { _ in })
        configuration.renewsLease = true
        configuration.tokens = tokens
        configuration.files = NodeFiles(store: artifacts, send: send)
        configuration.datasetsFolder = "\(folder.path)/datasets"
        let agent = NodeAgent(configuration)
        if takesReports { try await listen(agent) }
        let task = Task { try await agent.run() }
        agents.withLock { $0.append((agent, runtime, task)) }
        return agent
    }

    private struct Responder: HTTPResponder {
        let door: WorkerDoor

        func respond(to request: HTTPRequest) async -> HTTPResponse {
            let answer = await door.answer(method: request.method, path: request.path, body: request.body)
            return HTTPResponse(status: answer.status, body: .bytes(answer.body.bytes()))
        }
    }

    private func listen(_ agent: NodeAgent) async throws {
        let ports = reports.withLock { $0.ports }
        let server = try await HTTPServer.start(
            host: "127.0.0.1", anyOf: ports, tls: nil, patience: .seconds(30), responder: Responder(door: agent.workerDoor))
        reports.withLock { $0 = (server, [server.port]) }
        agent.takeReports(at: "http://127.0.0.1:\(server.port)")
    }

    /// Stops the agent as a crash would: its containers go on, nobody watches them.
    func stopAgent() async throws {
        await reports.withLock { $0.server }?.stop(grace: .seconds(1))
        let last = agents.withLock { $0.removeLast() }
        last.task.cancel()
        try await last.task.value
    }

    var agent: NodeAgent { agents.withLock { $0.last!.agent } }
    var runtime: ProcessRuntime { agents.withLock { $0.last!.runtime } }

    // MARK: Pods

    func apply(_ name: String, _ spec: JSON, annotations: JSON = [:], labels: JSON = [:]) async throws {
        var spec = spec
        spec["nodeName"] = .string(Self.node)
        try await client.create(
            .pod,
            [
                "apiVersion": "v1", "kind": "Pod",
                "metadata": ["name": .string(name), "namespace": "default", "annotations": annotations, "labels": labels],
                "spec": spec,
            ])
    }

    func pod(_ name: String) async throws -> JSON { try await client.get(.pod, ObjectKey(namespace: "default", name: name)) }

    struct NeverCame: Error, CustomStringConvertible { let description: String }

    /// Waits until a Pod is as it should be.
    @discardableResult
    func wait(_ name: String, _ what: String, until isSo: (JSON) -> Bool) async throws -> JSON {
        var last: JSON = .null
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            last = try await pod(name)
            if isSo(last) { return last }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw NeverCame(description: "pod \(name) never \(what): \(last["status"]?.text ?? "no status")")
    }

    func waitUntilGone(_ name: String) async throws {
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            do { _ = try await pod(name) } catch let status as APIStatus where status.code == 404 { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw NeverCame(description: "pod \(name) was never gone: \(try await pod(name)["metadata"]?.text ?? "")")
    }

    func delete(_ name: String, graceSeconds: Int64? = nil) async throws {
        try await client.delete(.pod, ObjectKey(namespace: "default", name: name), Deletion(gracePeriodSeconds: graceSeconds))
    }

    /// Deletes every Pod, waits for the agent to end it, and stops the agent.
    func end() async throws {
        let pods = try await client.list(.pod, ListQuery()).items.compactMap { $0["metadata"]?["name"]?.string }
        for name in pods { try? await delete(name, graceSeconds: 0) }
        // Without grace the server forgets a Pod at once; its node still has it to end.
        let runtime = runtime
        let end = ContinuousClock.now + .seconds(120)
        while !runtime.savedPods().isEmpty, ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(10)) }
        #expect(runtime.savedPods().isEmpty)
        try await stopAgent()
    }

    static func with(takesReports: Bool = false, _ body: (AgentWorld) async throws -> Void) async throws {
        let world = try await AgentWorld(takesReports: takesReports)
        try await world.startAgent()
        try await body(world)
        try await world.end()
    }

    /// What is printed, as a caller gets it.
    func call(_ call: NodeCall, input: [CallFrame] = []) async throws(APIStatus) -> (out: String, err: String, status: JSON) {
        let stream = try await LocalCalls(node: Self.node, handler: agent.calls).open(call, on: Self.node)
        for frame in input { try await stream.send(frame) }
        var (out, err, status): ([UInt8], [UInt8], JSON) = ([], [], .null)
        while let frame = try await stream.receive() {
            switch frame {
            case .data(.stdout, let bytes): out += bytes
            case .data(.stderr, let bytes): err += bytes
            case .data(.status, let bytes): status = (try? JSONParser.parse(bytes)) ?? .null
            default: break
            }
        }
        return (String(decoding: out, as: UTF8.self), String(decoding: err, as: UTF8.self), status)
    }

    func logs(_ pod: String, container: String = "", _ query: LogQuery = LogQuery()) async throws(APIStatus) -> String {
        try await call(.logs(PodTarget(namespace: "default", pod: pod, container: container), query)).out
    }

    /// Waits until something has been told of a Pod: that is done after its status says so.
    func wait(forEvent reason: String, about pod: String) async throws {
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            if try await events(pod).contains(reason) { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw NeverCame(description: "no event \(reason) of pod \(pod): \(try await events(pod))")
    }

    func events(_ pod: String) async throws -> [String] {
        try await client.list(.event, ListQuery(namespace: "default")).items
            .filter { $0["involvedObject"]?["name"]?.string == pod }.compactMap { $0["reason"]?.string }
    }
}

/// A Pod of one container that runs a script.
func shell(_ script: String, restartPolicy: String = "Always", _ more: JSON = [:]) -> JSON {
    var container: JSON = ["name": "c", "image": "none", "command": ["/bin/sh", "-c", .string(script)]]
    for (key, value) in more.object ?? [:] { container[key] = value }
    return ["restartPolicy": .string(restartPolicy), "containers": [container], "terminationGracePeriodSeconds": 5]
}

extension JSON {
    var phase: String { self["status"]?["phase"]?.string ?? "" }
    var first: JSON { self["status"]?["containerStatuses"]?.array?.first ?? .null }
    func isTrue(_ condition: String) -> Bool {
        self["status"]?["conditions"]?.array?.contains { $0["type"]?.string == condition && $0["status"] == "True" } ?? false
    }
}

extension LogQuery {
    /// All lines, but for what is named. No closure: Swift 6.3.1 takes one for another where macros hold some too.
    static func with(
        follows: Bool = false, previous: Bool = false, timestamps: Bool = false, tailLines: Int? = nil, sinceSeconds: Int64? = nil,
        sinceTime: String? = nil, limitBytes: Int? = nil
    ) -> LogQuery {
        var query = LogQuery()
        (query.follows, query.previous, query.timestamps) = (follows, previous, timestamps)
        (query.tailLines, query.sinceSeconds, query.sinceTime, query.limitBytes) = (tailLines, sinceSeconds, sinceTime, limitBytes)
        return query
    }
}

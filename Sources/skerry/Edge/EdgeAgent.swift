import APIServer
import ArgumentParser
import EdgeAccess
import EdgeHub
import Network
import NodeAgent
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What an edge does with its copy of objects, with or without a link: runs its Pods, and shows the copy on the loopback.
struct EdgeAgent {
    private static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    private static let dataset = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Dataset", plural: "datasets")
    private static let model = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Model", plural: "models")

    private let agent: NodeAgent
    /// What its workers serve.
    private let models = ModelProxy()
    private let local: LocalAPI
    private let pods: LocalPods
    private let files: EdgeFiles
    private let threads: InferenceThreads
    private let hub: EdgeHub
    private let node: String
    private let folder: String
    private let socket: AgentSocket

    /// - Parameters:
    ///   - membership: the name that the cloud knows this machine by, and the way to it.
    ///   - folder: of the edge; the files of its Pods lie in `pods` below it.
    ///   - bandwidth: what files may take of the link; nil for all of it.
    ///   - inferenceThreads: that compute for models at once; nil for as many as there are cores.
    init(
        _ membership: EdgeMembership, hub: EdgeHub, folder: String, bandwidth: ByteRate? = nil, inferenceThreads: Int? = nil
    ) async throws {
        let node = membership.identity.node
        (self.hub, self.node, self.folder) = (hub, node, folder)
        files = try EdgeFiles(folder: folder, hub: hub, membership, bandwidth: bandwidth, now: { Self.environment.now().seconds })
        let version = Skerry.configuration.version
        var settings = ProcessRuntime.Settings(
            folder: folder + "/pods", worker: [programPath(), "worker"], controlGroup: controlGroupName(folder), programVersion: version)
        settings.permits = InferenceThreads.path(settings.folder)
        let runtime = try ProcessRuntime(settings)
        let threads = try InferenceThreads(folder: settings.folder, own: inferenceThreads)
        self.threads = threads
        let begin = ContinuousClock.now
        socket = try AgentSocket(folder: folder, isMade: true)
        let own = folder + "/local.db"
        pods = try await DamagedCopy.replaced(own) { error in
            writeError("\(own) is damaged (\(error.message)) and kept as \(own).damaged; deploy this node's own Pods again")
        } open: {
            try await LocalPods(.file(own), node: node, environment: Self.environment)
        }
        var configuration = NodeAgent.Configuration(
            nodeName: node, address: machineAddress(), client: hub, runtime: runtime,
            facts: MachineFacts(
                folder: folder, runtimeVersion: runtime.version, programVersion: version,
                more: { WorkerLibraries.conditions() + [threads.condition] }),
            now: { Moment(time: Self.environment.now(), uptime: begin.duration(to: .now)) }, random: Self.environment.random,
            report: { writeError($0) })
        configuration.files = files.files
        configuration.datasetsFolder = folder + "/datasets"
        configuration.secureProbes = TLSProbes()
        configuration.tokens = try EdgeTokens(membership)
        configuration.modelTrust = NodeModelTrust(client: hub)
        let identity = membership.identity
        let asker = try CloudAsker(host: identity.host, port: identity.port) { membership.trust }
        configuration.upward = { service, question async throws(APIStatus) -> [UInt8] in
            // Without a link nobody waits for a time-out.
            guard await hub.status.isConnected else {
                throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "there is no link to the cloud")
            }
            return try await asker.ask(service, question)
        }
        configuration.judge = { [models] model, question in await models.judge(model, question) }
        configuration.own = (pods.client, LocalPods.namespace)
        agent = NodeAgent(configuration)
        let verbs = EdgeVerbs(node: node, cloud: membership.identity.address, version: version, hub: hub, agent: agent)
        local = try await LocalAPI(
            client: hub, kinds: [.node, .pod, .event, .lease, Self.configMap, Self.dataset, Self.model],
            own: LocalAPI.Own(pods: pods, verbs: verbs, calls: LocalCalls(node: node, handler: agent.calls)),
            environment: Self.environment, programVersion: version)
    }

    /// Answers what the cloud asks of the Pods.
    var calls: any NodeCallHandler { agent.calls }

    /// Runs until its task is cancelled; the Pods then go on, and are found again by the next run.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do { try await agent.run() } catch { writeError("the Pods of this node do not run: \(error)") }
            }
            group.addTask { await local.run() }
            group.addTask { await files.run() }
            group.addTask { await threads.follow(hub, node: node) }
        }
    }

    /// Serves the copy and takes what workers report, in plain text: only this machine's loopback may be given. To be called before `run`,
    /// so that workers can be told where to report.
    ///
    /// - Parameter port: 0 for that of the run before, if it is free.
    func listen(host: String, port: Int) async throws -> HTTPServer {
        // Tensors come here too.
        var limits = HTTPLimits()
        limits.bodyBytesMax = 32 << 20
        let responder = WorkerResponder(door: agent.workerDoor, others: local, models: models, threads: threads)
        let server =
            if port == 0 {
                try await WorkerPort(folder: folder).listen(host: host, limits: limits, responder: responder)
            } else {
                try await HTTPServer.start(host: host, port: port, tls: nil, limits: limits, responder: responder)
            }
        agent.takeReports(at: "http://\(host.contains(":") ? "[\(host)]" : host):\(server.port)")
        return server
    }

    /// Serves the node's owner on the socket in its folder.
    func listenToOwner() async throws -> HTTPServer { try await HTTPServer.start(socket: socket.path, responder: local.owner!) }

    /// To be called once, after `run` has returned.
    func close() { pods.close() }

    private static let environment = APIEnvironment(
        now: { Timestamp(seconds: Int64(time(nil))) }, random: { UInt64.random(in: 0 ... .max) })
}

/// Tokens of service accounts for the Pods of this node, from the cloud that it is a member of.
struct EdgeTokens: PodTokens {
    private let membership: EdgeMembership
    private let client: ServiceTokenClient

    init(_ membership: EdgeMembership) throws {
        self.membership = membership
        let identity = membership.identity
        client = try ServiceTokenClient(host: identity.host, port: identity.port) { membership.trust }
    }

    var authorityPEM: String { membership.identity.authorityPEM }
    var server: (host: String, port: Int) { (membership.identity.host, membership.identity.port) }

    func token(of account: ObjectKey, _ request: JSON) async throws(APIStatus) -> JSON { try await client.token(of: account, request) }
}

/// What the owner of the node may ask for.
struct EdgeVerbs: NodeVerbs {
    let node: String
    let cloud: String
    let version: String
    let hub: EdgeHub
    let agent: NodeAgent

    func status() async -> JSON {
        let status = await hub.status
        return [
            "node": .string(node), "version": .string(version),
            "cloud": [
                "address": .string(cloud), "isConnected": .bool(status.isConnected), "isSynced": .bool(status.isSynced),
                "failure": .string(status.failure),
            ],
            "reports": ["waiting": .integer(Int64(status.unansweredCount)), "dropped": .integer(Int64(status.droppedCount))],
            "objects": .integer(Int64(status.objectCount)),
        ]
    }

    func restart(_ pod: ObjectKey, container: String) async throws(APIStatus) -> [String] {
        try await agent.restart(pod, container: container)
    }
}

import APIServer
import ArgumentParser
import CloudHub
import EdgeHub
import HubProtocol
import Identity
import Network
import NodeAgent
import Resources
import Storage
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The node that lives in the cloud's own process, so that Pods have somewhere to run on one machine: the agent, copy and conversation of any
/// other node, over a link within the process.
struct CloudNode {
    static let name = "cloud-0"
    /// The label by which jobs find where to train.
    static let role = "node-role.kubernetes.io/cloud"
    private let agent: NodeAgent
    /// What its workers serve.
    private let models = ModelProxy()
    /// The API of its agent: the node's copy of its objects.
    private let copy: NodeCopy
    private let dialer: OwnNodeDialer
    /// Tokens for its Pods; they are told where the server is before it runs.
    let tokens: CloudTokens
    private let folder: String
    private let threads: InferenceThreads

    /// - Parameters:
    ///   - cloud: the other end of its link.
    ///   - artifacts: the cloud's files, used as they lie there.
    ///   - folder: where its Pods' files lie, and its copy.
    ///   - inferenceThreads: that compute for models at once; nil for as many as there are cores.
    init(
        _ service: ObjectService, cloud: CloudHub, tokens: CloudTokens, artifacts: ArtifactStore, folder: String, inferenceThreads: Int?,
        environment: APIEnvironment, upward: @escaping @Sendable (ObjectKey, [UInt8]) async throws(APIStatus) -> [UInt8]
    ) async throws {
        self.tokens = tokens
        self.folder = folder
        let version = Skerry.configuration.version
        var settings = ProcessRuntime.Settings(
            folder: folder, worker: [programPath(), "worker"], controlGroup: controlGroupName(folder), programVersion: version)
        settings.permits = InferenceThreads.path(folder)
        let runtime = try ProcessRuntime(settings)
        let threads = try InferenceThreads(folder: folder, own: inferenceThreads)
        self.threads = threads
        copy = try await NodeCopy(folder: folder, now: environment.now)
        let user = User(name: "system:node:\(Self.name)", groups: ["system:nodes", "system:authenticated"])
        dialer = OwnNodeDialer(node: Self.name, cloud: cloud, client: ServiceClient(service, user: user, fieldManager: "kubelet"))
        let begin = ContinuousClock.now
        var configuration = NodeAgent.Configuration(
            nodeName: Self.name, address: machineAddress(), client: copy.hub, runtime: runtime,
            facts: MachineFacts(
                folder: folder, runtimeVersion: runtime.version, programVersion: version,
                more: { WorkerLibraries.conditions() + [threads.condition] }),
            now: { Moment(time: environment.now(), uptime: begin.duration(to: .now)) }, random: environment.random,
            report: { writeError($0) })
        configuration.labels = [Self.role: ""]
        configuration.files = NodeFiles(store: artifacts)
        configuration.datasetsFolder = folder + "/datasets"
        configuration.secureProbes = TLSProbes()
        configuration.tokens = tokens
        configuration.modelTrust = NodeModelTrust(client: configuration.client)
        configuration.upward = upward
        configuration.judge = { [models] model, question in await models.judge(model, question) }
        agent = NodeAgent(configuration)
    }

    /// Makes its Node, so that whoever finds the cloud serving finds the node too.
    func register() async throws(LinkError) { try await dialer.register() }

    /// Runs until its task is cancelled; its Pods then go on, and are found again by the next run.
    func run() async {
        let server = await listen()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await copy.hub.run(dialer, calls: agent.calls) }
            group.addTask { await threads.follow(copy.hub, node: Self.name) }
            group.addTask {
                await copy.awaitTrust()
                if Task.isCancelled { return }
                do { try await agent.run() } catch { writeError("node \(Self.name) does not run: \(error)") }
            }
        }
        await server?.stop(grace: .seconds(1))
    }

    /// A port of the loopback for what workers report. Without one they run and cannot report.
    private func listen() async -> HTTPServer? {
        // Tensors come here too.
        var limits = HTTPLimits()
        limits.bodyBytesMax = 32 << 20
        do {
            let server = try await WorkerPort(folder: folder).listen(
                host: "127.0.0.1", limits: limits,
                responder: WorkerResponder(door: agent.workerDoor, others: nil, models: models, threads: threads))
            agent.takeReports(at: "http://127.0.0.1:\(server.port)")
            return server
        } catch {
            writeError("node \(Self.name): no port of the loopback is free; workers that begin now cannot report: \(error)")
            return nil
        }
    }
}

/// Links of this process' own node to its cloud, through memory. Nobody has to prove anything: both ends are this program.
struct OwnNodeDialer: LinkDialer {
    let node: String
    let cloud: CloudHub
    /// Writes as the node.
    let client: ServiceClient

    /// Other nodes have their Node from joining; without it the cloud turns the link away.
    func register() async throws(LinkError) {
        let name: JSON = .string(node)
        let labels: JSON = ["kubernetes.io/hostname": name, CloudNode.role: ""]
        do throws(APIStatus) {
            try await client.create(.node, ["apiVersion": "v1", "kind": "Node", "metadata": ["name": name, "labels": labels]])
        } catch { if error.code != 409 { throw LinkError("node \(node) cannot be made: \(error.message)") } }
    }

    func dial(_ peer: any LinkPeer) async throws(LinkError) -> any Link {
        try await register()
        let (far, near) = MemoryLink.pair()
        far.connect(cloud.accept(node: node, far))
        near.connect(peer)
        return near
    }
}

/// Tokens of service accounts for Pods in this process' own node.
final class CloudTokens: PodTokens {
    let authorityPEM: String
    private let authenticator: Authenticator
    private let place = Mutex((host: "127.0.0.1", port: 7443))

    init(_ authenticator: Authenticator, authorityPEM: String) { (self.authenticator, self.authorityPEM) = (authenticator, authorityPEM) }

    /// Where the server listens, known once it does.
    var server: (host: String, port: Int) {
        get { place.withLock { $0 } }
        set { place.withLock { $0 = newValue } }
    }

    func token(of account: ObjectKey, _ request: JSON) async throws(APIStatus) -> JSON {
        try authenticator.token(of: account, request, for: CloudNode.name)
    }
}

/// A name for control groups that another cloud or edge on this machine does not have.
func controlGroupName(_ folder: String) -> String {
    let path = realPath(folder)
    let hash = (path ?? folder).utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    return "skerry-\(String(hash, radix: 16))"
}

/// A path that holds no links; nil where nothing is.
func realPath(_ path: String) -> String? {
    realpath(path, nil).map { pointer -> String in
        defer { free(pointer) }
        return String(cString: pointer)
    }
}

/// The first address of this machine that others may reach it by; the loopback's if there is none.
func machineAddress() -> String {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return "127.0.0.1" }
    defer { freeifaddrs(list) }
    var next = list
    while let entry = next?.pointee {
        next = entry.ifa_next
        guard let address = entry.ifa_addr, address.pointee.sa_family == sa_family_t(AF_INET),
            entry.ifa_flags & UInt32(IFF_LOOPBACK) == 0,
            entry.ifa_flags & UInt32(IFF_UP) != 0
        else { continue }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        if getnameinfo(address, socklen_t(MemoryLayout<sockaddr_in>.size), &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 {
            return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
    return "127.0.0.1"
}

/// The libraries without which workers cannot infer or train: whether they lie here. They are loaded by workers only.
enum WorkerLibraries {
    private static let folders = [
        "/lib", "/usr/lib", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
    ]

    static func conditions() -> [NodeCondition] {
        [
            condition("OnnxRuntimeReady", "ONNX Runtime", onnxRuntimeCandidates(), remedy: "SKERRY_ONNXRUNTIME_LIB"),
            condition("TrainingReady", "XGBoost", xgboostCandidates(), remedy: "SKERRY_XGBOOST_LIB"),
        ]
    }

    private static func condition(_ type: String, _ library: String, _ candidates: [String], remedy: String) -> NodeCondition {
        let paths = candidates.flatMap { name in name.contains("/") ? [name] : folders.map { "\($0)/\(name)" } }
        if let found = paths.first(where: { access($0, R_OK) == 0 }) {
            return NodeCondition(type, true, reason: "LibraryFound", message: "\(library) is at \(found)")
        }
        return NodeCondition(
            type, false, reason: "LibraryNotFound", message: "\(library) was not found; run scripts/bootstrap, or name it by \(remedy)")
    }
}

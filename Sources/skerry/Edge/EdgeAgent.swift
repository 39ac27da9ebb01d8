import APIServer
import ArgumentParser
import EdgeAccess
import EdgeHub
import Network
import NodeAgent
import Resources

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
    private let local: LocalAPI
    private let files: EdgeFiles

    /// - Parameters:
    ///   - node: the name that the cloud knows this machine by.
    ///   - folder: of the edge; the files of its Pods lie in `pods` below it.
    ///   - membership: says how the cloud is reached for files.
    init(node: String, hub: EdgeHub, folder: String, _ membership: EdgeMembership) async throws {
        files = try EdgeFiles(folder: folder, hub: hub, membership, now: { Self.environment.now().seconds })
        let version = Skerry.configuration.version
        let settings = ProcessRuntime.Settings(
            folder: folder + "/pods", worker: [programPath(), "worker"], controlGroup: controlGroupName(folder), programVersion: version)
        let runtime = try ProcessRuntime(settings)
        let begin = ContinuousClock.now
        var configuration = NodeAgent.Configuration(
            nodeName: node, address: machineAddress(), client: hub, runtime: runtime,
            facts: MachineFacts(
                folder: folder, runtimeVersion: runtime.version, programVersion: version, more: { WorkerLibraries.conditions() }),
            now: { Moment(time: Self.environment.now(), uptime: begin.duration(to: .now)) }, random: Self.environment.random,
            report: { writeError($0) })
        configuration.files = files.files
        agent = NodeAgent(configuration)
        local = try await LocalAPI(
            client: hub, kinds: [.node, .pod, .event, .lease, Self.configMap, Self.dataset, Self.model], environment: Self.environment,
            programVersion: version)
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
        }
    }

    /// Serves the copy and takes what workers report, in plain text: only this machine's loopback may be given. To be called before `run`,
    /// so that workers can be told where to report.
    func listen(host: String, port: Int) async throws -> HTTPServer {
        let server = try await HTTPServer.start(
            host: host, port: port, tls: nil, responder: WorkerResponder(door: agent.workerDoor, others: local))
        agent.takeReports(at: "http://\(host.contains(":") ? "[\(host)]" : host):\(server.port)")
        return server
    }

    private static let environment = APIEnvironment(
        now: { Timestamp(seconds: Int64(time(nil))) }, random: { UInt64.random(in: 0 ... .max) })
}

import ArgumentParser
import EdgeAccess
import Network
import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `skerry edge`: a node of a cloud, and what its owner does on it.
struct EdgeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "edge", abstract: "Run a node: join a cloud once, then stay its node, with or without a link to it.",
        discussion: """
            skerry edge --data-dir edge --join TOKEN    the first time; from then on without --join
            'skerry edge run --help' shows every option of the node itself.
            """,
        subcommands: [
            EdgeRunCommand.self, EdgeStatusCommand.self, EdgeLogsCommand.self, EdgeRestartCommand.self, EdgeDeployCommand.self,
            EdgeRemoveCommand.self,
        ], defaultSubcommand: EdgeRunCommand.self)
}

struct EdgeRunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "run", abstract: "Run the node until SIGTERM (the default).")

    @Option(help: "Folder of this node's identity, objects and files.")
    var dataDir: String
    @Option(help: "Token of 'skerry token create'; only the first time, or after the node was removed from the cloud.")
    var join: String?
    @Option(help: "Name of the node (default: the token's, then this machine's).")
    var name: String?
    @Option(help: "Address and port on this machine's loopback that show the node's objects; port 0 is a free one, which the node keeps.")
    var listen = "127.0.0.1:7480"
    @Option(
        help:
            "Bytes a second of the link that files may take, both ways together: 64k, 2M (default: no bound). The cloud may set a lower one: kubectl annotate node NAME \(EdgeFiles.bandwidthAnnotation)=500k."
    )
    var bandwidth: ByteRate?
    @Option(
        help:
            "Threads that compute for models at once, over all models of this node (default: as many as the machine has cores). The cloud may set fewer: kubectl annotate node NAME \(InferenceThreads.annotation)=1."
    )
    var inferenceThreads: Int?

    func validate() throws {
        if let inferenceThreads, !(1...256).contains(inferenceThreads) {
            throw ValidationError("--inference-threads must be 1 to 256, found \(inferenceThreads)")
        }
        guard let (host, _) = CloudSettings.address(listen), host.hasPrefix("127.") || host == "::1" || host == "localhost" else {
            throw ValidationError(
                "--listen \(listen): expected an address of the loopback and a port, as 127.0.0.1:7480; what is shown there asks for no name"
            )
        }
    }

    func run() async throws {
        HeapKeeper.prepare()
        let signals = TerminationSignals()
        let membership = try await EdgeMembership.enter(
            folder: dataDir, token: join, name: name, hostName: Self.hostName(),
            EdgeMembership.Environment(
                now: { Int64(time(nil)) }, report: { writeError($0) }, userAgent: "skerry/\(Skerry.configuration.version)"))
        writeError("node \(membership.identity.node) of \(membership.identity.address)")
        let opened = try await FullDisk.awaited(dataDir, isEnding: { signals.hasCome }) {
            let node = try await EdgeNode(folder: dataDir, membership)
            let agent = try await EdgeAgent(
                membership, hub: node.hub, folder: dataDir, bandwidth: bandwidth, inferenceThreads: inferenceThreads)
            return (node, agent)
        }
        guard let (node, agent) = opened else { return }
        let (host, port) = CloudSettings.address(listen)!
        let owner = try await agent.listenToOwner()
        let server = try await agent.listen(host: host, port: port)
        writeError("this node's objects: kubectl --server=http://\(host.contains(":") ? "[\(host)]" : host):\(server.port) get pods")
        let work = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await membership.run() }
                group.addTask { await node.run(calls: agent.calls) }
                group.addTask {
                    await node.awaitCopy()
                    if !Task.isCancelled { await agent.run() }
                }
                group.addTask { await HeapKeeper.run() }
            }
        }
        await signals.first()
        writeError("stopping; Pods go on")
        work.cancel()
        await work.value
        await owner.stop(grace: .seconds(1))
        await server.stop()
        agent.close()
    }

    /// This machine's name as a node may be called; empty if nothing of it can.
    static func hostName() -> String {
        var bytes = [CChar](repeating: 0, count: 256)
        guard gethostname(&bytes, bytes.count - 1) == 0 else { return "" }
        let name = String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased()
        let plain = name.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-") ? $0 : "-" }
        let ends = Set<Character>(["-", "."])
        let trimmed = String(plain.drop { ends.contains($0) }.reversed().drop { ends.contains($0) }.reversed())
        return NameRules.isSubdomain(trimmed) ? trimmed : ""
    }
}

import APIServer
import ArgumentParser
import CloudHub
import Controllers
import HubProtocol
import Identity
import Network
import Reconciliation
import Resources
import Storage

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

/// `skerry cloud`: the control plane, with the Kubernetes API in this process.
struct CloudCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cloud", abstract: "Run the control plane: the Kubernetes API for kubectl, on one port.",
        subcommands: [CloudServeCommand.self, CloudBackupCommand.self, CloudRestoreCommand.self], defaultSubcommand: CloudServeCommand.self)
}

/// The folder that every cloud command works on.
struct CloudOptions: ParsableArguments {
    @Option(help: "Folder of the cloud's store, keys and admin.kubeconfig.")
    var dataDir: String
}

struct CloudServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "serve", abstract: "Serve until SIGTERM (the default).")

    @Option(help: "Folder of the cloud's store, keys and admin.kubeconfig; needed here or in the file.")
    var dataDir: String?
    @Option(help: "Address and port to listen on; port 0 lets the system choose (default: 127.0.0.1:7443).")
    var listen: String?
    @Option(help: "File of settings in YAML or JSON; flags win over it.")
    var config: String?
    @Option(help: "A further name or address by which edges and clients reach this cloud; may be given more than once.")
    var alsoKnownAs: [String] = []
    @Option(help: "Kubeconfig of a Kubernetes to run beside, instead of the embedded API.")
    var kubeconfig: String?
    @Option(help: "Context of --kubeconfig; its current one if none is named.")
    var context: String?
    @Flag(inversion: .prefixedNo, help: "Run Pods on this machine too, as node cloud-0.")
    var node = true

    func validate() throws {
        if let listen, CloudSettings.address(listen) == nil {
            throw ValidationError("--listen \(listen): expected ADDRESS:PORT, as 127.0.0.1:7443")
        }
        guard config == nil else { return }
        if dataDir == nil { throw ValidationError("--data-dir is missing; name the cloud's folder, here or as dataDir in a --config file") }
        if context != nil, kubeconfig == nil { throw ValidationError("--context \(context!): there is no --kubeconfig to take it from") }
    }

    /// The file's settings with the flags' over them.
    private func settings() throws -> CloudSettings {
        var settings = try CloudSettings(file: config)
        if let dataDir { settings.dataDir = dataDir }
        if let listen { settings.listen = listen }
        if !alsoKnownAs.isEmpty { settings.alsoKnownAs = alsoKnownAs }
        if let kubeconfig {
            settings.kubeconfig = kubeconfig
            // A context of the file is one of the file's kubeconfig.
            settings.context = nil
        }
        if let context { settings.context = context }
        settings.hasNode = node
        if settings.context != nil, settings.kubeconfig == nil {
            throw ValidationError("--context \(context ?? ""): there is no --kubeconfig to take it from")
        }
        return settings
    }

    func run() async throws {
        HeapKeeper.prepare()
        let settings = try settings()
        guard let dataDir = settings.dataDir, let (host, port) = CloudSettings.address(settings.listen) else {
            throw ValidationError("dataDir is missing in \(config ?? "the settings"); name the cloud's folder there or by --data-dir")
        }
        if let kubeconfig = settings.kubeconfig {
            let cluster = try ForeignCluster(
                kubeconfig: kubeconfig, context: settings.context, version: Skerry.configuration.version)
            // Without an address of its own such a cloud only controls.
            var doors: ForeignCluster.Doors?
            if settings.listen != CloudSettings().listen {
                let directory = try CloudDirectory(dataDir)
                let authority = try directory.authority(now: Date())
                doors = ForeignCluster.Doors(
                    directory: directory, authority: authority,
                    identity: try Self.serverIdentity(authority, [host] + settings.alsoKnownAs, Date()), host: host, port: port,
                    limits: Self.limits(settings.http))
            }
            return try await cluster.run(doors, time: Self.environment.now, random: Self.environment.random)
        }
        try await Self.serve(settings, dataDir: dataDir, host: host, port: port)
    }

    /// Serves the embedded API with everything around it, until SIGTERM.
    ///
    /// - Parameter beside: runs in the cloud's process with its objects at hand, as its controllers do, until its task is cancelled.
    static func serve(
        _ settings: CloudSettings, dataDir: String, host: String, port: Int,
        beside: @escaping @Sendable (ObjectService) async -> Void = { _ in }
    ) async throws {
        let signals = TerminationSignals()
        let directory = try CloudDirectory(dataDir)
        let now = Date()
        let authority = try directory.authority(now: now)
        let store = try RevisionStore(.file(directory.store), settings.store)
        let service = try ObjectService(store: store, environment: Self.environment)
        try await InitialObjects.make(in: service)
        let tokens = try directory.tokens()
        let podTokens = CloudTokens(Authenticator(service: service, tokens: tokens), authorityPEM: authority.certificatePEM)
        let artifacts = try ArtifactStore(folder: directory.artifacts, now: { Self.environment.now().seconds })
        let knowledge = try CloudKnowledge(path: directory.knowledge, artifacts: artifacts, now: Self.environment.now)
        let notary = try CloudNotary(directory, artifacts: artifacts)
        let keeper = ServiceClient(service, user: User(name: "system:skerry:join", groups: ["system:masters"]))
        let hub = Self.hub(service)
        let joint = JointCalls(client: keeper, calls: hub)
        let questions = NodeQuestions(calls: hub)
        let ownNode =
            settings.hasNode
            ? try await CloudNode(
                service, cloud: hub, tokens: podTokens, artifacts: artifacts, folder: "\(directory.path)/node",
                inferenceThreads: settings.inferenceThreads, environment: Self.environment
            ) { (key, question) async throws(APIStatus) -> [UInt8] in try await joint.ask(key, by: CloudNode.name, question) } : nil
        let api = APIServer(
            service: service, tokens: tokens, programVersion: Skerry.configuration.version,
            audit: settings.isAudited
                ? try directory.auditLog(bytesMax: settings.auditBytesMax, filesMax: settings.auditFilesMax) : nil,
            doors: [
                HubDoor(hub: hub),
                try JoinDoor(client: keeper, authority: authority, now: Self.environment.now),
                ArtifactDoor(service: service, store: artifacts), JointDoor(calls: joint),
                LabelDoor(service: service, questions: questions),
                SnapshotDoor(path: CloudKnowledge.path, type: "application/vnd.sqlite3", service: service) { () async throws(APIStatus) in
                    try await knowledge.snapshot()
                },
            ] + MetricsDoor.all(service: service, questions: questions), calls: hub)
        let identity = try Self.serverIdentity(authority, [host] + settings.alsoKnownAs, now)
        let server = try await HTTPServer.start(host: host, port: port, tls: identity, limits: Self.limits(settings.http), responder: api)
        podTokens.server = (["0.0.0.0", "::"].contains(host) ? "127.0.0.1" : host, server.port)
        let name = host.contains(":") ? "[\(host)]" : host
        try directory.writeKubeconfig(server: "https://\(name):\(server.port)", authority, now: now)
        try await ownNode?.register()
        writeError("serving the Kubernetes API on https://\(name):\(server.port)")
        writeError("export KUBECONFIG=\(absolutePath(directory.kubeconfig))")
        let controllers = Self.controllers(
            service, knowledge, notary, CloudCutter(artifacts: artifacts), nodeGraceSeconds: settings.nodeGraceSeconds)
        let upkeep = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await controllers.run() }
                group.addTask { await hub.run() }
                if let ownNode { group.addTask { await ownNode.run() } }
                group.addTask { await HistoryKeeper(store, kept: settings.historyKept).run() }
                group.addTask {
                    await LeftoverKeeper(service: service, tokens: JoinTokens(keeper), artifacts: artifacts) { writeError($0) }.run()
                }
                group.addTask { await HeapKeeper.run() }
                group.addTask { await beside(service) }
            }
        }
        await signals.first()
        writeError("stopping: finishing the requests in flight")
        upkeep.cancel()
        await upkeep.value
        await server.stop(grace: settings.drainTimeout)
        store.close()
    }

    private static let random = SystemRandom()
    private static let environment = APIEnvironment(now: { Timestamp(seconds: Int64(time(nil))) }, random: { random.next() })

    /// Links of nodes are connections too, and stay.
    private static func limits(_ wanted: HTTPLimits) -> HTTPLimits {
        var limits = wanted
        limits.connectionsMax += CloudHub.Limits().sessionsMax
        return limits
    }

    /// The nodes' side of the API: reads what they need, and writes what they report with no more rights than they have.
    private static func hub(_ service: ObjectService) -> CloudHub {
        CloudHub(
            client: ServiceClient(service, user: User(name: "system:skerry:hub", groups: ["system:masters"])),
            nodeClient: { AuthorizedClient.node($0, service) },
            renewal: { await service.renewLeases(of: $0, manager: AuthorizedClient.nodeManager) }, environment: .process(environment.now))
    }

    /// What every cluster does by itself.
    private static func controllers(
        _ service: ObjectService, _ knowledge: CloudKnowledge, _ notary: CloudNotary, _ cutter: CloudCutter, nodeGraceSeconds: Int64
    ) -> ReconcileRunner<ContinuousClock> {
        let client = ServiceClient(service, user: User(name: "system:kube-controller-manager", groups: ["system:masters"]))
        return ReconcileRunner(
            client: client,
            reconcilers: ClusterControllers.all(client, nodeGraceSeconds: nodeGraceSeconds)
                + OwnControllers.all(client, recorder: knowledge, notary: notary, cutter: cutter),
            clock: ContinuousClock(),
            time: environment.now,
            random: environment.random,
            report: { writeError($0) })
    }

    /// A certificate for this run: names and addresses may be others the next time.
    private static func serverIdentity(_ authority: Authority, _ places: [String], _ now: Date) throws -> TLSIdentity {
        var name = [CChar](repeating: 0, count: 256)
        var names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        if gethostname(&name, name.count - 1) == 0 {
            names.append(String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        var addresses: [[UInt8]] = [[127, 0, 0, 1], [UInt8](repeating: 0, count: 15) + [1]]
        for place in places {
            let address = bytes(ofAddress: place)
            // Whoever listens everywhere is reached at every address of the machine.
            if let address, address.allSatisfy({ $0 == 0 }) {
                addresses += ownAddresses()
            } else if let address {
                addresses.append(address)
            }
            if address == nil, !names.contains(place) { names.append(place) }
        }
        var known: Set<[UInt8]> = []
        let issued = try authority.issueServer(
            names: names, addresses: addresses.filter { known.insert($0).inserted }, now: now, validFor: 365 * 86400)
        return TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: authority.certificatePEM)
    }

    /// The addresses of this machine's interfaces.
    private static func ownAddresses() -> [[UInt8]] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        return sequence(first: first) { $0?.pointee.ifa_next }.prefix { $0 != nil }.compactMap { entry -> [UInt8]? in
            guard let address = entry?.pointee.ifa_addr else { return nil }
            switch Int32(address.pointee.sa_family) {
            case AF_INET:
                return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                    withUnsafeBytes(of: $0.pointee.sin_addr) { Array($0) }
                }
            case AF_INET6:
                return address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                    withUnsafeBytes(of: $0.pointee.sin6_addr) { Array($0) }
                }
            default: return nil
            }
        }
    }

    /// Four or sixteen bytes of an address; nil for a name.
    private static func bytes(ofAddress text: String) -> [UInt8]? {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: four) { Array($0) } }
        var six = in6_addr()
        if inet_pton(AF_INET6, text, &six) == 1 { return withUnsafeBytes(of: six) { Array($0) } }
        return nil
    }
}

struct CloudBackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Write the state of a cloud, running or not, into a new file.",
        discussion: "Holds every object and no keys: keep ca.crt, ca.key, sa.key and models.key of the data directory beside it.")

    @OptionGroup var options: CloudOptions
    @Argument(help: "The file to write; it must not exist.")
    var file: String

    func run() throws { try RevisionBackup.make(of: CloudDirectory(options.dataDir).store, to: file) }
}

struct CloudRestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup in the place of a stopped cloud's state.")

    @OptionGroup var options: CloudOptions
    @Argument(help: "The file that 'skerry cloud backup' wrote.")
    var file: String

    func run() throws { try RevisionBackup.restore(file, to: CloudDirectory(options.dataDir).store) }
}

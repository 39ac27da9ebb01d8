import APIServer
import CloudHub
import Controllers
import HubProtocol
import Identity
import KubernetesClient
import Network
import Reconciliation
import Resources
import Storage

/// `skerry cloud --kubeconfig`: the cloud beside a Kubernetes that somebody else runs, instead of the embedded API.
struct ForeignCluster {
    let client: RESTClient
    let access: ClusterAccess

    init(kubeconfig: String, context: String?, version: String) throws {
        access = try Kubeconfig(path: kubeconfig, read: Self.read).access(context: context)
        client = try RESTClient(access, userAgent: "skerry/\(version)", read: Self.read)
    }

    /// The doors of this cloud beside the foreign server.
    struct Doors {
        let directory: CloudDirectory
        let authority: Authority
        let identity: TLSIdentity
        let host: String
        let port: Int
        let limits: HTTPLimits
    }

    /// Joins, files and the hub go on the cloud's own port; its nodes are the foreign server's Nodes, and write there in their own name.
    private func serve(_ doors: Doors, time: @escaping @Sendable () -> Timestamp) async throws -> Served {
        let hub = CloudHub(
            client: client,
            nodeClient: { [client] node in client.acting(as: "system:node:\(node)", groups: ["system:nodes", "system:authenticated"]) },
            environment: .process(time))
        let files = try ArtifactStore(folder: doors.directory.artifacts, now: { time().seconds })
        let responder = DoorServer(
            client: client,
            doors: [
                HubDoor(hub: hub), try JoinDoor(client: client, authority: doors.authority, now: time),
                ArtifactDoor(client: client, store: files, now: time),
                JointDoor(calls: JointCalls(client: client, calls: hub)),
            ])
        let server = try await HTTPServer.start(
            host: doors.host, port: doors.port, tls: doors.identity, limits: doors.limits, responder: responder)
        writeError("nodes join by https://\(doors.host):\(server.port); its authority is \(doors.directory.path)/ca.crt")
        let keeper = LeftoverKeeper(client: client, tokens: JoinTokens(client), artifacts: files, now: time, report: { writeError($0) })
        return Served(
            server: server, hub: hub, keeper: keeper, notary: try CloudNotary(doors.directory, artifacts: files),
            cutter: CloudCutter(artifacts: files),
            knowledge: try CloudKnowledge(path: doors.directory.knowledge, artifacts: files, now: time))
    }

    /// What a cloud with a port of its own has beside the foreign server: files, so that it can sign them and remember rounds.
    private struct Served {
        let server: HTTPServer
        let hub: CloudHub
        let keeper: LeftoverKeeper
        let notary: CloudNotary
        let cutter: CloudCutter
        let knowledge: CloudKnowledge
    }

    /// Runs until SIGTERM.
    ///
    /// - Parameter doors: of nodes; nil for a cloud that only controls.
    func run(_ doors: Doors?, time: @escaping @Sendable () -> Timestamp, random: @escaping @Sendable () -> UInt64) async throws {
        let signals = TerminationSignals()
        writeError("running beside \(access), Kubernetes \(try await client.version())")
        let left = ClusterControllers.all(client).map(\.name)
        writeError("not run here, since a Kubernetes has its own: \(left.joined(separator: ", "))")
        let served = if let doors { try await serve(doors, time: time) } else { nil as Served? }
        let nodes = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await served?.hub.run() }
                group.addTask { await served?.keeper.run() }
                group.addTask { await HeapKeeper.run() }
            }
        }
        let work = Task {
            await makeKinds()
            let own = OwnControllers.all(client, recorder: served?.knowledge, notary: served?.notary, cutter: served?.cutter)
            writeError(own.isEmpty ? "no controllers of jobs in this version" : "controllers: \(own.map(\.name).joined(separator: ", "))")
            await ReconcileRunner(
                client: client, reconcilers: own, clock: ContinuousClock(), time: time, random: random, report: { writeError($0) }
            ).run()
        }
        await signals.first()
        writeError("stopping")
        work.cancel()
        nodes.cancel()
        await work.value
        await nodes.value
        await served?.server.stop()
        await client.close()
    }

    /// Makes the definitions of our kinds; tried again until the server takes them.
    private func makeKinds() async {
        let backoff = ExponentialBackoff(first: .seconds(1), limit: .seconds(60))
        var failures = 0
        while !Task.isCancelled {
            do {
                let made = try await OwnKinds.make(by: client)
                writeError(made.isEmpty ? "the server has every kind of ours" : "made the kinds \(made.joined(separator: ", "))")
                return
            } catch {
                failures += 1
                writeError("making our kinds: \(error.message)")
                try? await Task.sleep(for: backoff.wait(afterFailures: failures))
            }
        }
    }

    @Sendable static func read(_ path: String) throws -> [UInt8] { try SmallFile.read(path, bytesMax: Kubeconfig.bytesMax) }
}

import Controllers
import KubernetesClient
import Reconciliation
import Resources

/// `skerry cloud --kubeconfig`: the cloud beside a Kubernetes that somebody else runs, instead of the embedded API.
struct ForeignCluster {
    let client: RESTClient
    let access: ClusterAccess

    init(kubeconfig: String, context: String?, version: String) throws {
        access = try Kubeconfig(path: kubeconfig, read: Self.read).access(context: context)
        client = try RESTClient(access, userAgent: "skerry/\(version)", read: Self.read)
    }

    /// Runs until SIGTERM.
    func run(time: @escaping @Sendable () -> Timestamp, random: @escaping @Sendable () -> UInt64) async throws {
        let signals = TerminationSignals()
        writeError("running beside \(access), Kubernetes \(try await client.version())")
        let left = ClusterControllers.all(client).map(\.name)
        writeError("not run here, since a Kubernetes has its own: \(left.joined(separator: ", "))")
        let work = Task {
            await makeKinds()
            let own = OwnControllers.all(client)
            writeError(own.isEmpty ? "no controllers of jobs in this version" : "controllers: \(own.map(\.name).joined(separator: ", "))")
            await ReconcileRunner(
                client: client, reconcilers: own, clock: ContinuousClock(), time: time, random: random, report: { writeError($0) }
            ).run()
        }
        await signals.first()
        writeError("stopping")
        work.cancel()
        await work.value
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

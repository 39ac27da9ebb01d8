import ArgumentParser
import EdgeAccess
import EdgeHub
import NodeAgent
import Resources
import Storage

/// The files of this edge by digest: brought from the cloud for its Pods, taken there for its workers, kept while one of the node's objects
/// names them.
struct EdgeFiles: Sendable {
    private static let period: Duration = .seconds(900)
    /// What nothing names stays so long after it arrived or was last asked for.
    private static let graceSeconds: Int64 = 86400
    /// Failures in a row after which the agent hears why a file does not come; it then tries again.
    private static let failuresMax = 4
    /// What the cloud's people set on a Node to bound what files take of its link, as `ByteRate` reads it.
    static let bandwidthAnnotation = "skerry.io/bandwidth"

    private let store: ArtifactStore
    private let hub: EdgeHub
    /// For the node's agent.
    let files: NodeFiles

    /// - Parameters:
    ///   - folder: of the edge; the files lie in `artifacts` below it.
    ///   - bandwidth: of the node's owner; the lower one of this and the Node's annotation holds.
    init(
        folder: String, hub: EdgeHub, _ membership: EdgeMembership, bandwidth: ByteRate?, now: @escaping @Sendable () -> Int64
    ) throws {
        store = try ArtifactStore(folder: folder + "/artifacts", now: now)
        self.hub = hub
        var limits = ArtifactFetcher.Limits()
        limits.failuresMax = Self.failuresMax
        let identity = membership.identity
        let fetcher = ArtifactFetcher(
            store: store, host: identity.host, port: identity.port, userAgent: "skerry/\(Skerry.configuration.version)", limits: limits,
            rate: { await Self.rate(hub, identity.node, bandwidth) }, report: { writeError($0) },
            jitter: { Double.random(in: 0..<1) }, trust: { membership.trust })
        files = NodeFiles(
            store: store,
            bring: { digest throws(NodeFilesError) in
                do throws(EdgeAccessError) { try await fetcher.fetch(digest) } catch { throw NodeFilesError(error.description) }
            },
            send: { digest throws(NodeFilesError) in
                do throws(EdgeAccessError) { try await fetcher.send(digest) } catch { throw NodeFilesError(error.description) }
            })
    }

    private static func rate(_ hub: EdgeHub, _ node: String, _ own: ByteRate?) async -> Int64? {
        let object = try? await hub.get(.node, ObjectKey(name: node))
        let wanted = object?["metadata"]?["annotations"]?[bandwidthAnnotation]?.string.flatMap { ByteRate(argument: $0) }
        return [own, wanted].compactMap { $0?.bytesPerSecond }.min()
    }

    /// Removes files that no object of the node names, now and then, until its task is cancelled.
    func run() async {
        while true {
            do { try await Task.sleep(for: Self.period) } catch { return }
            var named: Set<ArtifactDigest> = []
            do {
                for kind in try await hub.kinds() {
                    for object in try await hub.listAll(kind).items { named.formUnion(ArtifactDigest.named(in: object.bytes())) }
                }
            } catch {
                writeError("looking for files that nothing names: \(error)")
                continue
            }
            let collected = store.collect(keeping: named, graceSeconds: Self.graceSeconds)
            if collected.count > 0 { writeError("removed \(collected.count) files of \(collected.byteCount) bytes that no object names") }
        }
    }
}

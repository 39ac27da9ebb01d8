import KubernetesClient
import Network
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

/// A cloud and edges of this program, each a process of its own in one folder, for what is measured across them.
final class BenchCluster {
    let folder: String
    let client: RESTClient
    private let cloud: BenchProcess
    private var edges: [BenchProcess] = []

    /// Starts a cloud without a node of its own.
    init(folder: String) async throws {
        self.folder = folder
        cloud = try BenchProcess(
            [programPath(), "cloud", "--data-dir", folder, "--listen", "127.0.0.1:0", "--no-node"], output: "\(folder)/cloud.log")
        do {
            try await Self.until("the cloud serves", in: folder) { Self.text("\(folder)/cloud.log").contains("export KUBECONFIG") }
            client = try RESTClient(try Self.access(folder), userAgent: "skerry-bench", read: ForeignCluster.read)
        } catch {
            cloud.stop()
            throw error
        }
    }

    /// Ends all of it, Pods first: their processes outlive an agent.
    func stop() async {
        try? await endPods()
        await client.close()
        for edge in edges { kill(edge.pid, SIGTERM) }
        for edge in edges { edge.stop() }
        cloud.stop()
    }

    private func endPods() async throws {
        for pod in try await client.listAll(.pod, ListQuery()).items {
            try await client.delete(.pod, ObjectKey(pod), Deletion(gracePeriodSeconds: 1))
        }
        try await until("every Pod has ended") { try await client.listAll(.pod, ListQuery()).items.isEmpty }
    }

    /// Joins an edge and waits until it is there.
    func addEdge(_ name: String) async throws {
        let output = "\(folder)/\(name).token"
        let made = try BenchProcess(
            [programPath(), "token", "create", "--node", name, "--kubeconfig", "\(folder)/admin.kubeconfig"], output: output)
        made.wait()
        let token = Self.text(output).prefix { $0 != "\n" }
        guard token.hasPrefix("K1.") else { throw CloudError("no token for \(name): \(token)") }
        edges.append(
            try BenchProcess(
                [programPath(), "edge", "--data-dir", "\(folder)/\(name)", "--listen", "127.0.0.1:0", "--join", String(token)],
                output: "\(folder)/\(name).log"))
        try await until("\(name) is ready") { Self.text("\(self.folder)/\(name).log").contains("--server=") }
    }

    /// Gives the cloud a file.
    func upload(_ bytes: [UInt8]) async throws -> ArtifactDigest {
        let access = try Self.access(folder)
        let http = try PooledHTTPClient(host: access.host, port: access.port, trust: access.trust)
        let digest = ArtifactDigest(of: bytes)
        let answer = try await http.send(HTTPRequest(method: "PUT", path: "/artifacts/sha256/\(digest.hex)", body: bytes))
        await http.close()
        guard answer.status == 201 || answer.status == 200 else { throw CloudError("a file was answered \(answer.status)") }
        return digest
    }

    /// Waits until something is so.
    ///
    /// - Throws: `CloudError` after five minutes.
    func until(_ what: String, every wait: Duration = .milliseconds(20), _ isSo: () async throws -> Bool) async throws {
        try await Self.until(what, in: folder, every: wait, isSo)
    }

    private static func until(
        _ what: String, in folder: String, every wait: Duration = .milliseconds(20), _ isSo: () async throws -> Bool
    ) async throws {
        let end = ContinuousClock.now + .seconds(300)
        while try await !isSo() {
            guard .now < end else { throw CloudError("waited five minutes in vain: \(what); see \(folder)") }
            try await Task.sleep(for: wait)
        }
    }

    private static func access(_ folder: String) throws -> ClusterAccess {
        try Kubeconfig(path: "\(folder)/admin.kubeconfig", read: ForeignCluster.read).access(context: nil)
    }

    private static func text(_ path: String) -> String {
        guard Glibc.access(path, F_OK) == 0 else { return "" }
        return ((try? SmallFile.read(path, bytesMax: 1 << 20)).map { String(decoding: $0, as: UTF8.self) }) ?? ""
    }
}

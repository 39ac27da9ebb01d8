import ArgumentParser
import EdgeAccess
import EdgeHub
import HubProtocol
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

/// The hub of this edge: its copy in `edge.db`, its own key in `node.key`, links to the cloud that its membership names.
struct EdgeNode: Sendable {
    /// The API of this node's programs.
    let hub: EdgeHub
    private let copy: NodeCopy
    private let client: WebSocketClient

    init(folder: String, _ membership: EdgeMembership) async throws {
        copy = try await NodeCopy(folder: folder) { Timestamp(seconds: Int64(time(nil))) }
        hub = copy.hub
        let identity = membership.identity
        client = WebSocketLink.client(host: identity.host, port: identity.port) { membership.trust }
    }

    /// Keeps the link to the cloud until its task is cancelled.
    ///
    /// - Parameter calls: answers what the cloud asks of this node's Pods.
    func run(calls: (any NodeCallHandler)? = nil) async {
        await hub.run(WebSocketDialer(client, path: "/hub/v1"), calls: calls)
        await client.close()
    }

    /// Returns once the copy is to be relied on.
    func awaitCopy() async { await copy.awaitTrust() }

    /// A node's key, made the first time.
    static func key(_ path: String) throws -> NodeKey {
        if access(path, F_OK) == 0 {
            guard let key = NodeKey([UInt8](try Data(contentsOf: URL(filePath: path)))) else {
                throw CloudError(
                    "\(path) does not hold a key of \(NodeKey.byteCount) bytes; remove it, and the Secrets are fetched from the cloud again"
                )
            }
            return key
        }
        let bytes = NodeKey.newBytes()
        let file = try WholeFile(path: path, isPrivate: true)
        try file.write(bytes)
        try file.commit()
        return NodeKey(bytes)!
    }
}

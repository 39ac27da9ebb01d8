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
    private let client: WebSocketClient

    init(folder: String, _ membership: EdgeMembership) throws {
        let store = try EdgeStore(
            .file("\(folder)/edge.db"), key: try Self.key("\(folder)/node.key"), random: { UInt64.random(in: 0 ... .max) })
        hub = try EdgeHub(
            store: store, program: Skerry.configuration.version,
            environment: .process { Timestamp(seconds: Int64(time(nil))) })
        let identity = membership.identity
        client = WebSocketClient(host: identity.host, port: identity.port, limits: WebSocketLink.limits) { membership.trust }
    }

    /// Keeps the link to the cloud until its task is cancelled.
    ///
    /// - Parameter calls: answers what the cloud asks of this node's Pods.
    func run(calls: (any NodeCallHandler)? = nil) async {
        await hub.run(WebSocketDialer(client, path: "/hub/v1"), calls: calls)
        await client.close()
    }

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

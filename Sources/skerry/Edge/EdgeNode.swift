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
    /// Lies there from the moment a damaged copy is set aside until the new one is whole.
    private let renewalMark: String

    init(folder: String, _ membership: EdgeMembership) async throws {
        let (path, key, mark) = ("\(folder)/edge.db", try Self.key("\(folder)/node.key"), "\(folder)/edge.db.renewed")
        renewalMark = mark
        hub = try await DamagedCopy.replaced(path) { error in
            let file = try WholeFile(path: mark, isPrivate: true)
            try file.commit()
            writeError(
                "\(path) is damaged (\(error.message)) and kept as \(path).damaged; this node's objects are fetched from the cloud again, reports that the cloud had not answered are lost"
            )
        } open: {
            try EdgeHub(
                store: try EdgeStore(.file(path), key: key, random: { UInt64.random(in: 0 ... .max) }),
                program: Skerry.configuration.version, environment: .process { Timestamp(seconds: Int64(time(nil))) })
        }
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

    /// Returns once the copy is to be relied on: at once, unless it was begun anew. What it does not show before may be running all the same.
    func awaitCopy() async {
        guard access(renewalMark, F_OK) == 0 else { return }
        writeError("Pods stay as they are until the cloud has said which there are")
        while !Task.isCancelled {
            if await hub.status.isSynced {
                unlink(renewalMark)
                return
            }
            try? await Task.sleep(for: .milliseconds(200))
        }
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

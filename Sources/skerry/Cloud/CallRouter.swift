import CloudHub
import Resources

/// Calls to the node in this process stay here; those to all others go over the hub's links.
struct CallRouter: NodeCalls {
    /// Nil if this process runs no Pods.
    let own: CloudNode?
    let hub: CloudHub

    func open(_ call: NodeCall, on node: String) async throws(APIStatus) -> any CallStream {
        if node == CloudNode.name, let own { return try await own.calls.open(call, on: node) }
        return try await hub.open(call, on: node)
    }
}

import CloudHub
import Resources
import Synchronization

/// Calls to the node in this process stay here; those to all others go over the hub's links.
final class CallRouter: NodeCalls {
    private let hub: CloudHub
    private let place = Mutex<CloudNode?>(nil)

    init(hub: CloudHub) { self.hub = hub }

    /// Set once, before the first call; nil if this process runs no Pods.
    var own: CloudNode? {
        get { place.withLock { $0 } }
        set { place.withLock { $0 = newValue } }
    }

    func open(_ call: NodeCall, on node: String) async throws(APIStatus) -> any CallStream {
        if node == CloudNode.name, let own { return try await own.calls.open(call, on: node) }
        return try await hub.open(call, on: node)
    }
}

package import Resources
import Synchronization

/// A client whose user is killed at a chosen write: before it reaches the server, or after it is done but before its answer arrives.
/// Every later call fails too, until it is revived.
package final class StoppingClient: ObjectClient {
    package enum Stop: Sendable, Equatable {
        case before(write: Int)
        case after(write: Int)
    }

    private struct State {
        var stop: Stop?
        var writes = 0
        var isStopped = false
    }

    private let server: any ObjectClient
    private let state = Mutex(State())

    package init(_ server: any ObjectClient) { self.server = server }

    package static let killed = APIStatus(code: 503, reason: "ServiceUnavailable", message: "killed here")

    /// Counts writes from 1 again and stops at the given one; nil for never.
    package func revive(stop: Stop?) { state.withLock { $0 = State(stop: stop) } }

    package var isStopped: Bool { state.withLock { $0.isStopped } }

    private func checkAlive() throws(APIStatus) { if isStopped { throw Self.killed } }

    private func write<Value: Sendable>(_ body: () async throws(APIStatus) -> Value) async throws(APIStatus) -> Value {
        try checkAlive()
        let stop = state.withLock { state -> Stop? in
            state.writes += 1
            return [.before(write: state.writes), .after(write: state.writes)].contains(state.stop) ? state.stop : nil
        }
        if stop != nil { state.withLock { $0.isStopped = true } }
        if case .before = stop { throw Self.killed }
        let value = try await body()
        if stop != nil { throw Self.killed }
        return value
    }

    package func kinds() async throws(APIStatus) -> [ResourceKind] {
        try checkAlive()
        return try await server.kinds()
    }

    package func get(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        try checkAlive()
        return try await server.get(kind, key)
    }

    package func list(_ kind: ResourceKind, _ query: ListQuery) async throws(APIStatus) -> ObjectList {
        try checkAlive()
        return try await server.list(kind, query)
    }

    package func watch(_ kind: ResourceKind, _ query: WatchQuery) async throws(APIStatus) -> ObjectWatch {
        try checkAlive()
        return try await server.watch(kind, query)
    }

    package func create(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        try await write { () async throws(APIStatus) in try await server.create(kind, object, part: part) }
    }

    package func update(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        try await write { () async throws(APIStatus) in try await server.update(kind, object, part: part) }
    }

    package func patch(_ kind: ResourceKind, _ key: ObjectKey, _ patch: ObjectPatch, part: ObjectPart) async throws(APIStatus) -> JSON {
        try await write { () async throws(APIStatus) in try await server.patch(kind, key, patch, part: part) }
    }

    package func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion) async throws(APIStatus) {
        try await write { () async throws(APIStatus) in try await server.delete(kind, key, deletion) }
    }
}

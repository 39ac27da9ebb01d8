import Dispatch
import KubernetesClient
import Network
import Resources
import Storage
import Synchronization

/// The cloud's API and the edges' inference ports, asked from threads that may block.
struct ClusterClient: Sendable {
    private static let namespace = "default"
    private let client: RESTClient

    /// - Parameter kubeconfig: path of the cloud's `admin.kubeconfig`.
    /// - Throws: `KubeconfigError`, `NetworkError`.
    init(kubeconfig: String) throws {
        client = try RESTClient(
            try Kubeconfig(path: kubeconfig, read: Self.read).access(), fieldManager: "skerry-demo", userAgent: "skerry-demo",
            read: Self.read)
    }

    @Sendable private static func read(_ path: String) throws -> [UInt8] {
        let reader = try GzipReader(path: path)
        var bytes: [UInt8] = []
        while bytes.count <= Kubeconfig.bytesMax, let chunk = try reader.next() { bytes += chunk }
        return bytes
    }

    func close() { _ = try? Blocking.run { [client] in await client.close() } }

    /// - Throws: `APIStatus`, 404 for an object that is not there.
    func get(_ kind: ResourceKind, _ name: String) throws -> JSON {
        let key = ObjectKey(namespace: kind.isNamespaced ? Self.namespace : "", name: name)
        return try Blocking.run { [client] in try await client.get(kind, key) }
    }

    /// Nil for an object that is not there.
    func find(_ kind: ResourceKind, _ name: String) throws -> JSON? {
        do { return try get(kind, name) } catch let status as APIStatus where status.code == 404 { return nil }
    }

    func list(_ kind: ResourceKind, labels: String = "") throws -> [JSON] {
        let query = ListQuery(namespace: Self.namespace, labelSelector: labels)
        return try Blocking.run { [client] in try await client.listAll(kind, query).items }
    }

    /// Makes an object, or makes it so, as `kubectl apply --server-side`.
    func apply(_ kind: ResourceKind, _ object: JSON) throws {
        let key = ObjectKey(namespace: Self.namespace, name: object["metadata"]?["name"]?.string ?? "")
        let patch = ObjectPatch(.apply, object, fieldManager: "skerry-demo", isForced: true)
        _ = try Blocking.run { [client] in try await client.patch(kind, key, patch, part: .whole) }
    }

    func annotate(_ kind: ResourceKind, _ name: String, _ key: String, _ value: String) throws {
        let body: JSON = ["metadata": ["annotations": .object(JSONObject([(key, .string(value))]))]]
        let object = ObjectKey(namespace: Self.namespace, name: name)
        _ = try Blocking.run { [client] in try await client.patch(kind, object, ObjectPatch(.merge, body), part: .whole) }
    }

    /// What the cloud has at a path that is no object's.
    func bytes(_ path: String) throws -> [UInt8] { try Blocking.run { [client] in try await client.bytes(path) } }
}

/// A kind of Sedna's.
extension ResourceKind {
    static let dataset = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Dataset", plural: "datasets")
    static let model = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Model", plural: "models")
    static let lifelongLearningJob = ResourceKind(
        group: "sedna.io", version: "v1alpha1", kind: "LifelongLearningJob", plural: "lifelonglearningjobs")
}

/// Asynchronous work from a thread that has nothing else to do.
enum Blocking {
    /// Blocks; not to be called from a task.
    static func run<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value {
        let done = DispatchSemaphore(value: 0)
        let result = Mutex<Result<Value, any Error>?>(nil)
        // Nothing outlives this call: it ends when the work has.
        Task {
            let found: Result<Value, any Error>
            do { found = .success(try await body()) } catch { found = .failure(error) }
            result.withLock { $0 = found }
            done.signal()
        }
        done.wait()
        return try result.withLock { $0! }.get()
    }
}

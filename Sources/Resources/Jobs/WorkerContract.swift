/// Names by which controllers, node agents and workers of jobs know each other. Variables and labels are Sedna's where Sedna has them.
package enum WorkerContract {
    /// Label of every Pod whose containers report to their agent; its value is `true`.
    package static let workerLabel = "jobs.skerry.io/worker"
    /// Label that says which round of its job a worker belongs to.
    package static let roundLabel = "jobs.skerry.io/round"
    /// Type of the Pod condition that carries what the worker has reported.
    package static let condition = "jobs.skerry.io/Worker"
    /// The image that means this program: its arguments are those of `skerry worker`.
    package static let builtInImage = "skerry/worker:builtin"

    /// Variables that the agent sets for every container of a worker.
    package static let serverVariable = "LC_SERVER"
    /// See `serverVariable`; the name is secret, whoever knows it may report for the worker.
    package static let nameVariable = "WORKER_NAME"

    /// Where a worker posts its reports on its agent's server.
    package static func reportPath(_ worker: String) -> String { "/sedna/workers/\(worker)/info" }

    /// Sedna's labels of a worker: `lifelonglearningjob.sedna.io/name` and the like.
    ///
    /// - Parameter kind: as in an object's `kind`.
    package static func label(_ kind: String, _ name: String) -> String { "\(kind.lowercased()).sedna.io/\(name)" }

    /// Inline volumes that a node's agent makes itself, known by the name of a CSI driver.
    package enum Volume: String, Sendable, CaseIterable {
        /// Files by digest: attributes are file names and `sha256:…`.
        case files = "files.skerry.io"
        /// Rows of a Dataset of the node: attributes `dataset`, `from`, `to`, `part`, `trainProb`, `seed`.
        case rows = "datasets.skerry.io"
        /// The serving version of a Model, replaced while the Pod runs: attribute `model`.
        case model = "models.skerry.io"

        /// A Pod's volume.
        ///
        /// - Parameter name: by which containers mount it.
        package func volume(_ name: String, _ attributes: [String: String]) -> JSON {
            let members = attributes.sorted { $0.key < $1.key }.map { ($0.key, JSON.string($0.value)) }
            return [
                "name": .string(name),
                "csi": ["driver": .string(rawValue), "readOnly": true, "volumeAttributes": .object(JSONObject(members))],
            ]
        }

        /// Attributes of a Pod's volume of this driver; nil for any other volume.
        package func attributes(_ volume: JSON) -> [String: String]? {
            guard volume["csi"]?["driver"]?.string == rawValue else { return nil }
            let attributes = volume["csi"]?["volumeAttributes"]?.object ?? [:]
            return Dictionary(attributes.map { ($0.0, $0.1.string ?? "") }, uniquingKeysWith: { $1 })
        }
    }
}

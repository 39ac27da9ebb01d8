import Resources

/// A Model object as a registry entry: its versions, and the one that serves. Pure.
struct ModelVersions: Sendable {
    static let kept = 32
    private(set) var model: JSON

    init(_ model: JSON) { self.model = model }

    /// A new entry that belongs to a job.
    static func entry(named name: String, of job: JSON, format: String) -> JSON {
        [
            "apiVersion": "sedna.io/v1alpha1", "kind": "Model",
            "metadata": ["name": .string(name), "namespace": .string(job.namespace), "ownerReferences": [job.controllerReference]],
            // The file of the spec is what serves before the first version; a job's own entry has none until then.
            "spec": ["url": .string("/\(job.name)"), "format": .string(format)],
        ]
    }

    var versions: [JSON] { model["status"]?["versions"]?.array ?? [] }
    /// 0 for the file of the spec.
    var serving: Int64 { model["status"]?["serving"]?.integer ?? 0 }

    func version(_ number: Int64) -> JSON? { versions.first { $0["version"]?.integer == number } }

    /// The version a round of a job made; nil if it made none, or the version was forgotten.
    func version(of job: JSON, round: Int64) -> JSON? {
        versions.last { $0["job"]?.string == Self.name(job) && $0["round"]?.integer == round }
    }

    /// How a version names the job that made it: its uid tells a job from an earlier one of its name.
    static func name(_ job: JSON) -> String { "\(job.namespace)/\(job.name)/\(job.uid)" }

    /// Adds what a round made, as the version that serves. Nothing happens if it is there.
    mutating func add(
        _ result: WorkerReport.Result, files: [WorkerReport.Result], of job: JSON, round: Int64, metrics: JSONObject, now: Timestamp
    ) {
        guard version(of: job, round: round) == nil else { return }
        let number = max(versions.compactMap { $0["version"]?.integer }.max() ?? 0, serving) + 1
        var version: JSON = [
            "version": .integer(number), "digest": .string(result.digest), "format": .string(result.format), "createdAt": .string(now.text),
            "job": .string(Self.name(job)), "round": .integer(round),
        ]
        version["size"] = result.size.map { .integer($0) }
        if serving > 0 { version["parent"] = .integer(serving) }
        if !metrics.isEmpty { version["metrics"] = .object(metrics) }
        let others = files.volumeAttributes.filter { $0.key != result.name }
        if !others.isEmpty { version["files"] = .object(JSONObject(others.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })) }
        var all = versions + [version]
        let wanted = Set([serving, number])
        while all.count > Self.kept, let old = all.firstIndex(where: { !wanted.contains($0["version"]?.integer ?? 0) }) {
            all.remove(at: old)
        }
        model[path: ["status", "versions"]] = .array(all)
        model[path: ["status", "previous"]] = .integer(serving)
        model[path: ["status", "serving"]] = .integer(number)
        model[path: ["status", "updateTime"]] = .string(now.text)
        model[path: ["status", "metrics"]] = .array(
            metrics.compactMap { name, value in value.number.map { ["key": .string(name), "value": .string(JobGate.digits($0))] } })
    }

    /// How a worker gets the version that serves: by digest, or from the node's disk where only the spec names a file.
    var source: Source? {
        if serving > 0, let version = version(serving), let digest = version["digest"]?.string {
            let others = (version["files"]?.object ?? [:]).map { ($0.0, $0.1.string ?? "") }
            return .digest(
                digest, name: "model.\(version["format"]?.string ?? "onnx")", others: Dictionary(others, uniquingKeysWith: { $1 }))
        }
        guard let url = model["spec"]?["url"]?.string else { return nil }
        if url.hasPrefix("sha256:") { return .digest(url, name: "model.\(model["spec"]?["format"]?.string ?? "onnx")", others: [:]) }
        // The entry that a job made for itself has no file before its first version.
        return model.controller == nil ? .path(url) : nil
    }

    enum Source: Sendable, Hashable {
        /// - Parameter others: digests of files beside it, by name.
        case digest(String, name: String, others: [String: String])
        case path(String)
    }
}

import Resources

/// What jobs add to the registry.
extension ModelVersions {
    /// A new entry that belongs to a job.
    ///
    /// - Parameter first: the model of its first version.
    static func entry(named name: String, of job: JSON, first: WorkerReport.Result) -> JSON {
        [
            "apiVersion": "sedna.io/v1alpha1", "kind": "Model",
            "metadata": ["name": .string(name), "namespace": .string(job.namespace), "ownerReferences": [job.controllerReference]],
            "spec": ["url": .string(first.digest), "format": .string(first.format)],
        ]
    }

    /// The version a round of a job made; nil if it made none, or the version was forgotten.
    func version(of job: JSON, round: Int64) -> JSON? { version(of: Self.name(job), round: round) }

    /// How a version names the job that made it: its uid tells a job from an earlier one of its name.
    static func name(_ job: JSON) -> String { "\(job.namespace)/\(job.name)/\(job.uid)" }

    /// Adds what a round made, as the version that serves. Nothing happens if it is there.
    mutating func add(
        _ result: WorkerReport.Result, files: [WorkerReport.Result], of job: JSON, round: Int64, metrics: JSONObject, now: Timestamp
    ) {
        guard version(of: job, round: round) == nil else { return }
        var new = NewVersion(digest: result.digest, format: result.format, size: result.size)
        new.files = files.volumeAttributes.filter { $0.key != result.name }
        (new.job, new.round, new.metrics) = (Self.name(job), round, metrics)
        add(new, serves: true, now: now)
    }
}

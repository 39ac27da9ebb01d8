/// Columns of Models: the version that serves.
extension KindDefinition.Column {
    private static func ofServing(
        _ name: String, isWide: Bool = false, _ description: String, _ text: @escaping @Sendable (JSON, ModelVersions) -> String?
    ) -> KindDefinition.Column {
        KindDefinition.Column(name, isWide: isWide, description: description) { object, _ in
            let entry = ModelVersions(object)
            return .string(entry.version(entry.serving).flatMap { text($0, entry) } ?? "<none>")
        }
    }

    /// Twelve digits of its SHA-256.
    static let servingDigest = ofServing("Digest", "First digits of the SHA-256 of the version that serves.") { version, _ in
        version["digest"]?.string.map { String($0.hasPrefix("sha256:") ? $0.dropFirst(7).prefix(12) : $0.prefix(12)) }
    }

    /// Bytes, in the unit that fits.
    static let servingSize = ofServing("Size", "Size of the version that serves.") { version, _ in
        version["size"]?.integer.map(ModelVersions.sizeText)
    }

    /// As its evaluation found it.
    static let servingAccuracy = ofServing("Accuracy", "Accuracy of the version that serves.") { version, _ in
        guard let value = version["metrics"]?["accuracy"]?.number, value.isFinite, abs(value) < 1e6 else { return nil }
        let tenths = Int64((abs(value) * 1000).rounded())
        return "\(value < 0 ? "-" : "")\(tenths / 10).\(tenths % 10)%"
    }

    /// The job that made it, without its namespace.
    static let servingJob = ofServing("Job", "Job that made the version that serves.") { version, _ in
        version["job"]?.string.map(ModelVersions.jobName)
    }

    /// Whether it has a signature that holds.
    static let servingSigned = ofServing("Signed", isWide: true, "Whether a trusted key has signed the version that serves.") {
        version, entry in
        switch entry.seal(version) {
        case .none: "False"
        case .held: "True"
        case .refused: "Refused"
        }
    }
}

extension ModelVersions {
    /// `NAME` of a version's `NAMESPACE/NAME/UID`.
    package static func jobName(_ job: String) -> String {
        let parts = job.split(separator: "/")
        return parts.count > 1 ? String(parts[1]) : job
    }

    /// Bytes as people read them: `287 kB`, `1.2 MB`; a thousand each.
    package static func sizeText(_ bytes: Int64) -> String {
        if bytes < 1000 { return "\(bytes) B" }
        var (value, unit) = (Double(bytes) / 1000, 0)
        let units = ["kB", "MB", "GB", "TB"]
        while value >= 999.5, unit + 1 < units.count { (value, unit) = (value / 1000, unit + 1) }
        let tenths = Int64((value * 10).rounded())
        return value < 9.95 ? "\(tenths / 10).\(tenths % 10) \(units[unit])" : "\(Int64(value.rounded())) \(units[unit])"
    }
}

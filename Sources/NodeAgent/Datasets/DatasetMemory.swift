import Resources
import Storage

/// What the columns of a data set were like, kept over the life of the agent: a file that takes the place of another while nobody looks is compared
/// with it all the same.
struct KnownProfile: Sendable, Hashable {
    /// Of the Dataset: another one of its name has another.
    var uid: String
    /// Counts replacements of the file, from 1.
    var version: Int64
    /// Rows that the profile is of.
    var rowCount: Int64
    var profile: DatasetProfile
    /// Of the version before; nil where it is not known.
    var before: DatasetProfile?

    init(uid: String, version: Int64, rowCount: Int64, profile: DatasetProfile, before: DatasetProfile?) {
        (self.uid, self.version, self.rowCount, self.profile, self.before) = (uid, version, rowCount, profile, before)
    }

    /// Reads what `json` has written; nil for anything else.
    init?(_ json: JSON) {
        guard let uid = json["uid"]?.string, let version = json["version"]?.integer, let rows = json["rows"]?.integer,
            let profile = json["profile"].flatMap({ DatasetProfile(kept: $0) })
        else { return nil }
        self.init(
            uid: uid, version: version, rowCount: rows, profile: profile, before: json["before"].flatMap { DatasetProfile(kept: $0) })
    }

    var json: JSON {
        var json: JSON = ["uid": .string(uid), "version": .integer(version), "rows": .integer(rowCount), "profile": profile.kept]
        json["before"] = before?.kept
        return json
    }

    /// Whether a newer one says so much more that it is worth a write: files grow often, by little.
    func isOutdated(by newer: KnownProfile) -> Bool {
        (uid, version, before) != (newer.uid, newer.version, newer.before) || newer.rowCount > rowCount + rowCount / 8
    }
}

/// Where profiles are kept: a file each, of bounded size.
struct DatasetMemory: Sendable {
    /// Bytes of a file; a longer one is none of ours.
    static let bytesMax = 16 << 20
    let folder: String

    private func path(_ key: ObjectKey) -> String { "\(folder)/\(ArtifactDigest(of: Array("\(key)".utf8)).hex).json" }

    /// Nil where nothing is kept of this Dataset.
    func read(_ key: ObjectKey, uid: String) -> KnownProfile? {
        guard let bytes = SystemFiles.read(path(key), bytesMax: Self.bytesMax),
            let json = try? JSONParser.parse(bytes, limits: .init(depthMax: 8, bytesMax: Self.bytesMax))
        else { return nil }
        return KnownProfile(json).flatMap { $0.uid == uid ? $0 : nil }
    }

    /// - Throws: `FileWriteError`, or what keeps the folder from being made.
    func write(_ known: KnownProfile, of key: ObjectKey) throws {
        try SystemFiles.makeFolder(folder)
        let file = try WholeFile(path: path(key), isPrivate: true)
        try file.write(known.json.bytes())
        try file.commit()
    }

    func forget(_ key: ObjectKey) { SystemFiles.remove(path(key)) }
}

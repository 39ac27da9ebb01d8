import Resources
import Storage
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A worker's memory beyond its own life: which version was in use when it ended, and copies of the versions that were good. In `LIVES_URL`, a
/// folder that outlives the process; used by one task.
final class VersionLives: Sendable {
    /// Bytes of a version's files that are kept.
    private static let bytesMax = 512 << 20
    private static let recordName = "record.json"
    private let folder: String
    /// Seconds for which a version serves before it is good.
    private let goodAfter: Int64
    private let now: @Sendable () -> Timestamp
    private let record: Mutex<VersionRecord>
    private let say: @Sendable (String) -> Void
    private let words = Mutex("")

    /// Begins a life. Nil without `LIVES_URL`.
    ///
    /// - Throws: the folder cannot be written.
    init?(_ settings: WorkerSettings, now: @escaping @Sendable () -> Timestamp, say: @escaping @Sendable (String) -> Void) throws {
        guard let folder = settings["LIVES_URL"] else { return nil }
        goodAfter = Int64(try settings.integer("LIVES_GOOD_SECONDS", default: 30, in: 1...86_400)!)
        (self.folder, self.now, self.say) = (folder, now, say)
        try WorkerFile.makeFolder(folder)
        let path = "\(folder)/\(Self.recordName)"
        var record = VersionRecord()
        if WorkerFile.exists(path), let bytes = try? WorkerFile.read(path, limit: 1 << 16), let json = try? JSONParser.parse(bytes) {
            record = VersionRecord(json)
        }
        let trouble = record.begin(at: now().seconds)
        self.record = Mutex(record)
        if let trouble {
            say("the life before ended while version \(trouble.key.number) was in use, \(trouble.crashes) times within ten minutes")
        }
        save()
    }

    /// One sentence for people while another version serves than the one that should; else "".
    var incident: String { words.withLock { $0 } }

    static func key(_ version: ModelSource.Version) -> VersionRecord.Key {
        let mark = version.digest ?? version.mark.map(String.init).joined(separator: "-")
        return VersionRecord.Key(mark: "\(mark).\(version.number)", number: version.number)
    }

    /// Whether a version may be loaded now.
    func decide(_ version: ModelSource.Version) -> VersionRecord.Decision {
        record.withLock { $0.decision(on: Self.key(version), at: now().seconds) }
    }

    /// The newest good version beside one that is not loaded.
    func instead(of version: ModelSource.Version) -> (version: ModelSource.Version, key: VersionRecord.Key)? {
        record.withLock { $0.instead(of: Self.key(version)) }.map(kept)
    }

    /// Why a version is not loaded.
    func fault(of version: ModelSource.Version) -> String {
        let (key, time) = (Self.key(version), now().seconds)
        let (trouble, decision) = record.withLock { record in
            (record.troubles.first { $0.key == key }, record.decision(on: key, at: time))
        }
        let name = version.number.isEmpty ? "the model's newest version" : "version \(version.number)"
        guard let trouble, decision != .load else { return "\(name) cannot be loaded" }
        let what = "\(name) has crashed the worker \(trouble.crashes) times"
        return decision == .wait ? "\(what) and is tried again soon" : "\(what) and is not loaded any more; give another one"
    }

    /// Of the folder with its files.
    private func place(_ key: VersionRecord.Key) -> String { "kept-\(ArtifactDigest(of: Array(key.mark.utf8)).hex.prefix(16))" }

    /// A version is about to be loaded: on the disk before ONNX Runtime sees it. Nil: none is.
    func use(_ key: VersionRecord.Key?) {
        record.withLock { if let key { $0.use(key, at: now().seconds) } else { $0.end() } }
        save()
    }

    func tell(_ sentence: String) { words.withLock { $0 = sentence } }

    /// Keeps the version that serves, once it has done so for a while.
    ///
    /// - Throws: its files cannot be copied.
    func look(_ version: ModelSource.Version) throws {
        guard record.withLock({ $0.isGood(at: now().seconds, after: goodAfter) && $0.inUse == Self.key(version) }) else { return }
        try copyFiles(of: version)
        let gone = record.withLock { $0.keep() }
        save()
        for old in gone { remove("\(folder)/\(place(old))") }
    }

    /// Keeps the version that serves, so that the next life can try a newer one beside it too. Nothing happens if it is kept.
    ///
    /// - Parameter isThere: whether its files are still those that were loaded; asked once they are copied.
    /// - Throws: its files cannot be copied.
    func hold(_ version: ModelSource.Version, isThere: () throws -> Bool) throws {
        let key = Self.key(version)
        guard record.withLock({ $0.held != key }) else { return }
        try copyFiles(of: version)
        guard try isThere() else { return }
        let gone = record.withLock { $0.hold(key) }
        save()
        for old in gone { remove("\(folder)/\(place(old))") }
    }

    /// What served when the life before ended, with its files; nil where nothing is held.
    var held: (version: ModelSource.Version, key: VersionRecord.Key)? { record.withLock { $0.held }.map(kept) }

    private func kept(_ key: VersionRecord.Key) -> (version: ModelSource.Version, key: VersionRecord.Key) {
        (ModelSource.Version(path: "\(folder)/\(place(key))", number: key.number, digest: nil, mark: []), key)
    }

    private func copyFiles(of version: ModelSource.Version) throws {
        let key = Self.key(version), target = "\(folder)/\(place(key))"
        try WorkerFile.makeFolder(target)
        let model = WorkerFile.isFolder(version.path) ? "\(version.path)/\(WorkerFile.model)" : version.path
        let from = WorkerFile.folder(of: model)
        var rest = Self.bytesMax
        for name in try WorkerFile.names(in: from) where Self.isOfVersion(name) {
            rest -= try copy("\(from)/\(name)", to: target, name, rest)
        }
        // The model by the name it is found under; last, as its presence says that all are here.
        _ = try copy(model, to: target, WorkerFile.model, rest)
    }

    private static func isOfVersion(_ name: String) -> Bool {
        name == WorkerFile.serving || name == WorkerFile.signs || name.hasPrefix("model-round-")
    }

    private func copy(_ path: String, to folder: String, _ name: String, _ limit: Int) throws -> Int {
        guard WorkerFile.exists(path) else { return 0 }
        // As it is: a compressed file is one that ends in .gz.
        let bytes = try WorkerFile.read(path, limit: limit)
        try WorkerFile.write(bytes, folder, name)
        return bytes.count
    }

    private func remove(_ folder: String) {
        for name in (try? WorkerFile.names(in: folder)) ?? [] { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }

    /// The life ends in order.
    func end() {
        record.withLock { $0.end() }
        save()
    }

    /// A disk that is full keeps nobody from serving.
    private func save() {
        do { try WorkerFile.write(record.withLock { $0.json }.bytes(), folder, Self.recordName) } catch {
            say("what becomes of versions is not kept: \(error)")
        }
    }
}

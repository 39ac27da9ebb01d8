import Reconciliation
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#endif

/// Looks after the data sets that lie on this node: reads what is appended to their files, notices files that take the place of others, and
/// says in their status how many rows there are and what they are like.
///
/// A file is read once from its beginning, after that only what was appended, unless it was replaced or changed before its end.
actor DatasetKeeper {
    /// Time from look to look.
    private static let period: Duration = .seconds(1)
    /// Bytes that are read before somebody else gets a turn.
    private static let stepBytes: Int64 = 64 << 20
    private static let pieceBytes = 256 << 10
    private static let retryMax: Duration = .seconds(30)

    /// A key that says which column of a Dataset is the label; `spec.label` does too.
    static let labelAnnotation = "jobs.skerry.io/label"

    private struct Entry {
        var object: JSON
        var reading: DatasetReading?
        /// The reading as it counts: with a last line that no line break ends, once the file rests.
        var whole: DatasetReading?
        var facts: FileFacts?
        var fault: DatasetFault?
        /// What was found faulty: not read again while it is the same.
        var faulty: Faulty?
        var version: Int64
        var before: DatasetProfile?
        /// What is on the disk of it, of this life or an earlier one; nil where nothing is.
        var known: KnownProfile?
        var retryAt: Duration = .zero
        var failures = 0
    }

    private struct Faulty: Equatable {
        var facts: FileFacts
        var wish: DatasetReading.Wish
    }

    private let node: String
    private let client: any ObjectClient
    private let now: @Sendable () -> Moment
    private let report: @Sendable (String) -> Void
    private let changed: @Sendable (ObjectKey) async -> Void
    private let memory: DatasetMemory?
    private var entries: [ObjectKey: Entry] = [:]

    /// - Parameters:
    ///   - memory: where what files were like is kept; nil: it is forgotten with the agent.
    ///   - changed: a data set has other rows than before.
    init(
        node: String, client: any ObjectClient, memory: DatasetMemory?, now: @escaping @Sendable () -> Moment,
        report: @escaping @Sendable (String) -> Void, changed: @escaping @Sendable (ObjectKey) async -> Void
    ) {
        (self.node, self.client, self.memory, self.now, self.report, self.changed) = (node, client, memory, now, report, changed)
    }

    /// Runs until its task is cancelled.
    func run() async {
        let follower = KindFollower(kind: .dataset, client: client, now: now, report: report)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await follower.run { await self.take($0) } }
            group.addTask {
                while !Task.isCancelled {
                    await self.look()
                    try? await Task.sleep(for: Self.period)
                }
            }
        }
    }

    // MARK: Objects

    private func take(_ change: ObjectChange) {
        guard let object = change.new, object["spec"]?["nodeName"]?.string == node else {
            if entries.removeValue(forKey: change.key) != nil { memory?.forget(change.key) }
            return
        }
        if entries[change.key]?.object["metadata"]?["uid"] == object["metadata"]?["uid"] {
            entries[change.key]?.object = object
        } else {
            let version = max(1, object["status"]?["version"]?.integer ?? 1)
            let known = memory?.read(change.key, uid: object["metadata"]?["uid"]?.string ?? "")
            entries[change.key] = Entry(object: object, version: version, known: known?.version == version ? known : nil)
        }
    }

    // MARK: Looking

    private func look() async {
        for key in entries.keys.sorted() where !Task.isCancelled {
            await look(key)
        }
    }

    private func look(_ key: ObjectKey) async {
        guard let entry = entries[key] else { return }
        var looked: Faulty?
        do throws(DatasetFault) {
            let wish = try Self.wish(entry.object, version: entry.version)
            let facts = try Self.facts(wish.path)
            if entry.fault == nil, let whole = entry.whole, whole.wish == wish, entry.facts == facts {
                return await write(key)
            }
            looked = Faulty(facts: facts, wish: wish)
            if entry.fault == nil || entry.faulty != looked {
                guard let read = try await read(key, wish, facts), entries[key] != nil else { return }
                settle(key, read)
            }
        } catch {
            guard entries[key] != nil else { return }
            (entries[key]!.fault, entries[key]!.faulty) = (error, looked)
            // Whatever the file becomes, it is read anew.
            (entries[key]!.reading, entries[key]!.facts) = (nil, nil)
        }
        await write(key)
    }

    private static func wish(_ object: JSON, version: Int64) throws(DatasetFault) -> DatasetReading.Wish {
        let name = ObjectKey(object).name
        let url = object["spec"]?["url"]?.string ?? ""
        guard url.hasPrefix("/"), !url.contains("\0") else {
            throw DatasetFault(
                .notSupported,
                "dataset \"\(name)\": spec.url: found \"\(url.prefix(200))\"; a node reads files of its own disk, give an absolute path")
        }
        let word = object["spec"]?["format"]?.string ?? ""
        guard let format = DatasetFormat(rawValue: word.lowercased()) else {
            throw DatasetFault(.notSupported, "dataset \"\(name)\": spec.format: found \"\(word.prefix(40))\", expected csv or txt")
        }
        let annotations = object["metadata"]?["annotations"]
        let label = object["spec"]?["label"]?.string ?? annotations?[labelAnnotation]?.string
        let mark = annotations?[TrainedRows.annotation]?.string.flatMap { TrainedRows($0) }
        // What was learned from another file says nothing of the rows of this one.
        let trained = mark.flatMap { $0.version == nil || $0.version == version ? $0.count : nil }
        return .init(path: url, format: format, label: format == .csv ? label : nil, trainedRows: format == .csv ? trained : nil)
    }

    private static func facts(_ path: String) throws(DatasetFault) -> FileFacts {
        var status = stat()
        guard stat(path, &status) == 0 else { throw fault(path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw DatasetFault(.notSupported, "\(path): is no plain file; give the path of a csv or txt file")
        }
        return FileFacts(status)
    }

    private static func fault(_ path: String, _ code: Int32) -> DatasetFault {
        switch code {
        case ENOENT, ENOTDIR: DatasetFault(.notFound, "\(path): there is no such file on this node; put it there, or fix spec.url")
        case EACCES, EPERM: DatasetFault(.permissionDenied, "\(path): the node's agent may not read it; change its permissions")
        default: DatasetFault(.readError, "\(path): cannot be read: \(String(cString: strerror(code)))")
        }
    }

    // MARK: Reading

    private struct Read: Sendable {
        var reading: DatasetReading
        var whole: DatasetReading
        var facts: FileFacts
        var isFresh: Bool
    }

    /// Reads what there is to read; nil if the Dataset is gone meanwhile.
    private func read(_ key: ObjectKey, _ wish: DatasetReading.Wish, _ facts: FileFacts) async throws(DatasetFault) -> Read? {
        guard let entry = entries[key] else { return nil }
        var reading: DatasetReading
        var isFresh = true
        if let known = entry.reading, let seen = entry.facts, known.wish == wish, Self.isGrown(known, from: seen, to: facts) {
            reading = known
            isFresh = false
        } else {
            reading = DatasetReading(wish, checkAt: entry.whole?.rowCount ?? entry.object["status"]?["numberOfSamples"]?.integer)
        }
        // The only copy, so that what it holds is changed where it lies.
        entries[key]!.reading = nil
        while reading.byteCount < facts.size {
            if Task.isCancelled { return nil }
            let before = reading
            let step = await Threads.run { Self.advanced(before, to: min(facts.size, before.byteCount + Self.stepBytes)) }
            let next = try step.get()
            // It became shorter while it was read; the next look sees that.
            guard next.byteCount > reading.byteCount else { break }
            reading = next
            guard entries[key] != nil else { return nil }
        }
        let whole = try reading.finished()
        if whole.header == nil && wish.format == .csv || whole.rowCount == 0 {
            throw DatasetFault(
                .empty,
                wish.format == .csv ? "\(wish.path): holds no row; line 1 names the columns, rows follow" : "\(wish.path): holds no line")
        }
        return Read(reading: reading, whole: whole, facts: facts, isFresh: isFresh)
    }

    /// Whether a file is the one that was read, with more behind it.
    private static func isGrown(_ reading: DatasetReading, from old: FileFacts, to new: FileFacts) -> Bool {
        guard old.inode == new.inode, old.device == new.device, new.size > old.size, new.size >= reading.byteCount else { return false }
        let file = open(reading.wish.path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: max(1, reading.tail.count))
        let offset = reading.byteCount - Int64(reading.tail.count)
        let count = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress, reading.tail.count, off_t(offset)) }
        return count == reading.tail.count && bytes.prefix(count).elementsEqual(reading.tail)
    }

    private static func advanced(_ reading: DatasetReading, to end: Int64) -> Result<DatasetReading, DatasetFault> {
        let path = reading.wish.path
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return .failure(fault(path, errno)) }
        defer { close(file) }
        var reading = reading
        var buffer = [UInt8](repeating: 0, count: pieceBytes)
        while reading.byteCount < end {
            let wanted = Int(min(Int64(buffer.count), end - reading.byteCount))
            let count = buffer.withUnsafeMutableBytes { pread(file, $0.baseAddress, wanted, off_t(reading.byteCount)) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return .failure(fault(path, errno)) }
            if count == 0 { break }
            let taken = buffer.withUnsafeBytes { bytes in
                Result { () throws(DatasetFault) in try reading.consume(UnsafeRawBufferPointer(rebasing: bytes[..<count])) }
            }
            if case .failure(let fault) = taken { return .failure(DatasetFault(fault.reason, "\(path), \(fault.message)")) }
        }
        return .success(reading)
    }

    /// Takes what was read; a file that does not begin with the rows that were known is a new version.
    private func settle(_ key: ObjectKey, _ read: Read) {
        guard var entry = entries[key] else { return }
        if read.isFresh, let known = entry.whole?.digest.value.description ?? entry.object["status"]?["digest"]?.string {
            let found = read.reading.checkedDigest ?? read.whole.checkedDigest
            if found?.description != known {
                entry.version += 1
                entry.before = entry.whole?.profile ?? entry.known?.profile
            } else if entry.whole == nil {
                // As an agent before has found it.
                entry.before = entry.known?.before
            }
        }
        (entry.reading, entry.whole, entry.facts, entry.fault) = (read.reading, read.whole, read.facts, nil)
        entries[key] = entry
        keep(key)
    }

    /// Keeps what the file is like, where that has changed by much.
    private func keep(_ key: ObjectKey) {
        guard let memory, let entry = entries[key], let whole = entry.whole, let profile = whole.profile else { return }
        let now = KnownProfile(
            uid: entry.object["metadata"]?["uid"]?.string ?? "", version: entry.version, rowCount: whole.rowCount, profile: profile,
            before: entry.before)
        guard entry.known.map({ $0.isOutdated(by: now) }) ?? true else { return }
        do { try memory.write(now, of: key) } catch { return report("dataset \(key): what its rows are like is not kept: \(error)") }
        entries[key]!.known = now
    }

    // MARK: Telling

    private func write(_ key: ObjectKey) async {
        guard let entry = entries[key], now().uptime >= entry.retryAt else { return }
        let plan = DatasetStatusPlan(
            reading: entry.fault == nil ? entry.whole : nil, byteCount: entry.facts?.size ?? 0, version: entry.version, fault: entry.fault,
            before: entry.before)
        guard let change = plan.change(from: entry.object["status"], at: now().time) else { return }
        let body: JSON = ["metadata": ["uid": entry.object["metadata"]?["uid"] ?? ""], "status": change]
        do throws(APIStatus) {
            let written = try await client.patch(.dataset, key, ObjectPatch(.merge, body, fieldManager: "kubelet"), part: .status)
            guard entries[key]?.object["metadata"]?["uid"] == written["metadata"]?["uid"] else { return }
            entries[key]!.object["status"] = written["status"]
            entries[key]!.failures = 0
            await changed(key)
        } catch {
            guard entries[key] != nil, error.code != 404 else { return }
            entries[key]!.failures += 1
            entries[key]!.retryAt = now().uptime + min(Self.retryMax, .seconds(1 << min(entries[key]!.failures - 1, 5)))
            report("dataset \(key): writing its status: \(error.message)")
        }
    }

    // MARK: Rows

    /// A range of a Dataset of this node.
    ///
    /// - Throws: `DatasetFault` with a sentence that says what is waited for.
    func rows(_ rows: NodeVolume.Rows, namespace: String) throws(DatasetFault) -> DatasetRows {
        guard let entry = entries[ObjectKey(namespace: namespace, name: rows.dataset)] else {
            throw DatasetFault(
                .notFound,
                "dataset \"\(rows.dataset)\" is none of node \(node); run the Pod on the node that spec.nodeName of the Dataset names")
        }
        if let fault = entry.fault { throw DatasetFault(fault.reason, "dataset \"\(rows.dataset)\": \(fault.message)") }
        guard let whole = entry.whole, let facts = entry.facts else {
            throw DatasetFault(.rowsMissing, "dataset \"\(rows.dataset)\" is being read")
        }
        if let version = rows.version, version != entry.version {
            throw DatasetFault(
                .rowsMissing,
                "dataset \"\(rows.dataset)\" has been replaced: its version is \(entry.version), rows of version \(version) are asked for")
        }
        return try whole.rows(rows, facts: facts)
    }
}

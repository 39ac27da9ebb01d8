import HubProtocol
import Resources
package import Storage

/// The node's copy on disk: objects as the cloud sent them, reports not yet answered. One SQLite file, written in whole transactions that
/// are synced before anything is acknowledged.
package final class EdgeStore {
    private static let schema = SQLiteSchema(
        purpose: "copy of a node", applicationID: 0x534b_4548,
        steps: [
            """
            CREATE TABLE facts(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE objects(
                api_group TEXT NOT NULL, version TEXT NOT NULL, plural TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
                kind TEXT NOT NULL, is_namespaced INTEGER NOT NULL,
                -- 1: stamp and body lie in body, sealed with the node's key
                is_sealed INTEGER NOT NULL, body_stamp INTEGER NOT NULL, status_stamp INTEGER NOT NULL, body BLOB NOT NULL,
                PRIMARY KEY(api_group, version, plural, namespace, name)) WITHOUT ROWID;
            CREATE TABLE reports(
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                topic INTEGER NOT NULL, verb INTEGER NOT NULL, is_status INTEGER NOT NULL, uid TEXT NOT NULL,
                api_group TEXT NOT NULL, version TEXT NOT NULL, plural TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
                kind TEXT NOT NULL, is_namespaced INTEGER NOT NULL,
                created INTEGER NOT NULL, is_done INTEGER NOT NULL, body BLOB NOT NULL);
            """
        ])

    private let database: SQLiteDatabase
    private let key: NodeKey
    /// Drawn by lot when the file was made.
    let number: UInt64

    /// Opens the file, or makes it.
    ///
    /// - Parameters:
    ///   - key: the node's; with another one than before, Secrets are fetched from the cloud again.
    ///   - random: for a new file's number.
    /// - Throws: a `SQLiteError`; the file is then as it was.
    package init(_ location: SQLiteLocation, key: NodeKey, random: () -> UInt64) throws {
        var options = SQLiteOptions()
        options.isPrivate = true
        database = try SQLiteDatabase(location, options)
        try database.migrate(to: Self.schema)
        self.key = key
        number = try Self.number(in: database, random)
    }

    private static func number(in database: SQLiteDatabase, _ random: () -> UInt64) throws -> UInt64 {
        if case .integer(let value)? = try database.value("SELECT value FROM facts WHERE name = 'store'") {
            return UInt64(bitPattern: value)
        }
        let number = random()
        try database.execute("INSERT INTO facts VALUES ('store', ?)", [.integer(Int64(bitPattern: number))])
        return number
    }

    /// A revision above all that the last process has shown, which showed fewer than 2^32.
    func beginRevisions() throws -> Int64 {
        var revision: Int64 = 0
        try database.transaction {
            if case .integer(let value)? = try database.value("SELECT value FROM facts WHERE name = 'revision'") { revision = value }
            revision += 1 << 32
            try database.execute("INSERT OR REPLACE INTO facts VALUES ('revision', ?)", [.integer(revision)])
        }
        return revision
    }

    // MARK: Reading

    /// What the file holds. Secrets that cannot be opened are left out and taken away: the cloud sends them again.
    func load(limits: [Report.Topic: Outbox.Limit]) throws -> EdgeReplica {
        var objects: [ObjectRef: EdgeReplica.Held] = [:]
        var unreadable: [ObjectRef] = []
        try database.forEach(
            "SELECT api_group, version, plural, namespace, name, kind, is_namespaced, is_sealed, body_stamp, status_stamp, body FROM objects"
        ) { row in
            let ref = try Self.ref(row, 0)
            if let held = try held(row, ref) { objects[ref] = held } else { unreadable.append(ref) }
        }
        for ref in unreadable { try apply([.removeObject(ref)]) }
        var reports: [Outbox.Entry] = []
        try database.forEach(
            """
            SELECT api_group, version, plural, namespace, name, kind, is_namespaced, id, topic, verb, is_status, uid, created, is_done,
                   length(body), CASE WHEN plural = 'events' THEN x'' ELSE body END
            FROM reports ORDER BY id
            """
        ) { row in reports.append(try Self.entry(row)) }
        var last: UInt64 = 0
        if case .integer(let value)? = try database.value("SELECT seq FROM sqlite_sequence WHERE name = 'reports'") { last = UInt64(value) }
        return EdgeReplica(objects: objects, reports: reports, lastID: last, limits: limits)
    }

    private static func ref(_ row: borrowing SQLiteRow, _ column: Int) throws -> ObjectRef {
        ObjectRef(
            ResourceKind(
                group: try row.text(column), version: try row.text(column + 1), kind: try row.text(column + 5),
                plural: try row.text(column + 2),
                isNamespaced: try row.int(column + 6) == 1),
            ObjectKey(namespace: try row.text(column + 3), name: try row.text(column + 4)))
    }

    private func held(_ row: borrowing SQLiteRow, _ ref: ObjectRef) throws -> EdgeReplica.Held? {
        let bytes = try row.blob(10)
        guard try row.int(7) == 1 else {
            let stamp = Stamp(body: UInt64(bitPattern: Int64(try row.int(8))), status: UInt64(bitPattern: Int64(try row.int(9))))
            return EdgeReplica.Held(stamp: stamp, bytes: bytes)
        }
        guard let plain = key.open(bytes, place: "\(ref)"), plain.count >= 16 else { return nil }
        func integer(_ offset: Int) -> UInt64 { plain[offset..<(offset + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        return EdgeReplica.Held(stamp: Stamp(body: integer(0), status: integer(8)), bytes: Array(plain[16...]))
    }

    private static func entry(_ row: borrowing SQLiteRow) throws -> Outbox.Entry {
        let ref = try Self.ref(row, 0)
        guard let topic = Report.Topic(rawValue: UInt8(truncatingIfNeeded: try row.int(8))),
            let verb = Report.Verb(rawValue: UInt8(truncatingIfNeeded: try row.int(9)))
        else { throw SQLiteError(.corrupt, "a report of unknown topic or verb: \(ref)", database: "the node's copy") }
        let hasBody = ref.kind.plural != "events"
        let report = Report(
            id: UInt64(try row.int(7)), topic: topic, verb: verb, ref: ref, part: try row.int(10) == 1 ? .status : .whole,
            uid: try row.text(11), body: hasBody ? try row.blob(15) : [])
        return Outbox.Entry(
            report: report, hasBody: hasBody, bytes: try row.int(14), createdSeconds: Int64(try row.int(12)),
            state: try row.int(13) == 1 ? .done : .waiting)
    }

    /// The body of a report; nil for one that is gone.
    func body(_ id: UInt64) throws -> [UInt8]? {
        try database.first("SELECT body FROM reports WHERE id = ?", [.integer(Int64(id))]) { row in try row.blob(0) }
    }

    // MARK: Writing

    /// Writes all of it, or nothing, and syncs.
    func apply(_ operations: [EdgeReplica.Operation]) throws {
        guard !operations.isEmpty else { return }
        try database.transaction { for operation in operations { try apply(operation) } }
    }

    private func apply(_ operation: EdgeReplica.Operation) throws {
        switch operation {
        case .putObject(let ref, let stamp, let bytes): try put(ref, stamp, bytes)
        case .removeObject(let ref):
            try database.execute(
                "DELETE FROM objects WHERE api_group = ? AND version = ? AND plural = ? AND namespace = ? AND name = ?",
                [.text(ref.kind.group), .text(ref.kind.version), .text(ref.kind.plural), .text(ref.key.namespace), .text(ref.key.name)])
        case .putReport(let report, let created): try put(report, created)
        case .markDone(let id): try database.execute("UPDATE reports SET is_done = 1 WHERE id = ?", [.integer(Int64(id))])
        case .removeReport(let id): try database.execute("DELETE FROM reports WHERE id = ?", [.integer(Int64(id))])
        }
    }

    private static func columns(_ ref: ObjectRef) -> [SQLiteValue] {
        [
            .text(ref.kind.group), .text(ref.kind.version), .text(ref.kind.plural), .text(ref.key.namespace), .text(ref.key.name),
            .text(ref.kind.kind), SQLiteValue(ref.kind.isNamespaced),
        ]
    }

    private func put(_ ref: ObjectRef, _ stamp: Stamp, _ bytes: [UInt8]) throws {
        let isSealed = ref.kind.plural == "secrets"
        var body = bytes
        var shown = stamp
        if isSealed {
            var plain: [UInt8] = []
            // The stamp of a Secret says something of its content: it lies inside too.
            for value in [stamp.body, stamp.status] { withUnsafeBytes(of: value.littleEndian) { plain.append(contentsOf: $0) } }
            body = try key.seal(plain + bytes, place: "\(ref)")
            shown = Stamp(body: 0, status: 0)
        }
        try database.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            Self.columns(ref) + [
                SQLiteValue(isSealed), .integer(Int64(bitPattern: shown.body)), .integer(Int64(bitPattern: shown.status)), .blob(body),
            ])
    }

    private func put(_ report: Report, _ created: Int64) throws {
        try database.execute(
            """
            INSERT OR REPLACE INTO reports(api_group, version, plural, namespace, name, kind, is_namespaced, id, topic, verb, is_status, uid,
                                           created, is_done, body)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)
            """,
            Self.columns(report.ref) + [
                .integer(Int64(report.id)), SQLiteValue(Int(report.topic.rawValue)), SQLiteValue(Int(report.verb.rawValue)),
                SQLiteValue(report.part == .status), .text(report.uid), .integer(created), .blob(report.body),
            ])
    }
}

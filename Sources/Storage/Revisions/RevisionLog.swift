import CZlib

/// The log on disk: one row a change, in the order of revisions, each with a checksum over everything in it.
///
/// The newest row of a name is its state; a row without bytes is a deletion. Compaction deletes rows that a newer one has replaced.
final class RevisionLog {
    private static let schema = SQLiteSchema(
        purpose: "object store", applicationID: 0x536b_6f62,
        steps: [
            """
            CREATE TABLE log (
                revision INTEGER PRIMARY KEY,
                collection TEXT NOT NULL,
                name TEXT NOT NULL,
                created INTEGER NOT NULL,
                bytes BLOB,
                checksum INTEGER NOT NULL
            ) STRICT;
            CREATE TABLE floor (id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER NOT NULL, newest INTEGER NOT NULL) STRICT;
            INSERT INTO floor VALUES (0, 0, 0);
            """
        ])

    struct Row {
        let revision: Int64
        let collection: String
        let name: String
        let created: Int64
        /// Nil for a deletion.
        let bytes: [UInt8]?
    }

    /// Nil once the log is closed.
    private var connection: SQLiteDatabase?
    /// Nil where a commit does it, by SQLite's own measure: in memory there is no log, and other file systems than the system's are asked by one
    /// connection alone.
    private let checkpoints: LogCheckpoints?

    init(_ location: SQLiteLocation, pageCountMax: Int? = nil, fileSystem: String? = nil) throws {
        var options = SQLiteOptions(.create)
        options.isPrivate = true
        options.pageCountMax = pageCountMax
        options.fileSystem = fileSystem
        options.limits.valueBytesMax = 8 << 20
        if case .file(let path) = location { try SQLiteLogRewrite.run(path, fileSystem: fileSystem) }
        let database = try SQLiteDatabase(location, options)
        try database.migrate(to: Self.schema)
        connection = database
        guard case .file = location, fileSystem == nil else {
            checkpoints = nil
            return
        }
        let checkpoints = LogCheckpoints(location)
        database.watchLog { [unowned database] pageCount in checkpoints.look(pageCount, database) }
        self.checkpoints = checkpoints
    }

    /// Ends what goes on beside the commits and closes the file, whoever still holds the store; to be called when there are no more commits.
    func close() {
        checkpoints?.close()
        if checkpoints?.failure != nil { connection?.keepLogAtClose() }
        connection = nil
    }

    /// - Throws: `RevisionError.closed`; `.failed` once the log could not be copied: a commit that begins it anew would lose what is not on the disk.
    private var database: SQLiteDatabase {
        get throws {
            if let failure = checkpoints?.failure { throw failure }
            guard let connection else { throw RevisionError.closed }
            return connection
        }
    }

    /// Reads every row of a file that is not in use, and changes nothing.
    ///
    /// - Throws: `RevisionError.damaged`; `SQLiteError` for a file that is no store.
    static func check(_ path: String) throws {
        let log = try RevisionLog(reading: path)
        try log.forEach { _ in }
    }

    private init(reading path: String) throws {
        let database = try SQLiteDatabase(.file(path), SQLiteOptions(.readOnly))
        connection = database
        checkpoints = nil
        guard try database.version(of: Self.schema) > 0 else {
            throw SQLiteError(.foreignSchema, "\(path) is an empty database and no object store; name another file", database: path)
        }
    }

    /// Revisions up to this one may have lost their history; and the newest revision ever given.
    func floor() throws -> (floor: Int64, newest: Int64) {
        try database.first("SELECT revision, newest FROM floor") { row in (Int64(try row.int(0)), Int64(try row.int(1))) } ?? (0, 0)
    }

    /// Gives every row in the order of revisions.
    ///
    /// - Throws: `RevisionError.damaged` for a row whose checksum does not match.
    func forEach(_ body: (Row) throws -> Void) throws {
        let database = try database
        try database.forEach("SELECT revision, collection, name, created, bytes, checksum FROM log ORDER BY revision") { row in
            let read: Row
            do {
                read = Row(
                    revision: Int64(try row.int(0)), collection: try row.text(1), name: try row.text(2), created: Int64(try row.int(3)),
                    bytes: row.isNull(4) ? nil : try row.blob(4))
                guard Int64(try row.int(5)) == Self.checksum(read) else {
                    throw RevisionError.damaged(revision: read.revision, file: database.name)
                }
            } catch is SQLiteError {
                // A flipped bit may also turn a column into another type, or a text into no UTF-8.
                throw RevisionError.damaged(revision: (try? row.int(0)).map(Int64.init) ?? 0, file: database.name)
            }
            try body(read)
        }
    }

    private static func checksum(_ row: Row) -> Int64 {
        var sum = crc32(0, nil, 0)
        func add(_ bytes: UnsafeRawBufferPointer) {
            guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
            sum = crc32(sum, start.assumingMemoryBound(to: UInt8.self), UInt32(bytes.count))
        }
        withUnsafeBytes(of: row.revision.littleEndian, add)
        withUnsafeBytes(of: row.created.littleEndian, add)
        withUnsafeBytes(of: Int64(row.bytes?.count ?? -1).littleEndian, add)
        for text in [row.collection, row.name] {
            withUnsafeBytes(of: Int64(text.utf8.count).littleEndian, add)
            var text = text
            text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
        }
        row.bytes?.withUnsafeBytes(add)
        return Int64(sum)
    }

    /// Writes rows in one synced transaction: all of them are on disk when it returns, none when it throws.
    func append(_ rows: [Row]) throws {
        let database = try database
        try database.transaction {
            for row in rows {
                try database.execute(
                    "INSERT INTO log (revision, collection, name, created, bytes, checksum) VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        .integer(row.revision), .text(row.collection), .text(row.name), .integer(row.created), SQLiteValue(row.bytes),
                        .integer(Self.checksum(row)),
                    ])
            }
        }
    }

    /// Deletes the rows of these revisions and raises the floor, in one transaction.
    func compact(_ revisions: some Collection<Int64>, floor: Int64, newest: Int64) throws {
        let database = try database
        try database.transaction {
            for revision in revisions { try database.execute("DELETE FROM log WHERE revision = ?", [.integer(revision)]) }
            try database.execute(
                "UPDATE floor SET revision = max(revision, ?), newest = max(newest, ?)", [.integer(floor), .integer(newest)])
        }
    }
}

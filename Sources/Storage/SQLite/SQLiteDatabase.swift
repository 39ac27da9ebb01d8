import CSQLite

/// One connection to a SQLite database: WAL, every commit synced to disk before it is acknowledged, foreign keys checked.
///
/// Not shared between threads: keep it in an actor, or behind a lock. A file has one connection that commits and any number of
/// reading ones; a reader sees the last commit and never waits for the writer. Statements are prepared once and kept (64 of them).
/// Closed, with its statements, when the last reference goes.
package final class SQLiteDatabase {
    /// The name in messages.
    package let name: String
    /// As given at opening; another connection to the same file may be opened with it.
    package let location: SQLiteLocation
    let connection: SQLiteConnection
    private var cache = SQLiteStatementCache()
    /// What the authorizer said about the statement that is being prepared or run.
    var denial: String?
    var authorizer: ((SQLiteAction) -> String?)?
    /// Told of each commit how long the write-ahead log is.
    var logWatcher: ((Int) -> Void)?

    /// Opens, and reads the file's first pages, so that a file of another kind is refused here.
    ///
    /// - Throws: `.cannotOpen`, `.notADatabase`, `.corrupt`, `.busy`, `.readOnly`, `.full`.
    package init(_ location: SQLiteLocation, _ options: SQLiteOptions = SQLiteOptions()) throws(SQLiteError) {
        name = location.name
        self.location = location
        connection = try SQLiteConnection(location, options)
        connection.apply(options.limits)
        try execute("PRAGMA foreign_keys = ON")
        try execute("PRAGMA cache_size = \(-options.cacheKiB)")
        if let pages = options.pageCountMax { try execute("PRAGMA max_page_count = \(pages)") }
        _ = try value("SELECT count(*) FROM sqlite_master")
        if options.access != .readOnly { try makeDurable() }
    }

    /// A reader waits for nothing during a commit; a commit survives a power failure.
    private func makeDurable() throws(SQLiteError) {
        // FULL, and the folder is synced too where a journal is deleted: the one of the change to WAL would else come back by a power
        // failure and undo the file's first commits.
        try execute("PRAGMA synchronous = EXTRA")
        let mode = try value("PRAGMA journal_mode = WAL")
        // A database in memory has a journal of its own, and nothing to sync.
        guard mode == "wal" || location == .memory else {
            throw SQLiteError(.cannotOpen, "its file system cannot hold a write-ahead log", database: name)
        }
    }

    /// Runs one statement to its end; rows it returns are dropped.
    ///
    /// - Parameter values: for the placeholders, in their order.
    /// - Returns: rows inserted, updated or deleted by it.
    @discardableResult
    package func execute(_ sql: String, _ values: [SQLiteValue] = []) throws(SQLiteError) -> Int {
        let before = sqlite3_total_changes(connection.handle)
        let statement = try started(sql, values)
        defer { finish(statement) }
        while try step(statement) {}
        return Int(sqlite3_total_changes(connection.handle) - before)
    }

    /// Runs several statements without values, as a schema has. No transaction of its own: call it inside `transaction`.
    package func executeScript(_ sql: String) throws(SQLiteError) {
        denial = nil
        let result = sqlite3_exec(connection.handle, sql, nil, nil, nil)
        if result != SQLITE_OK { throw explained(SQLiteError(result, connection.handle, database: name, statement: sql)) }
    }

    /// Gives every row to `body`, in order, until it returns false. The row lives only inside `body`.
    package func forEachWhile(
        _ sql: String, _ values: [SQLiteValue] = [], _ body: (borrowing SQLiteRow) throws -> Bool
    ) throws {
        let statement = try started(sql, values)
        defer { finish(statement) }
        while try step(statement), try body(SQLiteRow(statement: statement)) {}
    }

    /// Gives every row to `body`, in order.
    package func forEach(_ sql: String, _ values: [SQLiteValue] = [], _ body: (borrowing SQLiteRow) throws -> Void) throws {
        try forEachWhile(sql, values) { row in
            try body(row)
            return true
        }
    }

    /// Every row, made into a value. Holds them all in memory: bound a long table with LIMIT.
    package func map<Value>(
        _ sql: String, _ values: [SQLiteValue] = [], _ body: (borrowing SQLiteRow) throws -> Value
    ) throws -> [Value] {
        var result: [Value] = []
        try forEach(sql, values) { row in result.append(try body(row)) }
        return result
    }

    /// The first row, made into a value; nil without one.
    package func first<Value>(
        _ sql: String, _ values: [SQLiteValue] = [], _ body: (borrowing SQLiteRow) throws -> Value
    ) throws -> Value? {
        var result: Value?
        try forEachWhile(sql, values) { row in
            result = try body(row)
            return false
        }
        return result
    }

    /// Names of the columns of a statement's rows, without running it; empty where it returns none.
    package func columnNames(_ sql: String) throws(SQLiteError) -> [String] {
        let statement = try prepared(sql)
        return (0..<statement.columnCount).map(statement.columnName)
    }

    /// The first column of the first row; nil without a row.
    package func value(_ sql: String, _ values: [SQLiteValue] = []) throws(SQLiteError) -> SQLiteValue? {
        let statement = try started(sql, values)
        defer { finish(statement) }
        return try step(statement) && statement.columnCount > 0 ? SQLiteRow(statement: statement)[0] : nil
    }

    /// The rowid of the last row inserted by this connection; 0 before the first.
    package var lastInsertedRowID: Int64 { sqlite3_last_insert_rowid(connection.handle) }

    /// Whether a transaction is open on this connection.
    package var isInTransaction: Bool { sqlite3_get_autocommit(connection.handle) == 0 }

    /// Finalizes the kept statements, as before a change of the authorizer.
    func dropStatements() { cache.removeAll() }
}

extension SQLiteDatabase {
    /// A prepared statement with its values bound; give it to `finish` whatever happens.
    private func started(_ sql: String, _ values: [SQLiteValue]) throws(SQLiteError) -> SQLiteStatement {
        let statement = try prepared(sql)
        statement.isRunning = true
        do {
            try statement.bind(values)
        } catch {
            finish(statement)
            throw error
        }
        return statement
    }

    private func finish(_ statement: SQLiteStatement) {
        statement.reset()
        statement.isRunning = false
    }

    private func step(_ statement: SQLiteStatement) throws(SQLiteError) -> Bool {
        do {
            return try statement.step()
        } catch {
            throw explained(error)
        }
    }

    private func prepared(_ sql: String) throws(SQLiteError) -> SQLiteStatement {
        denial = nil
        if let statement = cache.idle(sql) { return statement }
        let statement = try compile(sql)
        cache.insert(statement)
        return statement
    }

    /// Compiles one statement, not kept.
    ///
    /// - Throws: `.statement` for no statement, for a NUL character and for text after the first statement.
    func compile(_ sql: String) throws(SQLiteError) -> SQLiteStatement {
        // SQLite would stop reading there and run the first part.
        if sql.utf8.contains(0) { throw SQLiteError(.statement, "a NUL character in the statement", database: name) }
        let (handle, rest) = try compileFirst(sql)
        guard let handle else { throw SQLiteError(.statement, "no statement", database: name, statement: sql) }
        let statement = SQLiteStatement(handle, sql: sql, connection: connection.handle, database: name)
        if try !isBlank(rest) {
            throw SQLiteError(.statement, "more than one statement; send one at a time", database: name, statement: sql)
        }
        return statement
    }

    /// Whether only blanks, comments and semicolons are left: SQLite itself compiles them to nothing.
    private func isBlank(_ sql: String) throws(SQLiteError) -> Bool {
        var rest = sql
        while !rest.isEmpty {
            guard case let (handle, next)? = try? compileFirst(rest), handle == nil else { return false }
            if next.utf8.count == rest.utf8.count { return true }
            rest = next
        }
        return true
    }

    private func compileFirst(_ sql: String) throws(SQLiteError) -> (OpaquePointer?, rest: String) {
        var handle: OpaquePointer?
        var result = SQLITE_OK
        var rest = ""
        var text = sql
        text.append("\0")
        text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                var tail: UnsafePointer<CChar>?
                // The terminator is counted: it spares SQLite a copy.
                result = sqlite3_prepare_v3(connection.handle, characters.baseAddress, Int32(characters.count), 0, &handle, &tail)
                if result == SQLITE_OK, let tail { rest = String(cString: tail) }
            }
        }
        if result != SQLITE_OK {
            sqlite3_finalize(handle)
            throw explained(SQLiteError(result, connection.handle, database: name, statement: sql))
        }
        return (handle, rest)
    }

    /// An authorizer's refusal with its reason; any other error as it is.
    private func explained(_ error: SQLiteError) -> SQLiteError {
        guard let denial, [.denied, .statement].contains(error.code) else { return error }
        return SQLiteError(.denied, denial, database: name, statement: error.statement)
    }
}

import CSQLite

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Owns SQLite's handle, so that `SQLiteInterrupter` can never reach a closed one.
///
/// Unchecked: the only member used from other threads is `sqlite3_interrupt`, which SQLite allows while the handle is open.
final class SQLiteConnection: @unchecked Sendable {
    let handle: OpaquePointer

    init(_ location: SQLiteLocation, _ options: SQLiteOptions) throws(SQLiteError) {
        var opened: OpaquePointer?
        var flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        switch options.access {
        case .create: flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        case .readWrite: flags |= SQLITE_OPEN_READWRITE
        case .readOnly: flags |= SQLITE_OPEN_READONLY
        }
        let result: Int32
        switch location {
        case .memory:
            result = sqlite3_open_v2(":memory:", &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
        case .file(let path):
            guard !path.isEmpty, !path.utf8.contains(0) else {
                throw SQLiteError(.cannotOpen, "an empty path, or one with a NUL character", database: path)
            }
            if options.access == .create, options.isPrivate, options.fileSystem == nil { Self.createPrivate(path) }
            // "./" keeps SQLite from reading a relative path as one of its special names (`:memory:`, `file:…?mode=…`).
            result = sqlite3_open_v2(path.hasPrefix("/") ? path : "./" + path, &opened, flags, options.fileSystem)
        }
        guard result == SQLITE_OK, let opened else {
            let error = SQLiteError(result, opened, database: location.name)
            sqlite3_close_v2(opened)
            throw error
        }
        handle = opened
        sqlite3_busy_timeout(handle, Int32(clamping: Int64(options.busyTimeout / .milliseconds(1))))
        skerry_sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1)
        skerry_sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        // "name" is a column, never a text: a misspelt column is an error and not a constant.
        skerry_sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0)
        skerry_sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0)
    }

    deinit { sqlite3_close_v2(handle) }

    func apply(_ limits: SQLiteLimits) {
        let bounds = [
            (SQLITE_LIMIT_LENGTH, limits.valueBytesMax), (SQLITE_LIMIT_SQL_LENGTH, limits.statementBytesMax),
            (SQLITE_LIMIT_COLUMN, limits.columnsMax), (SQLITE_LIMIT_EXPR_DEPTH, limits.expressionDepthMax),
            (SQLITE_LIMIT_VDBE_OP, limits.instructionsMax), (SQLITE_LIMIT_COMPOUND_SELECT, limits.compoundMax),
            (SQLITE_LIMIT_VARIABLE_NUMBER, limits.placeholdersMax), (SQLITE_LIMIT_LIKE_PATTERN_LENGTH, limits.patternBytesMax),
            // Nothing here attaches or starts threads.
            (SQLITE_LIMIT_ATTACHED, 0), (SQLITE_LIMIT_WORKER_THREADS, 0),
        ]
        for (limit, value) in bounds { sqlite3_limit(handle, limit, Int32(clamping: value)) }
    }

    /// Before SQLite, which would create it readable for all; a failure is reported by opening.
    private static func createPrivate(_ path: String) {
        let descriptor = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        if descriptor >= 0 { close(descriptor) }
    }
}

/// Stops whatever a connection is doing; usable from any thread, and harmless once it is closed or idle.
package struct SQLiteInterrupter: Sendable {
    private let connection: SQLiteConnection

    init(_ connection: SQLiteConnection) { self.connection = connection }

    /// The running statement fails with `.interrupted`; a writing transaction is rolled back with it.
    package func interrupt() { sqlite3_interrupt(connection.handle) }
}

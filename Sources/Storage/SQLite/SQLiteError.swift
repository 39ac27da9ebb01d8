import CSQLite

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why SQLite refused; names the database, the statement without its values, and what to do.
package struct SQLiteError: Error, Equatable, CustomStringConvertible {
    /// Which rule of the schema a row breaks; primary keys count as `unique`.
    package enum Constraint: Equatable, Sendable {
        case unique, foreignKey, check, notNull, other
    }

    /// What callers may switch on.
    package enum Code: Equatable, Sendable {
        /// Another connection holds the lock longer than `SQLiteOptions.busyTimeout`.
        case busy
        /// The disk, the quota or `pageCountMax` is full; the transaction is rolled back.
        case full
        /// The file is damaged.
        case corrupt
        /// The file is something else.
        case notADatabase
        case readOnly
        case cannotOpen
        /// The operating system failed.
        case ioFailure
        /// Stopped by `SQLiteInterrupter` or by `interrupted(when:_:)`.
        case interrupted
        /// A value, row or statement exceeds `SQLiteLimits`.
        case tooBig
        /// The authorizer refused; the message is its reason.
        case denied
        case outOfMemory
        case constraint(Constraint)
        /// The file was written by a newer program.
        case newerSchema
        /// The file is a SQLite database of another purpose.
        case foreignSchema
        /// A column holds another type than asked for, or text that is no UTF-8.
        case mismatch
        /// A value that SQLite cannot hold: NaN, or a wrong number of values.
        case invalidValue
        /// The statement is wrong: syntax, unknown table or column.
        case statement
        /// Any other result code of SQLite.
        case other(Int32)
    }

    /// Decides the remedy in `description` and whether a retry makes sense.
    package var code: Code
    /// SQLite's or our own words, without values.
    package var message: String
    /// The name of the database.
    package var database: String
    /// The statement as prepared: placeholders, no values. Nil where none is at fault.
    package var statement: String?
    /// The byte of the statement at which it is wrong; nil where SQLite cannot say.
    package var offset: Int?

    /// Made by this room, and by rooms that find a file's content wrong though SQLite does not.
    package init(_ code: Code, _ message: String, database: String, statement: String? = nil, offset: Int? = nil) {
        self.code = code
        self.message = message
        self.database = database
        self.statement = statement
        self.offset = offset
    }

    /// Whether the same call may succeed later without a change of the call.
    package var isRetryable: Bool {
        switch code {
        case .busy, .full, .interrupted, .ioFailure, .outOfMemory: true
        default: false
        }
    }

    /// One sentence: the database, SQLite's reason, the statement without its values (at most 200 characters) and the remedy.
    package var description: String {
        let place = statement.map { " in: \(Self.shortened($0))" } ?? ""
        return switch code {
        case .busy: "\(database) is locked by another connection (\(message))\(place); try again once it has finished"
        case .full: "no space left for \(database) (\(message)); nothing was changed: free space on its disk and try again"
        case .corrupt: "\(database) is damaged (\(message)); restore it from a snapshot"
        case .notADatabase: "\(database) is not a SQLite database; name another file or restore it from a snapshot"
        case .readOnly: "\(database) cannot be written (\(message))\(place); check its permissions"
        case .cannotOpen: "cannot open \(database): \(message); check the path and its permissions"
        case .newerSchema, .foreignSchema, .denied: message
        default: "\(database): \(message)\(place)"
        }
    }

    /// One line, at most 200 characters: messages go to terminals and logs.
    private static func shortened(_ sql: String) -> String {
        let line = sql.prefix(400).split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return line.count > 200 ? "\(line.prefix(200))…" : line
    }
}

extension SQLiteError {
    /// The failure that `connection` has just reported with `result`.
    init(_ result: Int32, _ connection: OpaquePointer?, database: String, statement: String? = nil) {
        let systemError = connection.map { sqlite3_system_errno($0) } ?? 0
        let code = Self.code(result, systemError: systemError)
        var message = connection.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(result))
        if [.cannotOpen, .ioFailure].contains(code), systemError != 0 {
            message += " (\(String(cString: strerror(systemError))))"
        }
        let offset = connection.map { Int(skerry_sqlite3_error_offset($0)) } ?? -1
        self.init(code, message, database: database, statement: statement, offset: code == .statement && offset >= 0 ? offset : nil)
    }

    private static func code(_ result: Int32, systemError: Int32) -> Code {
        switch result & 0xff {
        case SQLITE_BUSY, SQLITE_LOCKED: .busy
        case SQLITE_FULL: .full
        // A full disk meets some of SQLite's files (the WAL's index) as a plain failure to write.
        case SQLITE_IOERR, SQLITE_CANTOPEN:
            systemError == ENOSPC || systemError == EDQUOT ? .full : result & 0xff == SQLITE_IOERR ? .ioFailure : .cannotOpen
        case SQLITE_CORRUPT: .corrupt
        case SQLITE_NOTADB: .notADatabase
        case SQLITE_READONLY, SQLITE_PERM: .readOnly
        case SQLITE_INTERRUPT: .interrupted
        case SQLITE_TOOBIG: .tooBig
        case SQLITE_AUTH: .denied
        case SQLITE_NOMEM: .outOfMemory
        case SQLITE_MISMATCH: .mismatch
        case SQLITE_RANGE: .invalidValue
        case SQLITE_ERROR: .statement
        case SQLITE_CONSTRAINT: .constraint(constraint(result))
        default: .other(result)
        }
    }

    private static func constraint(_ result: Int32) -> Constraint {
        switch Int(result) {
        case skerry_SQLITE_CONSTRAINT_UNIQUE, skerry_SQLITE_CONSTRAINT_PRIMARYKEY,
            skerry_SQLITE_CONSTRAINT_ROWID:
            .unique
        case skerry_SQLITE_CONSTRAINT_FOREIGNKEY: .foreignKey
        case skerry_SQLITE_CONSTRAINT_CHECK: .check
        case skerry_SQLITE_CONSTRAINT_NOTNULL: .notNull
        default: .other
        }
    }
}

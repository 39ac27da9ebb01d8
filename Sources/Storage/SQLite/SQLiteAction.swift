import CSQLite

/// One thing that a statement would do, as SQLite's compiler asks the authorizer before it does it.
package struct SQLiteAction: Equatable, Sendable {
    /// What would be done; says what `subject` and `detail` mean.
    package enum Kind: Equatable, Sendable {
        /// A SELECT, or a recursive one.
        case select
        /// Reads a column: `subject` is the table, `detail` the column.
        case read
        /// Calls an SQL function: `detail` is its name.
        case function
        /// Inserts, updates or deletes rows: `subject` is the table.
        case write
        /// Creates, drops or alters a table, index, view or trigger: `subject` is its name.
        case schema
        /// `subject` is the file.
        case attach
        /// `subject` is the pragma, `detail` its argument.
        case pragma
        /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT.
        case transaction
        /// ANALYZE, REINDEX, DETACH and whatever later versions add.
        case other
    }

    /// Decides the meaning of `subject` and `detail`.
    package var kind: Kind
    /// The authorizer's third argument, as listed at `Kind`; nil where the kind has none.
    package var subject: String?
    /// The authorizer's fourth argument, as listed at `Kind`; nil where the kind has none.
    package var detail: String?

    init(code: Int32, _ first: UnsafePointer<CChar>?, _ second: UnsafePointer<CChar>?) {
        kind =
            switch code {
            case SQLITE_SELECT, SQLITE_RECURSIVE: .select
            case SQLITE_READ: .read
            case SQLITE_FUNCTION: .function
            case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE: .write
            case SQLITE_ATTACH: .attach
            case SQLITE_PRAGMA: .pragma
            case SQLITE_TRANSACTION, SQLITE_SAVEPOINT: .transaction
            case SQLITE_CREATE_INDEX...SQLITE_CREATE_VIEW, SQLITE_DROP_INDEX...SQLITE_DROP_VIEW, SQLITE_ALTER_TABLE,
                SQLITE_CREATE_VTABLE, SQLITE_DROP_VTABLE:
                .schema
            default: .other
            }
        subject = first.map { String(cString: $0) }
        detail = second.map { String(cString: $0) }
    }
}

extension SQLiteDatabase {
    /// Lets `judge` decide about every action of every statement from now on; nil lets all pass again.
    ///
    /// - Parameter judge: returns nil to allow, or the reason of the refusal, which becomes the message of a `.denied` error.
    ///   Called while statements are compiled and must not use the database.
    package func setAuthorizer(_ judge: ((SQLiteAction) -> String?)?) {
        dropStatements()
        authorizer = judge
        guard judge != nil else {
            sqlite3_set_authorizer(connection.handle, nil, nil)
            return
        }
        // Unretained: the callback cannot outlive the connection, which only this object closes.
        let owner = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_set_authorizer(
            connection.handle,
            { owner, code, first, second, _, _ in
                let database = Unmanaged<SQLiteDatabase>.fromOpaque(owner!).takeUnretainedValue()
                guard let reason = database.authorizer?(SQLiteAction(code: code, first, second)) else { return SQLITE_OK }
                database.denial = reason
                return SQLITE_DENY
            }, owner)
    }
}

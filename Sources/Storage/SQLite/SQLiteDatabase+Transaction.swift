extension SQLiteDatabase {
    /// How a transaction begins.
    package enum TransactionKind: Sendable {
        /// Takes the write lock at once: fails with `.busy` at its start and not in its middle.
        case writing
        /// Sees one state of the database from its first read to its end.
        case reading
    }

    /// Runs `body` in one transaction: committed, and synced to disk, when it returns; rolled back when it throws.
    ///
    /// Not to be nested. A crash at any moment leaves all of it or nothing.
    ///
    /// - Throws: what `body` throws; `.busy`; `.full` and other failures of the commit, after which nothing is changed.
    package func transaction<Result>(_ kind: TransactionKind = .writing, _ body: () throws -> Result) throws -> Result {
        precondition(!isInTransaction, "transactions are not nested")
        try execute(kind == .writing ? "BEGIN IMMEDIATE" : "BEGIN")
        do {
            let result = try body()
            try execute("COMMIT")
            return result
        } catch {
            // SQLite has already rolled back after a full disk and some other failures.
            if isInTransaction { try execute("ROLLBACK") }
            throw error
        }
    }
}

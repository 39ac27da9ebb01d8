import CSQLite

extension SQLiteDatabase {
    /// Has `look` called after each commit of this connection with the number of pages in the write-ahead log; SQLite then copies none of them
    /// into the database by itself, but for those that are left when the last connection closes.
    ///
    /// - Parameter look: called on the committing thread before the commit returns. It must not write.
    func watchLog(_ look: @escaping (_ pageCount: Int) -> Void) {
        logWatcher = look
        // Unretained: the callback cannot outlive the connection, which only this object closes.
        sqlite3_wal_hook(
            connection.handle,
            { owner, _, _, pageCount in
                Unmanaged<SQLiteDatabase>.fromOpaque(owner!).takeUnretainedValue().logWatcher?(Int(pageCount))
                return SQLITE_OK
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    /// Copies what is in the write-ahead log into the database and syncs both, as far as no reader needs what lies there. Waits for nobody: a
    /// writer of another connection goes on meanwhile.
    ///
    /// - Returns: how many of the log's pages are in the database now, and how many pages there were; nil when another connection does it, or
    ///   when the disk is full: then the pages stay in the log, and the next one copies them again.
    /// - Throws: `SQLiteError` for every other failure. Then the log must not be begun anew: pages that an earlier call copied without a sync,
    ///   since there were more, may be gone with the sync that failed, and no later call copies them again.
    func checkpoint() throws(SQLiteError) -> (copied: Int, of: Int)? {
        var pageCount: Int32 = 0
        var copied: Int32 = 0
        let result = sqlite3_wal_checkpoint_v2(connection.handle, nil, SQLITE_CHECKPOINT_PASSIVE, &pageCount, &copied)
        if result == SQLITE_OK { return (Int(copied), Int(pageCount)) }
        if [SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL].contains(result & 0xff) { return nil }
        throw SQLiteError(result, connection.handle, database: name)
    }

    /// Brings what was copied into the database to the disk: SQLite itself does so only when a copy has reached the log's end.
    ///
    /// - Throws: `SQLiteError` as `checkpoint()`, and with the same consequences.
    func syncCopied() throws(SQLiteError) {
        var file: UnsafeMutablePointer<sqlite3_file>?
        guard sqlite3_file_control(connection.handle, nil, SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK, let file,
            let sync = file.pointee.pMethods?.pointee.xSync
        else { return }
        let result = sync(file, SQLITE_SYNC_NORMAL)
        if result != SQLITE_OK { throw SQLiteError(result, nil, database: name) }
    }

    /// The log stays as it is when the last connection closes, for the next opening.
    func keepLogAtClose() { _ = skerry_sqlite3_db_config(connection.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1) }
}

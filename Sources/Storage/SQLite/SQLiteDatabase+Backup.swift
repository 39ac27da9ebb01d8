import CSQLite

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension SQLiteDatabase {
    /// Writes one consistent state of this database into a new file, while writers go on.
    ///
    /// The file appears under its name whole, checked and synced to disk, or not at all. It has no WAL, so it can be read from a read-only medium.
    ///
    /// - Parameter replace: whether an existing file may be replaced; the database itself and a database in use never are.
    /// - Throws: `.cannotOpen` when the file exists or its folder cannot be written, `.full`, `.busy`, `.corrupt`.
    package func backup(to path: String, replace: Bool = false) throws {
        try checkTarget(path, replace)
        // In the same folder, so that the last step is one rename; the process's number keeps two backups apart.
        let partial = "\(path).partial-\(getpid())"
        unlink(partial)
        do {
            try copyPages(to: partial)
            try checkCopy(partial)
            try Self.sync(partial, O_RDONLY)
            guard rename(partial, path) == 0 else { throw Self.systemError(path, "renaming \(partial)") }
        } catch {
            unlink(partial)
            unlink(partial + "-journal")
            throw error
        }
        try Self.sync(Self.folder(path), O_RDONLY | O_DIRECTORY)
    }

    /// The bytes of a file with the content of this database, which lives in memory.
    ///
    /// - Throws: `.outOfMemory`.
    package func serialized() throws(SQLiteError) -> [UInt8] {
        precondition(location == .memory, "a database in a file is copied by backup(to:): its log is not in its bytes")
        var size: sqlite3_int64 = 0
        guard let bytes = sqlite3_serialize(connection.handle, "main", &size, 0) else {
            throw SQLiteError(.outOfMemory, "serializing needs as much memory as the database", database: name)
        }
        defer { sqlite3_free(bytes) }
        return [UInt8](UnsafeBufferPointer(start: bytes, count: Int(size)))
    }

    private func checkTarget(_ path: String, _ replace: Bool) throws(SQLiteError) {
        var target = stat()
        guard stat(path, &target) == 0 else { return }
        var source = stat()
        if case .file(let own) = location, stat(own, &source) == 0, source.st_dev == target.st_dev, source.st_ino == target.st_ino {
            throw SQLiteError(.cannotOpen, "it is the database itself; name another file", database: path)
        }
        guard replace else { throw SQLiteError(.cannotOpen, "a file of this name exists", database: path) }
        guard access(path + "-wal", F_OK) != 0, target.st_mode & S_IFMT == S_IFREG else {
            throw SQLiteError(.cannotOpen, "it is no plain file, or a database in use (\(path)-wal exists)", database: path)
        }
    }

    private func copyPages(to path: String) throws {
        let target = try SQLiteConnection(.file(path), SQLiteOptions(.create))
        guard let backup = sqlite3_backup_init(target.handle, "main", connection.handle, "main") else {
            throw SQLiteError(sqlite3_extended_errcode(target.handle), target.handle, database: path)
        }
        // All pages in one step: one read transaction, so one state.
        let result = sqlite3_backup_step(backup, -1)
        sqlite3_backup_finish(backup)
        guard result == SQLITE_DONE else { throw SQLiteError(result, target.handle, database: path) }
        // The header was copied with the WAL mark.
        let marked = sqlite3_exec(target.handle, "PRAGMA journal_mode = DELETE", nil, nil, nil)
        guard marked == SQLITE_OK else { throw SQLiteError(marked, target.handle, database: path) }
    }

    /// Pages are copied unread: a damaged database must not become a damaged snapshot that is found out when it is needed.
    private func checkCopy(_ path: String) throws(SQLiteError) {
        let verdict = try SQLiteDatabase(.file(path), SQLiteOptions(.readOnly)).value("PRAGMA quick_check(1)")
        guard verdict == "ok" else {
            var finding = ""
            if case .text(let text)? = verdict { finding = text }
            throw SQLiteError(.corrupt, "its copy fails the check: \(finding)", database: name)
        }
    }

    private static func sync(_ path: String, _ flags: Int32) throws(SQLiteError) {
        let descriptor = open(path, flags | O_CLOEXEC)
        guard descriptor >= 0 else { throw systemError(path, "opening") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw systemError(path, "syncing") }
    }

    private static func folder(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func systemError(_ path: String, _ doing: String) -> SQLiteError {
        let failure = errno
        let full = failure == ENOSPC || failure == EDQUOT
        return SQLiteError(full ? .full : .ioFailure, "\(doing): \(String(cString: strerror(failure)))", database: path)
    }
}

/// Copies of a store's file.
package enum RevisionBackup {
    /// Writes one consistent state of a store into a new file, while a server goes on writing; checks every row of the copy.
    ///
    /// - Throws: `SQLiteError`, as when the file exists; `RevisionError.damaged`.
    package static func make(of path: String, to target: String) throws {
        let source = try SQLiteDatabase(.file(path), SQLiteOptions(.readOnly))
        try source.backup(to: target)
        try RevisionLog.check(target)
    }

    /// Puts a backup in the place of a store's file, after checking every row of it. The store must not be in use.
    ///
    /// The older file is replaced in one step; its log of unfinished commits goes with it.
    ///
    /// - Throws: `RevisionError.inUse`, `.damaged`, `.failed`; `SQLiteError` for a file that is no store.
    package static func restore(_ backup: String, to path: String) throws {
        let lock = try FileLock(path)
        let source = try SQLiteDatabase(.file(backup), SQLiteOptions(.readOnly))
        try RevisionLog.check(backup)
        let partial = path + ".restored"
        try source.backup(to: partial, replace: true)
        try FileSwap.replace(path, with: partial)
        withExtendedLifetime(lock) {}
    }
}

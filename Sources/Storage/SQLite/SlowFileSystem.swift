import CSQLite

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The system's own files on a disk that is slower than the one there is: each sync takes so much longer. To see what group commit is worth where
/// disks are slow, on a machine whose disk is not.
package enum SlowFileSystem {
    /// What SQLite is given; it calls back with a pointer to the first field.
    private struct System {
        var table: sqlite3_vfs
        let microseconds: UInt32
    }

    /// Of one open file, likewise.
    private struct Methods {
        var table: sqlite3_io_methods
        let original: UnsafePointer<sqlite3_io_methods>
        let microseconds: UInt32
    }

    /// Registers a file system with SQLite, for the rest of the program.
    ///
    /// - Parameter syncTakes: the time that each sync takes beside the disk's own, at most a second.
    /// - Returns: its name, for `RevisionStore.Options.fileSystem`.
    /// - Throws: `SQLiteError` when SQLite takes none.
    package static func register(syncTakes: Duration) throws(SQLiteError) -> String {
        let microseconds = UInt32(clamping: min(1_000_000, max(0, Int64(syncTakes / .microseconds(1)))))
        let name = "slow-\(microseconds)"
        if sqlite3_vfs_find(name) != nil { return name }
        guard let own = sqlite3_vfs_find(nil), let text = strdup(name) else {
            throw SQLiteError(.cannotOpen, "there is no file system to slow down", database: name)
        }
        var table = own.pointee
        table.pNext = nil
        table.zName = UnsafePointer(text)
        table.xOpen = { system, path, file, flags, opened in SlowFileSystem.open(system!, path, file!, flags, opened) }
        // Never freed: SQLite keeps it until the program ends.
        let system = UnsafeMutablePointer<System>.allocate(capacity: 1)
        system.initialize(to: System(table: table, microseconds: microseconds))
        let result = system.withMemoryRebound(to: sqlite3_vfs.self, capacity: 1) { sqlite3_vfs_register($0, 0) }
        guard result == SQLITE_OK else { throw SQLiteError(.cannotOpen, "SQLite takes no further file system", database: name) }
        return name
    }

    /// Opens a file as the system does, and puts methods of its own before the system's.
    private static func open(
        _ system: UnsafeMutablePointer<sqlite3_vfs>, _ path: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>,
        _ flags: Int32, _ opened: UnsafeMutablePointer<Int32>?
    ) -> Int32 {
        guard let own = sqlite3_vfs_find(nil), let openOwn = own.pointee.xOpen else { return SQLITE_CANTOPEN }
        let result = openOwn(own, path, file, flags, opened)
        guard result == SQLITE_OK, let original = file.pointee.pMethods else { return result }
        var table = original.pointee
        table.xSync = { file, flags in
            let methods = SlowFileSystem.methods(file!)
            usleep(methods.pointee.microseconds)
            return methods.pointee.original.pointee.xSync(file, flags)
        }
        table.xClose = { file in
            let methods = SlowFileSystem.methods(file!)
            let original = methods.pointee.original
            methods.deallocate()
            file!.pointee.pMethods = original
            return original.pointee.xClose(file)
        }
        let microseconds = UnsafeMutableRawPointer(system).assumingMemoryBound(to: System.self).pointee.microseconds
        let methods = UnsafeMutablePointer<Methods>.allocate(capacity: 1)
        methods.initialize(to: Methods(table: table, original: original, microseconds: microseconds))
        file.pointee.pMethods = UnsafeRawPointer(methods).assumingMemoryBound(to: sqlite3_io_methods.self)
        return result
    }

    private static func methods(_ file: UnsafeMutablePointer<sqlite3_file>) -> UnsafeMutablePointer<Methods> {
        UnsafeMutableRawPointer(mutating: UnsafeRawPointer(file.pointee.pMethods!)).assumingMemoryBound(to: Methods.self)
    }
}

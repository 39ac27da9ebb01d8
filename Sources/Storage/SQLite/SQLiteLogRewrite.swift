import CSQLite

/// Writes the write-ahead log that an earlier run left once more, byte for byte, and syncs it.
///
/// A sync that failed leaves pages which are in memory and not on the disk, and which no later sync writes: a program that starts again
/// without a restart of the machine would go on from commits that a power failure then takes away in the middle. Written anew they are on
/// the disk, or the failure shows.
enum SQLiteLogRewrite {
    private static let chunkBytes: Int32 = 64 << 10

    /// To be called while no connection has the database open. Without a log nothing happens.
    ///
    /// - Throws: `.ioFailure` when the log cannot be read, written or synced.
    static func run(_ path: String, fileSystem name: String?) throws(SQLiteError) {
        guard let system = sqlite3_vfs_find(name) else {
            throw SQLiteError(.cannotOpen, "there is no file system \(name ?? "")", database: path)
        }
        var full = [CChar](repeating: 0, count: Int(system.pointee.mxPathname) + 8)
        guard system.pointee.xFullPathname(system, path, system.pointee.mxPathname, &full) & 0xff == SQLITE_OK else { return }
        let log = String(decoding: full.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) + "-wal"
        var isThere: Int32 = 0
        guard system.pointee.xAccess(system, log, SQLITE_ACCESS_EXISTS, &isThere) == SQLITE_OK, isThere != 0 else { return }
        let result = log.withCString { rewrite($0, system) }
        guard result == SQLITE_OK else {
            throw SQLiteError(.ioFailure, "writing \(log) anew: \(String(cString: sqlite3_errstr(result)))", database: path)
        }
    }

    private static func rewrite(_ log: UnsafePointer<CChar>, _ system: UnsafeMutablePointer<sqlite3_vfs>) -> Int32 {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Int(system.pointee.szOsFile), alignment: 16)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: Int(system.pointee.szOsFile))
        let file = memory.bindMemory(to: sqlite3_file.self, capacity: 1)
        let opened = system.pointee.xOpen(system, log, file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_WAL, nil)
        guard opened == SQLITE_OK, let methods = file.pointee.pMethods else { return opened }
        defer { _ = methods.pointee.xClose(file) }
        var size: Int64 = 0
        var result = methods.pointee.xFileSize(file, &size)
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: Int(chunkBytes), alignment: 16)
        defer { buffer.deallocate() }
        var offset: Int64 = 0
        while result == SQLITE_OK, offset < size {
            let count = Int32(min(Int64(chunkBytes), size - offset))
            result = methods.pointee.xRead(file, buffer, count, offset)
            if result == SQLITE_OK { result = methods.pointee.xWrite(file, buffer, count, offset) }
            offset += Int64(count)
        }
        return result == SQLITE_OK && size > 0 ? methods.pointee.xSync(file, SQLITE_SYNC_NORMAL) : result
    }
}

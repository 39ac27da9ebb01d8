#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Replaces a database file.
enum FileSwap {
    /// Moves a closed database into the place of another; the write-ahead log of the old one would be replayed onto the new one, so it
    /// goes first.
    static func replace(_ path: String, with partial: String) throws(RevisionError) {
        for suffix in ["-wal", "-shm"] {
            unlink(partial + suffix)
            guard unlink(path + suffix) == 0 || errno == ENOENT else {
                throw .failed("removing \(path)\(suffix): \(String(cString: strerror(errno)))")
            }
        }
        guard rename(partial, path) == 0 else { throw .failed("renaming \(partial): \(String(cString: strerror(errno)))") }
    }
}

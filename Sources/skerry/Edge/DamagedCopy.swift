import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A database of an edge that can be had again from elsewhere: one that is damaged is set aside, and another begun in its place.
enum DamagedCopy {
    /// Opens a database, if need be a new one.
    ///
    /// - Parameters:
    ///   - path: of the file; a damaged one is kept beside it as `PATH.damaged`, in place of the one before.
    ///   - setAside: told what was found, before anything is changed; throws to leave everything as it is.
    /// - Throws: whatever `open` throws of a file that is not damaged, or of the new one.
    static func replaced<Result>(
        _ path: String, setAside: (SQLiteError) throws -> Void, open: () async throws -> Result
    ) async throws -> Result {
        do {
            return try await open()
        } catch let error as SQLiteError {
            guard [.corrupt, .notADatabase].contains(error.code) else { throw error }
            try setAside(error)
            guard rename(path, path + ".damaged") == 0 else {
                throw CloudError("\(path) is damaged and cannot be set aside (\(String(cString: strerror(errno)))); move it away")
            }
            for end in ["-wal", "-shm"] { unlink(path + end) }
            return try await open()
        }
    }
}

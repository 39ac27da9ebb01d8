import Reconciliation
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A disk without room when a node starts: the node waits for some, as nobody may be there to start it again.
enum FullDisk {
    /// With less than this free, whatever failed is taken to have failed for want of room.
    private static let bytesMin = 1 << 20
    private static let backoff = ExponentialBackoff(first: .seconds(1), limit: .seconds(30))

    /// Opens what lies in a folder; while its disk is full, again and again.
    ///
    /// - Parameter isEnding: whether to give up; asked five times a second.
    /// - Returns: nil if that came first.
    /// - Throws: whatever `open` throws while there is room.
    static func awaited<Result>(
        _ folder: String, isEnding: () -> Bool, open: () async throws -> Result
    ) async throws -> Result? {
        var failures = 0
        while !isEnding() {
            do { return try await open() } catch {
                guard isForRoom(error, folder) else { throw error }
                failures += 1
                let wait = backoff.wait(afterFailures: failures)
                writeError("the disk of \(folder) is full (\(error)); free space there: the node starts as soon as there is some")
                let until = ContinuousClock.now + wait
                while ContinuousClock.now < until, !isEnding() { try await Task.sleep(for: .milliseconds(200)) }
            }
        }
        return nil
    }

    private static func isForRoom(_ error: any Error, _ folder: String) -> Bool {
        if let error = error as? SQLiteError, error.code == .full { return true }
        var facts = statvfs()
        guard statvfs(folder, &facts) == 0 else { return false }
        // A file system without a number of files says 0 of all.
        return Int(facts.f_bavail) * Int(facts.f_frsize) < bytesMin || facts.f_files > 0 && facts.f_favail == 0
    }
}

import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A few counts in a file of `LIVES_URL`, so that the next life of a worker goes on from them: what the one before has counted until it was killed.
///
/// Its user has it under a lock of its own, hence unchecked.
final class KeptCounts: @unchecked Sendable {
    /// The file has always so many bytes, blanks behind its JSON: each write replaces all of it, and a reader never finds half of one.
    private static let byteCount = 1024
    private static let name = "counts.json"
    private let file: Int32
    /// What earlier lives have counted.
    let found: JSONObject
    private var written: [UInt8] = []

    /// Nil without `LIVES_URL`.
    ///
    /// - Throws: the folder or file cannot be written.
    init?(_ settings: WorkerSettings) throws {
        guard let folder = settings["LIVES_URL"] else { return nil }
        try WorkerFile.makeFolder(folder)
        let path = "\(folder)/\(Self.name)"
        // After a power cut it may be empty, or hold something else: then it counts from 0.
        let bytes = WorkerFile.exists(path) ? try? WorkerFile.read(path, limit: Self.byteCount) : nil
        found = bytes.flatMap { try? JSONParser.parse($0) }?.object ?? [:]
        file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard file >= 0 else {
            let reason = String(cString: strerror(errno))
            throw WorkerInputError("\(path) cannot be written: \(reason); LIVES_URL names a folder that the worker may write to")
        }
    }

    /// Nothing happens where they are what was written last.
    func keep(_ counts: JSONObject) {
        var bytes = JSON.object(counts).bytes()
        precondition(bytes.count <= Self.byteCount, "counts are a few numbers")
        guard bytes != written else { return }
        written = bytes
        bytes += [UInt8](repeating: 0x20, count: Self.byteCount - bytes.count)
        // A disk that is full keeps nobody from answering; then the next life counts from what was written before.
        _ = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, 0) }
    }

    deinit { close(file) }
}

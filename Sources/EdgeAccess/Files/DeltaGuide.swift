import Storage
import Synchronization

/// Which bytes of a file that is fetched are in files that are here. Used by one fetch at a time.
final class DeltaGuide: Sendable {
    /// What a file is made of.
    struct Plan {
        let delta: FileDelta
        /// Those that the delta's sources count.
        let files: [ArtifactReader]
    }

    /// Files that are looked into: those used last.
    private static let filesMax = 8
    /// Bytes of them together; reading more costs more than it saves.
    private static let filesBytesMax: Int64 = 2 << 30
    /// Smaller files are brought whole: the list alone costs a request.
    private static let fileBytesMin: Int64 = 64 << 10
    /// A delta that saves less of the file, or fewer bytes, is none.
    private static let savedShareMin = 0.1

    private let state = Mutex<(isAsked: Bool, plan: Plan?)>((false, nil))

    /// It is known whether there is a plan.
    var isAsked: Bool { state.withLock { $0.isAsked } }
    /// Nil where the file is to be brought whole.
    var plan: Plan? { state.withLock { $0.plan } }

    /// The file is brought whole.
    func giveUp() { state.withLock { $0 = (true, nil) } }

    /// Files that may have something of another.
    static func candidates(_ entries: [ArtifactStore.Entry]) -> [ArtifactDigest] {
        var byteCount: Int64 = 0
        return entries.filter { $0.size >= fileBytesMin }.sorted { ($0.usedAt, $1.digest) > ($1.usedAt, $0.digest) }.prefix(filesMax)
            .filter { entry in
                guard byteCount + entry.size <= filesBytesMax else { return false }
                byteCount += entry.size
                return true
            }
            .map(\.digest)
    }

    /// Reads the candidates and decides whether a delta pays.
    ///
    /// - Throws: `CancellationError`, and `ArtifactError` for a file that cannot be read.
    func compare(_ wanted: FileChunks, with candidates: [ArtifactDigest], in store: ArtifactStore) async throws {
        giveUp()
        guard wanted.size >= Self.fileBytesMin else { return }
        var lists: [FileChunks] = []
        var readers: [ArtifactReader] = []
        for digest in candidates {
            let reader = try store.open(digest, isUse: false)
            lists.append(try await FileChunks(of: reader, scale: wanted.scale))
            readers.append(reader)
        }
        let delta = FileDelta(wanted, from: lists)
        guard delta.copiedBytes >= Self.fileBytesMin, Double(delta.copiedBytes) >= Self.savedShareMin * Double(wanted.size) else { return }
        state.withLock { $0 = (true, Plan(delta: delta, files: readers)) }
    }
}

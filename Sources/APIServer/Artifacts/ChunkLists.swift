import Storage
import Synchronization

/// Where files are cut, as bytes: each is read once, whoever asks and how many at once, and the lists of the last ones are kept.
final class ChunkLists: Sendable {
    private struct State {
        var lists: [ArtifactDigest: [UInt8]] = [:]
        /// The one asked for last is the last.
        var order: [ArtifactDigest] = []
        var byteCount = 0
        var underWay: [ArtifactDigest: Task<Result<[UInt8], ArtifactError>, Never>] = [:]
    }

    /// Bytes of lists that are kept; beyond, those go that nobody has asked for the longest.
    private static let keptBytesMax = 8 << 20
    private let store: ArtifactStore
    private let state = Mutex(State())

    init(store: ArtifactStore) { self.store = store }

    /// The list of a file.
    ///
    /// - Throws: `.missing`, `.failed`.
    func bytes(of digest: ArtifactDigest) async throws(ArtifactError) -> [UInt8] {
        enum Found { case list([UInt8]), work(Task<Result<[UInt8], ArtifactError>, Never>) }
        let found = state.withLock { state -> Found in
            if let list = state.lists[digest] {
                state.order.removeAll { $0 == digest }
                state.order.append(digest)
                return .list(list)
            }
            if let work = state.underWay[digest] { return .work(work) }
            let work = Task { await self.cut(digest) }
            state.underWay[digest] = work
            return .work(work)
        }
        switch found {
        case .list(let list): return list
        case .work(let work): return try await work.value.get()
        }
    }

    private func cut(_ digest: ArtifactDigest) async -> Result<[UInt8], ArtifactError> {
        let result: Result<[UInt8], ArtifactError>
        do {
            result = .success(try await FileChunks(of: try store.open(digest)).bytes)
        } catch let error as ArtifactError {
            result = .failure(error)
        } catch { result = .failure(.failed(path: "artifact \(digest)", reason: "\(error)")) }
        state.withLock { state in
            state.underWay[digest] = nil
            guard case .success(let list) = result, state.lists[digest] == nil else { return }
            state.lists[digest] = list
            state.order.append(digest)
            state.byteCount += list.count
            while state.byteCount > Self.keptBytesMax, state.order.count > 1 {
                state.byteCount -= state.lists.removeValue(forKey: state.order.removeFirst())?.count ?? 0
            }
        }
        return result
    }
}

package import Storage

/// Why a file could not be brought to this node or told to the cloud; one sentence for people. It is always tried again.
package struct NodeFilesError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What was seen, and the remedy.
    package let description: String

    /// The description is taken as it is.
    package init(_ description: String) { self.description = description }
}

/// Files by digest as the node's Pods use them: a store on this machine, and the way to the cloud's.
package struct NodeFiles: Sendable {
    private let store: ArtifactStore
    private let bring: (@Sendable (ArtifactDigest) async throws(NodeFilesError) -> Void)?
    private let send: (@Sendable (ArtifactDigest) async throws(NodeFilesError) -> Void)?

    /// - Parameters:
    ///   - store: on this machine, in the file system of the Pods' volumes, so that files need not be copied.
    ///   - bring: puts a file of the cloud into the store; nil where the store is the cloud's own.
    ///   - send: takes a file of the store to the cloud and returns when the cloud has it whole; nil where the store is the cloud's own.
    package init(
        store: ArtifactStore, bring: (@Sendable (ArtifactDigest) async throws(NodeFilesError) -> Void)? = nil,
        send: (@Sendable (ArtifactDigest) async throws(NodeFilesError) -> Void)? = nil
    ) {
        self.store = store
        self.bring = bring
        self.send = send
    }

    /// Where a file lies; nil if it is not here. It stays while an object of this node names it.
    func path(_ digest: ArtifactDigest) -> String? { try? store.file(digest) }

    /// Brings a file, and returns when it is here whole and verified.
    func fetch(_ digest: ArtifactDigest) async throws(NodeFilesError) {
        guard path(digest) == nil else { return }
        guard let bring else { throw NodeFilesError("there is no artifact \(digest)") }
        try await bring(digest)
    }

    /// Takes a file into the store and to the cloud.
    ///
    /// - Parameters:
    ///   - file: an open descriptor, read from its beginning.
    ///   - size: bytes there are.
    /// - Throws: `ArtifactError.wrongContent` or `.wrongSize` for a file that has become another; `NodeFilesError` for everything that may
    ///   pass.
    func publish(_ digest: ArtifactDigest, file: Int32, size: Int64) async throws {
        let store = store
        let failure = await Threads.run { () -> ArtifactError? in
            do throws(ArtifactError) {
                try store.take(digest, from: file, size: size)
                return nil
            } catch { return error }
        }
        switch failure {
        case nil: break
        case .wrongContent, .wrongSize: throw failure!
        default: throw NodeFilesError("\(failure!)")
        }
        if let send { try await send(digest) }
    }
}

package import Resources
package import Storage

/// Removes what nobody needs any more: join tokens that have expired, files that no object names.
package struct LeftoverKeeper: Sendable {
    /// Between two looks; the first comes after one such time, when controllers have made what they make.
    private static let period: Duration = .seconds(900)
    /// Expired tokens stay so long, that 'skerry token list' can tell what became of them.
    private static let tokenSeconds: Int64 = 86400
    /// Files that no object names stay so long after they arrived or were last asked for.
    package static let artifactSeconds: Int64 = 7 * 86400
    private let references: @Sendable () async throws -> Set<ArtifactDigest>
    private let now: @Sendable () -> Timestamp
    private let tokens: JoinTokens
    private let artifacts: ArtifactStore
    private let report: @Sendable (String) -> Void

    /// - Parameter report: takes lines for people.
    package init(
        service: ObjectService, tokens: JoinTokens, artifacts: ArtifactStore, report: @escaping @Sendable (String) -> Void
    ) {
        references = { try ArtifactReferences.all(in: service) }
        now = service.environment.now
        self.tokens = tokens
        self.artifacts = artifacts
        self.report = report
    }

    /// For a cloud beside a Kubernetes that somebody else runs.
    ///
    /// - Parameters:
    ///   - client: asked for what names files; while that fails, nothing is removed.
    ///   - report: takes lines for people.
    package init(
        client: any ObjectClient, tokens: JoinTokens, artifacts: ArtifactStore, now: @escaping @Sendable () -> Timestamp,
        report: @escaping @Sendable (String) -> Void
    ) {
        references = { try await ArtifactReferences.all(by: client) }
        self.now = now
        self.tokens = tokens
        self.artifacts = artifacts
        self.report = report
    }

    /// Runs until its task is cancelled.
    package func run() async {
        while true {
            do { try await Task.sleep(for: Self.period) } catch { return }
            await look()
        }
    }

    /// One look. What fails is told, and tried again with the next.
    package func look() async {
        do {
            _ = try await tokens.removeExpired(now: now().seconds - Self.tokenSeconds)
            let collected = artifacts.collect(keeping: try await references(), graceSeconds: Self.artifactSeconds)
            if collected.count > 0 { report("removed \(collected.count) files of \(collected.byteCount) bytes that no object names") }
        } catch { report("looking for leftovers: \(error)") }
    }
}

import Controllers
import KnowledgeBase
import Resources
import Storage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The cloud's knowledge base: one file, one writer. What workers recorded comes as files by digest.
actor CloudKnowledge: KnowledgeRecorder {
    private let path: String
    private let knowledge: KnowledgeBase
    private let artifacts: ArtifactStore
    private let now: @Sendable () -> Timestamp

    /// - Parameter path: of the file, made the first time.
    init(path: String, artifacts: ArtifactStore, now: @escaping @Sendable () -> Timestamp) throws {
        self.path = path
        knowledge = try KnowledgeBase(.file(path), SQLiteOptions(.create))
        self.artifacts = artifacts
        self.now = now
    }

    func record(_ entry: KnowledgeEntry) throws(APIStatus) -> KnowledgeSummary {
        do {
            let record = try record(of: entry)
            _ = try knowledge.record(record, at: now().seconds)
            return try summary(record.job)
        } catch let error as APIStatus {
            throw error
        } catch let error as KnowledgeError {
            throw APIStatus(code: 422, reason: "Invalid", message: "\(error)")
        } catch {
            throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "the knowledge base: \(error)")
        }
    }

    /// A copy of everything, as a file's bytes.
    func snapshot() throws(APIStatus) -> [UInt8] {
        let size = (try? knowledge.sizeBytes()) ?? 0
        guard size <= Self.snapshotBytesMax else {
            throw APIStatus(
                code: 413, reason: "RequestEntityTooLarge",
                message:
                    "the knowledge base has \(size >> 20) MiB, at most \(Self.snapshotBytesMax >> 20) MiB are sent; ask it on the cloud's"
                    + " machine: skerry kb … --kb \(path)")
        }
        let copy = path + ".copy"
        defer { try? FileManager.default.removeItem(atPath: copy) }
        do {
            try knowledge.export(to: copy, replace: true)
            return [UInt8](try Data(contentsOf: URL(filePath: copy)))
        } catch { throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "the knowledge base: \(error)") }
    }

    /// Largest copy that is sent: it is held in memory meanwhile.
    private static let snapshotBytesMax = 256 << 20

    /// Where users get a copy: `skerry kb` asks it.
    static let path = "/knowledge/v1/snapshot"

    // MARK: Records

    /// The worker's record. Whose round it is, and what became of its model, is not the worker's to say.
    private func record(of entry: KnowledgeEntry) throws -> RoundRecord {
        guard !entry.record.isEmpty else {
            var record = RoundRecord(
                job: try JobName(namespace: entry.job.namespace, name: entry.job.name), round: Int(entry.round), pod: entry.pod)
            let subject = entry.model.isEmpty ? nil : entry.model
            record.decisions = [.init(action: "rollback", subject: subject, reason: entry.reason.isEmpty ? "taken back" : entry.reason)]
            return record
        }
        guard let digest = ArtifactDigest(reference: entry.record) else {
            throw APIStatus(code: 422, reason: "Invalid", message: "record \(entry.record): expected sha256: and 64 digits")
        }
        guard let size = artifacts.size(digest) else {
            throw APIStatus(code: 404, reason: "NotFound", message: "record \(entry.record) is not among the cloud's files")
        }
        guard size <= Int64(RoundRecord.jsonBytesMax) else {
            throw APIStatus(
                code: 422, reason: "Invalid",
                message: "record \(entry.record) has \(size) bytes, at most \(RoundRecord.jsonBytesMax) are read")
        }
        let bytes = try artifacts.open(digest).read(at: 0, count: Int(size))
        var record = try RoundRecord(json: Data(bytes), name: "round.json of round \(entry.round)")
        record.job = try JobName(namespace: entry.job.namespace, name: entry.job.name)
        record.round = Int(entry.round)
        record.pod = entry.pod
        record.metrics.merge(entry.figures) { $1 }
        let model = entry.model.hasPrefix("sha256:") ? String(entry.model.dropFirst(7)) : nil
        record.decisions.append(
            RoundRecord.Decision(
                action: entry.isDeployed ? "serve" : "hold", model: record.models.contains { $0.digest == model } ? model : nil,
                reason: entry.reason.isEmpty ? "the gate of the job" : entry.reason))
        return record
    }

    // MARK: Summaries

    private func summary(_ job: JobName) throws -> KnowledgeSummary {
        let models = try rows(.models(job: job, round: nil, task: nil, isServing: false))
        let rounds = try rows(.rounds(job: job, round: nil))
        let newest = rounds.compactMap { $0["round"]?.integer }.max().map { Int($0) }
        let samples = try knowledge.sampleCounts(of: job).map { ($0.key.name, Int64($0.value)) }
        return KnowledgeSummary(
            tasks: try rows(.tasks(job: job, task: nil, attribute: nil)), models: models,
            relations: try rows(.relations(job: job, round: newest, task: nil, kind: nil)),
            rounds: rounds, samples: Dictionary(samples, uniquingKeysWith: +))
    }

    /// A listing's rows as they are printed with `-o json`.
    private func rows(_ listing: Listing) throws -> [JSON] {
        var text = ""
        var writer = RowWriter(.json) { text += $0 }
        try knowledge.list(listing, for: .json, into: &writer)
        return try JSON(parsing: text).array ?? []
    }
}

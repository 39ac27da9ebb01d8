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
        guard !entry.record.isEmpty else { return try recordOfNone(entry) }
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
        for (dataset, manifest) in entry.departures.sorted(by: { $0.key < $1.key }) {
            record.decisions += try departures(of: dataset, manifest)
        }
        return record
    }

    /// A record of what the cloud itself knows: a version of an earlier time serves again, or a worker made a model and said no more.
    private func recordOfNone(_ entry: KnowledgeEntry) throws -> RoundRecord {
        let job = try JobName(namespace: entry.job.namespace, name: entry.job.name)
        var record = RoundRecord(job: job, round: Int(entry.round), pod: entry.pod)
        guard let made = entry.made else {
            let subject = entry.model.isEmpty ? nil : entry.model
            record.decisions = [.init(action: "rollback", subject: subject, reason: entry.reason.isEmpty ? "taken back" : entry.reason)]
            return record
        }
        guard let digest = ArtifactDigest(reference: entry.model)?.hex else {
            throw APIStatus(code: 422, reason: "Invalid", message: "model \(entry.model): expected sha256: and 64 digits")
        }
        record.metrics = entry.figures
        var model = RoundRecord.Model(
            digest: digest, name: "\(job.name), round \(entry.round)", format: made.format, sizeBytes: Int(made.size),
            metrics: entry.figures)
        if let base = made.base.flatMap({ ArtifactDigest(reference: $0) }), base.hex != digest {
            model.parents = [base.hex]
            // The first one was made by nobody that the knowledge base knows. This round itself does not count: it may be told again.
            let known = try rows(.models(job: job, round: nil, task: nil, isServing: false)).contains {
                $0["model"]?.string == base.hex && $0["round"]?.integer != entry.round
            }
            if !known {
                record.models.append(
                    .init(digest: base.hex, name: "\(job.name), before", format: made.format, sizeBytes: Int(artifacts.size(base) ?? 0)))
            }
        }
        record.models.append(model)
        let reason = entry.reason.isEmpty ? "the gate of the job" : entry.reason
        record.decisions = [
            .init(action: "deploy", model: digest, reason: "a new model of a worker that recorded nothing"),
            .init(action: entry.isDeployed ? "serve" : "hold", model: digest, reason: reason),
        ]
        for (dataset, manifest) in entry.departures.sorted(by: { $0.key < $1.key }) {
            record.decisions += try departures(of: dataset, manifest)
        }
        return record
    }

    /// What left a data set's node, file by file, and why: the manifest of the worker that took it out.
    private func departures(of dataset: String, _ manifest: String) throws -> [RoundRecord.Decision] {
        guard let digest = ArtifactDigest(reference: manifest), let size = artifacts.size(digest) else {
            throw APIStatus(
                code: 404, reason: "NotFound", message: "manifest \(manifest) of data set \(dataset) is not among the cloud's files")
        }
        let unreadable = RoundRecord.Decision(
            action: "collect", subject: dataset, reason: "rows left their node, but the manifest \(manifest) that says which cannot be read"
        )
        guard size <= Self.manifestBytesMax, let json = try? JSONParser.parse(try artifacts.open(digest).read(at: 0, count: Int(size))),
            let files = json["files"]?.array
        else { return [unreadable] }
        func words(_ list: JSON?) -> String {
            let names = (list?.array ?? []).compactMap(\.string)
            return names.isEmpty ? "none" : String(names.joined(separator: ", ").prefix(1000))
        }
        return files.prefix(Self.manifestFilesMax).map { file in
            let left = file["left"]?.integer ?? 0, rows = file["rows"]?.integer ?? 0
            let reasons = (file["reasons"]?.object ?? [:]).map { "\($0.0): \($0.1.text)" }.joined(separator: ", ")
            return RoundRecord.Decision(
                action: "collect", subject: dataset,
                reason: "\(left) of \(rows) rows left their node as \(file["name"]?.string?.prefix(100) ?? "a file") by the rule"
                    + " \(json["rule"]?.string?.prefix(100) ?? "unknown") (\(reasons.isEmpty ? "none" : String(reasons.prefix(500))));"
                    + " columns: \(words(file["columns"])); stayed: \(words(file["withheldColumns"]))",
                figures: ["rows": Double(rows), "left": Double(left)])
        }
    }

    /// Largest manifest that is read, and files of one that are told.
    private static let manifestBytesMax: Int64 = 1 << 20
    private static let manifestFilesMax = 16

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

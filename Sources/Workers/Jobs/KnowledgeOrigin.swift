import KnowledgeBase
import Learning

/// The job whose knowledge this one goes on from, as the platform says it; see `KNOWLEDGE_FROM` in the guide of workers.
struct KnowledgeOrigin: Sendable {
    /// Its name.
    let job: String
    /// Its round that left what was taken. Models up to there are of that job.
    let round: Int
    /// What lies in `KNOWLEDGE_URL` is that job's; else it is what a round of this one made of it.
    let isTaken: Bool

    /// - Returns: nil for a job that began by itself.
    /// - Throws: `WorkerInputError` for a variable that cannot be worked with.
    init?(_ settings: WorkerSettings) throws(WorkerInputError) {
        guard let job = settings["KNOWLEDGE_FROM"] else { return nil }
        self.job = job
        round = try settings.integer("KNOWLEDGE_ROUND", default: 0, in: 0...Int(Int32.max))!
        isTaken = settings["KNOWLEDGE_STATE"] == nil ? false : try settings.choice("KNOWLEDGE_STATE", of: ["taken", "own"]) == "taken"
    }

    /// Says in a round's record which models came from the other job. In the first round those it was taken with stand there too, as the
    /// models that this round's were made from; in later ones the knowledge base knows them.
    ///
    /// - Parameter state: path of the state that was taken, with the other job's record beside it.
    /// - Throws: `FileReadError`; `KnowledgeError` for a record that is none.
    func mark(_ record: inout RoundRecord, state: String?) throws {
        var given: [Int: RoundRecord.Model] = [:]
        if isTaken, let state { given = try models(beside: state) }
        for place in record.models.indices {
            guard let round = Self.round(of: record.models[place]), round <= self.round else { continue }
            record.models[place].name = "\(job), round \(round)"
            if isTaken { record.models[place].parents = [] }
        }
        for (round, parent) in given.sorted(by: { $0.key < $1.key }) { add(parent, of: round, to: &record) }
    }

    /// Names a model that was taken as the parent of what it became: itself with other corrections, else the model that serves in its place.
    private func add(_ parent: RoundRecord.Model, of round: Int, to record: inout RoundRecord) {
        guard !record.models.contains(where: { $0.digest == parent.digest }) else { return }
        let heir = record.models.indices.first { Self.round(of: record.models[$0]) == round }
        let newest = record.models.indices.filter { Self.round(of: record.models[$0]) == record.round }.first
        guard let place = heir ?? newest else { return }
        record.models[place].parents.append(parent.digest)
        var parent = parent
        parent.name = "\(job), round \(round)"
        (parent.tasks, parent.parents, parent.datasets) = ([], [], [])
        record.models.append(parent)
    }

    private static func round(of model: RoundRecord.Model) -> Int? { model.metrics["trained_in_round"].map { Int($0) } }

    /// Models of the round that left the state, by the round in which they were trained; none where that worker recorded nothing.
    private func models(beside state: String) throws -> [Int: RoundRecord.Model] {
        let path = "\(WorkerFile.folder(of: state))/\(WorkerFile.round)"
        guard WorkerFile.exists(path) else { return [:] }
        let record = try RoundRecord(json: try WorkerFile.read(path, limit: RoundRecord.jsonBytesMax), name: path)
        let models = record.models.compactMap { model in Self.round(of: model).map { ($0, model) } }
        // Where that job had taken it itself, the one it was made from stands there too.
        return Dictionary(models, uniquingKeysWith: { $1.parents.contains($0.digest) ? $1 : $0 })
    }
}

import Resources

/// Begins a job with what another one knows, where both say so: once, before the job has learned anything itself.
extension RoundPlan {
    /// What the next round is to begin with; nil where the job begins with nothing, or with its own.
    ///
    /// - Throws: `JobObstacle` where the other job has nothing to give, or does not give it.
    func knowledgeToTake() throws(JobObstacle) -> TakenKnowledge? {
        guard let from = job["spec"]?["knowledge"]?["from"]?.string, (status["state"]?.array ?? []).isEmpty else { return nil }
        let taken = TakenKnowledge(status["knowledge"])
        do throws(JobObstacle) {
            let offer = try offer(of: from)
            return offer.digest == taken?.digest ? taken : offer
        } catch {
            // What was taken stays, whatever has become of the giver.
            guard let taken else { throw error }
            return taken
        }
    }

    private func offer(of name: String) throws(JobObstacle) -> TakenKnowledge {
        guard let giver = world.givers.first, !giver.isBeingDeleted else {
            throw JobObstacle(
                reason: "JobNotFound",
                message:
                    "spec.knowledge.from: there is no LifelongLearningJob \(name) in the job's namespace; create it or remove the field")
        }
        let shared = (giver["spec"]?["knowledge"]?["shareWith"]?.array ?? []).compactMap(\.string)
        guard shared.contains(where: { $0 == "*" || $0 == job.name }) else {
            throw JobObstacle(
                reason: "KnowledgeNotShared",
                message:
                    "spec.knowledge.from: job \(name) does not share its knowledge with \(job.name); add the name to its spec.knowledge.shareWith"
            )
        }
        guard let offer = TakenKnowledge(of: giver, at: world.now) else {
            if let circle = circle() { throw circle }
            throw JobObstacle(
                reason: "KnowledgeNotReady", message: "spec.knowledge.from: job \(name) has not deployed a round yet; wait for its first")
        }
        return offer
    }

    /// Jobs that take from each other, of which none can begin: the job's own circle, or one that it waits for.
    private func circle() -> JobObstacle? {
        let row = [job] + world.givers
        guard let last = row.last.flatMap(TakenKnowledge.awaitedJob), let begin = row.firstIndex(where: { $0.name == last }) else {
            return nil
        }
        let names = row[begin...].map(\.name) + [last]
        let words = zip(names, names.dropFirst()).map { "\($0) takes from \($1)" }.joined(separator: ", ")
        return JobObstacle(
            reason: "KnowledgeCircle",
            message: "spec.knowledge.from: \(words), and none of them can begin; remove the field from one of them", isWarning: true)
    }

    /// Remembers what the first round begins with, and says so.
    mutating func take(_ taken: TakenKnowledge) {
        guard TakenKnowledge(status["knowledge"]) != taken else { return }
        status["knowledge"] = taken.json
        status.tell("KnowledgeTaken", "goes on from round \(taken.round) of job \(taken.job) (\(taken.digest.prefix(19))…)")
    }

    /// Number of the round that comes next.
    var nextRound: Int64 { max(status.endedRound, TakenKnowledge(status["knowledge"])?.round ?? 0) + 1 }
}

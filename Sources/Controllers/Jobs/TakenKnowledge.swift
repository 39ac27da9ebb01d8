import Resources

/// What a job took over from another before it knew anything itself, as `status.knowledge`. Pure.
struct TakenKnowledge: Sendable, Hashable {
    /// Name of the job that gave it, and which of that name.
    var job: String
    var uid: String
    /// The giver's round that left it; the taker's rounds go on counting from there, as its models are known by their rounds.
    var round: Int64
    /// The files, as the giver's `status.state`.
    var state: [WorkerReport.Result]
    var time: Timestamp

    /// Of the file that the next round goes on from.
    var digest: String { state.first { $0.format == "state" }?.digest ?? "" }

    /// What a job has to give: what its newest deployed round left; nil where none has been deployed.
    init?(of giver: JSON, at time: Timestamp) {
        let status = giver["status"]
        let state = Self.files(status?["state"])
        guard !state.isEmpty else { return nil }
        let rounds = status?["rounds"]?.array ?? []
        // A round that changed nothing left nothing.
        let deployed = rounds.last { $0["result"] == "Deployed" }?["round"]?.integer
        (job, uid, self.state, self.time) = (giver.name, giver.uid, state, time)
        round = deployed ?? status?["round"]?.integer ?? 0
    }

    init?(_ json: JSON?) {
        guard let json, let job = json["job"]?.string, let round = json["round"]?.integer, let time = json.time("time") else { return nil }
        (self.job, uid, self.round, self.time) = (job, json["uid"]?.string ?? "", round, time)
        state = Self.files(json["state"])
    }

    var json: JSON {
        [
            "job": .string(job), "uid": .string(uid), "round": .integer(round), "digest": .string(digest), "time": .string(time.text),
            "state": .array(state.map(\.json)),
        ]
    }

    /// The job without which a job cannot begin; nil for one that begins by itself, or has already taken what it needs or learned by itself.
    static func awaitedJob(_ job: JSON) -> String? {
        guard !job.isBeingDeleted, files(job["status"]?["state"]).isEmpty, Self(job["status"]?["knowledge"]) == nil else { return nil }
        return job["spec"]?["knowledge"]?["from"]?.string
    }

    /// Files of a state, as they stand in a status.
    static func files(_ json: JSON?) -> [WorkerReport.Result] {
        (try? WorkerReport(["status": "completed", "results": json ?? []]))?.results ?? []
    }
}

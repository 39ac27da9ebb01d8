import Resources

/// What a worker that serves says of itself and people should know of at once, each told once. Pure.
struct WorkerIncidents: Sendable, Equatable {
    /// Sentences that are remembered; beyond, all are forgotten, and one may be told again.
    private static let toldMax = 64
    private var told: Set<String> = []
    /// Changes of the answers that were told, of one version.
    private var drift: (version: String, count: Int64) = ("", 0)

    static func == (one: WorkerIncidents, other: WorkerIncidents) -> Bool { one.told == other.told && one.drift == other.drift }

    /// Events, by reason and sentence, of what is new in a report.
    mutating func news(in info: JSONObject) -> [(reason: String, sentence: String)] {
        var news: [(String, String)] = []
        // It had to take another version than it should.
        if let sentence = info["incident"]?.string, !sentence.isEmpty, isNew(sentence) { news.append(("ModelReplaced", sentence)) }
        if info["canaryRefused"]?.string?.isEmpty == false, let sentence = info["canaryResult"]?.string, isNew(sentence) {
            news.append(("ModelRolledBack", sentence))
        }
        if let sentence = driftNews(info) { news.append(("ModelDrift", sentence)) }
        return news
    }

    private mutating func isNew(_ sentence: String) -> Bool {
        if told.count >= Self.toldMax { told = [] }
        return told.insert(sentence).inserted
    }

    private mutating func driftNews(_ info: JSONObject) -> String? {
        let (version, count) = (info["modelVersion"]?.string ?? "", info["driftNumber"]?.integer ?? 0)
        if version != drift.version || count < drift.count { drift = (version, 0) }
        guard count > drift.count else { return nil }
        drift.count = count
        func number(_ name: String) -> String { info[name]?.text ?? "unknown" }
        return
            "the model (version \(version)) is not as sure of its answers as before (change \(count) since it serves, quality estimate \(number("qualityEstimate")), stability index \(number("stabilityIndex"))); look at what comes in, or have it learned anew"
    }
}

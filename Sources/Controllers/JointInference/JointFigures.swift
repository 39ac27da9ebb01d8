import Resources

/// What the edge workers of a joint inference service have counted: each of them, all together, and those that are gone. Pure.
struct JointFigures: Sendable {
    /// Workers that are listed and whose counts stay when they go; beyond, they are in the sums while they are there.
    static let workersMax = 256
    /// Figures of the status.
    private static let metricsMax = 64
    /// Counted, never measured: their sums are exact.
    private static let counters = [
        "inferenceNumber", "hardExampleNumber", "unseenNumber", "refusedNumber", "errors", "uploadNumber", "uploadBytes", "downloadBytes",
        "changedNumber", "helpedNumber", "hurtNumber", "cloudFailures", "questionNumber",
    ]
    /// Of the nodes, and no counts.
    private static let measures: Set<String> = ["inferenceThreads", "adaptedSites"]

    /// A worker and how it stands.
    struct Worker: Sendable {
        var pod: JSON
        var state: String
    }

    /// `status.workers`, `status.past` and `status.metrics`; nil where nothing is known.
    let workers: JSON?
    let past: JSON?
    let metrics: JSON?

    /// - Parameters:
    ///   - found: the edge workers that are there, by name.
    ///   - status: of the service, with what was known.
    init(_ found: [Worker], status: JSON) {
        let known = Dictionary(
            (status["workers"]?.array ?? []).map { ($0["uid"]?.string ?? "", $0) }, uniquingKeysWith: { first, _ in first })
        var past = status["past"]?.object ?? [:]
        var listed: [JSON] = []
        var told: [JSONObject] = []
        for worker in found {
            let before = known[worker.pod.uid]?["counts"]?.object ?? [:]
            let info = WorkerState(worker.pod)?.report.ownerInfo
            let counts = info.map(Self.counts) ?? before
            // What began anew counts from 0.
            Self.add(JSONObject(before.filter { (counts[$0.0]?.integer ?? 0) < ($0.1.integer ?? 0) }.map { ($0.0, $0.1) }), to: &past)
            if let info { told.append(info) } else if !before.isEmpty { told.append(before) }
            if listed.count < Self.workersMax { listed.append(Self.entry(worker, info, counts)) }
        }
        let there = Set(found.map(\.pod.uid))
        for (uid, entry) in known where !there.contains(uid) { Self.add(entry["counts"]?.object ?? [:], to: &past) }
        workers = listed.isEmpty ? nil : .array(listed)
        self.past = past.isEmpty ? nil : .object(JSONObject(past.sorted { $0.0 < $1.0 }.map { ($0.0, $0.1) }))
        metrics = told.isEmpty && past.isEmpty ? nil : Self.metrics(told, past)
    }

    private static func counts(_ info: JSONObject) -> JSONObject {
        JSONObject(counters.compactMap { name in info[name]?.integer.map { (name, .integer($0)) } })
    }

    private static func add(_ counts: JSONObject, to sums: inout JSONObject) {
        for (name, count) in counts { sums[name] = .integer((sums[name]?.integer ?? 0) + (count.integer ?? 0)) }
    }

    private static func entry(_ worker: Worker, _ info: JSONObject?, _ counts: JSONObject) -> JSON {
        var entry: JSON = [
            "name": .string(worker.pod.name), "uid": .string(worker.pod.uid), "state": .string(worker.state),
        ]
        entry["node"] = DaemonSetNodes.node(of: worker.pod).map { .string($0) }
        entry["address"] = info?["address"]
        if !counts.isEmpty { entry["counts"] = .object(counts) }
        return entry
    }

    // MARK: Together

    /// Sedna's counters as texts; times stay out.
    private static func metrics(_ told: [JSONObject], _ past: JSONObject) -> JSON {
        var figures = together(told)
        add(past, to: &figures)
        if told.count > 1 || !past.isEmpty { figures["uploadCloudRatio"] = ratio(figures) ?? figures["uploadCloudRatio"] }
        return .array(
            figures.filter { !["startTime", "updateTime"].contains($0.0) }.sorted { $0.0 < $1.0 }.prefix(metricsMax)
                .map { ["key": .string($0.0), "value": .string($0.1.string ?? $0.1.text)] })
    }

    private static func ratio(_ figures: JSONObject) -> JSON? {
        guard let uploads = figures["uploadNumber"]?.number, let all = figures["inferenceNumber"]?.number, all > 0 else { return nil }
        return .decimal("\((uploads / all * 10_000).rounded() / 10_000)")
    }

    /// Of one worker what it says. Of several the sums of what is counted, the longest times, means by answered rows of what is measured, and words
    /// that not all say once each; where each is asked stands in `status.workers`.
    private static func together(_ told: [JSONObject]) -> JSONObject {
        guard told.count != 1 else { return told[0] }
        var figures: JSONObject = [:]
        for name in Set(told.flatMap(\.keys)).subtracting(["address"]).sorted() {
            let values = told.compactMap { info in info[name].map { (value: $0, weight: info["inferenceNumber"]?.number ?? 0) } }
            let numbers = values.compactMap { $0.value.number }
            if numbers.count < values.count {
                let words = Set(values.map { $0.value.string ?? $0.value.text }.filter { !$0.isEmpty }).sorted()
                figures[name] = .string(words.prefix(4).joined(separator: ", "))
            } else if name.hasPrefix("latency") {
                figures[name] = values.map(\.value).max { ($0.number ?? 0) < ($1.number ?? 0) }
            } else if !measures.contains(name), values.allSatisfy({ $0.value.integer != nil }) {
                figures[name] = .integer(values.reduce(0) { $0 + ($1.value.integer ?? 0) })
            } else {
                figures[name] = mean(zip(numbers, values.map(\.weight)))
            }
        }
        return figures
    }

    private static func mean(_ values: some Sequence<(Double, Double)>) -> JSON {
        let all = Array(values), weight = all.reduce(0) { $0 + $1.1 }
        let mean = weight > 0 ? all.reduce(0) { $0 + $1.0 * $1.1 } / weight : all.reduce(0) { $0 + $1.0 } / Double(max(all.count, 1))
        return .decimal("\((mean * 10_000).rounded() / 10_000)")
    }
}

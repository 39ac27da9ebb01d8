import Resources

/// What the workers that serve tell of one version since it took over: counters as differences to their first report of it. Pure.
struct LiveFigures: Sendable {
    /// Workers whose first reports are remembered.
    static let podsMax = 64
    /// Predictions below which a share says nothing, where a rule names no number.
    static let samplesMin = 20

    /// Shares of the predictions, by the counter they are made of.
    private static let shares = [
        "hardShare": "hardExampleNumber", "unseenShare": "unseenNumber", "errorShare": "errors", "refusedShare": "refusedNumber",
    ]
    private static let counters = ["inferenceNumber", "hardExampleNumber", "unseenNumber", "errors", "refusedNumber"]

    private(set) var figures: JSONObject = [:]
    /// First reports by Pod, as `status.live` keeps them; nil where nobody has reported.
    private(set) var json: JSON?
    /// Predictions since the version took over.
    private(set) var count: Int64 = 0

    /// - Parameters:
    ///   - version: the one that serves.
    ///   - pods: the job's.
    ///   - known: `status.live`; first reports of another version count nothing.
    init(version: Int64, pods: [JSON], known: JSON?) {
        var first: JSONObject = known?["version"]?.integer == version ? known?["pods"]?.object ?? [:] : [:]
        var sums: [String: Int64] = [:]
        for pod in pods.sorted(by: { $0.name < $1.name }) {
            guard let told = Self.told(pod, version), first[pod.name] != nil || first.count < Self.podsMax else { continue }
            var begin = first[pod.name]
            // One that began anew counts from 0.
            if let known = begin, Self.counters.contains(where: { (told[$0]?.integer ?? 0) < (known[$0]?.integer ?? 0) }) { begin = [:] }
            if begin == nil {
                begin = .object(JSONObject(Self.counters.compactMap { name in told[name]?.integer.map { (name, .integer($0)) } }))
            }
            if first[pod.name] != begin { first[pod.name] = begin }
            for name in Self.counters where told[name] != nil {
                sums[name, default: 0] += (told[name]?.integer ?? 0) - (begin?[name]?.integer ?? 0)
            }
            // The slowest worker's.
            for (name, value) in told where name.hasPrefix("latency") {
                if let value = value.number, value > (figures[name]?.number ?? -1) { figures[name] = .number(value) }
            }
        }
        for (name, sum) in sums { figures[name] = .integer(sum) }
        count = sums["inferenceNumber"] ?? 0
        for (share, counter) in Self.shares where sums[counter] != nil {
            let all = count + (["errors", "refusedNumber"].contains(counter) ? sums[counter] ?? 0 : 0)
            if all > 0 { figures[share] = .number(Double(sums[counter] ?? 0) / Double(all)) }
        }
        guard !first.isEmpty else { return }
        json = ["version": .integer(version), "pods": .object(first)]
        // What was told of this version stays told.
        if known?["version"]?.integer == version { json?["told"] = known?["told"] }
    }

    /// What a worker says, if it serves that version: by its number, or in a Pod of the version's own.
    private static func told(_ pod: JSON, _ version: Int64) -> JSONObject? {
        guard pod.labels.contains(where: { $0.0.hasSuffix(".sedna.io/worker-type") && $0.1 == "inference" }),
            let info = WorkerState(pod)?.report.ownerInfo
        else { return nil }
        let served = info["modelVersion"]?.integer ?? info["modelVersion"]?.string.flatMap { Int64($0) }
        guard served == version || served == nil && pod.name.hasSuffix("-v\(version)") else { return nil }
        return info
    }

    /// The rule that holds, as a sentence; nil while none does, or too little is known.
    ///
    /// - Parameter rules: `deploySpec.rollback`.
    func breach(of rules: [JSON]) -> String? {
        for rule in rules {
            guard let condition = JobTrigger.Condition(rule), let figure = figures[condition.metric] else { continue }
            let needed = rule["samples"]?.integer ?? Int64(Self.samplesMin)
            let seen = count + (figures["errors"]?.integer ?? 0) + (figures["refusedNumber"]?.integer ?? 0)
            guard seen >= needed, condition.holds(figure) else { continue }
            let value = figure.number.map(JobGate.digits) ?? figure.text
            return "\(condition.text) of its live figures: it is \(value) after \(count) predictions"
        }
        return nil
    }
}

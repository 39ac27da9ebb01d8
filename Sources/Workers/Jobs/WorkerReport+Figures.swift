package import Resources

extension WorkerReport.Result {
    /// Rounds that are told apart in a report: those that a job's status keeps, and the one under way.
    private static let roundsMax = 33

    /// A file that is left, with its figures.
    ///
    /// - Parameters:
    ///   - url: its path as the worker sees it.
    ///   - metrics: by name; one that is not finite is left out, since JSON has none.
    ///   - lists: one number a class, by name; all finite.
    ///   - tasks: figures of single tasks, by task and name.
    ///   - rounds: figures on the rows of single rounds, by round and name.
    package init(
        url: String, format: String, metrics: [String: Double] = [:], lists: [String: [Double]] = [:],
        tasks: [String: [String: Double]] = [:], rounds: [Int: [String: Double]] = [:]
    ) {
        var figures = Self.object(metrics)
        for (name, values) in lists.sorted(by: { $0.key < $1.key }) { figures[name] = .array(values.map { .decimal("\($0)") }) }
        if !tasks.isEmpty {
            figures["tasks"] = .object(JSONObject(tasks.sorted { $0.key < $1.key }.map { ($0.key, JSON.object(Self.object($0.value))) }))
        }
        // The newest ones: a report has a bound.
        let newest = rounds.sorted { $0.key < $1.key }.suffix(Self.roundsMax)
        if !newest.isEmpty { figures["rounds"] = .object(JSONObject(newest.map { ("\($0.key)", JSON.object(Self.object($0.value))) })) }
        self.init(name: url.split(separator: "/").last.map(String.init) ?? url, format: format, url: url, metrics: figures)
    }

    private static func object(_ metrics: [String: Double]) -> JSONObject {
        JSONObject(metrics.filter(\.value.isFinite).sorted { $0.key < $1.key }.map { ($0.key, JSON.decimal("\($0.value)")) })
    }
}

extension WorkerReport {
    /// The body of `POST …/info` as Sedna's workers send it.
    ///
    /// - Parameter name: the worker's, which the path names too.
    func body(name: String, _ settings: WorkerSettings) -> [UInt8] {
        var object: JSON = [
            "name": .string(name), "namespace": .string(settings["NAMESPACE"] ?? "default"),
            "ownerName": .string(settings["JOB_NAME"] ?? settings["SERVICE_NAME"] ?? ""),
        ]
        if let kind = settings["OWNER_KIND"] { object["ownerKind"] = .string(kind) }
        for (key, value) in json.object ?? [:] { object[key] = value }
        return object.bytes()
    }
}

/// The longest beginning of a sentence that a report takes.
func reportWords(_ text: String) -> String {
    guard text.utf8.count > WorkerReport.Limits.wordBytesMax else { return text }
    var words = ""
    for character in text where words.utf8.count + character.utf8.count + 3 <= WorkerReport.Limits.wordBytesMax { words.append(character) }
    return words + "…"
}

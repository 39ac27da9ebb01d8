/// What a worker says of itself: Sedna's report (`POST /sedna/workers/NAME/info`) with progress, and digests once its files are published.
///
/// The same value travels as the message of a Pod's condition of type `WorkerContract.condition`.
package struct WorkerReport: Sendable, Hashable {
    /// Where the worker stands, in Sedna's words.
    package enum Status: String, Sendable, Hashable, CaseIterable { case running, completed, failed }

    /// How far it has come.
    package struct Progress: Sendable, Hashable {
        /// From 0 to `total`.
        package var done: Int64
        /// Nil where nobody knows.
        package var total: Int64?
        /// What is counted, as `rounds`.
        package var unit: String
        /// For people; may be empty.
        package var message: String

        /// Nothing is checked; `WorkerReport.init(_:)` checks what workers send.
        package init(done: Int64, total: Int64? = nil, unit: String = "", message: String = "") {
            (self.done, self.total, self.unit, self.message) = (done, total, unit, message)
        }
    }

    /// A file that the worker leaves, or a model it has judged.
    package struct Result: Sendable, Hashable {
        /// Of the file, without its folder.
        package var name: String
        /// As `onnx`, `csv`, `json`, `state`, `knowledge`.
        package var format: String
        /// Where the worker sees the file; empty for one that it only judges.
        package var url: String
        /// `sha256:…`; empty until the agent has taken the file.
        package var digest: String
        /// Bytes; nil until the agent has taken the file.
        package var size: Int64?
        /// Figures by name: numbers, lists of numbers, or numbers by name; all finite.
        package var metrics: JSONObject

        /// Nothing is checked; `WorkerReport.init(_:)` checks what workers send.
        package init(
            name: String, format: String, url: String = "", digest: String = "", size: Int64? = nil, metrics: JSONObject = [:]
        ) {
            (self.name, self.format, self.url, self.digest, self.size, self.metrics) = (name, format, url, digest, size, metrics)
        }
    }

    /// Bounds of what a worker may say.
    package enum Limits {
        /// Bytes of a request's body.
        package static let bodyBytesMax = 256 << 10
        /// Bytes of a report as JSON, after what nobody reads was left out.
        package static let textBytesMax = 32 << 10
        /// Results of a report.
        package static let resultsMax = 32
        /// Figures of a result, those in lists and by name counted each.
        package static let figuresMax = 2048
        /// Bytes of a name, a path, or a sentence.
        package static let wordBytesMax = 1024
    }

    /// Where the worker stands.
    package var status: Status
    /// What the worker does: `train`, `eval`, `inference`, `collect`; empty where it does not say.
    package var kind: String
    /// A sentence for people, as why it failed; may be empty.
    package var message: String
    /// Nil where it does not say.
    package var progress: Progress?
    /// In the worker's order.
    package var results: [Result]
    /// Counters of services, as `inferenceNumber`; scalars by name.
    package var ownerInfo: JSONObject

    /// A report without results; set the fields.
    package init(_ status: Status, kind: String = "", message: String = "", progress: Progress? = nil, results: [Result] = []) {
        (self.status, self.kind, self.message, self.progress, self.results) = (status, kind, message, progress, results)
        ownerInfo = [:]
    }
}

/// Why a report is refused: the field and a sentence.
package struct WorkerReportError: Error, Sendable, Hashable, CustomStringConvertible {
    /// `results[0].metrics.accuracy: found 1e999, expected a finite number`.
    package let description: String

    init(_ field: String, _ sentence: String) { description = "\(field): \(sentence)" }
}

extension WorkerReport {
    /// Reads a report, of a worker's or a condition's.
    ///
    /// - Throws: `WorkerReportError` that names the first field that is not as it must be.
    package init(_ json: JSON) throws(WorkerReportError) {
        guard json.object != nil else { throw WorkerReportError("report", "expected an object, found \(json.typeName)") }
        let word = try Self.word(json["status"], "status", isRequired: true)
        guard let status = Status(rawValue: word.lowercased()) else {
            throw WorkerReportError("status", "found \"\(word.prefixShortened(40))\", expected running, completed or failed")
        }
        self.init(status)
        kind = try Self.word(json["kind"], "kind")
        message = try Self.word(json["message"], "message")
        progress = try Self.progress(json["progress"])
        results = try Self.results(json["results"])
        ownerInfo = try Self.scalars(json["ownerInfo"], "ownerInfo")
        guard json.text(bytesMax: Limits.textBytesMax) else {
            throw WorkerReportError("report", "its figures and words take more than \(Limits.textBytesMax) bytes; report fewer")
        }
    }

    /// The report as a condition's message; `init(_:)` reads it again.
    package var json: JSON {
        var json: JSON = ["status": .string(status.rawValue)]
        if !kind.isEmpty { json["kind"] = .string(kind) }
        if !message.isEmpty { json["message"] = .string(message) }
        if let progress {
            var value: JSON = ["done": .integer(progress.done)]
            if let total = progress.total { value["total"] = .integer(total) }
            if !progress.unit.isEmpty { value["unit"] = .string(progress.unit) }
            if !progress.message.isEmpty { value["message"] = .string(progress.message) }
            json["progress"] = value
        }
        if !results.isEmpty { json["results"] = .array(results.map(\.json)) }
        if !ownerInfo.isEmpty { json["ownerInfo"] = .object(ownerInfo) }
        return json
    }

    private static func word(_ value: JSON?, _ field: String, isRequired: Bool = false) throws(WorkerReportError) -> String {
        switch value {
        case nil, .null:
            if isRequired { throw WorkerReportError(field, "is missing") }
            return ""
        case .string(let text):
            guard text.utf8.count <= Limits.wordBytesMax else {
                throw WorkerReportError(field, "has \(text.utf8.count) bytes, at most \(Limits.wordBytesMax) are taken")
            }
            return text
        case .some(let other): throw WorkerReportError(field, "expected a text, found \(other.typeName)")
        }
    }

    private static func progress(_ value: JSON?) throws(WorkerReportError) -> Progress? {
        guard let value, !value.isNull else { return nil }
        guard let done = value["done"]?.integer, done >= 0 else {
            throw WorkerReportError(
                "progress.done", "expected a whole number from 0, found \((value["done"] ?? .null).text.prefixShortened(40))")
        }
        let total = value["total"]?.integer
        if let total, total < done { throw WorkerReportError("progress.total", "found \(total), less than the \(done) done") }
        return Progress(
            done: done, total: total, unit: try word(value["unit"], "progress.unit"),
            message: try word(value["message"], "progress.message"))
    }

    private static func results(_ value: JSON?) throws(WorkerReportError) -> [Result] {
        guard let value, !value.isNull else { return [] }
        guard let items = value.array else { throw WorkerReportError("results", "expected a list, found \(value.typeName)") }
        guard items.count <= Limits.resultsMax else {
            throw WorkerReportError("results", "found \(items.count), at most \(Limits.resultsMax) are taken")
        }
        var results: [Result] = []
        for (place, item) in items.enumerated() { results.append(try result(item, "results[\(place)]")) }
        return results
    }

    private static func result(_ item: JSON, _ field: String) throws(WorkerReportError) -> Result {
        guard item.object != nil else { throw WorkerReportError(field, "expected an object, found \(item.typeName)") }
        let url = try word(item["url"], "\(field).url")
        var result = Result(
            name: try word(item["name"], "\(field).name"), format: try word(item["format"], "\(field).format", isRequired: true), url: url,
            digest: try word(item["digest"], "\(field).digest"), size: item["size"]?.integer)
        if result.name.isEmpty { result.name = url.split(separator: "/").last.map(String.init) ?? "" }
        var count = 0
        result.metrics = try figures(item["metrics"], "\(field).metrics", &count)
        return result
    }

    private static func figures(_ value: JSON?, _ field: String, _ count: inout Int) throws(WorkerReportError) -> JSONObject {
        guard let value, !value.isNull else { return [:] }
        guard let members = value.object else { throw WorkerReportError(field, "expected figures by name, found \(value.typeName)") }
        for (name, figure) in members { try check(figure, "\(field).\(name.prefixShortened(60))", depth: 0, &count) }
        return members
    }

    private static func check(_ figure: JSON, _ field: String, depth: Int, _ count: inout Int) throws(WorkerReportError) {
        count += 1
        guard count <= Limits.figuresMax else { throw WorkerReportError(field, "more than \(Limits.figuresMax) figures; report fewer") }
        switch figure {
        case .integer: return
        case .decimal(let text):
            guard let number = Double(text), number.isFinite else {
                throw WorkerReportError(field, "found \(text.prefixShortened(40)), expected a finite number")
            }
        case .array(let items) where depth < 2:
            for (place, item) in items.enumerated() { try check(item, "\(field)[\(place)]", depth: depth + 1, &count) }
        case .object(let members) where depth < 2:
            for (name, item) in members { try check(item, "\(field).\(name.prefixShortened(60))", depth: depth + 1, &count) }
        default: throw WorkerReportError(field, "found \(figure.text.prefixShortened(40)), expected a finite number or numbers")
        }
    }

    private static func scalars(_ value: JSON?, _ field: String) throws(WorkerReportError) -> JSONObject {
        guard let value, !value.isNull else { return [:] }
        guard let members = value.object else { throw WorkerReportError(field, "expected an object, found \(value.typeName)") }
        guard members.count <= 64 else { throw WorkerReportError(field, "found \(members.count) members, at most 64 are taken") }
        for (name, item) in members {
            switch item {
            case .object, .array:
                throw WorkerReportError("\(field).\(name.prefixShortened(60))", "expected a scalar, found \(item.typeName)")
            case .string: _ = try word(item, "\(field).\(name.prefixShortened(60))")
            default: continue
            }
        }
        return members
    }
}

extension WorkerReport.Result {
    /// As in a report.
    package var json: JSON {
        var json: JSON = ["name": .string(name), "format": .string(format)]
        if !url.isEmpty { json["url"] = .string(url) }
        if !digest.isEmpty { json["digest"] = .string(digest) }
        if let size { json["size"] = .integer(size) }
        if !metrics.isEmpty { json["metrics"] = .object(metrics) }
        return json
    }
}

extension JSON {
    /// Whether the text is no longer than so many bytes.
    fileprivate func text(bytesMax: Int) -> Bool { text.utf8.count <= bytesMax }
}

/// What a Pod's status says of its worker.
package struct WorkerState: Sendable, Hashable {
    /// How the agent stands to the worker's last word: the condition's reason.
    package enum Reason: String, Sendable, Hashable {
        case running = "Running"
        /// The worker is done; its files are on their way to the cloud.
        case publishing = "Publishing"
        case completed = "Completed"
        case failed = "Failed"
        /// The worker's last word was not true, or not acceptable: the message says why.
        case refused = "Refused"
    }

    /// How the agent stands to the report.
    package var reason: Reason
    /// The worker's last word; of a refused one the sentence is in `message`.
    package var report: WorkerReport

    /// What an agent writes.
    package init(_ reason: Reason, _ report: WorkerReport) { (self.reason, self.report) = (reason, report) }

    /// Reads the condition of a Pod; nil if its worker has not reported, or something else was written there.
    package init?(_ pod: JSON) {
        guard let condition = pod["status"]?["conditions"]?.array?.first(where: { $0["type"]?.string == WorkerContract.condition }),
            let reason = condition["reason"]?.string.flatMap({ Reason(rawValue: $0) }), let text = condition["message"]?.string,
            let json = try? JSON(parsing: text), let report = try? WorkerReport(json)
        else { return nil }
        self.init(reason, report)
    }

    /// The condition's `status`: Unknown while it runs, True once its results are there, False when it failed or was refused.
    package var status: String {
        switch reason {
        case .running, .publishing: "Unknown"
        case .completed: "True"
        case .failed, .refused: "False"
        }
    }

    /// The condition, as an agent writes it into a Pod's status.
    package func condition(since: Timestamp) -> JSON {
        [
            "type": .string(WorkerContract.condition), "status": .string(status), "reason": .string(reason.rawValue),
            "message": .string(report.json.text), "lastTransitionTime": .string(since.text),
        ]
    }
}

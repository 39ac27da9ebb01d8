import Resources
import Storage

/// What a Dataset's status should say. Pure.
struct DatasetStatusPlan: Sendable {
    /// The reading of the whole file; nil where it could not be read.
    var reading: DatasetReading?
    var byteCount: Int64 = 0
    /// Counts replacements of the file, from 1.
    var version: Int64
    var fault: DatasetFault?
    /// Of the version before; nil where it is not known.
    var before: DatasetProfile?

    /// A merge patch of the status; nil if there is nothing to change.
    func change(from old: JSON?, at now: Timestamp) -> JSON? {
        var change: JSON = [:]
        let wanted = facts(old)
        for (key, value) in wanted.object ?? [:] where old?[key] != value { change[key] = value }
        // A merge leaves what is not named: labels that are gone are named.
        if let labels = change["labels"]?.object, let known = old?["labels"]?.object {
            var all = labels
            for (key, _) in known where labels[key] == nil { all[key] = .null }
            change["labels"] = .object(all)
        }
        if reading != nil, wanted["labels"] == nil, old?["labels"] != nil { change["labels"] = .null }
        let conditions = conditions(old?["conditions"]?.array ?? [], at: now)
        if .array(conditions) != old?["conditions"] { change["conditions"] = .array(conditions) }
        guard change.object?.isEmpty == false else { return nil }
        if old?["numberOfSamples"] == nil, change["numberOfSamples"] == nil { change["numberOfSamples"] = 0 }
        change["updateTime"] = .string(now.text)
        return change
    }

    private func facts(_ old: JSON?) -> JSON {
        guard let reading else { return [:] }
        var facts: JSON = [
            "numberOfSamples": .integer(reading.rowCount), "version": .integer(version), "byteCount": .integer(byteCount),
            "digest": .string(reading.digest.value.description),
        ]
        if fault == nil, let index = reading.driftIndex(since: before) {
            facts["drift"] = .number((index * 1000).rounded() / 1000)
        } else if fault == nil, reading.wish.trainedRows != nil, old?["drift"] != nil {
            // Learned since: what was found of these rows speaks of none to come.
            facts["drift"] = .null
        }
        if let profile = reading.profile {
            facts["columns"] = .array(profile.columns.map(\.json))
            if let labels = profile.labels {
                facts["labels"] = .object(JSONObject(labels.sorted { $0.key < $1.key }.map { ($0.key, .integer($0.value)) }))
            }
        } else {
            facts["columns"] = []
        }
        return facts
    }

    private func conditions(_ known: [JSON], at now: Timestamp) -> [JSON] {
        var wanted = [readable]
        if fault == nil, let drift = reading?.drift(since: before) {
            wanted.append(Self.drifted(drift.columns, since: drift.since))
        } else if let old = known.first(where: { $0["type"] == "Drifted" }), reading?.wish.trainedRows == nil {
            // What the version before was like is no longer known; what was found then holds still.
            wanted.append((("Drifted", old["status"]?.string ?? "Unknown", old["reason"]?.string ?? ""), old["message"]?.string ?? ""))
        }
        let others = known.filter { condition in !wanted.contains { $0.0.0 == condition["type"]?.string } && condition["type"] != "Drifted"
        }
        return others
            + wanted.map { word, message in
                let old = known.first { $0["type"]?.string == word.0 }
                let since = old?["status"]?.string == word.1 ? old?["lastTransitionTime"]?.string ?? now.text : now.text
                return [
                    "type": .string(word.0), "status": .string(word.1), "reason": .string(word.2), "message": .string(message),
                    "lastTransitionTime": .string(since),
                ]
            }
    }

    private typealias Finding = ((type: String, status: String, reason: String), message: String)

    private var readable: Finding {
        if let fault { return (("Readable", "False", fault.reason.rawValue), fault.message) }
        guard let reading else { return (("Readable", "Unknown", "Reading"), "the file is being read") }
        let columns = reading.header.map { " of \($0.count) columns" } ?? ""
        return (("Readable", "True", "Read"), "\(reading.rowCount) rows\(columns), \(byteCount) bytes")
    }

    private static func drifted(_ columns: [(column: String, index: Double)], since: String) -> Finding {
        guard let worst = columns.first else { return (("Drifted", "False", "Alike"), "all columns are distributed as in \(since)") }
        let names = columns.prefix(8).map { "\"\($0.column)\" (\(Self.rounded($0.index)))" }.joined(separator: ", ")
        return (
            ("Drifted", "True", "DistributionChanged"),
            "\(columns.count) columns are distributed otherwise than in \(since), by population stability index above \(DatasetProfile.driftThreshold): \(names)\(columns.count > 8 ? ", …" : ""); look at \"\(worst.column)\" first"
        )
    }

    private static func rounded(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }
}

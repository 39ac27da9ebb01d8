/// Columns that many kinds share, and how cells are made.
extension KindDefinition.Column {
    /// The object's name; the format `name` marks it as what identifies the row.
    package static let name = KindDefinition.Column(
        "Name", format: "name",
        description: "Name must be unique within a namespace. Is required when creating resources. Cannot be updated."
    ) { object, _ in object["metadata"]?["name"] ?? "" }

    /// Time since `metadata.creationTimestamp`, at the moment of the answer.
    package static let age = KindDefinition.Column("Age", description: "Time since the object was created.") { object, now in
        age(object["metadata"]?["creationTimestamp"], now)
    }

    /// The text of a path; `<none>` where there is nothing.
    static func path(_ name: String, _ path: String, isWide: Bool = false, missing: String = "<none>", _ description: String)
        -> KindDefinition.Column
    {
        let keys = path.split(separator: ".").map(String.init)
        return KindDefinition.Column(name, isWide: isWide, description: description) { object, _ in
            .string(object[path: keys].map(text).flatMap { $0.isEmpty ? nil : $0 } ?? missing)
        }
    }

    /// The whole number at a path; 0 where there is none.
    static func count(_ name: String, _ path: String, isWide: Bool = false, _ description: String) -> KindDefinition.Column {
        let keys = path.split(separator: ".").map(String.init)
        return KindDefinition.Column(name, type: "integer", isWide: isWide, description: description) { object, _ in
            object[path: keys] ?? 0
        }
    }

    /// A number at a path, with three decimals.
    static func decimals(_ name: String, _ path: String, isWide: Bool = false, _ description: String) -> KindDefinition.Column {
        let keys = path.split(separator: ".").map(String.init)
        return KindDefinition.Column(name, isWide: isWide, description: description) { object, _ in
            guard let value = object[path: keys]?.number, value.isFinite, abs(value) < 1e12 else { return "<none>" }
            let scaled = Int64((abs(value) * 1000).rounded())
            let fraction = String(scaled % 1000)
            let sign = value < 0 && scaled > 0 ? "-" : ""
            return .string("\(sign)\(scaled / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)")
        }
    }

    /// Type of the condition that stands last; Sedna's state of a job or service.
    static func lastCondition(_ name: String, _ description: String) -> KindDefinition.Column {
        KindDefinition.Column(name, description: description) { object, _ in
            let last = object["status"]?["conditions"]?.array?.last
            let stage = last?["stage"]?.string.map { $0 + " " } ?? ""
            let share = last?["type"] == "Running" ? progress(object["status"]?["progress"]) : ""
            return .string((last?["type"]?.string).map { stage + $0 + share } ?? object["status"]?["phase"]?.string ?? "<none>")
        }
    }

    /// How far a worker says that it is, as ` 43%`; nothing where it does not say of how much.
    private static func progress(_ progress: JSON?) -> String {
        guard let done = progress?["done"]?.number, let total = progress?["total"]?.number, total > 0, done >= 0 else { return "" }
        return " \(Int(min(1, done / total) * 100))%"
    }

    /// A share at a path, with digits as wanted.
    static func share(_ name: String, _ path: String, isWide: Bool = false, isSigned: Bool = false, _ description: String)
        -> KindDefinition.Column
    {
        let keys = path.split(separator: ".").map(String.init)
        return KindDefinition.Column(name, isWide: isWide, description: description) { object, _ in
            guard let value = object[path: keys]?.number else { return "<none>" }
            let tenths = Int64((abs(value) * 1000).rounded())
            return .string("\(value < 0 ? "-" : isSigned ? "+" : "")\(tenths / 10).\(tenths % 10)%")
        }
    }

    /// `5m3s` since a moment in RFC 3339, as kubectl shortens it; `<unknown>` for no time.
    package static func age(_ created: JSON?, _ now: Timestamp) -> JSON {
        .string(created?.string.flatMap { Timestamp($0) }?.age(at: now) ?? "<unknown>")
    }

    /// A value as a cell shows it: texts without quotes, nothing for null, elements joined by commas, objects as JSON.
    package static func text(_ value: JSON) -> String {
        switch value {
        case .string(let text): text
        case .null: ""
        case .array(let elements): elements.map(text).joined(separator: ",")
        default: value.text
        }
    }
}

/// How a Pod's state is summed up, as kubectl prints it.
enum PodSummary {
    private static func statuses(_ pod: JSON, _ name: String) -> [JSON] { pod["status"]?[name]?.array ?? [] }

    static func ready(_ pod: JSON) -> String {
        let ready = statuses(pod, "containerStatuses").count { $0["ready"]?.bool == true }
        return "\(ready)/\(pod["spec"]?["containers"]?.array?.count ?? 0)"
    }

    static func restarts(_ pod: JSON) -> String {
        String(statuses(pod, "containerStatuses").reduce(Int64(0)) { $0 &+ ($1["restartCount"]?.integer ?? 0) })
    }

    static func status(_ pod: JSON) -> String {
        var reason = pod["status"]?["reason"]?.string ?? pod["status"]?["phase"]?.string ?? "Unknown"
        var isInitialising = false
        for (index, status) in statuses(pod, "initContainerStatuses").enumerated() {
            let state = status["state"]
            if state?["terminated"]?["exitCode"]?.integer == 0 { continue }
            isInitialising = true
            if let terminated = state?["terminated"] {
                reason = "Init:" + (terminated["reason"]?.string ?? "ExitCode:\(terminated["exitCode"]?.integer ?? 0)")
            } else if let waiting = state?["waiting"]?["reason"]?.string, waiting != "PodInitializing" {
                reason = "Init:" + waiting
            } else {
                reason = "Init:\(index)/\(pod["spec"]?["initContainers"]?.array?.count ?? 0)"
            }
            break
        }
        if !isInitialising { reason = containersReason(pod) ?? reason }
        if pod["metadata"]?["deletionTimestamp"] != nil {
            return pod["status"]?["reason"]?.string == "NodeLost" ? "Unknown" : "Terminating"
        }
        return reason
    }

    private static func containersReason(_ pod: JSON) -> String? {
        var reason: String?
        var hasRunning = false
        for status in statuses(pod, "containerStatuses").reversed() {
            let state = status["state"]
            if let waiting = state?["waiting"]?["reason"]?.string, !waiting.isEmpty {
                reason = waiting
            } else if let terminated = state?["terminated"] {
                reason =
                    terminated["reason"]?.string
                    ?? (terminated["signal"]?.integer).map { "Signal:\($0)" } ?? "ExitCode:\(terminated["exitCode"]?.integer ?? 0)"
            } else if status["ready"]?.bool == true, state?["running"] != nil {
                hasRunning = true
            }
        }
        return reason == "Completed" && hasRunning ? "Running" : reason
    }
}

import Resources

/// What `skerry status` shows of a cloud, read from its objects. Pure.
struct ClusterOverview {
    /// Rows of a table that are shown; beyond, the table says how many there are.
    static let rowsMax = 200
    /// Pods, nodes and jobs whose trouble is told.
    static let problemsMax = 50

    var nodes: [JSON] = []
    var pods: [JSON] = []
    /// By the short name of their kind: `ll`, `il`, `ji`.
    var jobs: [(kind: String, objects: [JSON])] = []
    var models: [JSON] = []
    var datasets: [JSON] = []
    var now: Timestamp

    /// - Parameter leavesOut: whether tables without a row are left out, as for people.
    func sheets(leavesOut: Bool) -> Sheets {
        var sheets = Sheets()
        for (name, table) in [("nodes", nodeRows), ("jobs", jobRows), ("models", modelRows), ("problems", problemRows)]
        where !leavesOut || !table.rows.isEmpty {
            sheets.add(name, Self.cut(table))
        }
        return sheets
    }

    private static func cut(_ table: AlignedTable) -> AlignedTable {
        guard table.rows.count > rowsMax else { return table }
        var table = table
        let count = table.rows.count - rowsMax
        table.rows = Array(table.rows.prefix(rowsMax)) + [["and \(count) more"] + table.head.dropFirst().map { _ in "" }]
        return table
    }

    // MARK: Tables

    private var nodeRows: AlignedTable {
        var table = AlignedTable(
            ["NODE", "STATUS", "ROLE", "PODS", "TRAINS", "INFERS", "VERSION", "AGE"],
            texts: ["NODE", "STATUS", "ROLE", "TRAINS", "INFERS", "VERSION", "AGE"])
        table.rows = nodes.map { node in
            let name = ObjectKey(node).name
            let active = pods.count { $0["spec"]?["nodeName"]?.string == name && !Self.hasEnded($0) }
            let isCloud = node["metadata"]?["labels"]?["node-role.kubernetes.io/cloud"] != nil
            return [
                name, Self.isTrue(node, "Ready") ? "Ready" : "NotReady", isCloud ? "cloud" : "edge", String(active),
                Self.word(node, "TrainingReady"), Self.word(node, "OnnxRuntimeReady"),
                node["status"]?["nodeInfo"]?["kubeletVersion"]?.string ?? "", Self.age(node, now),
            ]
        }
        return table
    }

    private var jobRows: AlignedTable {
        var table = AlignedTable(
            ["JOB", "KIND", "STATE", "ROUND", "SAMPLES", "ACCURACY", "GAIN", "PROGRESS", "AGE"],
            texts: ["JOB", "KIND", "STATE", "PROGRESS", "AGE"])
        for (kind, objects) in jobs {
            for job in objects {
                let status = job["status"]
                table.rows.append([
                    "\(ObjectKey(job))", kind, Self.state(job), status?["round"]?.text ?? "", status?["samples"]?.text ?? "",
                    status?["accuracy"]?.number.map(ModelVersions.digits) ?? "", status?["gain"]?.number.map(ModelVersions.digits) ?? "",
                    Self.progress(status?["progress"]), Self.age(job, now),
                ])
            }
        }
        return table
    }

    private var modelRows: AlignedTable {
        var table = AlignedTable(
            ["MODEL", "SERVING", "SIZE", "ACCURACY", "JOB", "PODS", "UPDATED"], texts: ["MODEL", "SIZE", "JOB", "UPDATED"])
        table.rows = models.map { model in
            let entry = ModelVersions(model)
            let version = entry.version(entry.serving)
            let key = ObjectKey(model)
            let showing = pods.count { pod in
                !Self.hasEnded(pod) && ObjectKey(pod).namespace == key.namespace && JobWorkers.serves(key.name, pod)
            }
            return [
                "\(key)", String(entry.serving), version?["size"]?.integer.map(ModelVersions.sizeText) ?? "",
                version?["metrics"]?["accuracy"]?.number.map(ModelVersions.digits) ?? "",
                version?["job"]?.string.map(ModelVersions.jobName) ?? "", String(showing),
                model["status"]?["updateTime"]?.string.flatMap { Timestamp($0) }?.age(at: now) ?? "",
            ]
        }
        return table
    }

    private var problemRows: AlignedTable {
        var table = AlignedTable(["PROBLEM", "REASON", "MESSAGE"], texts: ["PROBLEM", "REASON", "MESSAGE"])
        let all =
            nodes.flatMap(nodeProblems) + pods.compactMap(podProblem)
            + jobs.flatMap { kind, objects in
                objects.compactMap { Self.conditionProblem("\(kind)/\(ObjectKey($0))", $0, "Failed", isBad: "True") }
            } + models.compactMap { Self.conditionProblem("model/\(ObjectKey($0))", $0, "Signed", isBad: "False") }
            + models.compactMap { Self.conditionProblem("model/\(ObjectKey($0))", $0, "OutOfMemory", isBad: "True") }
            + datasets.compactMap { Self.conditionProblem("dataset/\(ObjectKey($0))", $0, "Readable", isBad: "False") }
        table.rows = all.prefix(Self.problemsMax).map { $0 }
        return table
    }

    // MARK: Problems

    private func nodeProblems(_ node: JSON) -> [[String]] {
        let name = "node/\(ObjectKey(node).name)"
        var found: [[String]] = []
        if !Self.isTrue(node, "Ready") {
            let ready = Self.condition(node, "Ready")
            found.append([
                name, ready?["reason"]?.string ?? "NotReady",
                Self.sentence(ready?["message"]?.string ?? "it has never reported; is 'skerry edge' running there?"),
            ])
        }
        for type in ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"] {
            if let problem = Self.conditionProblem(name, node, type, isBad: "True") { found.append(problem) }
        }
        return found
    }

    private func podProblem(_ pod: JSON) -> [String]? {
        let name = "pod/\(ObjectKey(pod))"
        if pod["status"]?["phase"]?.string == "Succeeded" || pod["metadata"]?["deletionTimestamp"] != nil { return nil }
        let statuses = (pod["status"]?["initContainerStatuses"]?.array ?? []) + (pod["status"]?["containerStatuses"]?.array ?? [])
        for status in statuses {
            if let waiting = status["state"]?["waiting"], let reason = waiting["reason"]?.string, reason != "PodInitializing",
                reason != "ContainerCreating" || waiting["message"] != nil
            {
                return [name, reason, Self.sentence(waiting["message"]?.string ?? "")]
            }
        }
        if pod["status"]?["phase"]?.string == "Failed" {
            return [
                name, pod["status"]?["reason"]?.string ?? "Failed", Self.sentence(pod["status"]?["message"]?.string ?? "see skerry logs"),
            ]
        }
        return Self.conditionProblem(name, pod, "PodScheduled", isBad: "False")
    }

    private static func conditionProblem(_ name: String, _ object: JSON, _ type: String, isBad: String) -> [String]? {
        guard let condition = condition(object, type), condition["status"]?.string == isBad else { return nil }
        return [name, condition["reason"]?.string ?? type, sentence(condition["message"]?.string ?? "")]
    }

    // MARK: Words

    private static func hasEnded(_ pod: JSON) -> Bool { ["Succeeded", "Failed"].contains(pod["status"]?["phase"]?.string) }

    private static func condition(_ object: JSON, _ type: String) -> JSON? {
        object["status"]?["conditions"]?.array?.first { $0["type"]?.string == type }
    }

    private static func isTrue(_ object: JSON, _ type: String) -> Bool { condition(object, type)?["status"] == "True" }

    private static func word(_ node: JSON, _ type: String) -> String {
        guard let condition = condition(node, type) else { return "" }
        return condition["status"] == "True" ? "yes" : "no"
    }

    /// The stage and Sedna's word for where it stands.
    private static func state(_ job: JSON) -> String {
        let last = job["status"]?["conditions"]?.array?.last
        return [last?["stage"]?.string, last?["type"]?.string].compactMap { $0 }.joined(separator: " ")
    }

    private static func progress(_ progress: JSON?) -> String {
        guard let done = progress?["done"]?.integer else { return "" }
        let total = progress?["total"]?.integer.map { "/\($0)" } ?? ""
        return [["\(done)\(total)"], [progress?["unit"]?.string, progress?["message"]?.string].compactMap { $0 }]
            .flatMap { $0 }.joined(separator: " ")
    }

    private static func age(_ object: JSON, _ now: Timestamp) -> String {
        object["metadata"]?["creationTimestamp"]?.string.flatMap { Timestamp($0) }?.age(at: now) ?? ""
    }

    /// One line of at most 160 characters.
    private static func sentence(_ text: String) -> String {
        let line = String(text.map { $0.isNewline ? " " : $0 })
        return line.count > 160 ? line.prefix(159) + "…" : line
    }
}

import Resources

/// What `skerry doctor` finds out about a cloud from its objects, and what to do about it. Pure.
struct ClusterDoctor {
    /// One thing that was looked at.
    struct Finding: Equatable {
        enum State: String { case ok, warning, failure }

        /// What was looked at: `node/e1`, `certificate`.
        var subject: String
        var state: State
        var message: String
        /// What to do; empty where nothing is to be done.
        var remedy = ""
    }

    /// Seconds for which a stage may wait for its worker before that counts as stuck.
    static let patienceSeconds: Int64 = 120
    /// Seconds by which clocks may differ.
    static let clockSecondsMax: Int64 = 5
    /// Days before its end from which a certificate is to be renewed.
    static let certificateDays: Int64 = 30

    var nodes: [JSON] = []
    var pods: [JSON] = []
    /// By the short name of their kind: `ll`, `il`, `ji`.
    var jobs: [(kind: String, objects: [JSON])] = []
    var models: [JSON] = []
    var datasets: [JSON] = []
    /// What nodes say of themselves, by their names: `NodeMetrics`.
    var metrics: [String: JSON] = [:]
    /// When nodes were asked: their clocks were looked at between this and now.
    var asked: Timestamp
    /// Of this program, `0.1.0`.
    var version: String
    var now: Timestamp

    var findings: [Finding] {
        nodes.flatMap(node) + jobs.flatMap { kind, objects in objects.flatMap { job("\(kind)/\(ObjectKey($0))", kind, $0) } }
            + datasets.map(dataset) + models.compactMap(model) + pods.compactMap(pod)
    }

    // MARK: Nodes

    private func node(_ node: JSON) -> [Finding] {
        let name = ObjectKey(node).name, subject = "node/\(name)"
        guard let ready = Self.condition(node, "Ready"), ready["status"] == "True" else {
            let since = Self.condition(node, "Ready")?["lastTransitionTime"]?.string.map { " since \($0)" } ?? ""
            return [
                Finding(
                    subject: subject, state: .failure,
                    message: "the link is down\(since): \(Self.condition(node, "Ready")?["message"]?.string ?? "it has never reported")",
                    remedy: "start 'skerry edge' on that machine and look at its log; it dials again by itself")
            ]
        }
        var found: [Finding] = []
        for type in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
            guard let condition = Self.condition(node, type), condition["status"] == "True" else { continue }
            found.append(
                Finding(
                    subject: subject, state: .failure, message: condition["message"]?.string ?? type,
                    remedy: type == "DiskPressure"
                        ? "make room on its disk; new Pods wait until then" : "end what uses it: skerry top pods --node \(name)"))
        }
        if let own = node["status"]?["nodeInfo"]?["kubeletVersion"]?.string?.split(separator: "-").last, own != version {
            found.append(
                Finding(
                    subject: subject, state: .warning, message: "it runs version \(own), this program is \(version)",
                    remedy: "install the same version on both"))
        }
        found += clock(name, subject)
        if found.isEmpty { found.append(Finding(subject: subject, state: .ok, message: "is ready")) }
        return found
    }

    private func clock(_ name: String, _ subject: String) -> [Finding] {
        guard let told = metrics[name]?["timestamp"]?.string.flatMap({ Timestamp($0) }) else {
            return [
                Finding(
                    subject: subject, state: .warning, message: "does not answer questions",
                    remedy: "look at the log of its agent; an older program does not know them")
            ]
        }
        // Ahead of the end of the question, or behind its beginning.
        let difference = told > now ? told.seconds - now.seconds : min(0, told.seconds - asked.seconds)
        guard abs(difference) > Self.clockSecondsMax else { return [] }
        return [
            Finding(
                subject: subject, state: .failure,
                message: "its clock is \(abs(difference)) s \(difference > 0 ? "ahead of" : "behind") this machine's",
                remedy: "let both take the time from one place (chrony, systemd-timesyncd): certificates and triggers go by it")
        ]
    }

    // MARK: Jobs

    /// Reasons for which a job waits as it should.
    private static let patient: Set<String> = ["TriggerNotMet", "NoNewSamples", "Suspended", "GateKept"]

    private func job(_ subject: String, _ kind: String, _ job: JSON) -> [Finding] {
        guard let last = job["status"]?["conditions"]?.array?.last else {
            return [
                Finding(
                    subject: subject, state: .failure, message: "no controller has looked at it",
                    remedy: "is the cloud's program running? see its log")
            ]
        }
        let type = last["type"]?.string ?? "", reason = last["reason"]?.string ?? "", stage = last["stage"]?.string ?? ""
        let message = "\(stage.isEmpty ? "" : "\(stage) ")\(type) (\(reason)): \(last["message"]?.string ?? "")"
        let since = last["lastTransitionTime"]?.string.flatMap { Timestamp($0) } ?? now
        let seconds = now.seconds - since.seconds
        let remedy = Self.remedy(reason, subject, stage)
        switch type {
        case "Failed": return [Finding(subject: subject, state: .failure, message: message, remedy: remedy)]
        case "Waiting" where !Self.patient.contains(reason):
            return [Finding(subject: subject, state: .failure, message: message, remedy: remedy)]
        case "Starting" where seconds > Self.patienceSeconds:
            return [Finding(subject: subject, state: .failure, message: "for \(seconds) s \(message)", remedy: remedy)]
        default: return [Finding(subject: subject, state: .ok, message: message)]
        }
    }

    private static func remedy(_ reason: String, _ subject: String, _ stage: String) -> String {
        switch reason {
        case "NodeNotFound": "join the node: skerry token create --node NAME, then skerry edge --join TOKEN there"
        case "DatasetNotFound": "apply the Dataset that spec.dataset.name names, in the job's namespace"
        case "DatasetNotCounted": "is the node of the Dataset connected, and the file of spec.url there? kubectl describe datasets"
        case "DatasetUnreadable": "fix the file or spec.url, as the Dataset's condition Readable says"
        case "ModelNotFound": "apply the Model, or push one: skerry model push FILE.onnx --name NAME"
        case "KnowledgeBehind": "the knowledge base takes nothing in; look at the cloud's log and its disk"
        case "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "ErrImagePull":
            "give the worker a command, or the image skerry/worker:builtin: nodes of runtime 'process' pull no images"
        case "Unschedulable": "free room on a node, or change nodeName, nodeSelector and requests of the template"
        case "DeadlineExceeded": "raise activeDeadlineSeconds of the template, or look why it is slow: skerry logs"
        case "RolledBack": "nothing: the version before serves; the next round learns the rows again"
        case "PrivacyForbids", "RowsElsewhere", "TriggerInvalid": "change the field that the message names"
        default:
            "skerry logs \(subject.split(separator: "/").last ?? "")\(stage.isEmpty ? "" : " --stage \(stage.lowercased())"); kubectl describe \(subject.split(separator: "/").first ?? "") \(subject.split(separator: "/").last ?? "")"
        }
    }

    // MARK: The rest

    private func dataset(_ dataset: JSON) -> Finding {
        let subject = "dataset/\(ObjectKey(dataset))"
        guard let readable = Self.condition(dataset, "Readable") else {
            let node = dataset["spec"]?["nodeName"]?.string ?? ""
            return Finding(
                subject: subject, state: .failure, message: "node \"\(node)\" has not looked at its file",
                remedy: nodes.contains { ObjectKey($0).name == node }
                    ? "is 'skerry edge' running there?" : "there is no such node: fix spec.nodeName, or join it")
        }
        let message = readable["message"]?.string ?? ""
        if readable["status"] == "True" { return Finding(subject: subject, state: .ok, message: "is readable") }
        return Finding(subject: subject, state: .failure, message: message, remedy: "fix the file or spec.url")
    }

    private func model(_ model: JSON) -> Finding? {
        guard let signed = Self.condition(model, "Signed"), signed["status"] == "False" else { return nil }
        return Finding(
            subject: "model/\(ObjectKey(model))", state: .failure, message: signed["message"]?.string ?? "",
            remedy: "push it again, or trust the key: skerry model keys add FILE")
    }

    private func pod(_ pod: JSON) -> Finding? {
        // Workers of a round are told of by their job.
        guard pod["metadata"]?["deletionTimestamp"] == nil, pod["metadata"]?["labels"]?["jobs.skerry.io/round"] == nil else { return nil }
        let key = ObjectKey(pod), subject = "pod/\(key)"
        let statuses = pod["status"]?["containerStatuses"]?.array ?? []
        for status in statuses {
            if let waiting = status["state"]?["waiting"], let reason = waiting["reason"]?.string, reason != "ContainerCreating" {
                return Finding(
                    subject: subject, state: .failure, message: "\(reason): \(waiting["message"]?.string ?? "")",
                    remedy: Self.remedy(reason, "pod/\(key.name)", ""))
            }
        }
        let restarts = statuses.compactMap { $0["restartCount"]?.integer }.max() ?? 0
        if pod["status"]?["phase"] == "Failed" {
            return Finding(
                subject: subject, state: .failure, message: pod["status"]?["message"]?.string ?? "it failed",
                remedy: "kubectl logs -n \(key.namespace) \(key.name)")
        }
        guard restarts >= 5 else { return nil }
        return Finding(
            subject: subject, state: .warning, message: "it was restarted \(restarts) times",
            remedy: "kubectl logs -n \(key.namespace) \(key.name) --previous")
    }

    private static func condition(_ object: JSON, _ type: String) -> JSON? {
        object["status"]?["conditions"]?.array?.first { $0["type"]?.string == type }
    }

    /// What is to be said of a certificate.
    static func certificate(_ name: String, _ subject: String, from: Int64, until: Int64, now: Int64, _ remedy: String) -> Finding {
        let days = (until - now) / 86400
        if now < from {
            return Finding(
                subject: name, state: .failure, message: "\(subject) is not valid before \(Timestamp(seconds: from).text)",
                remedy: "set this machine's clock")
        }
        if until <= now {
            return Finding(subject: name, state: .failure, message: "\(subject) ended on \(Timestamp(seconds: until).text)", remedy: remedy)
        }
        let message = "\(subject) holds until \(Timestamp(seconds: until).text), \(days) days"
        return Finding(
            subject: name, state: days < certificateDays ? .warning : .ok, message: message, remedy: days < certificateDays ? remedy : "")
    }
}

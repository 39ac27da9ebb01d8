/// Checks of Sedna's kinds beyond their fields: every field is honoured, or refused with the reason.
package enum SednaRules {
    static let formats = ["csv", "txt"]
    /// Algorithms of `hardExampleMining`, with the parameters each takes and the range of their numbers.
    static let filters: [String: [String: ClosedRange<Double>]] = [
        "Threshold": ["threshold": 0...1], "CrossEntropy": ["threshold_cross_entropy": 0...1],
        "IBT": ["threshold_img": 0...1, "threshold_box": 0...1], "Random": ["random_ratio": 0...1], "CloudOnly": [:], "EdgeOnly": [:],
        // Ours; `*` is any class. `Learning.HardExampleFilter` has the same.
        "Margin": ["threshold_margin": 0...1], "Confidence": ["threshold_confidence": 0...1, "temperature": 0.01...100],
        "PerClass": ["*": 0...1], "LearnedGain": ["threshold_gain": 0...1],
    ]
    /// What every algorithm takes: a budget that the service keeps, and the time for one question.
    static let budgets: [String: ClosedRange<Double>] = [
        "budget_share": 0...1, "budget_bytes_per_hour": 0...1e15, "budget_cost_per_hour": 0...1e12, "cost_per_upload": 0...1e12,
        "deadline_ms": 1...600_000,
    ]

    // MARK: Kinds

    static func datasetErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        guard let spec = new["spec"] else { return [] }
        var errors = pathErrors(spec["url"], at: "spec.url") + credentialErrors(spec, at: "spec")
        if let format = spec["format"]?.string, !formats.contains(format.lowercased()) {
            errors.append(.notSupported("spec.format", .string(format), formats))
        }
        if let node = spec["nodeName"]?.string, !NameRules.isSubdomain(node) {
            errors.append(.invalid("spec.nodeName", .string(node), "must be the name of the node that holds the data"))
        }
        return errors
    }

    static func modelErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        guard let spec = new["spec"] else { return [] }
        var errors = credentialErrors(spec, at: "spec")
        if let url = spec["url"]?.string, !url.hasPrefix("/"), !isDigest(url) {
            errors.append(
                .invalid(
                    "spec.url", .string(url),
                    "must be an absolute path on the node that uses the model, or sha256: with the 64 digits of a file that the cloud has"))
        }
        errors += nodeErrors(spec["nodes"], at: "spec.nodes", "that serves the model")
        if let socs = spec["device_soc_versions"]?.array, !socs.isEmpty {
            errors.append(.forbidden("spec.device_soc_versions", "models are not chosen by accelerator here; make one Model for each"))
        }
        errors += ResourceRules.modelErrors(spec["resources"], at: "spec.resources")
        errors += ModelStreams.read(spec, at: "spec").errors
        return errors + versionErrors(new, old)
    }

    /// Versions are added and forgotten, never changed; what serves is one of them.
    private static func versionErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        let entry = ModelVersions(new)
        var errors: [FieldError] = []
        if entry.versions.count > ModelVersions.kept {
            errors.append(
                FieldError(
                    "status.versions", .tooMany, "Too many: \(entry.versions.count): must have at most \(ModelVersions.kept) items"))
        }
        let numbers = entry.numbers
        if numbers != Set(numbers).sorted() {
            errors.append(.invalid("status.versions", .array(numbers.map { .integer($0) }), "numbers of versions must rise"))
        }
        if entry.serving != 0, !numbers.contains(entry.serving), new["status"] != old?["status"] {
            errors.append(.notSupported("status.serving", .integer(entry.serving), ["0"] + numbers.map(String.init)))
        }
        let before = old.map { ModelVersions($0) }
        for (place, version) in entry.versions.enumerated() {
            guard let known = before?.version(version["version"]?.integer ?? 0) else { continue }
            if unsigned(known) != unsigned(version) {
                errors.append(
                    .forbidden("status.versions[\(place)]", "a version of a model never changes, but for its signature; add another one"))
            }
        }
        return errors
    }

    /// What must stay: all but the signature. Numbers are compared by value, as clients write them anew.
    private static func unsigned(_ version: JSON) -> JSON {
        var version = version
        version["signature"] = nil
        return plain(version)
    }

    private static func plain(_ value: JSON) -> JSON {
        switch value {
        case .decimal: value.number.map { .number($0) } ?? value
        case .array(let items): .array(items.map(plain))
        case .object(let members): .object(JSONObject(members.map { ($0.0, plain($0.1)) }))
        default: value
        }
    }

    static func jointInferenceErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        guard let spec = new["spec"] else { return [] }
        var errors = miningErrors(spec["edgeWorker"]?["hardExampleMining"], at: "spec.edgeWorker.hardExampleMining")
        for worker in ["edgeWorker", "cloudWorker"] {
            let path = "spec.\(worker)"
            errors +=
                templateErrors(spec[worker]?["template"], at: "\(path).template") + namedErrors(spec[worker]?["model"], at: "\(path).model")
            if spec[worker]?["hpa"] != nil {
                errors.append(.forbidden("\(path).hpa", "workers are not scaled by load here; one runs for each \(worker)"))
            }
        }
        let edge = spec["edgeWorker"]
        errors += nodeErrors(edge?["nodes"], at: "spec.edgeWorker.nodes", "that has an edge worker")
        let isOnMany = !(edge?["nodes"]?.array ?? []).isEmpty || !(edge?["nodeSelector"]?.object ?? [:]).isEmpty
        if isOnMany, let name = edge?["template"]?["spec"]?["nodeName"]?.string, !name.isEmpty {
            errors.append(
                .forbidden(
                    "spec.edgeWorker.template.spec.nodeName",
                    "it names one node, and spec.edgeWorker.nodes or nodeSelector many; leave one of them out"))
        }
        return errors
    }

    private static func nodeErrors(_ nodes: JSON?, at path: String, _ what: String) -> [FieldError] {
        (nodes?.array ?? []).enumerated().compactMap { index, node in
            if node.string == "*" || NameRules.isSubdomain(node.string ?? "") { return nil }
            return .invalid("\(path)[\(index)]", node, "must be the name of a node \(what), or * for all")
        }
    }

    static func incrementalErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        guard let spec = new["spec"] else { return [] }
        var errors = jobErrors(spec)
        if spec["dataset"]?["trainProb"]?.number == 1 {
            errors.append(
                .invalid(
                    "spec.dataset.trainProb", 1, "must be less than 1: an incremental job judges each model on rows that are held out"))
        }
        errors +=
            namedErrors(spec["initialModel"], at: "spec.initialModel")
            + namedErrors(spec["deploySpec"]?["model"], at: "spec.deploySpec.model")
        errors += miningErrors(spec["deploySpec"]?["hardExampleMining"], at: "spec.deploySpec.hardExampleMining")
        if let trigger = spec["deploySpec"]?["trigger"] { errors += JobTrigger.errors(in: trigger, at: "spec.deploySpec.trigger") }
        if let model = spec["evalSpec"]?["initialEvalModel"], model.object != nil {
            errors += namedErrors(model, at: "spec.evalSpec.initialEvalModel")
        }
        if let period = spec["deploySpec"]?["model"]?["pollPeriodSeconds"]?.integer, period < 1 {
            errors.append(.invalid("spec.deploySpec.model.pollPeriodSeconds", .integer(period), "must be at least 1 second"))
        }
        return errors
    }

    static func lifelongErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        guard let spec = new["spec"] else { return [] }
        var errors = jobErrors(spec)
        for (place, dataset) in (spec["additionalDatasets"]?.array ?? []).enumerated() {
            errors += namedErrors(dataset, at: "spec.additionalDatasets[\(place)]")
        }
        let names = ([spec["dataset"]?["name"]] + (spec["additionalDatasets"]?.array ?? []).map { $0["name"] }).compactMap { $0?.string }
        var known: Set<String> = []
        for (place, name) in names.enumerated() where !known.insert(name).inserted {
            errors.append(.duplicate("spec.additionalDatasets[\(place - 1)].name", .string(name)))
        }
        if let rule = spec["privacy"]?["rule"]?.string, !privacyRules.contains(rule) {
            errors.append(.notSupported("spec.privacy.rule", .string(rule), privacyRules))
        }
        if let budget = spec["labelBudget"]?.integer, budget < 0 {
            errors.append(.invalid("spec.labelBudget", .integer(budget), "must be 0 or more labels a round"))
        }
        return errors + knowledgeErrors(spec, of: new["metadata"]?["name"]?.string)
    }

    /// Jobs that may be named in `spec.knowledge.shareWith`.
    package static let shareWithMax = 64

    private static func knowledgeErrors(_ spec: JSON, of job: String?) -> [FieldError] {
        let path = "spec.knowledge", names = spec["knowledge"]?["shareWith"]?.array ?? []
        var errors: [FieldError] = []
        if names.count > shareWithMax {
            errors.append(
                FieldError("\(path).shareWith", .tooMany, "Too many: \(names.count): must have at most \(shareWithMax) items; * means all"))
        }
        for (place, name) in names.prefix(shareWithMax).enumerated() {
            let text = name.string ?? ""
            if text != "*", !NameRules.isSubdomain(text) || text == job {
                errors.append(
                    .invalid("\(path).shareWith[\(place)]", name, "must be the name of another job of the namespace, or * for all"))
            }
        }
        if !names.isEmpty, spec["privacy"]?["rule"]?.string == "none" {
            errors.append(
                .forbidden("\(path).shareWith", "spec.privacy.rule is none: no row leaves its node, so that nothing can be shared"))
        }
        if let from = spec["knowledge"]?["from"]?.string, !NameRules.isSubdomain(from) || from == job {
            errors.append(.invalid("\(path).from", .string(from), "must be the name of another LifelongLearningJob of the namespace"))
        }
        return errors
    }

    /// What of a node's rows may leave it.
    static let privacyRules = ["unseen-or-hard", "all", "none"]

    // MARK: Parts

    private static func jobErrors(_ spec: JSON) -> [FieldError] {
        var errors = namedErrors(spec["dataset"], at: "spec.dataset") + credentialErrors(spec, at: "spec")
        errors += pathErrors(spec["outputDir"], at: "spec.outputDir")
        if let share = spec["dataset"]?["trainProb"]?.number, !(share > 0 && share <= 1) {
            errors.append(
                .invalid(
                    "spec.dataset.trainProb", spec["dataset"]?["trainProb"] ?? .null,
                    "must be more than 0, the share of rows that train, and at most 1"))
        }
        for stage in ["trainSpec", "evalSpec", "deploySpec"] {
            errors += templateErrors(spec[stage]?["template"], at: "spec.\(stage).template")
            if let limit = spec[stage]?["backoffLimit"]?.integer, !(0...100).contains(limit) {
                errors.append(.invalid("spec.\(stage).backoffLimit", .integer(limit), "must be between 0 and 100 retries"))
            }
        }
        if let trigger = spec["trainSpec"]?["trigger"] { errors += JobTrigger.errors(in: trigger, at: "spec.trainSpec.trigger") }
        for (place, rule) in (spec["deploySpec"]?["gate"]?.array ?? []).enumerated() {
            errors += gateErrors(rule, at: "spec.deploySpec.gate[\(place)]")
        }
        for (place, rule) in (spec["deploySpec"]?["rollback"]?.array ?? []).enumerated() {
            errors += rollbackErrors(rule, at: "spec.deploySpec.rollback[\(place)]")
        }
        errors += canaryErrors(spec["deploySpec"])
        return errors
    }

    /// Bounds of `canaryRequests` and `canarySeconds`, and what counts where they are left out.
    package static let canaryBounds: [(field: String, range: ClosedRange<Int64>, default: Int64)] = [
        ("canaryRequests", 1...1_000_000, 200), ("canarySeconds", 1...604_800, 600),
    ]

    private static func canaryErrors(_ deploy: JSON?) -> [FieldError] {
        let path = "spec.deploySpec"
        var errors: [FieldError] = []
        for (field, range, _) in canaryBounds {
            guard let value = deploy?[field]?.integer else { continue }
            if deploy?["canary"] == nil {
                errors.append(.forbidden("\(path).\(field)", "there is no trial without spec.deploySpec.canary, the share of the requests"))
            } else if !range.contains(value) {
                errors.append(
                    .invalid("\(path).\(field)", .integer(value), "must be from \(range.lowerBound) to \(range.upperBound)"))
            }
        }
        guard let canary = deploy?["canary"] else { return errors }
        if !((canary.number ?? 0) > 0 && (canary.number ?? 0) < 1) {
            errors.append(.invalid("\(path).canary", canary, "must be a share of the requests, above 0 and below 1"))
        }
        if let hot = deploy?["model"], hot["hotUpdateEnabled"]?.bool == false {
            errors.append(
                .forbidden(
                    "\(path).canary",
                    "two versions serve side by side only in a worker that is updated hot; set \(path).model.hotUpdateEnabled"))
        }
        return errors
    }

    /// What a rule of `rollback` may ask for; figures of time begin with `latency`.
    static let liveFigures = [
        "inferenceNumber", "hardExampleNumber", "unseenNumber", "errors", "refusedNumber", "hardShare", "unseenShare", "errorShare",
        "refusedShare", "latency…",
    ]

    private static func rollbackErrors(_ rule: JSON, at path: String) -> [FieldError] {
        var errors = gateErrors(rule, at: path)
        if let metric = rule["metric"]?.string, !liveFigures.contains(metric), !metric.hasPrefix("latency") {
            errors.append(.notSupported("\(path).metric", .string(metric), liveFigures))
        }
        if let samples = rule["samples"]?.integer, samples < 1 {
            errors.append(.invalid("\(path).samples", .integer(samples), "must be at least 1 prediction"))
        }
        return errors
    }

    private static func gateErrors(_ rule: JSON, at path: String) -> [FieldError] {
        var errors: [FieldError] = []
        if let sign = rule["operator"]?.string, JobTrigger.Comparison(sign) == nil {
            errors.append(.notSupported("\(path).operator", .string(sign), JobTrigger.Comparison.words))
        }
        if let threshold = rule["threshold"], threshold.number?.isFinite != true {
            errors.append(.invalid("\(path).threshold", threshold, "must be a finite number"))
        }
        return errors
    }

    private static func namedErrors(_ reference: JSON?, at path: String) -> [FieldError] {
        guard let name = reference?["name"]?.string, !NameRules.isSubdomain(name) else { return [] }
        return [.invalid("\(path).name", .string(name), "must be the name of an object in the same namespace")]
    }

    private static func templateErrors(_ template: JSON?, at path: String) -> [FieldError] {
        guard let template, template.object != nil else { return [] }
        guard let containers = template["spec"]?["containers"]?.array, !containers.isEmpty else {
            return [.required("\(path).spec.containers", "a worker needs a container")]
        }
        return containers.enumerated().flatMap { place, container in
            let field = "\(path).spec.containers[\(place)]"
            let unnamed = container["name"]?.string?.isEmpty ?? true ? [FieldError.required("\(field).name")] : []
            return unnamed + ResourceRules.errors(container["resources"], at: "\(field).resources")
        }
    }

    private static func miningErrors(_ mining: JSON?, at path: String) -> [FieldError] {
        guard let name = mining?["name"]?.string else { return [] }
        guard let known = filters[name] else { return [.notSupported("\(path).name", .string(name), filters.keys.sorted())] }
        var errors: [FieldError] = []
        for (place, parameter) in (mining?["parameters"]?.array ?? []).enumerated() {
            let key = parameter["key"]?.string ?? "", text = parameter["value"]?.string ?? ""
            guard let range = known[key] ?? budgets[key] ?? known["*"] else {
                errors.append(.notSupported("\(path).parameters[\(place)].key", .string(key), known.keys.sorted() + budgets.keys.sorted()))
                continue
            }
            if Double(text).map(range.contains) != true {
                errors.append(
                    .invalid(
                        "\(path).parameters[\(place)].value", .string(text),
                        "must be a number from \(range.lowerBound) to \(range.upperBound)"))
            }
        }
        return errors
    }

    private static func pathErrors(_ url: JSON?, at path: String) -> [FieldError] {
        guard let url = url?.string else { return [] }
        if url.hasPrefix("/"), !url.split(separator: "/").contains(".."), url.utf8.count <= 4096 { return [] }
        let isRemote = url.contains("://")
        return [
            .invalid(
                path, .string(url),
                isRemote
                    ? "object stores and web servers are not read here; put the file on the node and give its absolute path"
                    : "must be an absolute path on the node, without ..")
        ]
    }

    private static func credentialErrors(_ spec: JSON, at path: String) -> [FieldError] {
        guard let name = spec["credentialName"]?.string, !name.isEmpty else { return [] }
        return [.forbidden("\(path).credentialName", "there is no object store to log in to here; leave it out")]
    }

    private static func isDigest(_ text: String) -> Bool {
        let digits = text.utf8.dropFirst(7)
        return text.hasPrefix("sha256:") && digits.count == 64
            && digits.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

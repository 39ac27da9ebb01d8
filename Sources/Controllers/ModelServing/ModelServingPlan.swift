import Resources

/// Puts a Model on the nodes it names: a DaemonSet of the built-in serving worker, which the Model owns. Pure.
struct ModelServingPlan: Sendable {
    static let component = "model-serving-controller"
    /// What a DaemonSet was made of, so that one of an older Model is known.
    static let label = "models.skerry.io/serving"
    /// Of a Model whose worker was ended for want of memory.
    static let memoryCondition = "OutOfMemory"
    private static let folder = "\(WorkerPods.prefix)/model"
    /// What the worker remembers over its lives.
    private static let lives = "\(WorkerPods.prefix)/lives"

    let model: JSON
    /// The DaemonSet of its name, if there is one.
    let there: JSON?
    /// Nodes on which a worker of the Model has run out of memory.
    var shortNodes: [String] = []
    let now: Timestamp

    /// Of the DaemonSet.
    static func name(_ model: String) -> String {
        let name = "\(model)-serve"
        return name.utf8.count <= 63 ? name : "\(model.prefix(50))-\(StableHash.word(model, letters: 5))-serve"
    }

    func plan() -> ObjectPlan {
        var plan = serving()
        if !model.isBeingDeleted { plan.steps += memorySteps() }
        return plan
    }

    /// What is told of memory: a condition that holds while a worker that ran out of it is there, and an Event for each set of nodes.
    private func memorySteps() -> [ObjectPlan.Step] {
        var conditions = model["status"]?["conditions"]?.array ?? []
        let old = conditions.first { $0["type"]?.string == Self.memoryCondition }
        if shortNodes.isEmpty, old == nil { return [] }
        let limit = model["spec"]?["resources"]?["limits"]?["memory"].map { $0.string ?? $0.text }
        let remedy = limit.map { "raise spec.resources.limits.memory, which is \($0)" } ?? "free memory there"
        let names = shortNodes.prefix(5).joined(separator: ", ") + (shortNodes.count > 5 ? " and \(shortNodes.count - 5) more" : "")
        let (status, reason, message) =
            shortNodes.isEmpty
            ? ("False", "WithinLimits", "the workers that serve the model have the memory they need")
            : ("True", "OutOfMemory", "the worker on \(names) was ended for want of memory; \(remedy)")
        if Conditions.isSame(old, status, reason), old?["message"]?.string == message { return [] }
        Conditions.set(Self.memoryCondition, status, reason, message, in: &conditions, now: now)
        var changed = model
        changed[path: ["status", "conditions"]] = .array(conditions)
        let note = EventNote(model, isWarning: true, reason, message, by: Self.component)
        return [.updateStatus(.model, changed)] + (shortNodes.isEmpty ? [] : [.note(note)])
    }

    /// The DaemonSet, as it is to be.
    private func serving() -> ObjectPlan {
        let isOurs = there?.controller?["uid"]?.string == model.uid
        guard !model.isBeingDeleted, let wanted else {
            guard let there, isOurs, !there.isBeingDeleted else { return ObjectPlan() }
            return ObjectPlan([.delete(.daemonSet, ObjectKey(there), Deletion(uid: there.uid))])
        }
        guard let there else { return ObjectPlan([.create(.daemonSet, wanted)]) }
        // Somebody else's: a name is not taken away.
        guard isOurs, !there.isBeingDeleted else { return ObjectPlan() }
        if there.labels[Self.label] == wanted.labels[Self.label] { return ObjectPlan() }
        var new = there
        new["spec"] = wanted["spec"]
        new[path: ["metadata", "labels", Self.label]] = wanted["metadata"]?["labels"]?[Self.label]
        return ObjectPlan([.update(.daemonSet, new)])
    }

    /// Nil where the Model names no nodes, or has no file yet.
    private var wanted: JSON? {
        let nodes = (model["spec"]?["nodes"]?.array ?? []).compactMap(\.string)
        let selector = model["spec"]?["nodeSelector"]?.object ?? [:]
        guard !nodes.isEmpty || !selector.isEmpty, let source = ModelVersions(model).source else { return nil }
        let name = Self.name(model.name)
        let labels: JSON = ["models.skerry.io/model": .string(String(name.prefix(63))), "jobs.skerry.io/worker": "true"]
        let streams = StreamFittings(model)
        var pod: JSON = [
            "containers": [container(source, streams)],
            "volumes": .array([volume(source), ["name": "lives", "emptyDir": [:]]] + streams.volumes),
            // A node that is away goes on serving; one that says NotReady keeps its worker.
            "tolerations": [["operator": "Exists"]],
        ]
        if !selector.isEmpty { pod["nodeSelector"] = .object(selector) }
        if !nodes.isEmpty, !nodes.contains("*") {
            let names: JSON = .array(nodes.map { .string($0) })
            pod["affinity"] = [
                "nodeAffinity": [
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        "nodeSelectorTerms": [
                            ["matchExpressions": [["key": "kubernetes.io/hostname", "operator": "In", "values": names]]]
                        ]
                    ]
                ]
            ]
        }
        var set: JSON = [
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": [
                "name": .string(name), "namespace": .string(model.namespace), "ownerReferences": [model.controllerReference],
            ],
            "spec": [
                "selector": ["matchLabels": labels], "template": ["metadata": metadata(labels), "spec": pod],
            ],
        ]
        set[path: ["metadata", "labels", Self.label]] = .string(StableHash.hex((set["spec"] ?? .null).text))
        return set
    }

    /// A Model that asks for signatures asks for one of a file on the node too.
    private func metadata(_ labels: JSON) -> JSON {
        guard model["spec"]?["signature"]?.string == "required" else { return ["labels": labels] }
        return ["labels": labels, "annotations": .object([ModelKeys.podAnnotation: "required"])]
    }

    /// The version that serves, replaced while the worker runs; or a folder of the node, where the Model names a file there.
    private func volume(_ source: ModelVersions.Source) -> JSON {
        guard case .path(let path) = source else { return WorkerContract.Volume.model.volume("jobs-model", ["model": model.name]) }
        let folder = path.split(separator: "/").dropLast().joined(separator: "/")
        return ["name": "jobs-model", "hostPath": ["path": .string("/" + folder), "type": "Directory"]]
    }

    private func container(_ source: ModelVersions.Source, _ streams: StreamFittings) -> JSON {
        func variable(_ name: String, _ value: String) -> JSON { ["name": .string(name), "value": .string(value)] }
        var variables = [
            variable("MODEL_NAME", model.name), variable("NAMESPACE", model.namespace), variable("LIVES_URL", Self.lives),
        ]
        if case .path(let path) = source {
            variables.append(variable("MODEL_URL", "\(Self.folder)/\(path.split(separator: "/").last ?? "")"))
        } else {
            variables.append(variable("MODEL_URL", "\(Self.folder)/model.onnx"))
            variables.append(variable("MODEL_HOT_UPDATE_CONFIG", "\(Self.folder)/model_config.json"))
        }
        var container: JSON = [
            "name": "infer", "image": "skerry/worker:builtin", "args": ["infer"],
            "env": .array(variables + streams.variables),
            "volumeMounts": .array(
                [
                    ["name": "jobs-model", "mountPath": .string(Self.folder)], ["name": "lives", "mountPath": .string(Self.lives)],
                ] + streams.mounts),
        ]
        container["resources"] = model["spec"]?["resources"]
        return container
    }
}

/// The kinds this program knows without being taught, as contract section 3 lists them.
package enum BuiltInKinds {
    /// Every one of them, each once; served without any definition.
    package static let all: [KindDefinition] =
        core + apps + other + permissions + reviews + sedna + knowledge + [customResourceDefinition] + metrics

    /// What the names of Kubernetes' shared schemas begin with: `ObjectMeta`, `ListMeta`, `DeleteOptions`.
    package static let metaPrefix = "io.k8s.apimachinery.pkg.apis.meta.v1."

    private static func kind(
        _ group: String, _ version: String, _ kind: String, _ plural: String, _ schemaPrefix: String,
        _ change: (inout KindDefinition) -> Void
    ) -> KindDefinition {
        var result = KindDefinition(
            group: group, version: version, kind: kind, plural: plural,
            schema: Schema(.object, reference: "\(schemaPrefix).\(kind)"), isTyped: true)
        result.columns = [.name, .age]
        change(&result)
        return result
    }

    private static func core(_ name: String, _ plural: String, _ change: (inout KindDefinition) -> Void) -> KindDefinition {
        kind("", "v1", name, plural, "io.k8s.api.core.v1", change)
    }

    private static let core: [KindDefinition] = [
        core("Namespace", "namespaces") {
            $0.shortNames = ["ns"]
            $0.isNamespaced = false
            $0.hasStatus = true
            $0.nameRule = .label
            $0.verbs.removeAll { $0 == "deletecollection" }
            $0.selectableFields = ["status.phase"]
            $0.columns = [.name, .path("Status", "status.phase", "Active, or Terminating while its objects are deleted."), .age]
            $0.defaulting = { object in
                if object["spec"]?["finalizers"] == nil { object[path: ["spec", "finalizers"]] = ["kubernetes"] }
                if object["status"]?["phase"] == nil { object[path: ["status", "phase"]] = "Active" }
                object[path: ["metadata", "labels", "kubernetes.io/metadata.name"]] = object["metadata"]?["name"]
            }
        },
        core("Node", "nodes") {
            $0.shortNames = ["no"]
            $0.isNamespaced = false
            $0.hasStatus = true
            $0.selectableFields = ["spec.unschedulable"]
            $0.columns = nodeColumns
        },
        core("Pod", "pods") {
            $0.shortNames = ["po"]
            $0.categories = ["all"]
            $0.hasStatus = true
            $0.countsGenerations = true
            $0.selectableFields = [
                "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase",
                "status.podIP", "status.nominatedNodeName",
            ]
            $0.columns = podColumns
            $0.defaulting = { pod in
                if var spec = pod["spec"] {
                    WorkloadRules.applyPodDefaults(&spec)
                    pod["spec"] = spec
                }
                if pod["status"]?["phase"] == nil { pod[path: ["status", "phase"]] = "Pending" }
                if pod["status"]?["qosClass"] == nil { pod[path: ["status", "qosClass"]] = .string(WorkloadRules.qosClass(pod)) }
            }
            $0.validation = WorkloadRules.podErrors
        },
        core("ConfigMap", "configmaps") {
            $0.shortNames = ["cm"]
            $0.columns = [
                .name,
                .init("Data", type: "integer", description: "Number of keys.") { object, _ in
                    .integer(Int64((object["data"]?.object?.count ?? 0) + (object["binaryData"]?.object?.count ?? 0)))
                }, .age,
            ]
            $0.validation = DataRules.configMapErrors
        },
        core("Secret", "secrets") {
            $0.selectableFields = ["type"]
            $0.columns = [
                .name, .path("Type", "type", "What the Secret is for."),
                .init("Data", type: "integer", description: "Number of keys.") { object, _ in
                    .integer(Int64(object["data"]?.object?.count ?? 0))
                },
                .age,
            ]
            $0.defaulting = DataRules.applySecretDefaults
            $0.validation = DataRules.secretErrors
        },
        core("Event", "events") {
            $0.shortNames = ["ev"]
            $0.selectableFields = [
                "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
                "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type",
            ]
            $0.columns = eventColumns
            $0.validation = EventRules.coreErrors
        },
        core("Service", "services") {
            $0.shortNames = ["svc"]
            $0.categories = ["all"]
            $0.hasStatus = true
            $0.nameRule = .label
            $0.selectableFields = ["spec.clusterIP", "spec.type"]
            $0.columns = serviceColumns
            $0.defaulting = WorkloadRules.applyServiceDefaults
            $0.validation = WorkloadRules.serviceErrors
        },
        core("ServiceAccount", "serviceaccounts") {
            $0.shortNames = ["sa"]
            $0.columns = [
                .name,
                .init("Secrets", type: "integer", description: "Number of Secrets it names.") { object, _ in
                    .integer(Int64(object["secrets"]?.array?.count ?? 0))
                }, .age,
            ]
        },
    ]

    private static let podColumns: [KindDefinition.Column] = [
        .name, .init("Ready", description: "Containers that are ready, of all.") { pod, _ in .string(PodSummary.ready(pod)) },
        .init("Status", description: "What the Pod is doing.") { pod, _ in .string(PodSummary.status(pod)) },
        .init("Restarts", description: "How often its containers were started again.") { pod, _ in .string(PodSummary.restarts(pod)) },
        .age,
        .path("IP", "status.podIP", isWide: true, "Address of the Pod."), .path("Node", "spec.nodeName", isWide: true, "Node it runs on."),
        .path("Nominated Node", "status.nominatedNodeName", isWide: true, "Node it may run on soon."),
        .init("Readiness Gates", isWide: true, description: "Further conditions of readiness that hold, of all.") { pod, _ in
            guard let gates = pod["spec"]?["readinessGates"]?.array, !gates.isEmpty else { return "<none>" }
            let conditions = pod["status"]?["conditions"]?.array ?? []
            let met = gates.count { gate in conditions.contains { $0["type"] == gate["conditionType"] && $0["status"] == "True" } }
            return .string("\(met)/\(gates.count)")
        },
    ]

    private static let nodeColumns: [KindDefinition.Column] = [
        .name,
        .init("Status", description: "Ready or not, and whether Pods may be placed there.") { node, _ in
            let ready = node["status"]?["conditions"]?.array?.first { $0["type"] == "Ready" }
            let state = ready == nil ? "Unknown" : ready?["status"] == "True" ? "Ready" : "NotReady"
            return .string(state + (node["spec"]?["unschedulable"]?.bool == true ? ",SchedulingDisabled" : ""))
        },
        .init("Roles", description: "Roles by the node's labels.") { node, _ in
            let prefix = "node-role.kubernetes.io/"
            let labels = node["metadata"]?["labels"]?.object ?? [:]
            let roles = labels.keys.filter { $0.hasPrefix(prefix) && $0.count > prefix.count }.map { String($0.dropFirst(prefix.count)) }
            return .string(roles.isEmpty ? "<none>" : roles.sorted().joined(separator: ","))
        }, .age, .path("Version", "status.nodeInfo.kubeletVersion", missing: "", "Version of the node's agent."),
        .init("Internal-IP", isWide: true, description: "Address of the node.") { node, _ in address(node, "InternalIP") },
        .init("External-IP", isWide: true, description: "Public address of the node.") { node, _ in address(node, "ExternalIP") },
        .path("OS-Image", "status.nodeInfo.osImage", isWide: true, missing: "<unknown>", "Operating system of the node."),
        .path("Kernel-Version", "status.nodeInfo.kernelVersion", isWide: true, missing: "<unknown>", "Kernel of the node."),
        .path("Container-Runtime", "status.nodeInfo.containerRuntimeVersion", isWide: true, missing: "<unknown>", "What runs its workers."),
    ]

    private static func address(_ node: JSON, _ type: JSON) -> JSON {
        node["status"]?["addresses"]?.array?.first { $0["type"] == type }?["address"] ?? "<none>"
    }

    private static let eventColumns: [KindDefinition.Column] = [
        .init("Last Seen", description: "Time since it last happened.") { event, now in
            let seen = event["series"]?["lastObservedTime"] ?? event["lastTimestamp"].flatMap { $0.isNull ? nil : $0 } ?? event["eventTime"]
            return KindDefinition.Column.age(seen ?? event["metadata"]?["creationTimestamp"], now)
        }, .path("Type", "type", missing: "", "Normal or Warning."), .path("Reason", "reason", missing: "", "One word why."),
        .init("Object", description: "What it is about.") { event, _ in
            let object = event["involvedObject"]
            return .string("\(object?["kind"]?.string?.lowercased() ?? "")/\(object?["name"]?.string ?? "")")
        }, .path("Subobject", "involvedObject.fieldPath", isWide: true, missing: "", "Part of the object."),
        .path("Source", "source.component", isWide: true, missing: "", "Who reported it."),
        .path("Message", "message", missing: "", "What happened."),
        .init("First Seen", isWide: true, description: "Time since it first happened.") { event, now in
            KindDefinition.Column.age(
                event["firstTimestamp"].flatMap { $0.isNull ? nil : $0 } ?? event["eventTime"] ?? event["metadata"]?["creationTimestamp"],
                now)
        }, .count("Count", "count", isWide: true, "How often it happened."),
        .init("Name", format: "name", isWide: true, description: "Name of the event.") { event, _ in event["metadata"]?["name"] ?? "" },
    ]

    private static let serviceColumns: [KindDefinition.Column] = [
        .name, .path("Type", "spec.type", "How the Service is reached."), .path("Cluster-IP", "spec.clusterIP", "Its address."),
        .path("External-IP", "spec.externalIPs", "Its public addresses."),
        .init("Port(s)", description: "Its ports.") { service, _ in
            let ports = (service["spec"]?["ports"]?.array ?? []).map { port in
                let node = port["nodePort"]?.integer.map { ":\($0)" } ?? ""
                return "\(port["port"]?.integer ?? 0)\(node)/\(port["protocol"]?.string ?? "TCP")"
            }
            return .string(ports.isEmpty ? "<none>" : ports.joined(separator: ","))
        }, .age,
        .init("Selector", isWide: true, description: "Labels of its Pods.") { service, _ in
            .string(WorkloadRules.labelsText(service["spec"]?["selector"]?.object))
        },
    ]

    private static let apps: [KindDefinition] = [
        kind("apps", "v1", "Deployment", "deployments", "io.k8s.api.apps.v1") {
            $0.shortNames = ["deploy"]
            $0.categories = ["all"]
            $0.hasStatus = true
            $0.countsGenerations = true
            $0.scale = .init(
                specReplicas: ["spec", "replicas"], statusReplicas: ["status", "replicas"], selector: ["spec", "selector"])
            $0.columns =
                [
                    .name,
                    .init("Ready", description: "Pods that are ready, of those wanted.") { object, _ in
                        .string("\(object["status"]?["readyReplicas"]?.integer ?? 0)/\(object["spec"]?["replicas"]?.integer ?? 0)")
                    }, .count("Up-to-date", "status.updatedReplicas", "Pods of the newest template."),
                    .count("Available", "status.availableReplicas", "Pods that have been ready for long enough."), .age,
                ] + templateColumns
            $0.defaulting = WorkloadRules.applyDeploymentDefaults
            $0.validation = WorkloadRules.controllerErrors
        },
        kind("apps", "v1", "ReplicaSet", "replicasets", "io.k8s.api.apps.v1") {
            $0.shortNames = ["rs"]
            $0.categories = ["all"]
            $0.hasStatus = true
            $0.countsGenerations = true
            $0.selectableFields = ["status.replicas"]
            $0.scale = .init(
                specReplicas: ["spec", "replicas"], statusReplicas: ["status", "replicas"], selector: ["spec", "selector"])
            $0.columns =
                [
                    .name, .count("Desired", "spec.replicas", "Pods wanted."), .count("Current", "status.replicas", "Pods there are."),
                    .count("Ready", "status.readyReplicas", "Pods that are ready."), .age,
                ] + templateColumns
            $0.defaulting = WorkloadRules.applyReplicaSetDefaults
            $0.validation = WorkloadRules.controllerErrors
        },
        kind("apps", "v1", "ControllerRevision", "controllerrevisions", "io.k8s.api.apps.v1") {
            $0.columns = [
                .name,
                .init("Controller", description: "Whose template it keeps.") { object, _ in
                    let owner = object["metadata"]?["ownerReferences"]?.array?.first { $0["controller"]?.bool == true }
                    return .string(owner.map { "\($0["kind"]?.string?.lowercased() ?? "")/\($0["name"]?.string ?? "")" } ?? "<none>")
                }, .count("Revision", "revision", "Number of the template."), .age,
            ]
        },
        kind("apps", "v1", "DaemonSet", "daemonsets", "io.k8s.api.apps.v1") {
            $0.shortNames = ["ds"]
            $0.categories = ["all"]
            $0.hasStatus = true
            $0.countsGenerations = true
            $0.columns =
                [
                    .name, .count("Desired", "status.desiredNumberScheduled", "Nodes that should run the Pod."),
                    .count("Current", "status.currentNumberScheduled", "Nodes that run the Pod."),
                    .count("Ready", "status.numberReady", "Nodes whose Pod is ready."),
                    .count("Up-to-date", "status.updatedNumberScheduled", "Nodes with the newest template."),
                    .count("Available", "status.numberAvailable", "Nodes whose Pod has been ready for long enough."),
                    .init("Node Selector", description: "Labels of the nodes.") { object, _ in
                        .string(WorkloadRules.labelsText(object["spec"]?["template"]?["spec"]?["nodeSelector"]?.object))
                    }, .age,
                ] + templateColumns
            $0.defaulting = WorkloadRules.applyDaemonSetDefaults
            $0.validation = WorkloadRules.controllerErrors
        },
    ]

    private static let templateColumns: [KindDefinition.Column] = [
        .init("Containers", isWide: true, description: "Names of its containers.") { object, _ in containers(object, "name") },
        .init("Images", isWide: true, description: "Images of its containers.") { object, _ in containers(object, "image") },
        .init("Selector", isWide: true, description: "Labels of its Pods.") { object, _ in
            .string(WorkloadRules.labelsText(object["spec"]?["selector"]?["matchLabels"]?.object))
        },
    ]

    private static func containers(_ object: JSON, _ key: String) -> JSON {
        .string((object["spec"]?["template"]?["spec"]?["containers"]?.array ?? []).compactMap { $0[key]?.string }.joined(separator: ","))
    }

    private static let other: [KindDefinition] = [
        kind("coordination.k8s.io", "v1", "Lease", "leases", "io.k8s.api.coordination.v1") {
            $0.columns = [.name, .path("Holder", "spec.holderIdentity", missing: "", "Who holds it."), .age]
        },
        kind("events.k8s.io", "v1", "Event", "events", "io.k8s.api.events.v1") {
            $0.shortNames = ["ev"]
            $0.selectableFields = EventRules.selectableFields
            $0.columns = eventColumns.map { column in
                .init(column.name, type: column.type, format: column.format, isWide: column.isWide, description: column.description) {
                    column.cell(EventRules.stored($0), $1)
                }
            }
            $0.validation = EventRules.errors
            $0.storedForm = .init(groupVersion: "v1", plural: "events", shown: EventRules.shown, stored: EventRules.stored)
        },
    ]

    private static let permissions: [KindDefinition] = [
        ("Role", "roles", true), ("RoleBinding", "rolebindings", true), ("ClusterRole", "clusterroles", false),
        ("ClusterRoleBinding", "clusterrolebindings", false),
    ].map { name, plural, isNamespaced in
        kind("rbac.authorization.k8s.io", "v1", name, plural, "io.k8s.api.rbac.v1") {
            $0.isNamespaced = isNamespaced
            $0.nameRule = .pathSegment
            if name.hasSuffix("Binding") {
                $0.columns = [
                    .name,
                    .init("Role", description: "What the binding grants.") { object, _ in
                        .string("\(object["roleRef"]?["kind"]?.string ?? "")/\(object["roleRef"]?["name"]?.string ?? "")")
                    }, .age,
                ]
                $0.defaulting = PermissionRules.applyBindingDefaults
                $0.validation = PermissionRules.bindingErrors
            } else {
                $0.columns = [
                    .name,
                    .init("Created At", type: "date", description: "When it was made.") { object, _ in
                        object["metadata"]?["creationTimestamp"] ?? ""
                    },
                ]
                $0.validation = PermissionRules.roleErrors
            }
        }
    }

    private static func review(_ group: String, _ name: String, _ plural: String, isNamespaced: Bool = false) -> KindDefinition {
        kind("\(group).k8s.io", "v1", name, plural, "io.k8s.api.\(group).v1") {
            $0.isNamespaced = isNamespaced
            $0.verbs = ["create"]
        }
    }

    private static let reviews: [KindDefinition] = [
        review("authentication", "TokenReview", "tokenreviews"), review("authentication", "SelfSubjectReview", "selfsubjectreviews"),
        review("authorization", "SubjectAccessReview", "subjectaccessreviews"),
        review("authorization", "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
        review("authorization", "LocalSubjectAccessReview", "localsubjectaccessreviews", isNamespaced: true),
        review("authorization", "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    ]

    private static func sedna(
        _ name: String, _ plural: String, _ short: String?, _ columns: [KindDefinition.Column],
        check: @escaping @Sendable (JSON, JSON?) -> [FieldError] = { _, _ in [] }
    ) -> KindDefinition {
        kind("sedna.io", "v1alpha1", name, plural, "io.sedna.v1alpha1") {
            $0.isTyped = false
            $0.shortNames = short.map { [$0] } ?? []
            $0.hasStatus = true
            $0.countsGenerations = true
            $0.columns = [.name] + columns + [.age]
            $0.validation = check
        }
    }

    private static let jobColumns: [KindDefinition.Column] = [
        .lastCondition("Stage", "What the job is doing."), .count("Round", "status.round", "Rounds completed."),
        .count("Samples", "status.samples", "Samples seen."), .share("Accuracy", "status.accuracy", "Accuracy of the last evaluation."),
        .path("Node", "status.nodeName", isWide: true, "Node of the current stage."),
        .path("Model", "status.model", isWide: true, "Model that serves."),
        .share("Gain", "status.gain", isWide: true, isSigned: true, "Relative gain over the baseline."),
    ]

    private static let serviceStateColumns: [KindDefinition.Column] = [
        .lastCondition("State", "What the service is doing."), .count("Active", "status.active", "Workers that run."),
        .count("Failed", "status.failed", "Workers that failed."),
    ]

    private static let sedna: [KindDefinition] = [
        sedna(
            "Dataset", "datasets", nil,
            [
                .path("Format", "spec.format", "Format of the index file."),
                .count("Samples", "status.numberOfSamples", "Samples counted."),
                .path("Node", "spec.nodeName", "Node that holds the data."), .path("URL", "spec.url", isWide: true, "The index file."),
            ], check: SednaRules.datasetErrors),
        sedna(
            "Model", "models", nil,
            [
                .path("Format", "spec.format", isWide: true, "Format of the file."),
                .count("Serving", "status.serving", "The version that serves; 0 for the file of the spec."),
                .servingDigest, .servingSize, .servingAccuracy, .servingJob,
                .servingSigned, .path("URL", "spec.url", isWide: true, "The file of the spec."),
            ], check: SednaRules.modelErrors),
        sedna("JointInferenceService", "jointinferenceservices", "ji", serviceStateColumns, check: SednaRules.jointInferenceErrors),
        sedna("IncrementalLearningJob", "incrementallearningjobs", "il", jobColumns, check: SednaRules.incrementalErrors),
        sedna("LifelongLearningJob", "lifelonglearningjobs", "ll", jobColumns, check: SednaRules.lifelongErrors),
        sedna("FederatedLearningJob", "federatedlearningjobs", "fl", jobColumns),
        sedna("ReidJob", "reidjobs", "reid", [.path("Phase", "status.phase", "What the job is doing.")]),
        sedna("VideoAnalyticsJob", "videoanalyticsjobs", "va", [.path("Phase", "status.phase", "What the job is doing.")]),
        sedna("FeatureExtractionService", "featureextractionservices", "fe", serviceStateColumns),
        sedna("ObjectSearchService", "objectsearchservices", "objs", serviceStateColumns),
        sedna("ObjectTrackingService", "objecttrackingservices", "objt", serviceStateColumns),
    ]

    /// What nodes and Pods use, for `kubectl top`: measured when somebody asks, and never stored.
    private static let metrics: [KindDefinition] = [("NodeMetrics", "nodes"), ("PodMetrics", "pods")].map { name, plural in
        kind("metrics.k8s.io", "v1beta1", name, plural, "io.k8s.metrics.v1beta1") {
            $0.isTyped = false
            $0.isNamespaced = plural == "pods"
            $0.verbs = ["get", "list"]
        }
    }

    /// What jobs have learned, for `kubectl get`: made by the cloud of its knowledge base, read by everybody else.
    private static func knowledge(
        _ name: String, _ plural: String, _ short: String, _ columns: [KindDefinition.Column]
    ) -> KindDefinition {
        kind("knowledge.skerry.io", "v1alpha1", name, plural, "io.skerry.knowledge.v1alpha1") {
            $0.isTyped = false
            $0.shortNames = [short]
            $0.verbs = ["get", "list", "watch"]
            $0.selectableFields = ["job"]
            $0.columns = [.name, .path("Job", "job", "Job that learned it.")] + columns + [.age]
        }
    }

    private static let knowledge: [KindDefinition] = [
        knowledge(
            "KnowledgeTask", "knowledgetasks", "kt",
            [
                .path("Task", "task", "Name of the task."), .count("Samples", "samples", "Labelled samples learned from."),
                .count("Round", "lastRound", "Round that last met it."), .share("Accuracy", "accuracy", "Accuracy after the last round."),
                .path("Attributes", "attributes", isWide: true, "What defines the task."),
            ]),
        knowledge(
            "KnowledgeModel", "knowledgemodels", "km",
            [
                .path("Model", "model", "Name of the model."), .count("Round", "round", "Round that made or judged it."),
                .path("Serving", "serving", "Whether it serves."), .count("Bytes", "size", "Size of the file."),
                .path("Tasks", "tasks", isWide: true, "Tasks it serves."), .path("Digest", "digest", isWide: true, "Of the file."),
            ]),
        knowledge(
            "KnowledgeRound", "knowledgerounds", "kro",
            [
                .count("Round", "round", "Number of the round."), .count("Samples", "samples", "Samples whose state it set."),
                .share("Accuracy", "accuracy", "Accuracy after the round on its own rows."),
                .share("BWT", "backwardTransfer", isSigned: true, "What earlier rounds gained since they were learned."),
                .share("FWT", "forwardTransfer", isSigned: true, "How much better rounds were met than by their most frequent class."),
                .share("Forgetting", "forgetting", isSigned: true, "What was once known and is lost."),
            ]),
        knowledge(
            "KnowledgeRelation", "knowledgerelations", "kr",
            [
                .path("Relation", "relation", "Sort of the relation."), .path("From", "from", "Task that gives."),
                .path("To", "to", "Task that receives."), .decimals("Value", "value", "Its strength."),
                .count("Rows", "rows", isWide: true, "Rows it was measured on."),
            ]),
    ]

    /// `apiextensions.k8s.io/v1`: the kind whose objects teach this program further kinds.
    package static let customResourceDefinition = kind(
        "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
    ) {
        $0.shortNames = ["crd", "crds"]
        $0.categories = ["api-extensions"]
        $0.isNamespaced = false
        $0.hasStatus = true
        $0.countsGenerations = true
        $0.columns = [
            .name,
            .init("Created At", type: "date", description: "When it was made.") { object, _ in
                object["metadata"]?["creationTimestamp"] ?? ""
            },
        ]
        $0.defaulting = CustomKind.applyDefaults
        $0.validation = { new, old in CustomKind.errors(new, old) }
    }
}

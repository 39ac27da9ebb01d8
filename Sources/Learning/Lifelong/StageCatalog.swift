/// The stages of lifelong learning that a learner is put together from.
package struct LifelongStages: Sendable {
    /// Which task each row is of.
    package var taskDefinition: any TaskDefinition
    /// What tasks have to do with each other; only reported, decides nothing.
    package var relationDiscovery: any TaskRelationDiscovery
    /// Which known task serves a row to be predicted.
    package var taskAllocation: any TaskAllocation
    /// Which rows are from places that were never seen.
    package var unseenSampleRecognition: any UnseenSampleRecognition
    /// Which batches are of a task that was never learned.
    package var unseenTaskDetection: any UnseenTaskDetection
    /// How the shared model becomes one for each site and person.
    package var taskAdaptation: any TaskAdaptation
    /// How several models make one prediction.
    package var inferenceIntegration: any InferenceIntegration
    /// Whether a round is worth training for.
    package var updateDecision: any UpdateDecision
    /// Which tasks a new model takes over.
    package var qualityGate: any QualityGate

    /// What each stage is unless a job says otherwise.
    package init() {
        taskDefinition = TaskDefinitionByDataAttr(attributes: ["season", "cooling"])
        relationDiscovery = DefaultTaskRelationDiscover()
        taskAllocation = TaskAllocationByDataAttr()
        unseenSampleRecognition = NeighbourRecognition(PlaceSigns(attributes: ["season", "cooling"]))
        unseenTaskDetection = PooledDetection(NeighbourRecognition(PlaceSigns(attributes: ["season", "cooling"])))
        taskAdaptation = PartialPoolingAdaptation(layers: [.init("site", lambda: 50), .init("person", lambda: 2)])
        inferenceIntegration = DefaultInferenceIntegrate()
        updateDecision = UpdateByCount(newLabels: 1)
        qualityGate = AtLeastAsGoodGate()
    }
}

/// Where a stage stands in the learner.
package enum StageKind: String, CaseIterable, Sendable {
    case taskDefinition = "task_definition"
    case relationDiscovery = "task_relation_discovery"
    case taskAllocation = "task_allocation"
    case unseenSampleRecognition = "unseen_sample_recognition"
    case unseenTaskDetection = "unseen_task_detection"
    case taskAdaptation = "task_adaptation"
    case inferenceIntegration = "inference_integrate"
    case updateDecision = "update_decision"
    case qualityGate = "quality_gate"
}

/// A stage that can be chosen by name: how it is made from parameters and put in its place.
package struct StageMaker: Sendable {
    /// Names are looked up within it.
    package let kind: StageKind
    /// Sedna's name where Sedna has such a stage.
    package let name: String
    /// Names of the parameters it reads.
    package let parameters: [String]
    let place: @Sendable (StageParameters, inout LifelongStages) throws(StageError) -> Void

    /// Made once for each stage and put into a `StageCatalog`; only parameters named here reach `place`, their values unchecked.
    package init(
        _ kind: StageKind, _ name: String, parameters: [String] = [],
        place: @escaping @Sendable (StageParameters, inout LifelongStages) throws(StageError) -> Void
    ) {
        self.kind = kind
        self.name = name
        self.parameters = parameters
        self.place = place
    }
}

/// All stages that can be chosen by name. Adding one: CONTRIBUTING.md, "Add a stage".
package struct StageCatalog: Sendable {
    private var makers: [StageMaker]

    /// - Parameter added: makers beside the built-in ones; one of the same kind and name replaces.
    package init(adding added: [StageMaker] = []) {
        makers = Self.builtIn.filter { old in !added.contains { $0.kind == old.kind && $0.name == old.name } } + added
    }

    /// Names of a kind, in order.
    package func names(_ kind: StageKind) -> [String] { makers.filter { $0.kind == kind }.map(\.name).sorted() }

    /// Puts a stage into its place.
    ///
    /// - Throws: `StageError`, naming what is known.
    package func place(_ kind: StageKind, _ parameters: StageParameters, in stages: inout LifelongStages) throws(StageError) {
        guard let maker = makers.first(where: { $0.kind == kind && $0.name == parameters.stage }) else {
            throw .unknownStage(kind: kind.rawValue, name: parameters.stage, known: names(kind))
        }
        try parameters.refuseStrays(maker.parameters)
        try maker.place(parameters, &stages)
    }

    /// Puts the stage that a text such as `quality_gate=AtLeastAsGood:{"noise": 2}` names into its place.
    ///
    /// - Throws: `StageError`.
    package func place(_ text: String, in stages: inout LifelongStages) throws(StageError) {
        guard let equals = text.firstIndex(of: "=") else { throw .badText(text, reason: "no \"=\"") }
        let word = String(text[..<equals])
        guard let kind = StageKind(rawValue: word) else {
            throw .unknownKind(word, known: StageKind.allCases.map(\.rawValue))
        }
        try place(kind, StageParameters(text: text[text.index(after: equals)...], in: text), in: &stages)
    }

    private static let builtIn: [StageMaker] = [
        StageMaker(.taskDefinition, "TaskDefinitionByDataAttr", parameters: ["attribute"]) { parameters, stages throws(StageError) in
            stages.taskDefinition = try TaskDefinitionByDataAttr.make(parameters)
        },
        StageMaker(.taskDefinition, "SingleTask") { _, stages in stages.taskDefinition = SingleTaskDefinition() },
        StageMaker(.relationDiscovery, "DefaultTaskRelationDiscover") { _, stages in
            stages.relationDiscovery = DefaultTaskRelationDiscover()
        },
        StageMaker(.taskAllocation, "TaskAllocationByDataAttr") { _, stages in stages.taskAllocation = TaskAllocationByDataAttr() },
        StageMaker(.taskAllocation, "TaskAllocationByNearestCentre") { _, stages in
            stages.taskAllocation = TaskAllocationByNearestCentre()
        },
        StageMaker(.unseenSampleRecognition, "NearestNeighbours", parameters: NeighbourRecognition.parameterNames) {
            parameters, stages throws(StageError) in
            stages.unseenSampleRecognition = try NeighbourRecognition.make(parameters)
        },
        StageMaker(.unseenSampleRecognition, "SampleRegonitionDefault", parameters: ["seed"]) { parameters, stages throws(StageError) in
            stages.unseenSampleRecognition = try CoinFlipRecognition.make(parameters)
        },
        StageMaker(.unseenSampleRecognition, "Envelope", parameters: ["columns", "attribute", "false_alarm_rate"]) {
            parameters, stages throws(StageError) in
            stages.unseenSampleRecognition = try EnvelopeRecognition.make(parameters)
        },
        StageMaker(.unseenTaskDetection, "PooledNeighbours", parameters: NeighbourRecognition.parameterNames + ["batch_rows"]) {
            parameters, stages throws(StageError) in
            stages.unseenTaskDetection = try PooledDetection.make(parameters)
        },
        StageMaker(.unseenTaskDetection, "TaskAttrFilter", parameters: ["attribute"]) { parameters, stages throws(StageError) in
            stages.unseenTaskDetection = try AttributeFilterDetection.make(parameters)
        },
        StageMaker(.taskAdaptation, "PartialPooling", parameters: ["site", "person"]) { parameters, stages throws(StageError) in
            stages.taskAdaptation = try PartialPoolingAdaptation.make(parameters)
        },
        StageMaker(.taskAdaptation, "NoAdaptation") { _, stages in stages.taskAdaptation = NoAdaptation() },
        StageMaker(.inferenceIntegration, "DefaultInferenceIntegrate") { _, stages in
            stages.inferenceIntegration = DefaultInferenceIntegrate()
        },
        StageMaker(.inferenceIntegration, "LogMean", parameters: ["serving_share"]) { parameters, stages throws(StageError) in
            stages.inferenceIntegration = try LogMeanIntegration.make(parameters)
        },
        StageMaker(.updateDecision, "ByCount", parameters: ["new_labels"]) { parameters, stages throws(StageError) in
            stages.updateDecision = try UpdateByCount.make(parameters)
        },
        StageMaker(.updateDecision, "ByLoss", parameters: ["rise"]) { parameters, stages throws(StageError) in
            stages.updateDecision = try UpdateByLoss.make(parameters)
        },
        StageMaker(.qualityGate, "AtLeastAsGood", parameters: ["noise", "tolerance"]) { parameters, stages throws(StageError) in
            stages.qualityGate = try AtLeastAsGoodGate.make(parameters)
        },
        StageMaker(.qualityGate, "Open") { _, stages in stages.qualityGate = OpenGate() },
    ]
}

extension StageMaker {
    /// Relations measured by transfer; models of single tasks are trained by the given estimator.
    package static func transfer(_ estimator: any Estimator & Sendable) -> StageMaker {
        StageMaker(.relationDiscovery, "Transfer", parameters: ["rows_min", "rows_max"]) { parameters, stages throws(StageError) in
            stages.relationDiscovery = TransferRelationDiscovery(
                estimator, rowsMin: Int(try parameters.number("rows_min", default: 50, in: 2...1e6)),
                rowsMax: Int(try parameters.number("rows_max", default: 1000, in: 2...1e6)))
        }
    }
}

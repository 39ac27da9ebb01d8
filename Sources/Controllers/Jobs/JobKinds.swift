import Resources

/// The kinds of Sedna that have a controller here.
extension ResourceKind {
    static let dataset = sedna("Dataset", "datasets")
    static let model = sedna("Model", "models")
    static let jointInferenceService = sedna("JointInferenceService", "jointinferenceservices")
    static let incrementalLearningJob = sedna("IncrementalLearningJob", "incrementallearningjobs")
    static let lifelongLearningJob = sedna("LifelongLearningJob", "lifelonglearningjobs")

    static let knowledgeTask = knowledge("KnowledgeTask", "knowledgetasks")
    static let knowledgeModel = knowledge("KnowledgeModel", "knowledgemodels")
    static let knowledgeRound = knowledge("KnowledgeRound", "knowledgerounds")
    static let knowledgeRelation = knowledge("KnowledgeRelation", "knowledgerelations")

    private static func knowledge(_ kind: String, _ plural: String) -> ResourceKind {
        ResourceKind(group: "knowledge.skerry.io", version: "v1alpha1", kind: kind, plural: plural)
    }

    private static func sedna(_ kind: String, _ plural: String) -> ResourceKind {
        ResourceKind(group: "sedna.io", version: "v1alpha1", kind: kind, plural: plural)
    }
}

/// The stages of a round, in Sedna's words and order.
enum Stage: String, Sendable, CaseIterable {
    case train = "Train"
    case eval = "Eval"
    case deploy = "Deploy"

    /// Type of the condition that is True once the newest round has passed the stage: what `kubectl wait` waits for.
    var doneCondition: String {
        switch self {
        case .train: "Trained"
        case .eval: "Evaluated"
        case .deploy: "Deployed"
        }
    }
}

/// Where a stage stands, in Sedna's words: types of conditions, of which one is True.
enum StagePhase: String, Sendable, CaseIterable {
    case waiting = "Waiting"
    case ready = "Ready"
    case starting = "Starting"
    case running = "Running"
    case completed = "Completed"
    case failed = "Failed"
}

/// Begins a saved learner.
private enum LearnerForm {
    static let mark: UInt32 = 0x4c4c_4b53
    static let version: UInt16 = 1
}

extension LifelongLearner {
    /// Bound on classes and retained models that are read.
    private static let modelsMax = 4096

    /// All that rounds to come and predictions need, but the rows: models with adapters and margins, tasks, what recognises unseen rows.
    /// Equal learners give equal bytes.
    ///
    /// - Throws: `.unsavable` for a stage of a job's own that has learned something.
    package func state() throws(StateError) -> [UInt8] {
        var writer = StateWriter()
        writer.write(LearnerForm.mark)
        writer.write(LearnerForm.version)
        writer.write(count: classCount)
        writer.write(count: models.count)
        for model in models { model.write(to: &writer) }
        writer.write(count: serving.count)
        for (task, position) in serving.sorted(by: { $0.key < $1.key }) {
            writer.write(task)
            writer.write(count: position)
        }
        writer.write(count: known.count)
        for task in known { task.write(to: &writer) }
        writer.write(count: knownIDs.count)
        for id in knownIDs.sorted() { writer.write(Int64(id)) }
        try SavedRecognition.write(recogniser, to: &writer)
        try SavedRecognition.write(detector, to: &writer)
        return writer.bytes
    }

    /// Goes on where a saved learner was: predictions and the next round are the same, bit by bit, if estimator and stages are.
    ///
    /// - Parameter featureNames: columns of the rows to come.
    /// - Throws: `StateError`; `.damaged` also where the state is of other classes or columns.
    package init(
        state: [UInt8], _ estimator: any CrossFittingEstimator, stages: LifelongStages = LifelongStages(), classCount: Int,
        featureNames: [String], clusterAttribute: String
    ) throws(StateError) {
        self.init(estimator, stages: stages, classCount: classCount, clusterAttribute: clusterAttribute)
        var reader = StateReader(state)
        guard try reader.integer(UInt32.self) == LearnerForm.mark else { throw .foreign(expected: "saved learner") }
        let version = try reader.integer(UInt16.self)
        guard version <= LearnerForm.version else { throw .newer(version: Int(version), known: Int(LearnerForm.version)) }
        let classes = Int(try reader.integer(UInt32.self))
        guard classes == classCount else { throw .damaged(reason: "it has \(classes) classes, the job \(classCount)") }
        for _ in 0..<(try reader.count(of: "models", elementBytes: 16, limit: Self.modelsMax)) {
            let model = try RetainedModel(from: &reader, classCount: classCount, featureNames: featureNames)
            guard model.round > models.last?.round ?? -1 else {
                throw .damaged(reason: "a model of round \(model.round) follows one of round \(models.last!.round)")
            }
            models.append(model)
        }
        for _ in 0..<(try reader.count(of: "serving models", elementBytes: 8)) {
            let task = try reader.text(), position = Int(try reader.integer(UInt32.self))
            guard models.indices.contains(position) else { throw .damaged(reason: "task \"\(task)\" is served by no model") }
            serving[task] = position
        }
        for _ in 0..<(try reader.count(of: "tasks", elementBytes: 16)) {
            let task = try KnownTask(from: &reader)
            guard task.centre.count == featureNames.count else {
                throw .damaged(reason: "task \"\(task.name)\" has a centre of other columns")
            }
            known.append(task)
        }
        for _ in 0..<(try reader.count(of: "rows", elementBytes: 8)) { knownIDs.insert(Int(try reader.integer(Int64.self))) }
        recogniser = try SavedRecognition.recogniser(from: &reader)
        detector = try SavedRecognition.detector(from: &reader)
        try reader.finish()
    }
}

extension RetainedModel {
    fileprivate func write(to writer: inout StateWriter) {
        writer.write(count: round)
        model.write(to: &writer)
        writer.write(count: adapters.count)
        for layer in adapters {
            writer.write(layer.attribute)
            writer.write(count: layer.biases.biases.count)
            for (word, bias) in layer.biases.biases.sorted(by: { $0.key < $1.key }) {
                writer.write(word)
                for number in bias { writer.write(number) }
            }
        }
        writer.write(count: outOfSample.count)
        for (id, margins) in outOfSample.sorted(by: { $0.key < $1.key }) {
            writer.write(Int64(id))
            for margin in margins { writer.write(margin) }
        }
    }

    fileprivate init(from reader: inout StateReader, classCount: Int, featureNames: [String]) throws(StateError) {
        let round = Int(try reader.integer(UInt32.self))
        let model = try BlendedModel(from: &reader, featureNames: featureNames)
        guard model.classCount == classCount else { throw .damaged(reason: "a model of \(model.classCount) classes among \(classCount)") }
        self.init(round: round, model: model)
        for _ in 0..<(try reader.count(of: "adapters", elementBytes: 8, limit: 64)) {
            let attribute = try reader.text()
            var biases: [String: [Double]] = [:]
            for _ in 0..<(try reader.count(of: "biases", elementBytes: 4 + 8 * classCount)) {
                let word = try reader.text()
                biases[word] = try Self.numbers(classCount, &reader)
            }
            adapters.append(AdapterLayer(attribute: attribute, biases: BiasTable(classCount: classCount, biases: biases)))
        }
        for _ in 0..<(try reader.count(of: "margins", elementBytes: 8 + 8 * classCount)) {
            let id = Int(try reader.integer(Int64.self))
            outOfSample[id] = try Self.numbers(classCount, &reader)
        }
    }

    private static func numbers(_ count: Int, _ reader: inout StateReader) throws(StateError) -> [Double] {
        var numbers: [Double] = []
        for _ in 0..<count { numbers.append(try reader.double()) }
        return numbers
    }
}

extension KnownTask {
    fileprivate func write(to writer: inout StateWriter) {
        writer.write(name)
        writer.write(Int64(sampleCount))
        writer.write(centre)
    }

    fileprivate init(from reader: inout StateReader) throws(StateError) {
        self.init(name: try reader.text(), sampleCount: Int(try reader.integer(Int64.self)), centre: try reader.floats())
    }
}

/// The saved forms of what recognises unseen rows and tasks: a number for the kind, then its own fields.
enum SavedRecognition {
    static func write(_ recogniser: (any UnseenSampleRecogniser)?, to writer: inout StateWriter) throws(StateError) {
        switch recogniser {
        case nil: writer.write(UInt8(0))
        case let coin as CoinFlipRecognition:
            writer.write(UInt8(1))
            writer.write(coin.seed)
        case let neighbours as NeighbourRecogniser:
            writer.write(UInt8(2))
            neighbours.write(to: &writer)
        case let envelope as Envelope:
            writer.write(UInt8(3))
            envelope.write(to: &writer)
        case let other?: throw .unsavable(stage: "\(type(of: other))")
        }
    }

    static func recogniser(from reader: inout StateReader) throws(StateError) -> (any UnseenSampleRecogniser)? {
        switch try reader.integer(UInt8.self) {
        case 0: nil
        case 1: CoinFlipRecognition(seed: try reader.integer())
        case 2: try NeighbourRecogniser(from: &reader)
        case 3: try Envelope(from: &reader)
        case let other: throw .damaged(reason: "\(other) is no kind of recognition")
        }
    }

    static func write(_ detector: (any UnseenTaskDetector)?, to writer: inout StateWriter) throws(StateError) {
        switch detector {
        case nil: writer.write(UInt8(0))
        case let filter as AttributeFilterDetection.Detector:
            writer.write(UInt8(1))
            writer.write(filter.attributes)
            writer.write(count: filter.known.count)
            for words in filter.known.sorted(by: { $0.lexicographicallyPrecedes($1) }) { writer.write(words) }
        case let pooled as PooledDetection.Detector:
            writer.write(UInt8(2))
            pooled.recogniser.write(to: &writer)
            writer.write(pooled.threshold)
        case let other?: throw .unsavable(stage: "\(type(of: other))")
        }
    }

    static func detector(from reader: inout StateReader) throws(StateError) -> (any UnseenTaskDetector)? {
        switch try reader.integer(UInt8.self) {
        case 0: return nil
        case 1:
            let attributes = try reader.texts()
            var known: Set<[String]> = []
            for _ in 0..<(try reader.count(of: "tasks", elementBytes: 4)) { known.insert(try reader.texts()) }
            return AttributeFilterDetection.Detector(attributes: attributes, known: known)
        case 2: return PooledDetection.Detector(recogniser: try NeighbourRecogniser(from: &reader), threshold: try reader.double())
        case let other: throw .damaged(reason: "\(other) is no kind of detection")
        }
    }
}

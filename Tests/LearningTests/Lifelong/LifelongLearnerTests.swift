import Learning
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The loop of rounds, with an estimator that learns each task's class shares by a feature.
@Suite struct LifelongLearnerTests {
    /// Smoothed class shares of rows with the same feature value 0 or 1, in a tree of one split.
    struct OneSplit: CrossFittingEstimator {
        func fit(_ rows: TrainingRows) -> BlendedModel {
            func margin(_ value: Float) -> Float {
                let members = rows.labels.indices.filter { rows.features.values[$0] == value }
                let ones = Float(members.count { rows.labels[$0] == 1 } + 1) / Float(members.count + 2)
                return log(ones / (1 - ones))
            }
            var trees = TreeEnsemble(featureCount: 1, baseMargins: [0, 0])
            trees.append(
                target: 1, round: 0,
                nodes: [.split(feature: 0, threshold: 0.5, left: 1, right: 2, missingGoesLeft: true), .leaf(margin(0)), .leaf(margin(1))])
            return BlendedModel(trees: trees, networks: [], networkShare: 0)
        }

        func crossFit(_ rows: TrainingRows) -> CrossFittedBlend {
            var margins = [Double](repeating: 0, count: rows.count * 2)
            for fold in Set(rows.folds) {
                let inside = rows.folds.indices.filter { rows.folds[$0] == fold }
                let model = fit(rows.rows(rows.folds.indices.filter { rows.folds[$0] != fold }))
                let found = model.margins(rows.features.rows(inside))
                for (place, row) in inside.enumerated() { for k in 0..<2 { margins[row * 2 + k] = Double(found[place * 2 + k]) } }
            }
            return CrossFittedBlend(model: fit(rows), margins: margins)
        }
    }

    /// `count` rows of a task; the class follows the feature, or is turned against it.
    static func samples(_ blocks: [(task: String, count: Int, turned: Bool)]) -> LabelledSamples {
        var features = FeatureMatrix(columnNames: ["x"])
        var (words, labels, folds, buildings): ([String], [Int], [Int], [String]) = ([], [], [], [])
        for block in blocks {
            for row in 0..<block.count {
                let high = row % 2
                features.append([Float(high)])
                // One in five votes goes against the rule.
                let vote = row % 5 == 0 ? 1 - high : high
                labels.append(block.turned ? 1 - vote : vote)
                words.append(block.task)
                folds.append(row / 2 % 4)
                buildings.append("\(block.task) \(row / 10)")
            }
        }
        let rows = LifelongSamples(
            ids: Array(words.indices), features: features, attributes: ["season": words, "building": buildings, "site": words], folds: folds
        )
        return LabelledSamples(rows: rows, labels: labels, auxiliary: labels.map { _ in .nan })
    }

    static func learner(_ gate: any QualityGate = AtLeastAsGoodGate()) -> LifelongLearner {
        var stages = LifelongStages()
        stages.taskDefinition = TaskDefinitionByDataAttr(attributes: ["season"])
        stages.taskAdaptation = NoAdaptation()
        stages.qualityGate = gate
        return LifelongLearner(OneSplit(), stages: stages, classCount: 2, clusterAttribute: "building")
    }

    static func accuracy(_ learner: LifelongLearner, _ samples: LabelledSamples, task: String) throws -> Double {
        let rows = samples.rows.attributes["season"]!.indices.filter { samples.rows.attributes["season"]![$0] == task }
        let part = samples.rows(rows)
        return ClassificationMetrics(try learner.predict(part.rows), truth: part.labels).accuracy
    }

    @Test func `the unseen stages chosen for a learner are the ones it recognises rows by`() throws {
        let known = Self.samples([("winter", 200, false)])
        let seen = SeenSamples(rows: known.rows, isLater: (0..<200).map { $0 >= 100 })
        let fresh = Self.samples([("winter", 20, false), ("summer", 20, false)]).rows
        var stages = LifelongStages()
        stages.taskDefinition = SingleTaskDefinition()
        stages.taskAdaptation = NoAdaptation()
        stages.unseenSampleRecognition = NeighbourRecognition(PlaceSigns(attributes: ["season"]))
        for (detection, batchIsUnseen) in [
            (AttributeFilterDetection(attributes: ["season"]) as any UnseenTaskDetection, true), (NothingIsUnseen(), false),
        ] {
            stages.unseenTaskDetection = detection
            var learner = LifelongLearner(OneSplit(), stages: stages, classCount: 2, clusterAttribute: "building")
            _ = try learner.learn(known, seen: seen, round: 0)
            let found = try learner.recognise(fresh)
            #expect(found.allSatisfy { $0.task == "all" })
            #expect(found[..<20].allSatisfy { !$0.isUnseen })
            #expect(found[20...].allSatisfy { $0.isUnseenSample })
            #expect(found[20...].allSatisfy { $0.isUnseenTask == batchIsUnseen })
        }
    }

    private struct NothingIsUnseen: UnseenTaskDetection, UnseenTaskDetector {
        let threshold = Double.infinity
        func detector(of seen: SeenSamples) -> any UnseenTaskDetector { self }
        func score(_ batch: LifelongSamples) -> Double { 1 }
    }

    @Test func `a round that would spoil an old task leaves it the model it had`() throws {
        let first = Self.samples([("winter", 200, false)])
        // Four times as many rows of a new task turn the shared rule round.
        let both = Self.samples([("winter", 200, false), ("summer", 800, true)])
        for (gate, kept) in [(AtLeastAsGoodGate() as any QualityGate, true), (OpenGate(), false)] {
            var learner = Self.learner(gate)
            let start = try learner.learn(first, round: 0)
            #expect(start.decisions.map(\.reason) == ["a new task: nothing serves it yet"] && start.serving == ["winter": 0])
            #expect(try Self.accuracy(learner, first, task: "winter") == 0.8)

            let second = try learner.learn(both, round: 1)
            #expect(second.serving == ["summer": 1, "winter": kept ? 0 : 1])
            #expect(learner.models.map(\.round) == (kept ? [0, 1] : [1]))
            #expect(try Self.accuracy(learner, both, task: "winter") == (kept ? 0.8 : 0.2))
            #expect(try Self.accuracy(learner, both, task: "summer") == 0.8)
        }
    }

    @Test func `a kept model makes room once a later one is as good`() throws {
        var learner = Self.learner(AtLeastAsGoodGate(tolerance: 0.03))
        _ = try learner.learn(Self.samples([("winter", 200, false)]), round: 0)
        _ = try learner.learn(Self.samples([("winter", 200, false), ("summer", 800, true)]), round: 1)
        // Now winter's rule wins by number.
        let report = try learner.learn(Self.samples([("winter", 200, false), ("summer", 800, true), ("autumn", 4000, false)]), round: 2)
        #expect(report.serving == ["autumn": 2, "summer": 1, "winter": 2])
        #expect(learner.models.map(\.round) == [1, 2])
    }

    @Test func `a row of no known task is served by the newest model`() throws {
        var learner = Self.learner()
        _ = try learner.learn(Self.samples([("winter", 200, false)]), round: 0)
        _ = try learner.learn(Self.samples([("winter", 200, false), ("summer", 800, true)]), round: 1)
        let strange = Self.samples([("monsoon", 20, true)])
        #expect(try learner.allocate(strange.rows).allSatisfy { $0 == nil })
        #expect(try Self.accuracy(learner, strange, task: "monsoon") == 0.8)
    }

    @Test func `a round without enough new labels trains nothing, but its places are learned`() throws {
        var stages = LifelongStages()
        stages.taskDefinition = SingleTaskDefinition()
        stages.taskAdaptation = PartialPoolingAdaptation(layers: [.init("site", lambda: 1)])
        stages.updateDecision = UpdateByCount(newLabels: 1000)
        var learner = LifelongLearner(OneSplit(), stages: stages, classCount: 2, clusterAttribute: "building")
        _ = try learner.learn(Self.samples([("winter", 200, false)]), round: 0)
        let report = try learner.learn(Self.samples([("winter", 200, false), ("summer", 40, false)]), round: 1)
        #expect(report.reasonToWait == "40 new labels, fewer than 1000" && report.decisions.isEmpty)
        #expect(learner.models.map(\.round) == [0])
        #expect(Set(learner.models[0].adapters[0].biases.biases.keys) == ["winter", "summer"])
    }

    @Test func `the same rounds give the same bits`() throws {
        let rounds = [Self.samples([("winter", 200, false)]), Self.samples([("winter", 200, false), ("summer", 300, true)])]
        func run() throws -> (ClassProbabilities, [GateDecision]) {
            var learner = Self.learner()
            let reports = try rounds.enumerated().map { try learner.learn($1, round: $0) }
            return (try learner.predict(rounds[1].rows), reports.flatMap(\.decisions))
        }
        let (first, second) = (try run(), try run())
        #expect(first.0 == second.0 && first.1 == second.1)
    }
}

import Learning
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What is written after a round and read before the next is the learner itself: nothing is rounded, nothing forgotten.
@Suite struct LearnerStateTests {
    /// Class margins by one split of each column at its mean, and a network that adds a little: every part of a model, without a library.
    struct Splits: CrossFittingEstimator {
        let classCount: Int

        func fit(_ rows: TrainingRows) -> BlendedModel {
            let columns = rows.features.columnCount
            var trees = TreeEnsemble(featureCount: columns, baseMargins: [Float](repeating: 0.125, count: classCount))
            for column in 0..<columns {
                let cells = rows.labels.indices.map { rows.features.values[$0 * columns + column] }
                let known = cells.filter { !$0.isNaN }
                let mean = known.isEmpty ? 0 : known.reduce(0, +) / Float(known.count)
                for k in 0..<classCount {
                    func margin(_ isBelow: Bool) -> Float {
                        let members = cells.indices.filter { (cells[$0] < mean) == isBelow }
                        let share = Float(members.count { rows.labels[$0] == k } + 1) / Float(members.count + classCount)
                        return log(share) / Float(columns)
                    }
                    trees.append(
                        target: k, round: column,
                        nodes: [
                            .split(feature: column, threshold: mean, left: 1, right: 2, missingGoesLeft: k == 0), .leaf(margin(true)),
                            .leaf(margin(false)),
                        ])
                }
            }
            let inputs = DenseInputs(measuredOn: rows.features, indicators: [rows.features.columnNames[0]])
            let hidden = (0..<inputs.count * 2).map { Float($0 % 5) / 7 - 0.3 }
            let network = DenseNetwork(
                inputs: inputs, hiddenWeights: hidden, hiddenBiases: [0.1, -0.2],
                outputWeights: (0..<2 * classCount).map { Float($0) / 11 }, outputBiases: [Float](repeating: 0.05, count: classCount))
            return BlendedModel(trees: trees, networks: [network], networkShare: 0.25)
        }

        func crossFit(_ rows: TrainingRows) -> CrossFittedBlend {
            var margins = [Double](repeating: 0, count: rows.count * classCount)
            for fold in Set(rows.folds) {
                let inside = rows.folds.indices.filter { rows.folds[$0] == fold }
                let found = fit(rows.rows(rows.folds.indices.filter { rows.folds[$0] != fold })).margins(rows.features.rows(inside))
                for (place, row) in inside.enumerated() {
                    for k in 0..<classCount { margins[row * classCount + k] = Double(found[place * classCount + k]) }
                }
            }
            return CrossFittedBlend(model: fit(rows), margins: margins)
        }
    }

    /// Readings of rooms whose label follows temperature and room; a round's rows have higher ids than those before.
    static func readings(_ rounds: Int, perRound: Int = 60) -> (samples: LabelledSamples, seen: SeenSamples) {
        var generator = SeededGenerator(seed: 11)
        var features = FeatureMatrix(columnNames: ["ta", "rh"])
        var labels: [Int] = []
        var words: [String: [String]] = ["season": [], "cooling": [], "site": [], "person": [], "group": []]
        let count = rounds * perRound
        for row in 0..<count {
            let ta = Float.random(in: 18..<30, using: &generator)
            features.append([ta, row % 7 == 0 ? .nan : .random(in: 20..<80, using: &generator)])
            let site = row / perRound * 2 + row % 2
            labels.append((ta > 24 ? 1 : 0) + (ta > 27 || site == 3 ? 1 : 0))
            words["season"]!.append(["summer", "winter"][row / 3 % 2])
            words["cooling"]!.append(["air conditioned", "mixed mode", ""][row % 3])
            words["site"]!.append("room \(site)")
            words["person"]!.append(row % 4 == 0 ? "" : "p\(row % 9)")
            words["group"]!.append("")
        }
        let rows = LifelongSamples(ids: Array(0..<count), features: features, attributes: words, folds: (0..<count).map { $0 % 4 })
        return (
            LabelledSamples(rows: rows, labels: labels, auxiliary: [Float](repeating: .nan, count: count)),
            SeenSamples(rows: rows, isLater: (0..<count).map { $0 % perRound >= perRound / 2 })
        )
    }

    static func part(_ seen: SeenSamples, _ positions: [Int]) -> SeenSamples {
        SeenSamples(rows: seen.rows.rows(positions), isLater: positions.map { seen.isLater[$0] })
    }

    static let stageChoices: [[String]] = [
        [], ["quality_gate=AtLeastAsGood:{\"noise\": 0}"],
        ["unseen_sample_recognition=SampleRegonitionDefault", "unseen_task_detection=TaskAttrFilter"],
        ["unseen_sample_recognition=Envelope:{\"attribute\": [\"season\"]}", "inference_integrate=LogMean", "quality_gate=Open"],
    ]

    @Test(arguments: stageChoices)
    func `a learner that is written and read after each round is the one that never left memory`(choice: [String]) throws {
        var stages = LifelongStages()
        for text in choice { try StageCatalog().place(text, in: &stages) }
        var kept = LifelongLearner(Splits(classCount: 3), stages: stages, classCount: 3, clusterAttribute: "group")
        var state: [UInt8]?
        let all = Self.readings(4)
        for round in 0..<4 {
            let positions = Array(0..<(round + 1) * 60)
            let (samples, seen) = (all.samples.rows(positions), Self.part(all.seen, positions))
            let report = try kept.learn(samples, seen: seen, round: round)
            var read = LifelongLearner(Splits(classCount: 3), stages: stages, classCount: 3, clusterAttribute: "group")
            if let state {
                read = try LifelongLearner(
                    state: state, Splits(classCount: 3), stages: stages, classCount: 3, featureNames: ["ta", "rh"],
                    clusterAttribute: "group")
            }
            let again = try read.learn(samples, seen: seen, round: round)
            #expect(
                again.decisions == report.decisions && again.serving == report.serving
                    && again.tasks.map(\.name) == report.tasks.map(\.name))
            let bytes = try kept.state()
            #expect(try read.state() == bytes)
            state = bytes
            let asked = all.samples.rows
            let restored = try LifelongLearner(
                state: bytes, Splits(classCount: 3), stages: stages, classCount: 3, featureNames: ["ta", "rh"], clusterAttribute: "group")
            #expect(try restored.predict(asked) == kept.predict(asked))
            #expect(try restored.recognise(asked) == kept.recognise(asked))
            #expect(try restored.outOfSample(samples) == kept.outOfSample(samples))
            #expect(try restored.state() == bytes)
        }
    }

    @Test func `a state without models still finds tasks and unseen rows`() throws {
        let all = Self.readings(2)
        var learner = LifelongLearner(Splits(classCount: 3), classCount: 3, clusterAttribute: "group")
        _ = try learner.learn(all.samples, seen: all.seen, round: 0)
        let bytes = try learner.withoutModels.state()
        let whole = try learner.state()
        #expect(bytes.count < whole.count / 2)
        let signs = try LifelongLearner(
            state: bytes, Splits(classCount: 3), classCount: 3, featureNames: ["ta", "rh"], clusterAttribute: "group")
        #expect(signs.models.isEmpty)
        #expect(try signs.recognise(all.samples.rows) == learner.recognise(all.samples.rows))
    }

    @Test func `every cut and many a changed byte of a state is refused and none is a crash`() throws {
        let all = Self.readings(1)
        var learner = LifelongLearner(Splits(classCount: 3), classCount: 3, clusterAttribute: "group")
        _ = try learner.learn(all.samples, seen: all.seen, round: 0)
        let bytes = try learner.state()
        func read(_ bytes: [UInt8]) -> LifelongLearner? {
            try? LifelongLearner(state: bytes, Splits(classCount: 3), classCount: 3, featureNames: ["ta", "rh"], clusterAttribute: "group")
        }
        for count in stride(from: 0, to: bytes.count, by: 7) { #expect(read(Array(bytes.prefix(count))) == nil) }
        #expect(read(bytes + [0]) == nil)
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<3000 {
            var changed = bytes
            changed[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            // A changed number is another number: what is read must still be able to answer.
            if let other = read(changed), !other.models.isEmpty { _ = try? other.predict(all.samples.rows) }
        }
        #expect(throws: StateError.foreign(expected: "saved learner")) {
            try LifelongLearner(
                state: [UInt8](repeating: 7, count: 64), Splits(classCount: 3), classCount: 3, featureNames: ["ta", "rh"],
                clusterAttribute: "group")
        }
        #expect {
            try LifelongLearner(state: bytes, Splits(classCount: 2), classCount: 2, featureNames: ["ta", "rh"], clusterAttribute: "group")
        } throws: {
            "\($0)".contains("it has 3 classes, the job 2")
        }
    }

    @Test func `what a stage of a job's own has learned is not left out in silence`() throws {
        struct Nowhere: UnseenSampleRecognition, UnseenSampleRecogniser {
            let threshold = 1.0
            func recogniser(of seen: SeenSamples) -> any UnseenSampleRecogniser { self }
            func scores(_ rows: LifelongSamples) -> [Double] { rows.ids.map { _ in 0 } }
        }
        var stages = LifelongStages()
        stages.unseenSampleRecognition = Nowhere()
        let all = Self.readings(1)
        var learner = LifelongLearner(Splits(classCount: 3), stages: stages, classCount: 3, clusterAttribute: "group")
        _ = try learner.learn(all.samples, seen: all.seen, round: 0)
        #expect(throws: StateError.unsavable(stage: "Nowhere")) { try learner.state() }
    }
}

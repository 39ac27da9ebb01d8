import Learning
import Testing
import ThermalComfort

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The protocol and its baselines on small made-up surveys, with a model that remembers what it was trained on.
@Suite struct LifelongMethodTests {
    /// Predicts the class shares of its training rows, so that predictions tell which rows those were.
    struct Shares: ContinuingEstimator {
        func fit(_ features: FeatureMatrix, labels: [Int], classCount: Int) throws -> any Predictor {
            ClassShares(labels: labels, classCount: classCount)
        }

        func fit(continuing model: any Predictor, features: FeatureMatrix, labels: [Int], classCount: Int) throws -> any Predictor {
            ClassShares(labels: labels, classCount: classCount)
        }
    }

    /// Predicts the class shares of its training rows, in training and afterwards.
    struct ShareMargins: CrossFittingEstimator {
        func fit(_ rows: TrainingRows) throws -> BlendedModel {
            let margins = logShares(rows)
            return BlendedModel(
                trees: TreeEnsemble(featureCount: rows.features.columnCount, baseMargins: margins), networks: [], networkShare: 0)
        }

        func crossFit(_ rows: TrainingRows) throws -> CrossFittedBlend {
            let margins = logShares(rows).map(Double.init)
            return CrossFittedBlend(model: try fit(rows), margins: (0..<rows.count).flatMap { _ in margins })
        }

        private func logShares(_ rows: TrainingRows) -> [Float] {
            ClassShares(labels: rows.labels, classCount: 3).probabilities(rowCount: 1).values.map { max($0, 1e-3) }.map(log)
        }
    }

    static var methods: ComfortMethods {
        ComfortMethods(boosting: Shares(), further: Shares(), pooled: Shares(), blended: ShareMargins())
    }

    /// One vote: building 1…3 (surveyed 1990, 1995, 2000: rounds 0, 1, 2), season, label, test or pool.
    struct Vote {
        var building: Int
        var season = "summer"
        var label: Preference
        var isTest = false
        var air = "21"
    }

    static func experiment(_ votes: [Vote], budget: LabelBudget = .full) throws -> ComfortExperiment {
        let (database, rows) = try survey(votes)
        return ComfortExperiment(database: database, rows: rows, budget: budget)
    }

    static func survey(_ votes: [Vote]) throws -> (ComfortDatabase, [SplitRow]) {
        let columns =
            ["record_id", "building_id", "season", "thermal_preference", "ta", "rh", "clo", "timestamp", "subject_id", "gender"]
            + ["thermal_sensation", "thermal_acceptability", "air_movement_preference"]
        let others = Measure.allCases.map(\.rawValue).filter { !columns.contains($0) }
        let lines = votes.enumerated().map { index, vote in
            // The clothing differs, so that no vote is a duplicate of another.
            "\(index),\(vote.building),\(vote.season),\(vote.label.word),\(vote.air),50,0.\(1000 + index),,,,,,"
                + String(repeating: ",", count: others.count)
        }
        let metadata =
            "building_id,city,lat,lon,building_type,cooling_type,year\n1,athens,38,23.7,office,mixed mode,1990\n"
            + "2,bari,41,16.9,office,air conditioned,1995\n3,cork,52,-8.5,office,,2000\n"
        let database = try ComfortDatabase(
            measurements: ComfortSplitTests.stream(([(columns + others).joined(separator: ",")] + lines).joined(separator: "\n")),
            metadata: ComfortSplitTests.stream(metadata))
        let split = votes.enumerated().map { index, vote in
            let labelled = vote.isTest ? 0 : 1
            return "\(index),\(vote.building - 1),\(vote.isTest ? "test" : "pool"),g\(index),,\(labelled),\(labelled)"
        }
        let rows = try ComfortSplit.read(
            ComfortSplitTests.stream(ComfortSplitTests.header + split.joined(separator: "\n")), for: database)
        return (database, rows)
    }

    static func evaluate(_ name: String, _ experiment: ComfortExperiment) throws -> MethodEvaluation {
        try experiment.evaluate(try methods.method(name), seconds: { 0 })
    }

    static func votes(_ building: Int, _ labels: [Preference], season: String = "summer", isTest: Bool = false) -> [Vote] {
        labels.map { Vote(building: building, season: season, label: $0, isTest: isTest) }
    }

    static let threeRounds =
        votes(1, [.cooler, .cooler, .cooler, .warmer]) + votes(2, [.warmer, .warmer, .cooler]) + votes(3, [.noChange, .noChange, .warmer])
        + votes(1, [.cooler, .cooler], isTest: true) + votes(2, [.warmer], isTest: true) + votes(3, [.noChange], isTest: true)

    @Test(arguments: [
        // Shares of cooler, no change, warmer in what the last model was trained on, and rows trained on in each round.
        ("majority", [4, 2, 4], [4, 7, 10]), ("single_task", [4, 2, 4], [4, 7, 10]), ("never_updated", [3, 0, 1], [4, 0, 0]),
        ("new_round_only", [0, 2, 1], [4, 3, 3]), ("finetune", [0, 2, 1], [4, 3, 3]),
    ])
    func `each single model learns from the rows its name says`(name: String, counts: [Float], samples: [Int]) throws {
        let evaluation = try Self.evaluate(name, try Self.experiment(Self.threeRounds))
        #expect(evaluation.samplesUsed == samples)
        let sum = counts.reduce(0, +)
        #expect(Array(evaluation.probabilities.values.prefix(3)) == counts.map { $0 / sum })
    }

    @Test func `the matrix and the figures follow from the rounds`() throws {
        let evaluation = try Self.evaluate("new_round_only", try Self.experiment(Self.threeRounds))
        // After round 0 the model says cooler, after round 1 warmer, after round 2 no change.
        #expect(evaluation.matrix.values == [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        #expect(evaluation.backwardTransfer == -1 && evaluation.forgetting == 1)
        // The majority before rounds 1 and 2 is cooler (3 of 4), then cooler again (4 of 7).
        #expect(evaluation.majorityBefore[1] == 0 && evaluation.majorityBefore[2] == 0 && evaluation.forwardTransfer == 0)
        #expect(evaluation.cities.counts["cork"] == GroupHits.Count(rows: 1, hits: 1))
        #expect(evaluation.metrics.accuracy == 0.25)
    }

    @Test func `a round without labelled rows is told and keeps the last model`() throws {
        let votes = Self.threeRounds.filter { $0.building != 2 || $0.isTest }
        for name in ComfortMethods.names {
            let evaluation = try Self.evaluate(name, try Self.experiment(votes))
            #expect(evaluation.matrix.values[1] == evaluation.matrix.values[0])
            #expect(evaluation.samplesUsed[1] == 0)
            let text = try #require(evaluation.notes.first { $0.round == 1 }?.text)
            #expect(text == "round 1 brings no labelled rows; the last model stays")
        }
    }

    @Test(arguments: ["finetune", "new_round_only", "sedna_lifelong"])
    func `a round of one class is told and keeps the last model`(name: String) throws {
        let votes = Self.threeRounds.map { $0.building == 2 ? Vote(building: 2, label: .warmer, isTest: $0.isTest) : $0 }
        let evaluation = try Self.evaluate(name, try Self.experiment(votes))
        #expect(evaluation.matrix.values[1] == evaluation.matrix.values[0] && evaluation.samplesUsed[1] == 0)
        let expected = "round 1: all 3 labelled rows say \"warmer\"; at least two classes are needed; the last model stays"
        #expect(evaluation.notes.first { $0.round == 1 }?.text == expected)
    }

    @Test func `an empty first round leaves its row of the matrix empty, and learning starts with the next`() throws {
        let votes = Self.threeRounds.filter { $0.building != 1 || $0.isTest }
        let evaluation = try Self.evaluate("single_task", try Self.experiment(votes))
        #expect(evaluation.matrix.values[0].allSatisfy { $0.isNaN })
        #expect(!evaluation.matrix.values[1].contains { $0.isNaN })
        #expect(evaluation.notes.first?.text == "round 0 brings no labelled rows")
    }

    @Test func `a split whose labels never differ is refused with the reasons`() throws {
        let votes = Self.votes(1, [.cooler, .cooler]) + Self.votes(2, [.warmer], isTest: true)
        #expect {
            try Self.evaluate("single_task", try Self.experiment(votes))
        } throws: {
            "\($0)".contains("\"single_task\" learned nothing") && "\($0)".contains("all 2 labelled rows say \"cooler\"")
        }
    }

    /// Task 0 is summer and mixed mode with 12 rows of cooler and warmer; winter has 3 rows, autumn none at all.
    static let tasks =
        votes(1, [Preference](repeating: .cooler, count: 8) + [Preference](repeating: .warmer, count: 4))
        + votes(1, [.noChange, .noChange, .noChange], season: "winter")
        + votes(1, [.cooler], season: "summer", isTest: true) + votes(1, [.cooler], season: "winter", isTest: true)
        + votes(1, [.cooler], season: "autumn", isTest: true)

    @Test(arguments: ["sedna_multitask", "sedna_lifelong"])
    func `Sedna's tasks: few rows get the global model, an unknown task gets task 0`(name: String) throws {
        let values = try Self.evaluate(name, try Self.experiment(Self.tasks)).probabilities.values
        #expect(Array(values[0..<3]) == [Float(8) / 12, 0, Float(4) / 12])
        #expect(Array(values[3..<6]) == [Float(8) / 15, Float(3) / 15, Float(4) / 15])
        #expect(values[6..<9] == values[0..<3])
    }

    @Test func `Sedna's lifelong update replaces the tasks of the new round and no other`() throws {
        let second = [Preference](repeating: .noChange, count: 11) + [.warmer]
        let votes =
            Self.tasks + Self.votes(2, second)
            + Self.votes(1, second, season: "summer").map { vote in
                Vote(building: 3, season: vote.season, label: vote.label)
            } + Self.votes(2, [.noChange], isTest: true)
        let lifelong = try Self.evaluate("sedna_lifelong", try Self.experiment(votes)).probabilities.values
        // Building 1's task is untouched by later rounds; building 2 has another cooling type, hence a task of its own.
        #expect(Array(lifelong[0..<3]) == [Float(8) / 12, 0, Float(4) / 12])
        #expect(Array(lifelong[9..<12]) == [0, Float(11) / 12, Float(1) / 12])
    }

    @Test func `a task whose labels agree names its one class`() throws {
        let votes = Self.votes(1, [Preference](repeating: .cooler, count: 11)) + Self.votes(1, [.warmer, .noChange], season: "winter")
        let values = try Self.evaluate(
            "sedna_multitask", try Self.experiment(votes + Self.votes(1, [.cooler], isTest: true))
        ).probabilities.values
        #expect(values == [1, 0, 0])
    }

    @Test func `a site that occurs only in the test part is predicted by the model alone`() throws {
        let votes = Self.votes(1, [.cooler, .cooler, .warmer, .cooler]) + Self.votes(3, [.warmer], season: "spring", isTest: true)
        let evaluation = try Self.evaluate("pooled", try Self.experiment(votes))
        let shares = evaluation.probabilities.values
        #expect(abs(shares[0] - 0.75) < 1e-6 && shares[1] < 1e-6 && abs(shares[2] - 0.25) < 1e-6)
    }

    @Test func `what a method is handed has no vote in it`() throws {
        let experiment = try Self.experiment(Self.threeRounds)
        let round = experiment.round(2)
        for rows in [experiment.test, round.poolSoFar, round.labelled.rows] {
            for position in 0..<rows.count {
                #expect(rows.record(position).votes.isEmpty && rows.record(position).preference == .noChange)
            }
        }
        #expect(round.labelled.labels == [1, 1, 2] && round.labelledSoFar.count == 10 && round.poolSoFar.count == 10)
        #expect(experiment.round(0).poolSoFar.count == 4)
    }

    @Test func `a feature that no row has is named`() throws {
        let round = try Self.experiment(Self.threeRounds).round(2)
        let missing = round.labelledSoFar.columnsMissingEverywhere(.base)
        #expect(missing.contains("tr") && missing.contains("age") && !missing.contains("ta") && !missing.contains("season=winter"))
    }

    @Test func `a feature set of one's own is computed where it is asked for`() throws {
        let set = ComfortFeatureSet(name: "own", columnNames: ["ta_doubled"]) { record, _ in [Float(2 * record[.ta])] }
        #expect(try Self.experiment(Self.threeRounds).test.rows([1, 0]).features(set).values == [42, 42])
    }

    @Test func `an unknown method is refused with the known ones`() {
        #expect {
            try Self.methods.method("magic")
        } throws: {
            "\($0)" == "unknown method \"magic\"; known: \(ComfortMethods.names.joined(separator: ", "))"
        }
    }

    @Test func `the random row split labels about four fifths of the rows, and its seed repeats it`() throws {
        let lines = (0..<400).map { "\($0),1,2020-01-0\(1 + $0 % 9)T00:00:00Z,summer,,,2\($0).5,50,cooler" }
        let database = try ComfortSplitTests.load(lines.joined(separator: "\n"))
        let rows = ComfortSplit.randomRow(database, seed: 1)
        let pool = rows.count { $0.part == .pool }
        #expect((290...350).contains(pool))
        #expect(rows.allSatisfy { $0.isLabelledFull == ($0.part == .pool) && $0.round == 0 })
        #expect(ComfortSplit.randomRow(database, seed: 1) == rows && ComfortSplit.randomRow(database, seed: 2) != rows)
    }
}

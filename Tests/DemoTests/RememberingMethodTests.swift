import Demo
import KnowledgeBase
import Learning
import Storage
import TestKit
import Testing
import ThermalComfort
import Workers

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What the example's rounds leave in the knowledge base, with an estimator that knows nothing but the shares of classes.
@Suite struct RememberingMethodTests {
    struct ClassShares: CrossFittingEstimator {
        func fit(_ rows: TrainingRows) -> BlendedModel {
            let counts = Preference.allCases.map { preference in Float(rows.labels.count { $0 == preference.rawValue } + 1) }
            let trees = TreeEnsemble(featureCount: rows.features.columnCount, baseMargins: counts.map { log($0 / Float(rows.count)) })
            return BlendedModel(trees: trees, networks: [], networkShare: 0)
        }

        func crossFit(_ rows: TrainingRows) -> CrossFittedBlend {
            let model = fit(rows)
            return CrossFittedBlend(model: model, margins: model.margins(rows.features).map(Double.init))
        }
    }

    /// Rounds learned once, for all tests.
    private struct Taught: Sendable {
        let experiment: ComfortExperiment
        let method: RememberingMethod
        let evaluation: MethodEvaluation

        init() throws {
            let database = try SyntheticComfort().database()
            experiment = ComfortExperiment(database: database, rows: ComfortSplit.main(database), budget: .few, featureSets: [.base])
            let origin = RememberingMethod.Origin(
                job: try JobName("demo/thermal-comfort"), pod: "train",
                datasets: [.init(name: SyntheticComfort.databaseName, digest: String(repeating: "ab", count: 32), rowCount: 9000)])
            var method = RememberingMethod(SkerryMethod(ClassShares(), featureSet: .base), from: origin, hardFrom: 0.5) { model in
                .init(digest: Self.digest(model), sizeBytes: 1000 + model.round)
            }
            evaluation = try experiment.evaluate(&method, seconds: { 0 })
            self.method = method
        }

        /// Changes with the model and with its corrections.
        static func digest(_ model: RetainedModel) -> String {
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            func mix(_ bits: UInt64) { hash = (hash ^ bits) &* 0x100_0000_01b3 }
            mix(UInt64(model.round))
            for layer in model.adapters {
                for (_, bias) in layer.biases.biases.sorted(by: { $0.key < $1.key }) { for value in bias { mix(value.bitPattern) } }
            }
            let digits = String(hash, radix: 16)
            return String(repeating: String(repeating: "0", count: 16 - digits.count) + digits, count: 4)
        }
    }

    private static let taught = Result { try Taught() }

    @Test func `taking down changes no prediction`() throws {
        let taught = try Self.taught.get()
        let bare = try taught.experiment.evaluate(SkerryMethod(ClassShares(), featureSet: .base), seconds: { 0 })
        #expect(bare.probabilities.values == taught.evaluation.probabilities.values)
    }

    @Test func `every round holds the votes that were labelled in it, each with its task`() throws {
        let taught = try Self.taught.get()
        #expect(taught.method.records.count == taught.experiment.roundCount)
        for record in taught.method.records {
            let labelled = record.samples.filter { $0.state == .labelled }
            let expected = taught.experiment.round(record.round).labelled.rows
            #expect(labelled.map(\.key) == expected.recordIDs.map { .number(Int64($0)) })
            for (row, sample) in labelled.enumerated() {
                let task = try #require(record.tasks.first { $0.name == sample.task })
                #expect(task.attributes == ["season": expected.seasons[row], "cooling": expected.coolingTypes[row]])
            }
            #expect(record.tasks.map(\.sampleCount).reduce(0, +) == labelled.count)
            let pool = taught.experiment.round(record.round).poolSoFar
            let met = Set(pool.recordIDs.indices.filter { pool.rounds[$0] == record.round }.map { Int64(pool.recordIDs[$0]) })
            let test = Set(taught.experiment.test.recordIDs.map(Int64.init))
            for case .number(let id) in record.samples.map(\.key) { #expect(met.contains(id) && !test.contains(id)) }
        }
    }

    @Test func `a vote without a label is unseen before any model, and hard where a model is unsure`() throws {
        let taught = try Self.taught.get()
        var hardCount = 0
        for record in taught.method.records {
            let open = record.samples.filter { $0.state != .labelled }
            #expect(record.metrics["unlabelled"] == Double(open.count), "class shares are unsure of everything")
            #expect(open.allSatisfy { ($0.state == .unseen) == ($0.task == nil) })
            #expect(open.allSatisfy { record.round == 0 ? $0.score == nil : (0.5...1.0001).contains($0.score!) })
            hardCount += open.count { $0.state == .hard }
        }
        #expect(hardCount > 0)
    }

    @Test func `a method recognises the sites nobody knew, and seldom takes a known one for new`() throws {
        let taught = try Self.taught.get()
        // Every round of the protocol brings buildings of its own.
        for record in taught.method.records where record.round > 0 {
            #expect(record.metrics["unseen_samples"] == record.metrics["unlabelled"])
        }
        var method = SkerryMethod(ClassShares(), featureSet: .base)
        for round in 0...2 { _ = try method.learn(taught.experiment.round(round)) }
        let test = taught.experiment.test
        func unseen(_ isIncluded: (Int) -> Bool) throws -> Double {
            let rows = test.rows(test.rounds.indices.filter { isIncluded(test.rounds[$0]) })
            return Double(try method.recognise(rows).count { $0.isUnseenSample }) / Double(rows.count)
        }
        #expect(try unseen { $0 <= 2 } < 0.2)
        #expect(try unseen { $0 > 2 } > 0.9)
    }

    @Test func `a vote is unseen where the model is sure but its site is new`() throws {
        let taught = try Self.taught.get()
        let origin = RememberingMethod.Origin(
            job: try JobName("demo/thermal-comfort"), pod: "train",
            datasets: [.init(name: "d", digest: String(repeating: "ab", count: 32), rowCount: 1)])
        var method = RememberingMethod(SkerryMethod(ClassShares(), featureSet: .base), from: origin, hardFrom: 1) { model in
            .init(digest: Taught.digest(model), sizeBytes: 1)
        }
        for round in 0...1 { _ = try method.learn(taught.experiment.round(round)) }
        let open = method.records[1].samples.filter { $0.state != .labelled }
        #expect(!open.isEmpty && open.allSatisfy { $0.state == .unseen } && open.contains { $0.task != nil })
    }

    @Test func `the knowledge base that a run leaves answers what served, why, and with which corrections`() throws {
        let taught = try Self.taught.get()
        let folder = try TemporaryFolder()
        let records = taught.method.records(judgedBy: taught.evaluation)
        let bytes = try KnowledgeFile.bytes(records, at: 1_700_000_000)
        let path = folder.path + "/knowledge.db"
        let file = try WholeFile(path: path)
        try file.write(bytes)
        try file.prepare()
        try file.commit()
        let knowledge = try KnowledgeBase(.file(path), KnowledgeBase.readingOptions())
        for record in records {
            #expect(try knowledge.round(record.job, record.round, pod: "train") == (try record.canonical()))
        }
        let last = try #require(taught.method.method.rounds.last)
        let digests = Dictionary(uniqueKeysWithValues: taught.method.method.models.map { ($0.round, Taught.digest($0)) })
        #expect(!last.serving.isEmpty)
        for (task, round) in last.serving {
            #expect(try rows(knowledge, "SELECT model FROM serving WHERE task = '\(task)'") == [[.text(digests[round]!)]])
        }
        let newest = try #require(taught.method.method.models.last)
        let sites = try #require(newest.adapters.first { $0.attribute == "site" }).biases
        let adapters = try rows(
            knowledge,
            "SELECT subject, weights, model FROM adapters WHERE kind = 'site' AND round = (SELECT max(round) FROM rounds)")
        #expect(adapters.count == sites.biases.count && !adapters.isEmpty)
        for adapter in adapters {
            guard case .text(let subject) = adapter[0] else { throw SubjectMissing() }
            #expect(adapter[1] == .text("[\(sites.biases[subject]!.map { Float($0).description }.joined(separator: ","))]"))
            #expect(adapter[2] == .text(Taught.digest(newest)))
        }
        let accuracy = try rows(
            knowledge, "SELECT value FROM round_metrics WHERE metric = 'test_accuracy' AND round = (SELECT max(round) FROM rounds)")
        #expect(accuracy == [[.real(taught.evaluation.metrics.accuracy)]])
        #expect(try !rows(knowledge, "SELECT 1 FROM relations WHERE kind = 'same-building'").isEmpty)
        #expect(try !rows(knowledge, "SELECT 1 FROM relations WHERE kind = 'residual-similarity' AND abs(value) <= 1").isEmpty)
        #expect(
            try rows(knowledge, "SELECT 1 FROM decisions WHERE action = 'update'").count
                == taught.method.method.rounds.count { $0.reasonToWait == nil })
    }

    private struct SubjectMissing: Error {}

    private func rows(_ knowledge: KnowledgeBase, _ sql: String) throws -> [[SQLiteValue]] {
        var sink = Rows()
        try knowledge.query(sql, now: { .zero }, into: &sink)
        return sink.rows
    }

    private struct Rows: RowSink {
        var rows: [[SQLiteValue]] = []
        mutating func begin(_ columns: [RowColumn]) {}
        mutating func add(_ row: [SQLiteValue]) { rows.append(row) }
        mutating func end() {}
    }
}

import Inference
import Learning
import Storage
import Testing
import ThermalComfort
import Training

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The exported file against the parts it was made from: XGBoost itself, the networks, the biases.
@Suite struct ExportAgreementTests {
    static let rowCount = 5000
    static let networkShare: Float = 0.3

    /// The real database where it lies beside the repository, else the made-up one.
    static func experiment() throws -> ComfortExperiment {
        let folder = "../shared/datasets/atcii"
        let database: ComfortDatabase
        if access("\(folder)/db_metadata.csv", R_OK) == 0 {
            let measurements = try GzipReader(path: "\(folder)/db_measurements_v2.1.0.csv.gz")
            let metadata = try GzipReader(path: "\(folder)/db_metadata.csv")
            database = try ComfortDatabase(measurements: measurements.next, metadata: metadata.next)
        } else {
            let made = SyntheticComfort()
            database = try ComfortDatabase(measurements: once(made.measurements), metadata: once(made.metadata))
        }
        return ComfortExperiment(database: database, rows: ComfortSplit.main(database), budget: .few, featureSets: [.physics])
    }

    static func once(_ bytes: [UInt8]) -> () throws -> [UInt8]? {
        var rest: [UInt8]? = bytes
        return {
            defer { rest = nil }
            return rest
        }
    }

    @Test func `on 5,000 rows with missing values the file agrees with XGBoost, networks and biases in class and within 1e-5`() throws {
        let experiment = try Self.experiment()
        let known = experiment.round(experiment.roundCount - 1).labelledSoFar
        let (features, tasks) = (known.rows.features(.physics), known.rows.tasks)
        let settings = BlendSettings.pooled(fewLabels: true, indicatorColumns: PhysicsFeatures.indicatorColumns, seed: 27)
        let boosted = try GradientBoostedTrees(
            XGBoostLibrary(candidates: [".deps/xgboost/lib/libxgboost.so"]), features: features, labels: known.labels, classCount: 3,
            settings: settings.trees.with(rounds: 40))
        let inputs = DenseInputs(measuredOn: features, indicators: PhysicsFeatures.indicatorColumns)
        let networks = try ([1, 2] as [UInt64]).map { seed in
            var dense = DenseSettings(seed: seed)
            dense.epochs = 2
            let network = try DenseTrainer.train(
                features, labels: known.labels, auxiliary: known.sensations, classCount: 3, inputs: inputs, settings: dense)
            return try #require(network.roundedToHalf())
        }
        var logits = try boosted.probabilities(features).values.map { Double(log($0)) }
        let sites = BiasTable(logits: logits, labels: known.labels, keys: tasks.sites, classCount: 3, lambda: 50)
        sites.apply(to: &logits, keys: tasks.sites)
        let persons = BiasTable(logits: logits, labels: known.labels, keys: tasks.persons, classCount: 3, lambda: 2)
        let (siteTable, personTable) = (try AdapterTable(sites), try AdapterTable(persons))
        let model = DeployedModel(
            featureNames: features.columnNames, classNames: Preference.allCases.map(\.word), version: "agreement",
            model: BlendedModel(trees: try boosted.ensemble(), networks: networks, networkShare: Self.networkShare), sites: siteTable,
            persons: personTable)

        let step = max(1, experiment.test.count / Self.rowCount)
        let asked = experiment.test.rows((0..<min(Self.rowCount, experiment.test.count)).map { $0 * step })
        let (rows, keys) = (asked.features(.physics), asked.tasks)
        #expect(rows.values.contains { $0.isNaN } && asked.count > 1000)
        let predictor = try TabularPredictor(TabularPredictorTests.runtime(), ModelFile(model.onnx()))
        let found = try predictor.predict(TabularRows(rows, sites: keys.sites, persons: keys.persons))

        // The reference knows nothing of `TreeEnsemble` and of the file: XGBoost's own predictions and the parts' sums.
        let trees = try boosted.probabilities(rows)
        let dense = networks.map { $0.margins(rows) }
        let margins = trees.values.indices.map { index in
            let (row, k) = (index / 3, index % 3)
            let network = dense.map { $0[index] }.reduce(0, +) / Float(dense.count)
            return log(trees.values[index]) * (1 - Self.networkShare) + network * Self.networkShare + siteTable.bias(of: keys.sites[row])[k]
                + personTable.bias(of: keys.persons[row])[k]
        }
        let expected = ClassProbabilities(classCount: 3, logits: margins)
        let difference = zip(found.probabilities, expected.values).map { abs($0 - $1) }.max()!
        #expect(difference < 1e-5)
        #expect(found.labels.indices.allSatisfy { found.labels[$0] == expected.predictedClass(row: $0) })
        #expect(Set(found.labels).count == 3)
    }
}

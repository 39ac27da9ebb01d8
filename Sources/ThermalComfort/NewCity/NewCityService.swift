package import Learning

/// What is done with the first labels of a new city.
package enum NewCityWay: String, CaseIterable, Sendable {
    /// Nothing: the model of the other cities, as delivered.
    case global
    /// One bias for the city, fitted where the labels are; three numbers, no training.
    case edgeBias = "edge_bias"
    /// A Gaussian process over buildings, persons and conditions on the frozen model's margins; fitted where the labels are.
    case edgeAdapter = "edge_adapter"
    /// The model trained anew with the city's labels, its margins averaged with those of `edge_adapter`.
    case cloudRetrain = "cloud_retrain"
}

/// Serves new cities: a model of all other cities, and every `NewCityWay` to better it with a few labels.
package struct NewCityService: Sendable {
    /// Pull to 0 of a new city's bias, rows: the reference's for a city the model never saw.
    package static let biasLambda = 8.0
    /// How much a row of a new city counts when the model is trained anew; chosen on labelled rows alone.
    package static let newRowWeight: Float = 4
    /// Share of the retrained model's margins beside the adapter's; chosen on labelled rows alone.
    package static let retrainedShare = 0.5

    private let frozen: any CrossFittingEstimator
    private let retrained: any CrossFittingEstimator
    private let featureSet: ComfortFeatureSet
    private let covariances: CityCovariances

    /// - Parameters:
    ///   - frozen: trains the model that a new city is delivered.
    ///   - retrained: trains anew with the labels of the new cities; may be cheaper, as it is trained for each number of labels.
    package init(
        frozen: any CrossFittingEstimator, retrained: any CrossFittingEstimator, featureSet: ComfortFeatureSet = .newCity,
        covariances: CityCovariances = .chosen
    ) {
        self.frozen = frozen
        self.retrained = retrained
        self.featureSet = featureSet
        self.covariances = covariances
    }

    /// Margins of the test rows, one array a city, by way and number of labels.
    package typealias Answers = [NewCityWay: [Int: [[Double]]]]

    /// What each way says of the test rows. Without labels every way is `global`, and only that is answered.
    ///
    /// - Parameters:
    ///   - known: labelled rows of other cities.
    ///   - cities: new ones; the labels of all of them go into one retraining, as they would reach one cloud.
    ///   - labelCounts: numbers of labels a city; the first as many of its offered rows are used.
    /// - Throws: what the estimators throw.
    package func answers(
        known: LabelledComfortRows, cities: [NewCity], labelCounts: [Int], ways: Set<NewCityWay>
    ) throws -> Answers {
        let model = try frozen.fit(training(known, []))
        let delivered = cities.map { Delivered($0, model, featureSet) }
        var answers: Answers = [:]
        for count in labelCounts {
            answers[.global, default: [:]][count] = delivered.map(\.testMargins)
            guard count > 0 else { continue }
            if ways.contains(.edgeBias) { answers[.edgeBias, default: [:]][count] = delivered.map { biased($0, count) } }
            guard ways.contains(.edgeAdapter) || ways.contains(.cloudRetrain) else { continue }
            let adapted = delivered.map { self.adapted($0, count) }
            answers[.edgeAdapter, default: [:]][count] = adapted
            guard ways.contains(.cloudRetrain) else { continue }
            let bought = cities.map { $0.offered.rows(Array(0..<min(count, $0.offered.count))) }
            let renewed = try retrained.fit(training(known, bought))
            answers[.cloudRetrain, default: [:]][count] = zip(cities, adapted).map { city, adapted in
                let margins = renewed.margins(city.test.features(featureSet))
                return zip(margins, adapted).map { Self.retrainedShare * Double($0) + (1 - Self.retrainedShare) * $1 }
            }
        }
        return answers
    }

    /// A new city and what the frozen model says of it.
    private struct Delivered {
        var city: NewCity
        var offeredMargins: [Double]
        var testMargins: [Double]
        var offeredRows: [CityRow]
        var testRows: [CityRow]

        init(_ city: NewCity, _ model: BlendedModel, _ set: ComfortFeatureSet) {
            self.city = city
            offeredMargins = model.margins(city.offered.rows.features(set)).map(Double.init)
            testMargins = model.margins(city.test.features(set)).map(Double.init)
            offeredRows = CityRow.rows(city.offered.rows)
            testRows = CityRow.rows(city.test)
        }
    }

    private func biased(_ delivered: Delivered, _ count: Int) -> [Double] {
        let (classCount, labels) = (Preference.allCases.count, Array(delivered.city.offered.labels.prefix(count)))
        let table = BiasTable(
            logits: Array(delivered.offeredMargins.prefix(labels.count * classCount)), labels: labels,
            keys: labels.map { _ in delivered.city.name }, classCount: classCount, lambda: Self.biasLambda)
        var margins = delivered.testMargins
        table.apply(to: &margins, keys: (0..<delivered.city.test.count).map { _ in delivered.city.name })
        return margins
    }

    private func adapted(_ delivered: Delivered, _ count: Int) -> [Double] {
        let (classCount, labels) = (Preference.allCases.count, Array(delivered.city.offered.labels.prefix(count)))
        let rows = Array(delivered.offeredRows.prefix(count))
        let process = ResidualProcess(
            margins: Array(delivered.offeredMargins.prefix(labels.count * classCount)), labels: labels,
            directions: CityCovariances.directions, covariances: covariances.both.map { $0.matrix(rows, rows) })
        var margins = delivered.testMargins
        for (position, row) in delivered.testRows.enumerated() {
            let correction = process.correction(covariances: covariances.both.map { one in rows.map { one.between(row, $0) } })
            for k in 0..<classCount { margins[position * classCount + k] += correction[k] }
        }
        return margins
    }

    private func training(_ known: LabelledComfortRows, _ bought: [LabelledComfortRows]) -> TrainingRows {
        let parts = [known] + bought
        var features = known.rows.features(featureSet)
        for part in bought { features.append(contentsOf: part.rows.features(featureSet)) }
        return TrainingRows(
            features: features, labels: parts.flatMap(\.labels), auxiliary: parts.flatMap { $0.sensations.map { $0 / 1.3 } },
            folds: parts.flatMap(\.rows.tasks.folds),
            weights: [Float](repeating: 1, count: known.count)
                + [Float](repeating: Self.newRowWeight, count: bought.reduce(0) { $0 + $1.count }))
    }
}

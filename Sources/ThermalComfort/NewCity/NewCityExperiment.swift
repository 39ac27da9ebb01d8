import Learning

/// What a city offers that no model of its fold has seen.
package struct NewCity: Sendable {
    /// As in `Building.city`.
    package let name: String
    /// Its pool rows in the order in which their labels are bought, no more than `NewCityExperiment.labelCounts` asks for.
    package let offered: LabelledComfortRows
    /// Inputs of its test rows.
    package let test: ComfortRows
}

/// Cities held out completely, whose first labels are then bought one by one: how many does a new building need?
///
/// All cities, ascending by their hash, are dealt to folds in turn. The model of a fold has seen no row of its cities; judged are the
/// cities with at least `rowsMin` test and pool rows each.
package struct NewCityExperiment: Sendable {
    /// Cities of a fold are new to its model alone; each city is in one fold.
    package static let foldCount = 5
    /// Fewest test and fewest pool rows of a city that is judged.
    package static let rowsMin = 100
    /// Labels bought in a city, ascending.
    package static let labelCounts = [0, 5, 10, 20, 50, 100]

    /// What is judged: a city and its test rows' classes, which no method is ever handed.
    struct Held: Sendable {
        var city: NewCity
        var fold: Int
        var truth: [Int]
    }

    /// Every row whose label is known in mode `few`.
    private let labelled: LabelledComfortRows
    private let folds: [String: Int]
    let held: [Held]

    /// The judged cities, ascending by name.
    package var cityCount: Int { held.count }
    /// Test rows of the judged cities.
    package var testRowCount: Int { held.reduce(0) { $0 + $1.truth.count } }

    /// The protocol's experiment.
    ///
    /// - Parameter rows: a split; labels of pool rows beyond `isLabelledFew` are seen only when a held-out city buys them.
    package init(database: ComfortDatabase, rows: [SplitRow], featureSet: ComfortFeatureSet = .newCity) {
        let experiment = ComfortExperiment(database: database, rows: rows, budget: .full, featureSets: [featureSet])
        let pool = experiment.round(experiment.roundCount - 1).labelledSoFar
        let few = Set(rows.filter(\.isLabelledFew).map(\.recordID))
        self.init(
            labelled: pool.rows(pool.rows.recordIDs.indices.filter { few.contains(pool.rows.record($0).recordID) }),
            pool: pool, test: experiment.test, truth: experiment.testLabels)
    }

    /// The same on labelled rows alone, to choose by: the earlier half of each site's is the pool, the later half is judged.
    package static func rehearsal(
        database: ComfortDatabase, rows: [SplitRow], featureSet: ComfortFeatureSet = .newCity
    ) -> NewCityExperiment {
        let known = rows.map { row in
            var row = row
            if !row.isLabelledFew { row.part = .test }
            return row
        }
        let experiment = ComfortExperiment(database: database, rows: known, budget: .few, featureSets: [featureSet])
        let labelled = experiment.round(experiment.roundCount - 1).labelledSoFar
        let inTime = (0..<labelled.count).sorted { labelled.rows.order($0) < labelled.rows.order($1) }
        let sites = Dictionary(grouping: inTime) { labelled.rows.record($0).site }
        let early = Set(sites.values.flatMap { $0.prefix(($0.count + 1) / 2) })
        let late = labelled.rows((0..<labelled.count).filter { !early.contains($0) })
        return NewCityExperiment(
            labelled: labelled, pool: labelled.rows(early.sorted()), test: late.rows, truth: late.labels, rowsMin: 20)
    }

    private init(labelled: LabelledComfortRows, pool: LabelledComfortRows, test: ComfortRows, truth: [Int], rowsMin: Int = Self.rowsMin) {
        self.labelled = labelled
        let (poolOf, testOf) = (Self.byCity(pool.rows), Self.byCity(test))
        let names = Set(poolOf.keys).union(testOf.keys)
        let dealt = names.map { ($0, ComfortSplit.fraction($0, salt: "lc")) }.sorted { ($0.1, $0.0) < ($1.1, $1.0) }
        let folds = Dictionary(uniqueKeysWithValues: dealt.enumerated().map { ($1.0, $0 % Self.foldCount) })
        self.folds = folds
        held = names.sorted().compactMap { name in
            guard let poolRows = poolOf[name], let testRows = testOf[name], min(poolRows.count, testRows.count) >= rowsMin else {
                return nil
            }
            let inTime = poolRows.sorted { pool.rows.order($0) < pool.rows.order($1) }
            let bought = ComfortSplit.spreadOrder(inTime.count).prefix(Self.labelCounts.last!).map { inTime[$0] }
            let city = NewCity(name: name, offered: pool.rows(bought), test: test.rows(testRows))
            return Held(city: city, fold: folds[name]!, truth: testRows.map { truth[$0] })
        }
    }

    /// Labelled rows of every city that is not in the fold.
    package func known(outsideFold fold: Int) -> LabelledComfortRows {
        labelled.rows(labelled.rows.cities.enumerated().filter { folds[$0.element] != fold }.map(\.offset))
    }

    /// The judged cities of a fold.
    package func cities(ofFold fold: Int) -> [NewCity] { held.filter { $0.fold == fold }.map(\.city) }

    private static func byCity(_ rows: ComfortRows) -> [String: [Int]] {
        Dictionary(grouping: rows.cities.enumerated(), by: \.element).mapValues { $0.map(\.offset) }
    }
}

extension ComfortRows {
    /// Where a row stands among the rows of a city in the protocol's order: building, season, time, record.
    fileprivate func order(_ position: Int) -> (Int, String, String, Int) {
        let record = record(position)
        return (record.buildingID, record.season, record.timestamp, record.recordID)
    }
}

extension ComfortFeatureSet {
    /// The physics features without what tells one survey from another: a new city is in none of the surveys known.
    package static let newCity: ComfortFeatureSet = {
        let kept = PhysicsFeatures.names.indices.filter { !PhysicsFeatures.surveyColumns.contains(PhysicsFeatures.names[$0]) }
        return ComfortFeatureSet(name: "new_city", columnNames: kept.map { PhysicsFeatures.names[$0] }) { record, building in
            let row = PhysicsFeatures.row(record, building)
            return kept.map { row[$0] }
        }
    }()
}

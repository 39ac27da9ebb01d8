import Learning

/// How many labels are bought after round 0.
package enum LabelBudget: String, CaseIterable, Sendable {
    /// At most `ComfortSplit.fewLabelsPerSite` a (building, season).
    case few
    /// Every pool row.
    case full
}

/// What a method learns from when a round closes. By construction it holds no test row's label.
package struct ComfortRound: Sendable {
    /// 0-based.
    package let number: Int
    /// Labels bought in this round.
    package let labelled: LabelledComfortRows
    /// Labels bought in this round and all before, in order of record id.
    package let labelledSoFar: LabelledComfortRows
    /// Inputs of every pool row met so far, labelled or not: for statistics, never for labels.
    package let poolSoFar: ComfortRows
}

/// The lifelong-learning protocol on one split: rounds to learn from, and test rows whose labels only the judge has.
package struct ComfortExperiment: Sendable {
    private let table: ComfortTable
    private struct Vote {
        var preference: Int
        var sensation: Float
    }

    /// What was voted in the labelled rows, by index into the table.
    private let bought: [Int: Vote]
    private let pool: [Int]
    /// Number of rounds, the highest round of any row plus one.
    package let roundCount: Int
    /// Inputs of all test rows, in order of record id.
    package let test: ComfortRows
    /// Classes of the test rows. For judging: no method is ever handed them.
    package let testLabels: [Int]

    /// - Parameters:
    ///   - rows: name only records of the database, each once, at least one of them.
    ///   - featureSets: computed once for all rows, in memory (4 bytes a value); sets not named here are computed at each use.
    package init(
        database: ComfortDatabase, rows: [SplitRow], budget: LabelBudget, featureSets: [ComfortFeatureSet] = [.base, .context, .physics]
    ) {
        precondition(!rows.isEmpty, "a split has rows")
        let byID = Dictionary(uniqueKeysWithValues: database.records.map { ($0.recordID, $0) })
        var table = ComfortTable()
        table.buildings = database.buildings
        var bought: [Int: Vote] = [:]
        var testLabels: [Int] = []
        for (index, row) in rows.enumerated() {
            let record = byID[row.recordID]!
            table.records.append(record.blinded)
            table.rounds.append(row.round)
            table.folds.append(Int(Double(PartialPooling.foldCount) * ComfortSplit.fraction(row.group, salt: "f")))
            if row.part == .test {
                testLabels.append(record.preference.rawValue)
            } else if budget == .few ? row.isLabelledFew : row.isLabelledFull {
                bought[index] = Vote(preference: record.preference.rawValue, sensation: record.sensation ?? .nan)
            }
        }
        for set in featureSets {
            var matrix = FeatureMatrix(columnNames: set.columnNames)
            for record in table.records { matrix.append(set.row(record, table.buildings[record.buildingID]!)) }
            table.matrices[set.name] = matrix
        }
        self.table = table
        self.bought = bought
        self.testLabels = testLabels
        pool = rows.indices.filter { rows[$0].part == .pool }
        test = ComfortRows(table: table, indices: rows.indices.filter { rows[$0].part == .test })
        roundCount = rows.map(\.round).max()! + 1
    }

    /// What is known when a round closes.
    package func round(_ number: Int) -> ComfortRound {
        precondition((0..<roundCount).contains(number), "rounds are 0..<\(roundCount)")
        return ComfortRound(
            number: number, labelled: labelled { $0 == number }, labelledSoFar: labelled { $0 <= number },
            poolSoFar: ComfortRows(table: table, indices: pool.filter { table.rounds[$0] <= number }))
    }

    private func labelled(_ isWanted: (Int) -> Bool) -> LabelledComfortRows {
        let indices = pool.filter { bought[$0] != nil && isWanted(table.rounds[$0]) }
        return LabelledComfortRows(
            rows: ComfortRows(table: table, indices: indices), labels: indices.map { bought[$0]!.preference },
            sensations: indices.map { bought[$0]!.sensation })
    }
}

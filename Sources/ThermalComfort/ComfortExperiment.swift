package import Learning

/// How many labels are bought after round 0.
package enum LabelBudget: String, CaseIterable, Sendable {
    /// At most `ComfortSplit.fewLabelsPerSite` a (building, season).
    case few
    /// Every pool row.
    case full
}

/// Rows with inputs and known classes.
package struct LabelledRows: Sendable {
    package var features: FeatureMatrix
    /// Class indices, `Preference.rawValue`.
    package var labels: [Int] = []
}

/// The protocol after its last round, on the base features: what may be trained on and what is judged.
package struct ComfortExperiment: Sendable {
    package private(set) var training = LabelledRows(features: FeatureMatrix(columnNames: BaseFeatures.names))
    package private(set) var test = LabelledRows(features: FeatureMatrix(columnNames: BaseFeatures.names))

    /// - Parameter rows: name only records of the database; a test row's label reaches nothing but `test`.
    package init(database: ComfortDatabase, rows: [SplitRow], budget: LabelBudget) {
        let byID = Dictionary(uniqueKeysWithValues: database.records.map { ($0.recordID, $0) })
        for row in rows {
            let record = byID[row.recordID]!
            let features = BaseFeatures.row(record, database.buildings[record.buildingID]!)
            let isLabelled = budget == .few ? row.isLabelledFew : row.isLabelledFull
            if row.part == .test {
                test.features.append(features)
                test.labels.append(record.preference.rawValue)
            } else if isLabelled {
                training.features.append(features)
                training.labels.append(record.preference.rawValue)
            }
        }
    }

    /// The baseline `majority`: every row gets the class shares of the rows to train on.
    ///
    /// - Throws: `ComfortDataError.noRows` without rows to train on or to judge.
    package func majority() throws -> ClassificationMetrics {
        guard !training.labels.isEmpty && !test.labels.isEmpty else { throw ComfortDataError.noRows }
        let counts = Preference.allCases.map { preference in training.labels.count { $0 == preference.rawValue } }
        let shares = counts.map { Float($0) / Float(training.labels.count) }
        let values = test.labels.flatMap { _ in shares }
        return ClassificationMetrics(ClassProbabilities(classCount: shares.count, values: values), truth: test.labels)
    }
}

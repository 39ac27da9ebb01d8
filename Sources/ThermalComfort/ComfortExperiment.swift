package import Learning

/// How many labels are bought after round 0.
package enum LabelBudget: String, CaseIterable, Sendable {
    /// At most `ComfortSplit.fewLabelsPerSite` a (building, season).
    case few
    /// Every pool row.
    case full
}

/// Rows with inputs, tasks and known classes.
package struct LabelledRows: Sendable {
    /// By `BaseFeatures`.
    package var features = FeatureMatrix(columnNames: BaseFeatures.names)
    /// By `ContextFeatures`.
    package var context = FeatureMatrix(columnNames: ContextFeatures.names)
    package var tasks = TaskKeys()
    /// Class indices, `Preference.rawValue`.
    package var labels: [Int] = []

    fileprivate mutating func append(_ record: ComfortRecord, _ row: SplitRow, _ building: Building) {
        features.append(BaseFeatures.row(record, building))
        context.append(ContextFeatures.row(record, building))
        tasks.sites.append(record.site)
        // Subject ids are numbered anew by many surveys: a person is one of a building.
        tasks.persons.append(record.subjectID.isEmpty ? nil : "\(record.buildingID)/\(record.subjectID)")
        tasks.folds.append(Int(Double(PartialPooling.foldCount) * ComfortSplit.fraction(row.group, salt: "f")))
        labels.append(record.preference.rawValue)
    }
}

/// The protocol after its last round: what may be trained on and what is judged.
package struct ComfortExperiment: Sendable {
    package private(set) var training = LabelledRows()
    package private(set) var test = LabelledRows()

    /// - Parameter rows: name only records of the database; a test row's label reaches nothing but `test`.
    package init(database: ComfortDatabase, rows: [SplitRow], budget: LabelBudget) {
        let byID = Dictionary(uniqueKeysWithValues: database.records.map { ($0.recordID, $0) })
        for row in rows {
            let record = byID[row.recordID]!
            let isLabelled = budget == .few ? row.isLabelledFew : row.isLabelledFull
            if row.part == .test {
                test.append(record, row, database.buildings[record.buildingID]!)
            } else if isLabelled {
                training.append(record, row, database.buildings[record.buildingID]!)
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

package import Learning

/// How a row becomes numbers: named columns, computed from what is known before anyone votes.
package struct ComfortFeatureSet: Sendable {
    /// Under which an experiment keeps its columns.
    package let name: String
    /// In the order of a row's values; all different.
    package let columnNames: [String]
    let row: @Sendable (ComfortRecord, Building) -> [Float]

    /// - Parameters:
    ///   - name: unlike that of every other set given to the same experiment.
    ///   - row: as many values as there are columns, NaN where one is missing. The record it is given is `blinded`.
    package init(name: String, columnNames: [String], row: @escaping @Sendable (ComfortRecord, Building) -> [Float]) {
        self.name = name
        self.columnNames = columnNames
        self.row = row
    }

    /// What Sedna's example sees; see `BaseFeatures`.
    package static let base = ComfortFeatureSet(name: "base", columnNames: BaseFeatures.names, row: BaseFeatures.row)
    /// With place and time; see `ContextFeatures`.
    package static let context = ComfortFeatureSet(name: "context", columnNames: ContextFeatures.names, row: ContextFeatures.row)
    /// With what physics derives; see `PhysicsFeatures`.
    package static let physics = ComfortFeatureSet(name: "physics", columnNames: PhysicsFeatures.names, row: PhysicsFeatures.row)
}

extension ComfortRecord {
    /// The record without its label and without the votes given with it; the preference is a constant that says nothing.
    package var blinded: ComfortRecord {
        var copy = self
        copy.preference = .noChange
        copy.votes = []
        return copy
    }
}

/// Every row of a split in its order, without what anyone voted: the one table behind all `ComfortRows` of an experiment.
struct ComfortTable: Sendable {
    var records: [ComfortRecord] = []
    var buildings: [Int: Building] = [:]
    var rounds: [Int] = []
    var folds: [Int] = []
    var matrices: [String: FeatureMatrix] = [:]
}

/// Some rows of an experiment: inputs, places and persons, and no label. Copies share one table; a selection costs its indices only.
package struct ComfortRows: Sendable {
    let table: ComfortTable
    let indices: [Int]

    /// Rows, not columns.
    package var count: Int { indices.count }
    /// Whether there is no row at all.
    package var isEmpty: Bool { indices.isEmpty }

    /// Shape [rows, columns of the set]. Sets given to the experiment are only copied, others are computed anew by each call.
    package func features(_ set: ComfortFeatureSet) -> FeatureMatrix {
        if let whole = table.matrices[set.name] { return whole.rows(indices) }
        var matrix = FeatureMatrix(columnNames: set.columnNames)
        for index in indices { matrix.append(set.row(table.records[index], building(ofIndex: index))) }
        return matrix
    }

    /// The record of a row, `blinded`.
    package func record(_ position: Int) -> ComfortRecord { table.records[indices[position]] }
    /// The building of a row.
    package func building(_ position: Int) -> Building { building(ofIndex: indices[position]) }
    private func building(ofIndex index: Int) -> Building { table.buildings[table.records[index].buildingID]! }

    /// One a row, in the rows' order; each row of an experiment has another.
    package var recordIDs: [Int] { indices.map { table.records[$0].recordID } }
    /// One a row; keys of the database's buildings.
    package var buildingIDs: [Int] { indices.map { table.records[$0].buildingID } }
    /// One a row; "nan" where the database has none.
    package var cities: [String] { indices.map { building(ofIndex: $0).city } }
    /// One a row, in the database's words.
    package var seasons: [String] { indices.map { table.records[$0].season } }
    /// One a row; "unknown" where the database has none.
    package var coolingTypes: [String] { indices.map { building(ofIndex: $0).coolingType } }
    /// The round of each row's building.
    package var rounds: [Int] { indices.map { table.rounds[$0] } }

    /// Site, person and cross-fitting fold of each row.
    package var tasks: TaskKeys {
        var keys = TaskKeys()
        keys.sites = indices.map { table.records[$0].site }
        // Subject ids are numbered anew by many surveys: a person is one of a building.
        keys.persons = indices.map { index in
            let record = table.records[index]
            return record.subjectID.isEmpty ? nil : "\(record.buildingID)/\(record.subjectID)"
        }
        keys.folds = indices.map { table.folds[$0] }
        return keys
    }

    /// The rows at the given positions, in the given order.
    package func rows(_ positions: [Int]) -> ComfortRows {
        ComfortRows(table: table, indices: positions.map { indices[$0] })
    }
}

/// Rows with their classes: what a method may learn from.
package struct LabelledComfortRows: Sendable {
    /// The inputs, without labels.
    package let rows: ComfortRows
    /// Class indices, `Preference.rawValue`, one a row.
    package let labels: [Int]
    /// The thermal sensation voted with each label, −3 cold … 3 hot; NaN where it was not asked. A second target, never an input.
    package let sensations: [Float]

    /// Labelled rows.
    package var count: Int { labels.count }

    init(rows: ComfortRows, labels: [Int], sensations: [Float]) {
        precondition(rows.count == labels.count && labels.count == sensations.count, "one label and one sensation a row")
        self.rows = rows
        self.labels = labels
        self.sensations = sensations
    }

    /// The rows at the given positions, in the given order.
    package func rows(_ positions: [Int]) -> LabelledComfortRows {
        LabelledComfortRows(
            rows: rows.rows(positions), labels: positions.map { labels[$0] }, sensations: positions.map { sensations[$0] })
    }

    /// Why nothing can be learned from these rows alone, in words; nil if something can.
    package var obstacle: String? {
        guard let first = labels.first else { return "no labelled rows" }
        guard labels.allSatisfy({ $0 == first }) else { return nil }
        let word = Preference(rawValue: first)?.word ?? String(first)
        return "all \(count) labelled rows say \"\(word)\"; at least two classes are needed"
    }

    /// Columns of a feature set that have no value in any row.
    package func columnsMissingEverywhere(_ set: ComfortFeatureSet) -> [String] {
        let matrix = rows.features(set)
        guard matrix.rowCount > 0 else { return [] }
        return matrix.columnNames.indices.filter { column in
            stride(from: column, to: matrix.values.count, by: matrix.columnCount).allSatisfy { matrix.values[$0].isNaN }
        }.map { matrix.columnNames[$0] }
    }
}

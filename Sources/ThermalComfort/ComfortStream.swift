package import Learning

/// Votes as a data set of a node has them: one table, each row with its building, growing with time. A row whose vote was not bought has an
/// empty `thermal_preference`, and none of the other votes.
package struct ComfortStream: Sendable {
    /// Columns that name a vote, its texts and its votes, in the database's words.
    private static let texts = ["record_id", "building_id", "timestamp", "season", "subject_id", "gender"]
    private static let votes = ["thermal_sensation", "thermal_preference", "thermal_acceptability", "air_movement_preference"]
    private static let ofBuilding = ["city", "lat", "lon", "building_type", "cooling_type", "year"]
    /// The column of the leakage group; where it is missing, groups are made of the rows that are there.
    package static let groupColumn = "leakage_group"
    /// The label.
    package static let labelColumn = "thermal_preference"
    /// All columns, in the order of `fields`.
    package static let columns = texts + votes + Measure.allCases.map(\.rawValue) + ofBuilding + [groupColumn]

    /// A row's fields in the order of `columns`; the same numbers are read from them.
    ///
    /// - Parameter isLabelled: false leaves out all that was voted.
    package static func fields(_ record: ComfortRecord, _ building: Building, group: String, isLabelled: Bool) -> [String] {
        func shown(_ value: Double?) -> String { value.map { $0.isNaN ? "" : "\($0)" } ?? "" }
        var fields = [
            "\(record.recordID)", "\(record.buildingID)", record.timestamp, record.season, record.subjectID, record.gender,
        ]
        let voted = isLabelled ? record.votes : votes.map { _ in "" }
        fields += voted
        if isLabelled { fields[texts.count + 1] = record.preference.word }
        fields += record.measures.map { shown($0) }
        fields += [
            building.city, shown(building.latitude), shown(building.longitude), building.buildingType, building.coolingType,
            "\(building.year)", group,
        ]
        return fields
    }

    /// Columns of a row that is to be predicted, in the order of `asked(_:_:)`: what is known before anyone votes.
    package static let askedColumns = columns.filter { !votes.contains($0) && $0 != groupColumn }

    private static let askedPositions = columns.indices.filter { askedColumns.contains(columns[$0]) }

    /// A row's fields in the order of `askedColumns`.
    package static func asked(_ record: ComfortRecord, _ building: Building) -> [String] {
        let all = fields(record, building, group: "", isLabelled: false)
        return askedPositions.map { all[$0] }
    }

    private let table: ComfortTable
    /// By position in the table; nil where the row has no label.
    private let labels: [Preference?]
    private let sensations: [Float]

    /// Reads rows; of a record met twice the later row counts, so that a label may come after its row.
    ///
    /// - Parameters:
    ///   - text: with `columns`, in any order; `leakage_group` may be missing.
    ///   - rounds: the round in which each row came, one a row, from 0. Of a record met twice the first counts.
    /// - Throws: `TableError` naming the source, the line and the column.
    package init(_ text: TextTable, rounds: [Int]) throws {
        precondition(rounds.count == text.count, "one round a row")
        let reader = try Reader(text)
        var latest: [Int: (row: Int, round: Int)] = [:]
        for row in 0..<text.count {
            let id = try reader.whole("record_id", row)
            latest[id] = (row, latest[id]?.round ?? rounds[row])
        }
        var table = ComfortTable()
        var labels: [Preference?] = [], sensations: [Float] = []
        var groups: [String] = []
        for (id, place) in latest.sorted(by: { $0.key < $1.key }) {
            let building = try reader.building(place.row)
            if let known = table.buildings[building.id], known != building {
                throw reader.wrong(place.row, "building_id", "\(building.id)", "is another building in an earlier row; correct one of them")
            }
            table.buildings[building.id] = building
            let (record, label) = try reader.record(place.row, id: id)
            table.records.append(record.blinded)
            table.rounds.append(place.round)
            labels.append(label)
            sensations.append(label == nil ? .nan : record.sensation ?? .nan)
            groups.append(try reader.group(place.row))
        }
        if !reader.hasGroups { groups = ComfortSplit.leakageGroups(of: table.records) }
        table.folds = groups.map { Int(Double(PartialPooling.foldCount) * ComfortSplit.fraction($0, salt: "f")) }
        for set in [ComfortFeatureSet.physics, SiteSigns.features] {
            var matrix = FeatureMatrix(columnNames: set.columnNames)
            for record in table.records { matrix.append(set.row(record, table.buildings[record.buildingID]!)) }
            table.matrices[set.name] = matrix
        }
        (self.table, self.labels, self.sensations) = (table, labels, sensations)
    }

    /// Reads rows to be predicted, in the order given: any column but the building's may be missing, and no label is looked at.
    ///
    /// - Throws: `TableError`.
    package static func asked(_ text: TextTable) throws -> ComfortRows {
        let reader = try Reader(text, isComplete: false)
        var table = ComfortTable()
        for row in 0..<text.count {
            let building = try reader.building(row)
            table.buildings[building.id] = building
            table.records.append(try reader.record(row, id: row).0.blinded)
            table.rounds.append(0)
            table.folds.append(0)
        }
        return ComfortRows(table: table, indices: Array(table.records.indices))
    }

    /// All rows, by record id.
    package var rows: ComfortRows { ComfortRows(table: table, indices: Array(labels.indices)) }

    /// The rows that have a label, by record id.
    package var labelled: LabelledComfortRows { labelled { _ in true } }

    /// What is known when a round closes.
    package func round(_ number: Int) -> ComfortRound {
        ComfortRound(
            number: number, labelled: labelled { $0 == number }, labelledSoFar: labelled { $0 <= number },
            poolSoFar: ComfortRows(table: table, indices: table.rounds.indices.filter { table.rounds[$0] <= number }))
    }

    private func labelled(_ isWanted: (Int) -> Bool) -> LabelledComfortRows {
        let indices = labels.indices.filter { labels[$0] != nil && isWanted(table.rounds[$0]) }
        return LabelledComfortRows(
            rows: ComfortRows(table: table, indices: indices), labels: indices.map { labels[$0]!.rawValue },
            sensations: indices.map { sensations[$0] })
    }

    /// Reads fields by name.
    private struct Reader {
        let text: TextTable
        let positions: [String: Int]
        let hasGroups: Bool

        /// - Parameter isComplete: whether every column must be there.
        init(_ text: TextTable, isComplete: Bool = true) throws(TableError) {
            self.text = text
            hasGroups = text.columns.contains(groupColumn)
            var positions: [String: Int] = [:]
            for name in columns where name != groupColumn {
                if isComplete || ["building_id", "year"].contains(name) {
                    positions[name] = try text.position(of: name)
                } else if let found = text.columns.firstIndex(of: name) {
                    positions[name] = found
                }
            }
            if hasGroups { positions[groupColumn] = try text.position(of: groupColumn) }
            self.positions = positions
        }

        func wrong(_ row: Int, _ column: String, _ found: String, _ what: String) -> TableError {
            TableError(.malformed, "\(text.place(row)), column \"\(column)\": \"\(found.prefix(40))\" \(what)")
        }

        func word(_ column: String, _ row: Int) -> String {
            guard let position = positions[column] else { return "" }
            let word = text.rows[row][position]
            return word == "NA" ? "" : word
        }

        func number(_ column: String, _ row: Int) throws(TableError) -> Double? {
            do {
                return try csvNumber(word(column, row), line: text.lines[row], column: column)
            } catch {
                throw TableError(.malformed, "\(text.file(row)), \(error)")
            }
        }

        func whole(_ column: String, _ row: Int) throws(TableError) -> Int {
            guard let value = try number(column, row), let whole = Int(exactly: value) else {
                throw wrong(row, column, word(column, row), "is no whole number; correct it")
            }
            return whole
        }

        func building(_ row: Int) throws(TableError) -> Building {
            Building(
                id: try whole("building_id", row), city: word("city", row).isEmpty ? "nan" : word("city", row),
                latitude: try number("lat", row), longitude: try number("lon", row), buildingType: word("building_type", row),
                coolingType: word("cooling_type", row).isEmpty ? "unknown" : word("cooling_type", row), year: try whole("year", row))
        }

        func record(_ row: Int, id: Int) throws(TableError) -> (ComfortRecord, Preference?) {
            let voted = word(labelColumn, row)
            let label = Preference(word: voted)
            guard voted.isEmpty || label != nil else {
                throw wrong(row, labelColumn, voted, "is none of cooler, no change, warmer; correct it or leave it empty")
            }
            var measures: [Double] = []
            for measure in Measure.allCases { measures.append(try number(measure.rawValue, row) ?? .nan) }
            let record = ComfortRecord(
                recordID: id, buildingID: try whole("building_id", row), timestamp: word("timestamp", row), season: word("season", row),
                subjectID: word("subject_id", row), gender: word("gender", row), preference: label ?? .noChange, measures: measures,
                votes: votes.map { word($0, row) })
            return (record, label)
        }

        func group(_ row: Int) throws(TableError) -> String {
            guard hasGroups else { return "" }
            let group = word(groupColumn, row)
            guard !group.isEmpty else { throw wrong(row, groupColumn, "", "names no group; fill it or leave the column out") }
            return group
        }
    }
}

extension ComfortSplit {
    /// The leakage group of each record, by what is known of its site among these.
    static func leakageGroups(of records: [ComfortRecord]) -> [String] {
        var groups = [String](repeating: "", count: records.count)
        for (site, indices) in Dictionary(grouping: records.indices, by: { records[$0].site }) {
            for (index, group) in zip(indices, leakageGroups(site, indices, records)) { groups[index] = group }
        }
        return groups
    }
}

extension ComfortRows {
    /// The rows as the stages of lifelong learning see them, with the features of the comfort model.
    package var lifelongSamples: LifelongSamples { samples(.physics) }
}

import Learning
import ThermalComfort

extension RowJudge {
    /// A model's own correction of a site shows when the site is left away.
    private static let knownMin: Float = 1e-4

    /// What the model's file says of rows with labels; nil for a row without one.
    ///
    /// - Throws: `TableError` for rows that do not fit the model; `InferenceError`.
    func examples(_ table: TextTable) throws -> [LocalCorrections.Example?] {
        guard !classNames.isEmpty else { return table.rows.map { _ in nil } }
        let rows: ModelRows
        let labels: [Int?]
        switch learner {
        case .tabular: (rows, labels) = (try ModelRows(table, schema), try schema.labels(table))
        case .thermalComfort:
            rows = try ModelRows(try ComfortStream.asked(table))
            labels = try table.words(ComfortStream.labelColumn).map { Preference(word: $0)?.rawValue }
        }
        var strangers = rows
        strangers.sites = rows.sites.map { _ in nil }
        let found = try predictUncorrected(rows).values, without = try predictUncorrected(strangers).values
        let classes = classNames.count
        return labels.enumerated().map { row, label in
            guard let label else { return nil }
            let range = row * classes..<(row + 1) * classes
            return LocalCorrections.Example(
                shares: Array(found[range]), label: label, site: rows.sites[row], person: rows.persons[row],
                isKnownSite: range.contains { abs(found[$0] - without[$0]) > Self.knownMin })
        }
    }
}

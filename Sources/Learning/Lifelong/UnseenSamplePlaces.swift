/// By what a place is told from another.
package struct PlaceSigns: Sendable, Equatable {
    /// Columns whose values are compared.
    package var columns: [String]
    /// Columns of which only their absence is compared: the form of a survey, the sensors of a room.
    package var formColumns: [String]
    /// Attributes whose words are compared.
    package var attributes: [String]
    /// The attribute that names the place; never compared.
    package var place: String

    /// Names are looked for when a recognition learns, not here.
    package init(columns: [String] = [], formColumns: [String] = [], attributes: [String] = [], place: String = "site") {
        (self.columns, self.formColumns, self.attributes, self.place) = (columns, formColumns, attributes, place)
    }

    /// Whether nothing would be compared, so that all rows look alike.
    package var isEmpty: Bool { columns.isEmpty && formColumns.isEmpty && attributes.isEmpty }
}

/// Turns signs into coordinates: columns filled with their medians, then absences, then words one-hot, each in units of how much rows of one
/// place differ in it, so that what is constant in every place weighs most.
struct PlaceSpace: Sendable, Equatable {
    /// The unit is no less than this share of the spread over all rows: else a constant of every place would drown the rest.
    private static let unitFloor: Float = 0.1
    private static let bound: Float = 40

    private let signs: PlaceSigns
    private var medians: [Float] = []
    /// Known words of each attribute, sorted.
    private var words: [[String]] = []
    private var means: [Float] = []
    private var units: [Float] = []

    /// Coordinates of a point.
    var count: Int { signs.columns.count + signs.formColumns.count + words.reduce(0) { $0 + $1.count } }

    /// - Throws: `StageError.unknownAttribute`; also for a column that is not there.
    init(_ signs: PlaceSigns, measuredOn rows: LifelongSamples) throws(StageError) {
        self.signs = signs
        for name in signs.columns {
            let cells = try Self.cells(name, rows).filter { !$0.isNaN }.sorted()
            medians.append(cells.isEmpty ? 0 : cells[cells.count / 2])
        }
        for name in signs.attributes { words.append(Set(try rows.keys(name).compactMap { $0 }).sorted()) }
        let raw = try coordinates(rows)
        let places = Dictionary(grouping: try rows.keys(signs.place).enumerated(), by: \.element).mapValues { $0.map(\.offset) }
        let ordered = places.sorted { ($0.key ?? "") < ($1.key ?? "") }.map(\.value)
        for column in 0..<count {
            let values = (0..<rows.count).map { raw[$0 * count + column] }
            let (mean, total) = Self.spread(values)
            // Pooled over places with more than one row; each gives up one degree of freedom.
            let groups = ordered.filter { $0.count > 1 }.map { group in (Self.spread(group.map { values[$0] }).variance, Float(group.count))
            }
            let freedom = groups.reduce(0) { $0 + $1.1 - 1 }
            let within = freedom > 0 ? groups.reduce(0) { $0 + $1.0 * $1.1 } / freedom : 0
            means.append(mean)
            let unit = (within + Self.unitFloor * Self.unitFloor * total).squareRoot()
            units.append(unit > 1e-6 ? unit : 1)
        }
    }

    /// Shape [rows, count].
    func points(_ rows: LifelongSamples) throws(StageError) -> [Float] {
        var points = try coordinates(rows)
        for index in points.indices {
            let column = index % count
            points[index] = min(max((points[index] - means[column]) / units[column], -Self.bound), Self.bound)
        }
        return points
    }

    private func coordinates(_ rows: LifelongSamples) throws(StageError) -> [Float] {
        var columns: [[Float]] = []
        for (position, name) in signs.columns.enumerated() {
            columns.append(try Self.cells(name, rows).map { $0.isNaN ? medians[position] : $0 })
        }
        for name in signs.formColumns { columns.append(try Self.cells(name, rows).map { $0.isNaN ? 1 : 0 }) }
        for (position, name) in signs.attributes.enumerated() {
            let found = try rows.keys(name)
            for word in words[position] { columns.append(found.map { $0 == word ? 1 : 0 }) }
        }
        return (0..<rows.count).flatMap { row in columns.map { $0[row] } }
    }

    private static func cells(_ name: String, _ rows: LifelongSamples) throws(StageError) -> [Float] {
        let features = rows.features
        guard let column = features.columnNames.firstIndex(of: name) else {
            throw .unknownAttribute(name, known: features.columnNames)
        }
        return stride(from: column, to: features.values.count, by: features.columnCount).map { features.values[$0] }
    }

    private static func spread(_ values: [Float]) -> (mean: Float, variance: Float) {
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(max(values.count, 1))
        let squares = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
        return (Float(mean), Float(squares / Double(max(values.count, 1))))
    }
}

extension PlaceSpace {
    func write(to writer: inout StateWriter) {
        for names in [signs.columns, signs.formColumns, signs.attributes] { writer.write(names) }
        writer.write(signs.place)
        writer.write(medians)
        for list in words { writer.write(list) }
        writer.write(means)
        writer.write(units)
    }

    /// - Throws: `.damaged` where a coordinate has no unit.
    init(from reader: inout StateReader) throws(StateError) {
        signs = PlaceSigns(
            columns: try reader.texts(), formColumns: try reader.texts(), attributes: try reader.texts(), place: try reader.text())
        medians = try reader.floats()
        for _ in signs.attributes { words.append(try reader.texts()) }
        means = try reader.floats()
        units = try reader.floats()
        guard medians.count == signs.columns.count, means.count == count, units.count == count else {
            throw .damaged(reason: "\(count) coordinates with \(means.count) means and \(units.count) units")
        }
    }
}

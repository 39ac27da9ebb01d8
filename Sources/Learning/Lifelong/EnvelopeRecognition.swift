/// Strangeness by the shape of the known rows: how far each number lies from its column's mean in standard deviations, and words that no known
/// row has. Only sums leave the rows they were measured on, so that what an edge holds tells nobody's row.
package struct EnvelopeRecognition: UnseenSampleRecognition {
    /// Columns to look at; empty: all.
    package var columns: [String]
    /// Attributes whose unknown words are strange.
    package var attributes: [String]
    /// Share of known rows that may be taken for unseen, 0…1; the threshold is conformal, as `NeighbourRecognition`'s.
    package var falseAlarmRate = 0.03

    /// Names are looked for when it learns, not here.
    package init(columns: [String] = [], attributes: [String] = []) { (self.columns, self.attributes) = (columns, attributes) }

    /// Calibrates on the later rows against the earlier ones, then measures all.
    ///
    /// - Throws: `StageError.unknownAttribute`, for a column too.
    package func recogniser(of seen: SeenSamples) throws -> any UnseenSampleRecogniser {
        let scores = try envelope(seen.earlier).scores(seen.later)
        var final = try envelope(seen.rows)
        final.threshold = conformalThreshold(scores, falseAlarmRate: falseAlarmRate)
        return final
    }

    private func envelope(_ rows: LifelongSamples) throws(StageError) -> Envelope {
        let names = columns.isEmpty ? rows.features.columnNames : columns
        var envelope = Envelope(columns: names, attributes: attributes)
        for name in names {
            let cells = try Envelope.cells(name, rows.features).filter { !$0.isNaN }
            let mean = cells.reduce(0.0) { $0 + Double($1) } / Double(max(cells.count, 1))
            let squares = cells.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
            envelope.means.append(Float(mean))
            let deviation = (squares / Double(max(cells.count, 1))).squareRoot()
            envelope.deviations.append(deviation > 1e-6 ? Float(deviation) : 1)
        }
        for name in attributes { envelope.words.append(Set(try rows.keys(name).map { $0 ?? "" })) }
        return envelope
    }

    static func make(_ parameters: StageParameters) throws(StageError) -> EnvelopeRecognition {
        var made = EnvelopeRecognition(
            columns: try parameters.list("columns", default: []), attributes: try parameters.list("attribute", default: []))
        made.falseAlarmRate = try parameters.number("false_alarm_rate", default: 0.03, in: 0.001...0.5)
        return made
    }
}

/// Means, deviations and words of known rows.
struct Envelope: UnseenSampleRecogniser, Equatable {
    /// Deviations beyond which a number is no stranger.
    private static let bound: Float = 10
    let columns: [String]
    let attributes: [String]
    fileprivate(set) var means: [Float] = []
    /// Positive, one a column.
    fileprivate(set) var deviations: [Float] = []
    /// Known words of each attribute.
    fileprivate(set) var words: [Set<String>] = []
    var threshold = Double.infinity

    fileprivate init(columns: [String], attributes: [String]) { (self.columns, self.attributes) = (columns, attributes) }

    /// Root of the mean square over the columns that have a value, plus the bound for each unknown word.
    func scores(_ rows: LifelongSamples) throws -> [Double] {
        var sums = [Double](repeating: 0, count: rows.count), counts = sums
        for (position, name) in columns.enumerated() {
            for (row, cell) in try Self.cells(name, rows.features).enumerated() where !cell.isNaN {
                let step = Double(min(abs(cell - means[position]) / deviations[position], Self.bound))
                sums[row] += step * step
                counts[row] += 1
            }
        }
        var scores = zip(sums, counts).map { ($0 / max($1, 1)).squareRoot() }
        for (position, name) in attributes.enumerated() {
            for (row, word) in try rows.keys(name).enumerated() where !words[position].contains(word ?? "") {
                scores[row] += Double(Self.bound)
            }
        }
        return scores
    }

    fileprivate static func cells(_ name: String, _ features: FeatureMatrix) throws(StageError) -> [Float] {
        guard let column = features.columnNames.firstIndex(of: name) else {
            throw .unknownAttribute(name, known: features.columnNames)
        }
        return stride(from: column, to: features.values.count, by: features.columnCount).map { features.values[$0] }
    }
}

extension Envelope {
    func write(to writer: inout StateWriter) {
        writer.write(columns)
        writer.write(attributes)
        writer.write(means)
        writer.write(deviations)
        for known in words { writer.write(known.sorted()) }
        writer.write(threshold)
    }

    /// - Throws: `.damaged`.
    init(from reader: inout StateReader) throws(StateError) {
        self.init(columns: try reader.texts(), attributes: try reader.texts())
        means = try reader.floats()
        deviations = try reader.floats()
        guard means.count == columns.count, deviations.count == columns.count, deviations.allSatisfy({ $0 > 0 }) else {
            throw .damaged(reason: "\(columns.count) columns with \(means.count) means and \(deviations.count) deviations")
        }
        for _ in attributes { words.append(Set(try reader.texts())) }
        threshold = try reader.double()
    }
}

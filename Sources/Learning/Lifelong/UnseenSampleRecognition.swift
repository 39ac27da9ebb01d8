/// Rows of places that are known, labelled or not.
package struct SeenSamples: Sendable {
    /// Of the known places alone.
    package let rows: LifelongSamples
    /// Whether a row is of the later part of its place's time: alarms are calibrated by how far the later part is from the earlier one, the
    /// step in time that rows to come will make. Rows that belong together (a day) are all earlier or all later.
    package let isLater: [Bool]

    /// Traps unless there is one mark a row.
    package init(rows: LifelongSamples, isLater: [Bool]) {
        precondition(isLater.count == rows.count, "one mark a row")
        (self.rows, self.isLater) = (rows, isLater)
    }

    var earlier: LifelongSamples { rows.rows(isLater.indices.filter { !isLater[$0] }) }
    var later: LifelongSamples { rows.rows(isLater.indices.filter { isLater[$0] }) }
}

/// Tells rows of places that were never seen from rows of known ones. No label is looked at.
package protocol UnseenSampleRecognition: Sendable {
    /// - Throws: `StageError` where an attribute or column is asked for that is not there.
    func recogniser(of seen: SeenSamples) throws -> any UnseenSampleRecogniser
}

/// What a recognition has learned of the known places.
package protocol UnseenSampleRecogniser: Sendable {
    /// A row with a higher score counts as unseen; infinite where there was too little to calibrate by.
    var threshold: Double { get }

    /// One a row, higher is stranger.
    func scores(_ rows: LifelongSamples) throws -> [Double]
}

/// Sedna's default (`SampleRegonitionDefault`): a coin for a single row; of many, the first half is seen and the second unseen.
package struct CoinFlipRecognition: UnseenSampleRecognition, UnseenSampleRecogniser {
    /// Between the two scores, 0 and 1.
    package let threshold = 0.5
    let seed: UInt64

    /// Drawn on for single rows only.
    package init(seed: UInt64 = 27) { self.seed = seed }

    /// Itself: there is nothing to learn.
    package func recogniser(of seen: SeenSamples) -> any UnseenSampleRecogniser { self }

    /// 0 for seen, 1 for unseen.
    package func scores(_ rows: LifelongSamples) -> [Double] {
        guard rows.count == 1 else { return (0..<rows.count).map { 2 * $0 < rows.count ? 0 : 1 } }
        // The coin of a row is its own, so that a run can be repeated.
        var generator = SeededGenerator(seed: seed &+ UInt64(bitPattern: Int64(rows.ids[0])))
        return [Bool.random(using: &generator) ? 1 : 0]
    }

    static func make(_ parameters: StageParameters) throws(StageError) -> CoinFlipRecognition {
        CoinFlipRecognition(seed: UInt64(try parameters.number("seed", default: 27, in: 0...1e9)))
    }
}

/// Strangeness is the distance to the nearest rows of known places, in units of how much rows of one place differ. The threshold is
/// conformal: of the later rows of known places, judged by the earlier ones, at most the given share lies above it (split conformal
/// prediction, Vovk, Gammerman and Shafer 2005).
package struct NeighbourRecognition: UnseenSampleRecognition {
    /// What rows are compared by, and what names their place.
    package var signs: PlaceSigns
    /// Nearest rows whose mean distance is the score.
    package var neighbours = 3
    /// Share of rows of known places that may be taken for unseen, 0…1. Time moves on between calibration and use: keep some distance from
    /// what can be borne.
    package var falseAlarmRate = 0.03
    /// Rows kept of each place, spread evenly.
    package var rowsPerPlace = 20
    /// Rows that calibrate, spread evenly.
    package var calibrationRowsMax = 4000

    /// The numbers shown at the properties; set others before it learns.
    package init(_ signs: PlaceSigns) { self.signs = signs }

    /// Calibrates on the later rows against the earlier ones, then keeps rows of both.
    ///
    /// - Throws: `StageError.unknownAttribute`, for a column too.
    package func recogniser(of seen: SeenSamples) throws -> any UnseenSampleRecogniser {
        let later = seen.later
        let scores = try index(seen.earlier).scores(later.rows(evenly(later.count, most: calibrationRowsMax)))
        var final = try index(seen.rows)
        final.threshold = conformalThreshold(scores, falseAlarmRate: falseAlarmRate)
        return final
    }

    /// Searches the given rows; its threshold is infinite.
    func index(_ rows: LifelongSamples) throws(StageError) -> NeighbourRecogniser {
        let places = Dictionary(grouping: try rows.keys(signs.place).enumerated(), by: \.element).mapValues { $0.map(\.offset) }
        let kept = places.values.flatMap { place in evenly(place.count, most: rowsPerPlace).map { place[$0] } }.sorted()
        let space = try PlaceSpace(signs, measuredOn: rows)
        return NeighbourRecogniser(space: space, reference: try space.points(rows.rows(kept)), neighbours: neighbours)
    }

    static let parameterNames = ["columns", "form", "attribute", "neighbours", "false_alarm_rate", "rows_per_place"]

    static func make(_ parameters: StageParameters) throws(StageError) -> NeighbourRecognition {
        let signs = PlaceSigns(
            columns: try parameters.list("columns", default: []), formColumns: try parameters.list("form", default: []),
            attributes: try parameters.list("attribute", default: ["season", "cooling"]))
        try parameters.require(
            !signs.isEmpty, "attribute", "at least one attribute, unless \"columns\" or \"form\" names something to look at")
        var made = NeighbourRecognition(signs)
        made.neighbours = Int(try parameters.number("neighbours", default: 3, in: 1...100))
        made.falseAlarmRate = try parameters.number("false_alarm_rate", default: 0.03, in: 0.001...0.5)
        made.rowsPerPlace = Int(try parameters.number("rows_per_place", default: 20, in: 1...1000))
        return made
    }
}

/// Finds the nearest of some reference points.
struct NeighbourRecogniser: UnseenSampleRecogniser {
    private let space: PlaceSpace
    /// Shape [points, space.count].
    private let reference: [Float]
    private let neighbours: Int
    private let nearest: NearestPoints
    var threshold = Double.infinity

    init(space: PlaceSpace, reference: [Float], neighbours: Int) {
        (self.space, self.reference, self.neighbours) = (space, reference, neighbours)
        nearest = NearestPoints(reference, dimensions: space.count, count: neighbours)
    }

    /// Mean distance to the nearest reference points, per dimension as a root of squares; infinite without any.
    func scores(_ rows: LifelongSamples) throws -> [Double] {
        let (points, dimensions) = (try space.points(rows), space.count)
        return points.withUnsafeBufferPointer { points in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: neighbours) { found in
                (0..<rows.count).map { row in
                    nearest.find(UnsafeBufferPointer(rebasing: points[row * dimensions..<(row + 1) * dimensions]), found)
                    return found.reduce(0) { $0 + Double(($1 / Float(dimensions)).squareRoot()) } / Double(neighbours)
                }
            }
        }
    }
}

extension NeighbourRecogniser {
    func write(to writer: inout StateWriter) {
        space.write(to: &writer)
        writer.write(reference)
        writer.write(count: neighbours)
        writer.write(threshold)
    }

    /// - Throws: `.damaged`.
    init(from reader: inout StateReader) throws(StateError) {
        let space = try PlaceSpace(from: &reader)
        let reference = try reader.floats()
        let neighbours = Int(try reader.integer(UInt32.self))
        guard (1...100).contains(neighbours), space.count > 0, reference.count % space.count == 0 else {
            throw .damaged(reason: "\(neighbours) neighbours among \(reference.count) coordinates of \(space.count)")
        }
        self.init(space: space, reference: reference, neighbours: neighbours)
        threshold = try reader.double()
    }
}

/// The score that a new row of a known place exceeds with at most the given chance, if it is exchangeable with those given.
///
/// - Returns: infinite where there are too few scores for so small a chance.
package func conformalThreshold(_ scores: [Double], falseAlarmRate: Double) -> Double {
    let rank = Int(((1 - falseAlarmRate) * Double(scores.count + 1)).rounded(.up))
    guard rank >= 1 && rank <= scores.count else { return .infinity }
    return scores.sorted()[rank - 1]
}

/// At most so many of `0..<count`, spread evenly, ascending.
package func evenly(_ count: Int, most: Int) -> [Int] {
    guard count > most else { return Array(0..<count) }
    return (0..<most).map { $0 * count / most }
}

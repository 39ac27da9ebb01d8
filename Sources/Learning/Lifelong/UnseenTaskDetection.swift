/// Tells whether rows that come together from one place are of a task that nobody has learned. No label is looked at.
package protocol UnseenTaskDetection: Sendable {
    /// - Throws: `StageError` where an attribute or column is asked for that is not there.
    func detector(of seen: SeenSamples) throws -> any UnseenTaskDetector
}

/// What a detection has learned of the known tasks.
package protocol UnseenTaskDetector: Sendable {
    /// A batch with a higher score counts as unseen; infinite where there was too little to calibrate by.
    var threshold: Double { get }

    /// Higher is stranger.
    ///
    /// - Parameter batch: at least one row, all of one place.
    func score(_ batch: LifelongSamples) throws -> Double
}

/// Sedna's filter (`TaskAttrFilter`): a task is unseen whose attributes, all together, no known row has. The score is the share of such rows.
package struct AttributeFilterDetection: UnseenTaskDetection {
    private let attributes: [String]

    /// Together they make a task; none makes all rows alike.
    package init(attributes: [String]) { self.attributes = attributes }

    /// Remembers every combination of words that occurs.
    ///
    /// - Throws: `StageError.unknownAttribute`.
    package func detector(of seen: SeenSamples) throws -> any UnseenTaskDetector {
        Detector(attributes: attributes, known: Set(try Detector.tuples(attributes, seen.rows)))
    }

    struct Detector: UnseenTaskDetector {
        let threshold = 0.0
        let attributes: [String]
        let known: Set<[String]>

        func score(_ batch: LifelongSamples) throws -> Double {
            Double(try Self.tuples(attributes, batch).count { !known.contains($0) }) / Double(batch.count)
        }

        static func tuples(_ attributes: [String], _ rows: LifelongSamples) throws(StageError) -> [[String]] {
            var columns: [[String?]] = []
            for name in attributes { columns.append(try rows.keys(name)) }
            return (0..<rows.count).map { row in columns.map { $0[row] ?? "" } }
        }
    }

    static func make(_ parameters: StageParameters) throws(StageError) -> AttributeFilterDetection {
        AttributeFilterDetection(attributes: try parameters.list("attribute", default: ["season", "cooling"]))
    }
}

/// The mean strangeness of the rows, by `NeighbourRecognition`, with a threshold of its own: batches of known places calibrate it.
package struct PooledDetection: UnseenTaskDetection {
    /// How a row's strangeness is found, and the rate of false alarms among batches.
    package var recognition: NeighbourRecognition
    /// Rows of a batch that calibrates; the alarms are known for batches of about this size.
    package var batchRows = 20

    /// Batches of 20 rows unless set otherwise.
    package init(_ recognition: NeighbourRecognition) { self.recognition = recognition }

    /// Calibrates on batches of the later rows against the earlier ones.
    ///
    /// - Throws: `StageError.unknownAttribute`, for a column too.
    package func detector(of seen: SeenSamples) throws -> any UnseenTaskDetector {
        let later = seen.later
        let batches = Self.batches(try later.keys(recognition.signs.place), rows: batchRows)
        let chosen = evenly(batches.count, most: recognition.calibrationRowsMax / batchRows).map { batches[$0] }
        let scores = try recognition.index(seen.earlier).scores(later.rows(chosen.flatMap { $0 }))
        var start = 0
        let means = chosen.map { batch in
            defer { start += batch.count }
            return scores[start..<start + batch.count].reduce(0, +) / Double(batch.count)
        }
        return Detector(
            recogniser: try recognition.index(seen.rows),
            threshold: conformalThreshold(means, falseAlarmRate: recognition.falseAlarmRate))
    }

    struct Detector: UnseenTaskDetector {
        let recogniser: NeighbourRecogniser
        let threshold: Double

        func score(_ batch: LifelongSamples) throws -> Double {
            let scores = try recogniser.scores(batch)
            return scores.reduce(0, +) / Double(scores.count)
        }
    }

    /// Rows of one place in the order given, cut into batches; one of fewer than half the rows is left out.
    package static func batches(_ places: [String?], rows: Int) -> [[Int]] {
        let byPlace = Dictionary(grouping: places.indices) { places[$0] ?? "" }
        return byPlace.sorted { $0.key < $1.key }.flatMap { _, members in
            stride(from: 0, to: members.count, by: rows).map { Array(members[$0..<min($0 + rows, members.count)]) }
        }.filter { 2 * $0.count >= rows }
    }

    static func make(_ parameters: StageParameters) throws(StageError) -> PooledDetection {
        var made = PooledDetection(try NeighbourRecognition.make(parameters))
        made.batchRows = Int(try parameters.number("batch_rows", default: 20, in: 2...1000))
        return made
    }
}

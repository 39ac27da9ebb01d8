package import Learning

/// A way to tell rows of new sites from rows of known ones, row by row or batch by batch.
package struct SiteDetector: Sendable {
    /// Whether it judges row by row, or a site's rows in batches of the given size.
    package enum Means: Sendable {
        case rows(any UnseenSampleRecognition)
        case batches(any UnseenTaskDetection, rows: Int)
    }

    /// In `results.json` and in tables.
    package var name: String
    /// What its score is, in a sentence for people.
    package var definition: String
    /// Fitted anew to the known sites of each round.
    package var means: Means

    /// The program's own come from `all(falseAlarmRate:)`.
    package init(name: String, definition: String, means: Means) {
        (self.name, self.definition, self.means) = (name, definition, means)
    }

    /// Rows of a batch.
    package static let batchRows = 20

    /// Ours by all `SiteSigns`, for rows and for batches, then Sedna's two.
    package static func all(falseAlarmRate: Double = 0.03) -> [SiteDetector] {
        SiteSigns.allCases.flatMap { ours($0, falseAlarmRate: falseAlarmRate) } + [
            SiteDetector(
                name: "sedna_sample_recognition", definition: "Sedna's SampleRegonitionDefault: a coin for each row",
                means: .rows(CoinFlipRecognition())),
            SiteDetector(
                name: "sedna_task_filter", definition: "Sedna's TaskAttrFilter: season and cooling, together, never seen",
                means: .batches(AttributeFilterDetection(attributes: ["season", "cooling"]), rows: 1)),
        ]
    }

    private static func ours(_ signs: SiteSigns, falseAlarmRate: Double) -> [SiteDetector] {
        var recognition = NeighbourRecognition(signs.signs)
        recognition.falseAlarmRate = falseAlarmRate
        let alarm = "alarms set to \(Int((100 * falseAlarmRate).rounded())) % of later days of known sites"
        return [
            SiteDetector(
                name: signs.rawValue, definition: "distance to the 3 nearest known rows by \(signs.meaning); \(alarm)",
                means: .rows(recognition)),
            SiteDetector(
                name: "\(signs.rawValue)_batch", definition: "the same, mean over \(batchRows) rows of one site",
                means: .batches(PooledDetection(recognition), rows: batchRows)),
        ]
    }
}

/// How a detector did when a round's sites were new.
package struct UnseenRound: Sendable, Equatable {
    /// As `SiteDetector.name`.
    package var detector: String
    /// The round whose sites were new.
    package var round: Int
    /// Chance that a row (batch) of a new site scores above one of a known site; nil without both.
    package var auroc: Double?
    /// Fitted to the sites known before; infinite where there was too little to calibrate by.
    package var threshold: Double
    /// Judged rows (batches) of known sites.
    package var knownCount: Int
    /// How many of these were taken for new.
    package var falseAlarms: Int
    /// Judged rows (batches) of new sites.
    package var newCount: Int
    /// How many of these were taken for new.
    package var detections: Int

    /// Made by `ComfortExperiment.unseenSites`; counts are of rows or of batches, as the detector judges.
    package init(
        detector: String, round: Int, auroc: Double?, threshold: Double, knownCount: Int, falseAlarms: Int, newCount: Int, detections: Int
    ) {
        (self.detector, self.round, self.auroc, self.threshold) = (detector, round, auroc, threshold)
        (self.knownCount, self.falseAlarms, self.newCount, self.detections) = (knownCount, falseAlarms, newCount, detections)
    }
}

extension ComfortExperiment {
    /// At the end of each round but the last: do the test rows of the next round's sites look new, and those of known sites known?
    ///
    /// Known is a site with pool rows so far, labelled or not. No label is looked at.
    /// - Parameters:
    ///   - rowsMax: of new and of known test rows a round each, in whole batches spread evenly over sites; bounds the time.
    ///   - onRound: called after each round with the number of rounds done.
    /// - Throws: `StageError`.
    package func unseenSites(
        _ detectors: [SiteDetector] = SiteDetector.all(), rowsMax: Int = 2000, onRound: (Int) -> Void = { _ in }
    ) throws -> [UnseenRound] {
        var found: [UnseenRound] = []
        let testSites = test.tasks.sites, testRounds = test.rounds
        for number in 1..<max(roundCount, 1) {
            let pool = round(number - 1).poolSoFar
            let known = Set(pool.tasks.sites)
            let old = test.rows(test.recordIDs.indices.filter { testRounds[$0] < number && known.contains(testSites[$0]) }).signs
            let new = test.rows(test.recordIDs.indices.filter { testRounds[$0] == number && !known.contains(testSites[$0]) }).signs
            let seen = SeenSamples(rows: pool.signs, isLater: ComfortSplit.isInLaterHalf(pool))
            for detector in detectors {
                found.append(try Self.judge(detector, seen, old: old, new: new, round: number, rowsMax: rowsMax))
            }
            onRound(number)
        }
        return found
    }

    private static func judge(
        _ detector: SiteDetector, _ seen: SeenSamples, old: LifelongSamples, new: LifelongSamples, round: Int, rowsMax: Int
    ) throws -> UnseenRound {
        let threshold: Double
        let score: (LifelongSamples) throws -> [Double]
        var batchRows = 1
        switch detector.means {
        case .rows(let recognition):
            let recogniser = try recognition.recogniser(of: seen)
            threshold = recogniser.threshold
            // One by one, as an edge meets them.
            score = { rows in try (0..<rows.count).flatMap { try recogniser.scores(rows.rows([$0])) } }
        case .batches(let detection, let rows):
            let fitted = try detection.detector(of: seen)
            threshold = fitted.threshold
            batchRows = rows
            score = { rows in
                try PooledDetection.batches(try rows.keys("site"), rows: batchRows).map { try fitted.score(rows.rows($0)) }
            }
        }
        let (oldScores, newScores) = (try score(sample(old, rowsMax)), try score(sample(new, rowsMax)))
        return UnseenRound(
            detector: detector.name, round: round, auroc: areaUnderROC(positives: newScores, negatives: oldScores), threshold: threshold,
            knownCount: oldScores.count, falseAlarms: oldScores.count { $0 > threshold }, newCount: newScores.count,
            detections: newScores.count { $0 > threshold })
    }

    /// Whole batches, the same for every detector.
    private static func sample(_ rows: LifelongSamples, _ rowsMax: Int) throws -> LifelongSamples {
        let batches = PooledDetection.batches(try rows.keys("site"), rows: SiteDetector.batchRows)
        return rows.rows(evenly(batches.count, most: rowsMax / SiteDetector.batchRows).flatMap { batches[$0] })
    }
}

extension ComfortResults.UnseenSites {
    /// Means of the rounds' areas; rates over the rows of all rounds; the last round's thresholds, the largest number for an infinite one. Detectors that had nothing to tell apart are
    /// left out.
    package init(_ rounds: [UnseenRound], detectors: [SiteDetector] = SiteDetector.all()) {
        self.init(detectors: [:])
        for detector in detectors {
            let its = rounds.filter { $0.detector == detector.name }
            let areas = its.compactMap(\.auroc)
            guard let last = its.last, !areas.isEmpty else { continue }
            func rate(_ part: (UnseenRound) -> Int, _ whole: (UnseenRound) -> Int) -> Double {
                Double(its.reduce(0) { $0 + part($1) }) / Double(max(its.reduce(0) { $0 + whole($1) }, 1))
            }
            self.detectors[detector.name] = ComfortResults.Detector(
                auroc: areas.reduce(0, +) / Double(areas.count), threshold: min(last.threshold, .greatestFiniteMagnitude),
                falseAlarmRate: rate(\.falseAlarms, \.knownCount), detectionRate: rate(\.detections, \.newCount),
                definition: detector.definition)
        }
    }
}

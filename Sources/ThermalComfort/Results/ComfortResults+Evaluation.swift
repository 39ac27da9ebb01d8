import Crypto
import Learning

extension ComfortResults.Method {
    /// - Parameters:
    ///   - evaluation: of the method after the last round.
    ///   - baseline: `single_task` on the same test rows; may be the same.
    /// - Returns: nil where the baseline is right on no row or in no city, so that no gain exists.
    package init?(_ evaluation: MethodEvaluation, over baseline: MethodEvaluation) {
        guard let gain = evaluation.gain(over: baseline) else { return nil }
        let isBaseline = evaluation.method == baseline.method
        // Small splits may have no city of 100 rows; then every city counts.
        let least = baseline.cities.macroAccuracy() == nil ? 1 : 100
        let cityMacro = evaluation.cities.macroAccuracy(minimumRows: least) ?? 0
        let cityMacroBefore = baseline.cities.macroAccuracy(minimumRows: least) ?? 0
        var cities: [String: ComfortResults.City] = [:]
        for (name, count) in evaluation.cities.counts where count.rows >= least {
            let before = baseline.cities.counts[name]!.accuracy
            guard before > 0 else { continue }
            cities[name] = ComfortResults.City(
                testRows: count.rows, accuracy: count.accuracy, relativeGainVsSingle: count.accuracy / before - 1)
        }
        self.init(
            accuracy: evaluation.metrics.accuracy, macroF1: evaluation.metrics.macroF1, logLoss: evaluation.metrics.logLoss,
            cityMacroAccuracy: cityMacro,
            relativeGainVsSingle: .init(gain.value, ci95: isBaseline ? nil : .init(low: gain.low, high: gain.high)),
            relativeCityMacroGainVsSingle: cityMacroBefore > 0 ? .init(cityMacro / cityMacroBefore - 1) : nil, perCity: cities,
            accuracyByRound: evaluation.matrix.values.map { $0.map { $0.isFinite ? $0 : nil } }, bwt: evaluation.backwardTransfer,
            fwt: evaluation.forwardTransfer, forgetting: evaluation.forgetting, ianvsBWT: evaluation.matrix.ianvsBackwardTransfer,
            ianvsFWT: evaluation.matrix.ianvsForwardTransfer, samplesUsed: evaluation.samplesSeen,
            brier: evaluation.calibration.brier, ece: evaluation.calibration.expectedCalibrationError)
    }
}

extension ComfortResults.Round {
    /// What each round of a split holds.
    ///
    /// - Parameter rows: name only records of the database.
    package static func all(_ database: ComfortDatabase, _ rows: [SplitRow], _ budget: LabelBudget) -> [Self] {
        let summary = ComfortSummary(database: database, rows: rows)
        let buildings = Dictionary(uniqueKeysWithValues: database.records.map { ($0.recordID, $0.buildingID) })
        var years: [Int: ClosedRange<Int>] = [:]
        for row in rows {
            let year = database.buildings[buildings[row.recordID]!]!.year
            let known = years[row.round] ?? year...year
            years[row.round] = min(known.lowerBound, year)...max(known.upperBound, year)
        }
        let last = rows.map(\.round).max() ?? -1
        return summary.rounds.prefix(last + 1).enumerated().map { number, round in
            let span = years[number].map { $0.lowerBound == $0.upperBound ? "\($0.lowerBound)" : "\($0.lowerBound)–\($0.upperBound)" }
            return Self(
                years: span ?? "", labelledRows: budget == .few ? round.labelsFew : round.labelsFull, testRows: round.test,
                cities: round.cities.count, buildings: round.buildings.count)
        }
    }
}

extension ComfortSplit {
    /// SHA-256, lower-case hexadecimal, of the rows as CSV lines `record_id,round,part,group,rank_bs,lab_few,lab_full` in order of record id.
    package static func digest(_ rows: [SplitRow]) -> String {
        var hasher = SHA256()
        for row in rows.sorted(by: { $0.recordID < $1.recordID }) {
            let rank = row.siteRank.map(String.init) ?? ""
            let line =
                "\(row.recordID),\(row.round),\(row.part.rawValue),\(row.group),\(rank),"
                + "\(row.isLabelledFew ? 1 : 0),\(row.isLabelledFull ? 1 : 0)\n"
            hasher.update(data: Array(line.utf8))
        }
        return hasher.finalize().map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }
}

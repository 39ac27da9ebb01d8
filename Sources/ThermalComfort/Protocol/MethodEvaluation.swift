package import Learning

/// How a method did on the test rows, round by round.
package struct MethodEvaluation: Sendable {
    /// What a person should know about a round.
    package struct Note: Sendable, Equatable {
        /// Counted from 0.
        package var round: Int
        /// Why the last model stayed, in words.
        package var text: String
    }

    /// Its name, as in `results.json`.
    package var method: String
    /// After each round, on the test rows of each.
    package var matrix: LifelongMatrix
    /// For each round the accuracy on its test rows of the class most frequent in the labels bought before it; NaN where there are none.
    package var majorityBefore: [Double]
    /// After the last round, one row a test row.
    package var probabilities: ClassProbabilities
    /// After the last round, on all test rows.
    package var metrics: ClassificationMetrics
    /// After the last round, on all test rows.
    package var calibration: CalibrationMetrics
    /// After the last round, hits by city.
    package var cities: GroupHits
    /// After the last round, hits by building: the groups of intervals.
    package var buildings: GroupHits
    /// Labelled rows trained on in each round; 0 where the last model stayed.
    package var samplesUsed: [Int]
    /// Different labelled rows trained on in all rounds together.
    package var samplesSeen: Int
    /// One for each round in which the last model stayed.
    package var notes: [Note]
    /// Time spent learning and predicting, by the clock that was given.
    package var seconds: Double

    /// What earlier rounds gained since they were learned; see `LifelongMatrix.backwardTransfer`.
    package var backwardTransfer: Double? { matrix.backwardTransfer }
    /// How much better rounds are met than by the majority of the labels bought before; see `LifelongMatrix.forwardTransfer(over:)`.
    package var forwardTransfer: Double? { matrix.forwardTransfer(over: majorityBefore) }
    /// What was once known and is lost; see `LifelongMatrix.forgetting`.
    package var forgetting: Double? { matrix.forgetting }
    /// Mean accuracy of the cities with at least 100 test rows.
    package var cityMacroAccuracy: Double? { cities.macroAccuracy() }

    /// Relative gain over another method on the same test rows, with an interval over buildings.
    package func gain(over baseline: MethodEvaluation) -> RelativeGain? { RelativeGain(of: buildings, over: baseline.buildings) }
}

/// Why a method could not be judged.
package enum EvaluationError: Error, Equatable, CustomStringConvertible {
    case noTestRows
    case nothingLearned(method: String, reasons: [String])
    case wrongShape(method: String, rows: Int, expected: Int)

    /// One sentence: the method at fault, what it returned, and what to change.
    package var description: String {
        switch self {
        case .noTestRows: "the split has no test row; column \"part\" must say test somewhere"
        case .nothingLearned(let method, let reasons):
            "method \"\(method)\" learned nothing in any round (\(reasons.joined(separator: "; "))); label some pool rows of two classes"
        case .wrongShape(let method, let rows, let expected):
            "method \"\(method)\" returned \(rows) probability rows of \(Preference.allCases.count) classes for \(expected) test rows"
        }
    }
}

extension ComfortExperiment {
    /// Teaches a method round by round and judges it on all test rows after each.
    ///
    /// - Parameters:
    ///   - seconds: a clock; only differences are used.
    ///   - onRound: called after each round with the number of rounds done.
    /// - Throws: `EvaluationError`, and what the method throws.
    package func evaluate(
        _ method: any LifelongMethod, seconds: () -> Double, onRound: (Int) -> Void = { _ in }
    ) throws -> MethodEvaluation {
        var method = method
        return try evaluate(&method, seconds: seconds, onRound: onRound)
    }

    /// As the other, and leaves the method as it is after the last round.
    package func evaluate<Method: LifelongMethod>(
        _ method: inout Method, seconds: () -> Double, onRound: (Int) -> Void = { _ in }
    ) throws -> MethodEvaluation {
        guard !test.isEmpty else { throw EvaluationError.noTestRows }
        let start = seconds()
        let testRounds = test.rounds
        var matrix: [[Double]] = []
        var last: ClassProbabilities?
        var samples: [Int] = []
        var seen: Set<Int> = []
        var notes: [MethodEvaluation.Note] = []
        for number in 0..<roundCount {
            let round = round(number)
            switch try outcome(of: round, &method) {
            case .updated(let records):
                samples.append(records.count)
                seen.formUnion(records)
                last = try predictions(of: method)
            case .kept(let reason):
                samples.append(0)
                notes.append(MethodEvaluation.Note(round: number, text: reason + (last == nil ? "" : "; the last model stays")))
            }
            let none = [Double](repeating: .nan, count: roundCount)
            matrix.append(
                last.map { LifelongMatrix.row($0, truth: testLabels, rounds: testRounds, roundCount: roundCount) } ?? none)
            onRound(number + 1)
        }
        guard let last else { throw EvaluationError.nothingLearned(method: method.name, reasons: notes.map(\.text)) }
        return MethodEvaluation(
            method: method.name, matrix: LifelongMatrix(matrix), majorityBefore: majorityBefore(testRounds), probabilities: last,
            metrics: ClassificationMetrics(last, truth: testLabels), calibration: CalibrationMetrics(last, truth: testLabels),
            cities: GroupHits(last, truth: testLabels, groups: test.cities),
            buildings: GroupHits(last, truth: testLabels, groups: test.buildingIDs.map(String.init)), samplesUsed: samples,
            samplesSeen: seen.count,
            notes: notes, seconds: seconds() - start)
    }

    private func outcome(of round: ComfortRound, _ method: inout some LifelongMethod) throws -> RoundOutcome {
        if round.labelled.count == 0 { return .kept(reason: "round \(round.number) brings no labelled rows") }
        if let obstacle = round.labelledSoFar.obstacle { return .kept(reason: "up to round \(round.number) \(obstacle)") }
        return try method.learn(round)
    }

    private func predictions(of method: some LifelongMethod) throws -> ClassProbabilities {
        let found = try method.predict(test)
        guard found.rowCount == test.count && found.classCount == Preference.allCases.count else {
            throw EvaluationError.wrongShape(method: method.name, rows: found.rowCount, expected: test.count)
        }
        return found
    }

    private func majorityBefore(_ testRounds: [Int]) -> [Double] {
        (0..<roundCount).map { number in
            guard number > 0 else { return .nan }
            let counts = classCounts(round(number - 1).labelledSoFar.labels, classCount: Preference.allCases.count)
            guard let most = counts.max(), most > 0 else { return .nan }
            let rows = testRounds.indices.filter { testRounds[$0] == number }
            return Double(rows.count { testLabels[$0] == counts.firstIndex(of: most)! }) / Double(rows.count)
        }
    }
}

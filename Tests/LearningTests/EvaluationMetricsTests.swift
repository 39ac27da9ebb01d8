import Learning
import Testing

@Suite struct EvaluationMetricsTests {
    /// Two classes; the first `hits` of `rows` rows are predicted rightly.
    static func judged(_ groups: [(name: String, rows: Int, hits: Int)]) -> GroupHits {
        let rows = groups.flatMap { group in (0..<group.rows).map { (group.name, $0 < group.hits) } }
        let values: [Float] = rows.flatMap { row -> [Float] in row.1 ? [1, 0] : [0, 1] }
        return GroupHits(
            ClassProbabilities(classCount: 2, values: values), truth: rows.map { _ in 0 }, groups: rows.map(\.0))
    }

    @Test func `accuracy by group, and the macro mean leaves small groups out`() throws {
        let hits = Self.judged([("athens", 4, 3), ("bari", 2, 1), ("cork", 1, 0)])
        #expect(hits.counts["athens"] == GroupHits.Count(rows: 4, hits: 3))
        #expect(abs(try #require(hits.accuracy) - 4.0 / 7) < 1e-12)
        #expect(abs(try #require(hits.macroAccuracy(minimumRows: 2)) - 0.625) < 1e-12)
        #expect(hits.macroAccuracy() == nil)
    }

    @Test func `Brier score and calibration error equal those worked out by hand`() {
        let probabilities = ClassProbabilities(classCount: 2, values: [0.75, 0.25, 0.75, 0.25, 0.5, 0.5])
        let metrics = CalibrationMetrics(probabilities, truth: [0, 1, 0], binCount: 4)
        // 2·¼² , 2·¾² and 2·½² over three rows.
        #expect(abs(metrics.brier - (0.125 + 1.125 + 0.5) / 3) < 1e-12)
        // The bin up to ¾: 1.5 expected, 1 right; the bin up to ½: 0.5 expected, 1 right.
        #expect(abs(metrics.expectedCalibrationError - (0.5 + 0.5) / 3) < 1e-12)
    }

    @Test func `certain and right is perfectly calibrated`() {
        let metrics = CalibrationMetrics(ClassProbabilities(classCount: 3, values: [0, 1, 0]), truth: [1])
        #expect(metrics.brier == 0 && metrics.expectedCalibrationError == 0)
    }

    @Test func `relative gain is exact, and equal groups leave its interval no width`() throws {
        let ours = Self.judged([("a", 10, 6), ("b", 10, 6)]), theirs = Self.judged([("a", 10, 5), ("b", 10, 5)])
        let gain = try #require(RelativeGain(of: ours, over: theirs))
        #expect(abs(gain.value - 0.2) < 1e-12 && abs(gain.low - 0.2) < 1e-12 && abs(gain.high - 0.2) < 1e-12)
    }

    @Test func `unequal groups widen the interval, and a seed repeats it`() throws {
        let ours = Self.judged([("a", 10, 9), ("b", 10, 4), ("c", 10, 6)])
        let theirs = Self.judged([("a", 10, 5), ("b", 10, 5), ("c", 10, 5)])
        let gain = try #require(RelativeGain(of: ours, over: theirs))
        // Three draws of b alone happen in 1 of 27 samples and mean −20 %; of a alone, +80 %.
        #expect(abs(gain.low + 0.2) < 1e-12 && abs(gain.high - 0.8) < 1e-12)
        #expect(abs(gain.value - 19.0 / 15 + 1) < 1e-12)
        #expect(RelativeGain(of: ours, over: theirs) == gain)
        #expect(RelativeGain(of: ours, over: ours)?.high == 0)
    }

    @Test func `there is no ratio to a baseline that is never right`() {
        #expect(RelativeGain(of: Self.judged([("a", 2, 1)]), over: Self.judged([("a", 2, 0)])) == nil)
    }

    @Test func `percentiles interpolate between neighbours`() {
        #expect(percentile(0.5, ofSorted: [1, 2]) == 1.5)
        #expect(percentile(0, ofSorted: [1, 2]) == 1 && percentile(1, ofSorted: [1, 2]) == 2)
        #expect(percentile(0.25, ofSorted: [0, 4, 8]) == 2)
    }

    @Test func `the area under the ROC curve counts pairs, ties by half`() throws {
        // Pairs: 3>1, 3>2, 2>1 won, 2=2 tied: 3.5 of 4.
        #expect(try #require(areaUnderROC(positives: [3, 2], negatives: [1, 2])) == 0.875)
        #expect(try #require(areaUnderROC(positives: [1], negatives: [2])) == 0)
        #expect(areaUnderROC(positives: [], negatives: [2]) == nil)
    }
}

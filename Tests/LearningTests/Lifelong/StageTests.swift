import Learning
import Testing

@Suite struct StageTests {
    static func rows(_ attributes: [String: [String]], features: [[Float]]? = nil, folds: [Int]? = nil) -> LifelongSamples {
        let count = attributes.values.first!.count
        var matrix = FeatureMatrix(columnNames: ["x"])
        for row in 0..<count { matrix.append(features?[row] ?? [Float(row)]) }
        return LifelongSamples(
            ids: Array(0..<count), features: matrix, attributes: attributes, folds: folds ?? Array(repeating: 0, count: count))
    }

    @Test func `tasks are named after their attributes' words`() throws {
        let rows = Self.rows(["season": ["winter", "hot_wet", ""], "cooling": ["mixed mode", "air", "air"]])
        let tasks = try TaskDefinitionByDataAttr(attributes: ["season", "cooling"]).tasks(of: rows)
        #expect(tasks == ["winter_mixedmode", "hot-wet_air", "unknown_air"])
        #expect(SingleTaskDefinition().tasks(of: rows) == ["all", "all", "all"])
    }

    @Test func `an attribute that is not there is named with those that are`() {
        let rows = Self.rows(["season": ["winter"]])
        #expect(throws: StageError.unknownAttribute("climate", known: ["season"])) {
            try TaskDefinitionByDataAttr(attributes: ["climate"]).tasks(of: rows)
        }
    }

    @Test func `a row of an unknown task belongs to none, or to the nearest if so chosen`() {
        let rows = Self.rows(["a": ["p", "q"]], features: [[9], [.nan]])
        let known = [KnownTask(name: "p", sampleCount: 5, centre: [0]), KnownTask(name: "z", sampleCount: 5, centre: [10])]
        #expect(TaskAllocationByDataAttr().allocate(rows, named: ["p", "q"], known: known) == ["p", nil])
        let near = Self.rows(["a": ["q", "q"]], features: [[9], [1]])
        #expect(TaskAllocationByNearestCentre().allocate(near, named: ["q", "q"], known: known) == ["z", "p"])
    }

    @Test func `the gate lets a better model pass and stops one that is worse beyond the noise`() {
        func decide(_ differences: [Double]) -> GateDecision {
            let clusters = differences.indices.map { "b\($0 % 10)" }
            return AtLeastAsGoodGate().decide(GateEvidence(task: "t", differences: differences, clusters: clusters))
        }
        // Each cluster has the same mix, so the standard error is small and the means speak.
        let noise = (0..<100).map { Double(($0 / 10) % 2 == 0 ? 1 : -1) * 0.5 }
        #expect(decide(noise.map { $0 - 0.1 }).deploys)
        #expect(!decide(noise.map { $0 + 0.1 }).deploys)
        #expect(decide(noise.map { $0 + 0.1 }).reason.contains("log-loss +0.1000 on 100 rows"))
        // The same mean from ten clusters that contradict each other is noise.
        let torn = (0..<100).map { Double($0 % 10 < 5 ? 1 : -1) + 0.1 }
        #expect(decide(torn).deploys)
        #expect(OpenGate().decide(GateEvidence(task: "t", differences: [9], clusters: ["b"])).deploys)
    }

    @Test func `the standard error is that of a ratio over clusters`() {
        let evidence = GateEvidence(task: "t", differences: [1, 3, 2, 6], clusters: ["a", "a", "b", "b"])
        // Mean 3; cluster sums of deviations -2 and 2; sqrt((4 + 4) * 2 / 1) / 4 = 1.
        #expect(evidence.meanDifference == 3 && evidence.standardError == 1)
        #expect(GateEvidence(task: "t", differences: [1], clusters: ["a"]).standardError == nil)
    }

    @Test func `updates wait for enough labels, or for a rise of the loss`() {
        let quiet = UpdateSituation(newCount: 9, newLoss: 0.9, oldLoss: 0.89)
        #expect(UpdateByCount(newLabels: 10).reasonToWait(quiet) == "9 new labels, fewer than 10")
        #expect(UpdateByCount(newLabels: 9).reasonToWait(quiet) == nil)
        #expect(UpdateByCount(newLabels: 10).reasonToWait(UpdateSituation(newCount: 1)) == nil)
        #expect(UpdateByLoss(rise: 0.05).reasonToWait(quiet)?.hasPrefix("log-loss 0.9000 on new labels against 0.8900") == true)
        #expect(UpdateByLoss(rise: 0.005).reasonToWait(quiet) == nil)
    }

    @Test func `integration is the serving model's word, or a mean of logarithms`() {
        let margins = [[0.0, 0.0], [2.0, 0.0]]
        #expect(DefaultInferenceIntegrate().integrate(margins, serving: 1) == [2, 0])
        let mean = LogMeanIntegration(servingShare: 0.5).integrate(margins, serving: 1)
        #expect(abs(mean[0] - mean[1] - 1) < 1e-12)
    }

    @Test func `a site's bias is learned and an unknown site has none`() throws {
        let rows = Self.rows(["site": Array(repeating: "s", count: 40), "person": Array(repeating: "", count: 40)])
        let samples = LabelledSamples(
            rows: rows, labels: (0..<40).map { $0 < 30 ? 0 : 1 }, auxiliary: Array(repeating: .nan, count: 40))
        let layers = try PartialPoolingAdaptation(layers: [.init("site", lambda: 5), .init("person", lambda: 2)]).fit(
            margins: Array(repeating: 0, count: 80), samples: samples, classCount: 2)
        let other = Self.rows(["site": ["s", "elsewhere"], "person": ["", ""]])
        let adapted = try layers.adapt([0, 0, 0, 0], other)
        #expect(adapted[0] > adapted[1] && adapted[2] == 0 && adapted[3] == 0)
        #expect(layers.map(\.attribute) == ["site", "person"] && layers[1].biases.biases.isEmpty)
    }

    @Test func `transfer is above nought between tasks that share a rule and below it where the rule is turned`() throws {
        let words = (0..<300).map { ["a", "b", "turned"][$0 % 3] }
        var features = FeatureMatrix(columnNames: ["x"])
        var labels: [Int] = []
        for row in 0..<300 {
            let high = row / 3 % 2
            features.append([Float(high)])
            labels.append(words[row] == "turned" ? 1 - high : high)
        }
        let rows = LifelongSamples(ids: Array(0..<300), features: features, attributes: [:], folds: Array(repeating: 0, count: 300))
        let samples = LabelledSamples(rows: rows, labels: labels, auxiliary: Array(repeating: .nan, count: 300))
        let relations = try TransferRelationDiscovery(SharesByValue(), rowsMin: 10).relations(samples, tasks: words, classCount: 2)
        #expect(relations.count == 6)
        let transfer = Dictionary(uniqueKeysWithValues: relations.map { ("\($0.from)>\($0.to)", $0.transfer) })
        #expect(transfer["a>b"]! > 0.4 && transfer["b>a"]! > 0.4 && transfer["a>turned"]! < -0.4 && transfer["turned>b"]! < -0.4)
    }

    /// Predicts the smoothed class shares of training rows with the same value.
    struct SharesByValue: Estimator, Sendable {
        struct Model: Predictor {
            var shares: [Float: [Float]]
            func predict(_ features: FeatureMatrix) -> ClassProbabilities {
                ClassProbabilities(classCount: 2, values: features.values.flatMap { shares[$0] ?? [0.5, 0.5] })
            }
        }

        func fit(_ features: FeatureMatrix, labels: [Int], classCount: Int) -> any Predictor {
            let groups = Dictionary(grouping: labels.indices) { features.values[$0] }
            return Model(
                shares: groups.mapValues { rows in
                    let ones = Float(rows.count { labels[$0] == 1 } + 1) / Float(rows.count + 2)
                    return [1 - ones, ones]
                })
        }
    }
}

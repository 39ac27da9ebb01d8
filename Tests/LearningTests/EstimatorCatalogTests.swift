import Learning
import Testing

@Suite struct EstimatorCatalogTests {
    /// CONTRIBUTING.md, "Add an estimator": all that its file holds.
    struct OneRule: Estimator, Predictor {
        let column: Int
        let limit: Float

        func fit(_ features: FeatureMatrix, labels: [Int], classCount: Int) -> any Predictor { self }

        func predict(_ features: FeatureMatrix) -> ClassProbabilities {
            let values = (0..<features.rowCount).flatMap { row -> [Float] in
                features.values[row * features.columnCount + column] > limit ? [1, 0, 0] : [0, 0, 1]
            }
            return ClassProbabilities(classCount: 3, values: values)
        }
    }

    static let oneRule = EstimatorMaker("OneRule", parameters: ["limit"]) { parameters throws(StageError) in
        OneRule(column: 0, limit: Float(try parameters.number("limit", default: 25, in: -50...60)))
    }

    private static func table(_ rows: [[Float]]) -> FeatureMatrix {
        var table = FeatureMatrix(columnNames: ["ta", "rh"])
        for row in rows { table.append(row) }
        return table
    }

    @Test func `an estimator added by the recipe is chosen by name with its parameters`() throws {
        let catalog = EstimatorCatalog(adding: [Self.oneRule])
        #expect(catalog.names == ["NearestCentres", "OneRule"])
        let rows = Self.table([[22, 50], [24, 50]])
        let model = try catalog.estimator(#"OneRule:{"limit": 23}"#).fit(rows, labels: [2, 0], classCount: 3)
        #expect(try model.predict(rows).predictedClass(row: 0) == 2)
        #expect(try model.predict(rows).predictedClass(row: 1) == 0)
    }

    @Test(arguments: [
        ("Oracle", #"no estimator is called "Oracle"; known: NearestCentres"#),
        (#"NearestCentres:{"depth": 3}"#, "has no parameter \"depth\""),
        (#"NearestCentres:{"shrinkage": -1}"#, "must be a number in 0.0"), ("NearestCentres:deep", "not a JSON object"),
    ]) func `an estimator that cannot be made is refused in words`(text: String, words: String) {
        #expect { try EstimatorCatalog().estimator(text) } throws: { "\($0)".contains(words) }
    }

    @Test func `nearest centres tell classes apart, ignore what is missing and refuse a single class`() throws {
        let rows = Self.table((0..<60).map { [Float($0 % 3) * 10 + Float($0 % 5), $0 % 4 == 0 ? .nan : 1] })
        let labels = (0..<60).map { $0 % 3 }
        let model = try NearestCentres().fit(rows, labels: labels, classCount: 3)
        let found = try model.predict(rows)
        #expect(labels.indices.allSatisfy { found.predictedClass(row: $0) == labels[$0] })
        let blind = try model.predict(Self.table([[.nan, .nan]]))
        #expect(abs(blind.values.reduce(0, +) - 1) < 1e-6 && blind.values.allSatisfy { abs($0 - 1.0 / 3) < 1e-3 })
        #expect(throws: NearestCentresError.oneClass(rowCount: 60)) {
            try NearestCentres().fit(rows, labels: labels.map { _ in 1 }, classCount: 3)
        }
    }
}

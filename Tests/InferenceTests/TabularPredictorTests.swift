import Inference
import Learning
import TestKit
import Testing
import Training

@Suite struct TabularPredictorTests {
    static func runtime() throws -> ONNXRuntime { try ONNXRuntime(candidates: ONNXRuntime.candidates(chosen: nil)) }

    @Test(arguments: [(2, true, true), (0, true, false), (1, false, true), (0, false, false)])
    func `ONNX Runtime computes what the model says, missing values, sites and persons included`(
        networks: Int, sites: Bool, persons: Bool
    ) throws {
        let model = try ExampleModel.model(networks: networks, sites: sites, persons: persons)
        let predictor = try TabularPredictor(Self.runtime(), ModelFile(model.onnx()))
        #expect(predictor.takesSites == sites && predictor.takesPersons == persons && predictor.version == "test 1")
        let features = ExampleModel.rows(700)
        let siteKeys = sites ? (0..<700).map { ["A", "B", "nowhere", nil, "D"][$0 % 5] } : nil
        let personKeys = persons ? (0..<700).map { ["A/1", nil, "B/7"][$0 % 3] } : nil
        let found = try predictor.predict(TabularRows(features, sites: siteKeys, persons: personKeys))
        let expected = model.predict(features: features, sites: siteKeys, persons: personKeys)
        let margins = model.margins(features: features, sites: siteKeys, persons: personKeys)
        #expect((0..<700).allSatisfy { found.labels[$0] == expected.predictedClass(row: $0) })
        #expect(zip(found.probabilities, expected.values).allSatisfy { abs($0 - $1) < 1e-5 })
        #expect(zip(found.margins, margins).allSatisfy { abs($0 - $1) < 1e-4 })
        // One by one as in blocks.
        for row in [0, 255, 256, 699] {
            let one = try predictor.predict(
                TabularRows(features.rows([row]), sites: siteKeys.map { [$0[row]] }, persons: personKeys.map { [$0[row]] }))
            #expect(zip(one.probabilities, found.probabilities[row * 3..<row * 3 + 3]).allSatisfy { abs($0 - $1) < 1e-6 })
        }
    }

    @Test(arguments: 0..<20)
    func `trees of every shape are computed alike, with leaves that repeat and trees of one leaf`(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var ensemble = TreeEnsemble(featureCount: 3, baseMargins: [0.5, -1, 0])
        for index in 0..<24 {
            var nodes: [TreeEnsemble.Node] = []
            func grow(_ depth: Int) {
                let place = nodes.count
                nodes.append(.leaf(Float(Int.random(in: -2...2, using: &generator))))
                guard depth > 0, Int.random(in: 0..<3, using: &generator) > 0 else { return }
                grow(depth - 1)
                let right = nodes.count
                grow(depth - 1)
                nodes[place] = .split(
                    feature: Int.random(in: 0..<3, using: &generator), threshold: .random(in: -1..<1, using: &generator), left: place + 1,
                    right: right, missingGoesLeft: Bool.random(using: &generator))
            }
            grow(4)
            ensemble.append(target: index % 3, round: index / 3, nodes: nodes)
        }
        let model = DeployedModel(
            featureNames: ExampleModel.names, classNames: ExampleModel.classes, version: "shapes",
            model: BlendedModel(trees: ensemble, networks: [], networkShare: 0))
        let features = ExampleModel.rows(300, seed: seed)
        let found = try TabularPredictor(Self.runtime(), ModelFile(model.onnx())).predict(TabularRows(features))
        #expect(zip(found.margins, model.margins(features: features)).allSatisfy { abs($0 - $1) < 1e-4 })
    }

    @Test func `no rows get no answers`() throws {
        let predictor = try TabularPredictor(Self.runtime(), ModelFile(ExampleModel.model().onnx()))
        #expect(try predictor.predict(TabularRows(count: 0, features: [])).labels.isEmpty)
    }

    @Test func `keys left out are unknown keys, also after a request that had some`() throws {
        let predictor = try TabularPredictor(Self.runtime(), ModelFile(ExampleModel.model().onnx()))
        let row = ExampleModel.rows(1)
        let without = try predictor.predict(TabularRows(row))
        let with = try predictor.predict(TabularRows(row, sites: ["A"], persons: ["B/7"]))
        #expect(with != without)
        #expect(try predictor.predict(TabularRows(row)) == without)
    }

    @Test func `a request with a wrong count is refused with the name of the input`() throws {
        let predictor = try TabularPredictor(Self.runtime(), ModelFile(ExampleModel.model(persons: false).onnx()))
        #expect(throws: InferenceError.wrongValueCount(input: "features", expected: 6, found: 5)) {
            try predictor.predict(TabularRows(count: 2, features: [1, 2, 3, 4, 5]))
        }
        #expect(throws: InferenceError.wrongValueCount(input: "site", expected: 1, found: 2)) {
            try predictor.predict(TabularRows(count: 1, features: [1, 2, 3], sites: [1, 2]))
        }
        #expect(throws: InferenceError.unexpectedInput(name: "person", known: ["features", "site"])) {
            try predictor.predict(TabularRows(count: 1, features: [1, 2, 3], persons: [1]))
        }
        let other = FeatureMatrix(columnNames: ["a", "b", "c"])
        #expect(throws: InferenceError.self) { try predictor.predict(other) }
    }

    @Test func `a sound file that ONNX Runtime cannot load is refused with its reason`() throws {
        let file = try ModelFile(
            Wire.model(
                graph: Wire.node("NoSuchOperator", ["x"], "y") + Wire.value(11, "x", shape: [nil]) + Wire.value(12, "y", shape: [nil])))
        let runtime = try Self.runtime()
        #expect {
            try InferenceSession(runtime, file)
        } throws: {
            "\($0)".contains("NoSuchOperator")
        }
    }
}

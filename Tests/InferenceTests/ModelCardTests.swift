import Inference
import Learning
import TestKit
import Testing
import Training

#if canImport(Foundation)
    import Foundation
#endif

@Suite struct ModelCardTests {
    static func card(_ file: ModelFile) -> ModelCard {
        func tensors(_ specs: [TensorSpec]) -> [ModelCard.Tensor] {
            specs.map { ModelCard.Tensor(name: $0.name, form: "\($0)", meaning: "what \($0.name) is") }
        }
        return ModelCard(
            name: "example", version: "test 1", purpose: "An example.", file: "example.onnx", content: file.bytes,
            inputs: tensors(file.signature.inputs),
            features: ExampleModel.names.map { ModelCard.Feature(name: $0, unit: "°C", meaning: "") },
            outputs: tensors(file.signature.outputs),
            classes: ExampleModel.classes, made: ["by hand"], measuredOn: "nothing",
            metrics: [ModelCard.Metric(name: "accuracy", value: 0.6123, baselines: ["majority": 0.5104])], citation: "nobody")
    }

    @Test func `a card is read as it was written and fits its file`() throws {
        let file = try ModelFile(ExampleModel.model().onnx())
        let card = Self.card(file)
        #expect(try ModelCard(json: card.json) == card)
        try file.check(against: card)
        #expect(card.markdown.contains("| accuracy | 0.6123 | 0.5104 |") && card.markdown.contains("| 1 | `humidity` | °C |"))
    }

    @Test func `a card of another file or with other columns is refused with the difference`() throws {
        let file = try ModelFile(ExampleModel.model().onnx())
        func refusal(_ change: (inout ModelCard) -> Void) -> String {
            var card = Self.card(file)
            change(&card)
            do {
                try file.check(against: card)
                return "accepted"
            } catch {
                return "\(error)"
            }
        }
        #expect(refusal { _ in } == "accepted")
        #expect(refusal { $0.bytes += 1 }.contains("says bytes"))
        #expect(refusal { $0.sha256 = String($0.sha256.reversed()) }.contains("says SHA-256"))
        #expect(refusal { $0.features.swapAt(0, 1) }.contains("says features"))
        #expect(refusal { $0.inputs[0].form = "float[N, 4]" }.contains("says inputs"))
        #expect(refusal { $0.classes.reverse() }.contains("says classes"))
        #expect(refusal { $0.version = "2" }.contains("says version 2"))
        #expect(throws: ModelCardError.self) { try ModelCard(json: Array("{}".utf8)) }
    }

    @Test(arguments: [("comfort", 300_000), ("comfort-small", 25_000)])
    func `each shipped model is what its card says, within its budget of bytes`(name: String, budget: Int) throws {
        func read(_ suffix: String) throws -> [UInt8] {
            Array(try Data(contentsOf: URL(fileURLWithPath: "models/thermal-comfort/\(name).\(suffix)")))
        }
        let (card, file) = (try ModelCard(json: read("json")), try ModelFile(read("onnx")))
        try file.check(against: card)
        #expect(try String(decoding: read("md"), as: UTF8.self) == card.markdown)
        #expect(file.bytes.count <= budget)
        #expect(card.features.allSatisfy { !$0.meaning.isEmpty } && !card.citation.isEmpty)
        let accuracy = try #require(card.metrics.first { $0.name == "accuracy" })
        #expect(try accuracy.value > #require(accuracy.baselines["single_task"]))
    }

    @Test func `the shipped models answer a row of missing values`() throws {
        let runtime = try TabularPredictorTests.runtime()
        for name in ["comfort", "comfort-small"] {
            let file = try ModelFile(Array(try Data(contentsOf: URL(fileURLWithPath: "models/thermal-comfort/\(name).onnx"))))
            let predictor = try TabularPredictor(runtime, file)
            let row = TabularRows(count: 1, features: predictor.featureNames.map { _ in Float.nan })
            let probabilities = try predictor.predict(row).probabilities
            #expect(abs(probabilities.reduce(0, +) - 1) < 1e-5 && probabilities.allSatisfy { $0 > 0 })
        }
    }
}

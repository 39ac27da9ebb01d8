import Inference
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Whatever bytes come as a model, the screen reads or refuses them with a reason, and its bounds hold of what it reads.
@Suite(.serialized, .timeLimit(.minutes(600))) struct ModelFuzzTests {
    private static let words = [
        "Add", "Softmax", "TreeEnsembleClassifier", "ai.onnx.ml", "nodes_featureids", "\u{8}\u{1}", "\u{12}\u{4}", "\u{a}", "location", "N",
        "external", "../../etc/passwd", "probabilities", "\u{72}\u{10}",
    ]

    /// Files of every sort that is looked into: operators, constants, trees, metadata, weights elsewhere.
    private static func corpus(_ folder: TemporaryFolder) throws -> String {
        let ends = TinyModel.value(11, "x", [nil, 2]) + TinyModel.value(12, "y", [nil, 2])
        func list(_ name: String, _ values: [Int]) -> [UInt8] {
            TinyModel.bytes(5, TinyModel.text(1, name) + values.flatMap { TinyModel.int(8, $0) } + TinyModel.int(20, 7))
        }
        let trees = TinyModel.node(
            "TreeEnsembleRegressor", ["x"], ["y"], domain: "ai.onnx.ml",
            attributes: list("nodes_treeids", [0, 0, 0]) + list("nodes_nodeids", [0, 1, 2]) + list("nodes_featureids", [1, 0, 0])
                + list("nodes_truenodeids", [1, 0, 0]) + list("nodes_falsenodeids", [2, 0, 0]) + list("target_ids", [0, 0])
                + list("target_nodeids", [1, 2]) + list("target_treeids", [0, 0]))
        let elsewhere = TinyModel.bytes(
            5,
            TinyModel.text(8, "a") + TinyModel.int(2, 1)
                + TinyModel.bytes(13, TinyModel.text(1, "location") + TinyModel.text(2, "../w.bin")) + TinyModel.int(14, 1))
        let files = [
            TinyModel.adding(1, version: "1"), TinyModel.file(TinyModel.node("Softmax", ["x"], ["y"]) + ends),
            TinyModel.file(trees + ends, version: "2"), TinyModel.file(TinyModel.node("Add", ["x", "a"], ["y"]) + elsewhere + ends),
        ]
        let path = folder.path + "/corpus"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        for (number, bytes) in files.enumerated() { try Data(bytes).write(to: URL(filePath: "\(path)/\(number)")) }
        return path
    }

    @Test func `whatever bytes come as a model, they are read within bounds or refused with a reason`() async throws {
        let folder = try TemporaryFolder()
        var fuzzer = try Fuzzer("model", corpus: try Self.corpus(folder), words: Self.words)
        let limits = ModelLimits.edge
        let result = try await fuzzer.run(count: 20_000) { input in
            do {
                let signature = try ModelFile(input).signature
                let all = signature.inputs + signature.outputs
                guard all.count <= 2 * limits.tensors, all.allSatisfy({ $0.shape.count <= limits.rank }) else {
                    return .wrong("read beyond its bounds: \(all.map(\.description))")
                }
                return .right(signature: "\(all.map(\.description)) \(signature.metadata.count)")
            } catch let error as InferenceError {
                let words = "\(error)"
                return words.isEmpty ? .wrong("refused without a reason") : .right(signature: String(words.prefix(40)))
            }
        }
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.signatureCount > 10)
    }
}

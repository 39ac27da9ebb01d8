import Inference
import Learning
import TestKit
import Testing
import Training

/// Models of trees and a few operators, computed without ONNX Runtime.
@Suite struct CompiledModelTests {
    /// The same rows through both, one by one and in a block.
    ///
    /// - Returns: who computes, and the number of values that differ by a bit.
    static func compare(_ file: [UInt8], rows: Int, _ fill: (BoundTensors, Int) -> Void) throws -> (ModelEvaluator, Int) {
        let (runtime, file) = (try TabularPredictorTests.runtime(), try ModelFile(file))
        let theirs = try InferenceSession(runtime, file, options: SessionOptions(isCompiling: false))
        let ours = try InferenceSession(runtime, file)
        var different = 0
        let count = file.signature.inputs.count
        for size in [1, rows] {
            let (expected, found) = (try theirs.tensors(rows: size), try ours.tensors(rows: size))
            for start in stride(from: 0, to: rows, by: size) {
                fill(expected, start)
                for index in 0..<count { found.bytes(at: index).copyMemory(from: UnsafeRawBufferPointer(expected.bytes(at: index))) }
                try theirs.run(expected)
                try ours.run(found)
                for index in count..<count + file.signature.outputs.count {
                    different += zip(expected.bytes(at: index), found.bytes(at: index)).filter { $0 != $1 }.count
                }
            }
        }
        return (ours.evaluator, different)
    }

    static func isCompiled(_ evaluator: ModelEvaluator) -> Bool { if case .compiled(let rows) = evaluator { rows >= 100 } else { false } }

    @Test(arguments: [(2, true, true), (0, true, false), (1, false, true), (0, false, false)])
    func `a compiled model answers as ONNX Runtime to the last bit, missing values, sites and persons included`(
        networks: Int, sites: Bool, persons: Bool
    ) throws {
        let file = try ExampleModel.model(networks: networks, sites: sites, persons: persons).onnx()
        let features = ExampleModel.rows(300)
        let hashes = ["A", "B", "nowhere", "D", "A/1", "B/7", ""].map { Int64(AdapterTable.hash($0)) }
        let (evaluator, different) = try Self.compare(file, rows: 300) { tensors, start in
            let width = features.columnNames.count
            for (index, value) in features.values[start * width..<(start + tensors.rowCount) * width].enumerated() {
                tensors.floats("features")[index] = value
            }
            for (name, isThere) in [("site", sites), ("person", persons)] where isThere {
                for row in 0..<tensors.rowCount { tensors.integers(name)[row] = hashes[(start + row) % hashes.count] }
            }
        }
        #expect(different == 0)
        // Networks need a processor that multiplies and adds in one step.
        #expect(Self.isCompiled(evaluator) || networks > 0, "\(evaluator)")
    }

    /// Complete trees of four columns in the list form, every leaf with a weight for some targets.
    static func trees(_ seed: UInt64, kind: String, targets: Int, perLeaf: Bool) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        var (trees, nodes, columns, modes, values, yes, no, tracks): ([Int], [Int], [Int], [String], [Float], [Int], [Int], [Int])
        (trees, nodes, columns, modes, values, yes, no, tracks) = ([], [], [], [], [], [], [], [])
        var (leafTrees, leafNodes, ids, weights): ([Int], [Int], [Int], [Float]) = ([], [], [], [])
        for tree in 0..<30 {
            let inner = [0, 1, 3, 7, 15][tree % 5]
            for node in 0..<2 * inner + 1 {
                let isLeaf = node >= inner
                trees.append(tree)
                nodes.append(node)
                columns.append(isLeaf ? 0 : Int.random(in: 0..<4, using: &generator))
                modes.append(isLeaf ? "LEAF" : ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"].randomElement(using: &generator)!)
                values.append(isLeaf ? 0 : Float(Int.random(in: -3...3, using: &generator)))
                yes.append(isLeaf ? 0 : 2 * node + 1)
                no.append(isLeaf ? 0 : 2 * node + 2)
                tracks.append(isLeaf ? 0 : Int.random(in: 0...1, using: &generator))
                guard isLeaf else { continue }
                for target in perLeaf ? Array(0..<targets) : [tree % targets] {
                    leafTrees.append(tree)
                    leafNodes.append(node)
                    ids.append(target)
                    weights.append(.random(in: -1..<1, using: &generator))
                }
            }
        }
        func floats(_ name: String, _ numbers: [Float]) -> [UInt8] {
            let packed = numbers.flatMap { number in withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) } }
            return Wire.bytes(5, Wire.text(1, name) + Wire.bytes(7, packed) + Wire.int(20, 6))
        }
        func texts(_ name: String, _ words: [String]) -> [UInt8] {
            Wire.bytes(5, Wire.text(1, name) + words.flatMap { Wire.text(9, $0) } + Wire.int(20, 8))
        }
        return Wire.ints("nodes_treeids", trees) + Wire.ints("nodes_nodeids", nodes) + Wire.ints("nodes_featureids", columns)
            + texts("nodes_modes", modes) + floats("nodes_values", values) + Wire.ints("nodes_truenodeids", yes)
            + Wire.ints("nodes_falsenodeids", no) + Wire.ints("nodes_missing_value_tracks_true", tracks)
            + Wire.ints("\(kind)_treeids", leafTrees) + Wire.ints("\(kind)_nodeids", leafNodes) + Wire.ints("\(kind)_ids", ids)
            + floats("\(kind)_weights", weights)
            + (kind == "target" ? Wire.scalar("n_targets", targets) : Wire.ints("classlabels_int64s", (0..<targets).map { 10 * $0 + 7 }))
    }

    /// Rows of four columns on and beside the thresholds, some missing.
    private static func fill(_ tensors: BoundTensors, _ start: Int) {
        var generator = SeededGenerator(seed: UInt64(start + 1))
        let values = tensors.floats("x")
        for index in values.indices {
            let number = Float(Int.random(in: -4...4, using: &generator))
            values[index] = [number, number.nextUp, number.nextDown, number + 0.5, .nan].randomElement(using: &generator)!
        }
    }

    @Test(arguments: 0..<6 as Range<UInt64>, [false, true])
    func `trees of every comparison are compiled, with one target each and with all`(seed: UInt64, perLeaf: Bool) throws {
        let graph =
            Wire.node(
                "TreeEnsembleRegressor", ["x"], "y", domain: "ai.onnx.ml",
                attributes: Self.trees(seed, kind: "target", targets: 3, perLeaf: perLeaf))
            + Wire.value(11, "x", shape: [nil, 4]) + Wire.value(12, "y", shape: [nil, 3])
        let (evaluator, different) = try Self.compare(TinyModel.file(graph), rows: 90, Self.fill)
        #expect(different == 0)
        #expect(Self.isCompiled(evaluator), "\(evaluator)")
    }

    @Test(arguments: 0..<4 as Range<UInt64>)
    func `a classifier of trees answers its own labels`(seed: UInt64) throws {
        let attributes = Self.trees(seed, kind: "class", targets: 3, perLeaf: true)
        let node = Wire.bytes(
            1,
            Wire.text(1, "x") + Wire.text(2, "label") + Wire.text(2, "scores") + Wire.text(4, "TreeEnsembleClassifier") + attributes
                + Wire.text(7, "ai.onnx.ml"))
        let graph =
            node + Wire.value(11, "x", shape: [nil, 4]) + Wire.value(12, "label", type: 7, shape: [nil])
            + Wire.value(12, "scores", shape: [nil, 3])
        let (evaluator, different) = try Self.compare(TinyModel.file(graph), rows: 90, Self.fill)
        #expect(different == 0)
        #expect(Self.isCompiled(evaluator), "\(evaluator)")
    }

    @Test(arguments: ["Sigmoid", "Softmax", "Relu", "Identity", "Abs"])
    func `whoever computes, the answer is ONNX Runtime's, infinities and missing values included`(operation: String) throws {
        let graph = Wire.node(operation, ["x"], "y") + Wire.value(11, "x", shape: [nil, 4]) + Wire.value(12, "y", shape: [nil, 4])
        let (evaluator, different) = try Self.compare(Wire.model(graph: graph), rows: 60) { tensors, start in
            Self.fill(tensors, start)
            for (index, value) in tensors.floats("x").enumerated() where value.isNaN { tensors.floats("x")[index] = Float(index % 3) - 1 }
            if start % 7 == 3 { tensors.floats("x")[0] = .infinity }
        }
        #expect(different == 0, "\(evaluator)")
        if operation == "Sigmoid" || operation == "Abs" {
            #expect(evaluator == .onnxRuntime(because: "the operator \(operation)"))
        }
    }

    @Test func `only what was asked for is compiled, and a compiled model takes no rows as well as many`() throws {
        let (runtime, file) = (try TabularPredictorTests.runtime(), try ModelFile(Wire.model(graph: Wire.identity)))
        let plain = try InferenceSession(runtime, file, options: SessionOptions(isCompiling: false))
        #expect(plain.evaluator == .onnxRuntime(because: "nothing else was wanted"))
        let model = try TensorModel(runtime, file)
        #expect(Self.isCompiled(model.evaluator))
        let none = try model.run([Tensor(type: .float, shape: [0, 2])])
        #expect(none.map(\.shape) == [[0, 2]])
    }
}

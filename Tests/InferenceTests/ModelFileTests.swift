import Inference
import Learning
import TestKit
import Testing
import Training

/// What is refused before ONNX Runtime sees it.
@Suite struct ModelFileTests {
    /// The refusal's words.
    static func refusal(_ bytes: [UInt8], limits: ModelLimits = .edge) -> String {
        do throws(InferenceError) {
            _ = try ModelFile(bytes, limits: limits)
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    @Test func `a file that says what it takes and gives is read without loading it`() throws {
        let signature = try ModelFile(ExampleModel.model().onnx()).signature
        #expect(signature.inputs.map { "\($0.name) \($0)" } == ["features float[N, 3]", "site int64[N]", "person int64[N]"])
        #expect(
            signature.outputs.map { "\($0.name) \($0)" } == ["probabilities float[N, 3]", "label int64[N]", "margins float[N, 3]"])
        #expect(signature.metadata["version"] == "test 1")
        let names = try TabularPredictor.names(signature)
        #expect(names.features == ExampleModel.names && names.classes == ExampleModel.classes)
    }

    @Test func `a file truncated at any byte is refused`() throws {
        let whole = try ExampleModel.model().onnx()
        for count in 0..<whole.count {
            #expect(throws: InferenceError.self, "\(count) of \(whole.count) bytes") {
                try TabularPredictor.names(ModelFile(Array(whole.prefix(count))).signature)
            }
        }
    }

    @Test func `a file with random damage is read or refused, never followed`() throws {
        let whole = try ExampleModel.model().onnx()
        var generator = SeededGenerator(seed: 9)
        var refused = 0
        for _ in 0..<3000 {
            var bytes = whole
            for _ in 0..<4 { bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator) }
            if Self.refusal(bytes) != "accepted" { refused += 1 }
        }
        #expect(refused > 300)
    }

    @Test func `more bytes than the limit are refused`() throws {
        let text = Self.refusal(Wire.model(graph: Wire.identity), limits: ModelLimits(bytes: 20))
        #expect(text.contains("at most 20"))
    }

    @Test func `tensors in other files are refused`() throws {
        let external = Wire.bytes(
            5,
            Wire.list(1, [2]) + Wire.int(2, 1) + Wire.text(8, "w") + Wire.bytes(13, Wire.text(1, "location") + Wire.text(2, "/etc/passwd")))
        #expect(Self.refusal(Wire.model(graph: Wire.identity + external)).contains("\"w\" is kept in another file"))
        let located = Wire.bytes(5, Wire.list(1, [2]) + Wire.int(2, 1) + Wire.text(8, "w") + Wire.int(14, 1))
        #expect(Self.refusal(Wire.model(graph: Wire.identity + located)).contains("\"w\" is kept in another file"))
        // Also where a node carries its constant.
        let constant = Wire.bytes(5, Wire.text(1, "value") + Wire.bytes(5, Wire.int(14, 1)) + Wire.int(20, 4))
        #expect(
            Self.refusal(Wire.model(graph: Wire.identity + Wire.node("Constant", [], "c", attributes: constant))).contains("another file"))
    }

    /// What made runtimes read or write files of an attacker's choice: CVE-2022-25882 and those that came after it.
    @Test(arguments: [
        "../../../../etc/passwd", "/etc/passwd", "weights/../../../etc/shadow", "link-to-a-file", "hard-link", "file:///etc/passwd",
        "..\\..\\windows", "", "weights.bin",
    ])
    func `no place of external data is followed, not even a harmless one`(location: String) {
        let entry = { (field: Int, key: String, value: String) in Wire.bytes(field, Wire.text(1, key) + Wire.text(2, value)) }
        let external =
            Wire.list(1, [2]) + Wire.int(2, 1) + Wire.text(8, "w") + entry(13, "location", location) + entry(13, "offset", "0")
            + Wire.int(14, 1)
        let initializer = Wire.model(graph: Wire.identity + Wire.bytes(5, external))
        let attribute = Wire.bytes(5, Wire.text(1, "value") + Wire.bytes(5, external) + Wire.int(20, 4))
        let constant = Wire.model(graph: Wire.identity + Wire.node("Constant", [], "c", attributes: attribute))
        let branch = Wire.bytes(5, Wire.text(1, "then_branch") + Wire.bytes(6, Wire.bytes(5, external)))
        let nested = Wire.model(graph: Wire.identity + Wire.node("If", ["x"], "z", attributes: branch))
        for file in [initializer, constant, nested] { #expect(Self.refusal(file).contains("\"w\" is kept in another file")) }
    }

    @Test func `an output may be a list of tensors or of maps, and an input neither`() throws {
        let numbers = Wire.bytes(1, Wire.int(1, 1) + Wire.bytes(2, Wire.bytes(1, Wire.text(2, "N")) + Wire.bytes(1, Wire.int(1, 3))))
        let maps = Wire.bytes(5, Wire.int(1, 8) + Wire.bytes(2, Wire.bytes(1, Wire.int(1, 1) + Wire.bytes(2, []))))
        let lists = Wire.bytes(4, Wire.bytes(1, numbers))
        func value(_ field: Int, _ item: [UInt8]) -> [UInt8] {
            Wire.bytes(field, Wire.text(1, "l") + Wire.bytes(2, Wire.bytes(4, Wire.bytes(1, item))))
        }
        for (item, words) in [(numbers, "list of float[N, 3]"), (maps, "maps of string to float")] {
            let file = try ModelFile(Wire.model(graph: Wire.identity + value(12, item)))
            #expect(file.signature.outputs.map { "\($0)" } == ["float[N, 2]", words])
            let refusal = Self.refusal(Wire.model(graph: Wire.identity + value(11, item)))
            #expect(refusal.contains("its input \"l\" is no tensor but \(words)"), "\(refusal)")
        }
        let refusal = Self.refusal(Wire.model(graph: Wire.identity + value(12, lists)))
        #expect(refusal.contains("\"l\" is a list of something else than tensors, or maps to numbers"), "\(refusal)")
    }

    @Test func `functions that call themselves are refused, as all functions are`() {
        let body = Wire.bytes(7, Wire.text(2, "y") + Wire.text(4, "Again") + Wire.text(7, "own"))
        let function = Wire.bytes(25, Wire.text(1, "Again") + body + Wire.text(10, "own"))
        #expect(Self.refusal(Wire.model(graph: Wire.identity, more: function)).contains("functions of its own"))
    }

    /// ai.onnx.ml's older trees, whose lists ONNX Runtime follows without asking.
    @Test(arguments: [
        ("nodes_featureids", [-1, 0, 0], "nodes_featureids holds -1"), ("nodes_featureids", [2, 0, 0], "nodes_featureids holds 2"),
        ("nodes_featureids", [0], "nodes_featureids has 1 entries"), ("nodes_truenodeids", [9, 0, 0], "leads to node 9"),
        ("nodes_truenodeids", [0, 0, 0], "reaches node 0 in more than one way"),
        ("nodes_falsenodeids", [1, 0, 0], "reaches node 1 in more than one way"), ("nodes_nodeids", [0, 1, 1], "occurs twice"),
        ("nodes_treeids", [-1, -1, -1], "must be 0 or more"), ("target_nodeids", [0, 2], "which is no leaf"),
        ("target_ids", [0, 1], "target_ids holds 1"), ("target_ids", [0], "target_ids has 1 entries"),
    ])
    func `older trees that leave their lists are refused`(list: String, values: [Int], words: String) {
        var lists = [
            "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [1, 0, 0], "nodes_truenodeids": [1, 0, 0],
            "nodes_falsenodeids": [2, 0, 0], "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
        ]
        func floats(_ name: String, _ count: Int) -> [UInt8] {
            Wire.bytes(5, Wire.text(1, name) + Wire.bytes(7, [UInt8](repeating: 0, count: 4 * count)) + Wire.int(20, 6))
        }
        func graph() -> [UInt8] {
            let modes = ["BRANCH_LEQ", "LEAF", "LEAF"].flatMap { Wire.text(9, $0) }
            let attributes =
                lists.sorted { $0.key < $1.key }.flatMap { Wire.ints($0.key, $0.value) } + Wire.scalar("n_targets", 1)
                + Wire.bytes(5, Wire.text(1, "nodes_modes") + modes + Wire.int(20, 8)) + floats("nodes_values", 3)
                + floats("target_weights", 2)
            return Wire.model(
                graph: Wire.node("TreeEnsembleRegressor", ["x"], "y", domain: "ai.onnx.ml", attributes: attributes)
                    + Wire.value(11, "x", shape: [nil, 2]) + Wire.value(12, "y", shape: [nil, 1]))
        }
        #expect(Self.refusal(graph()) == "accepted")
        lists[list] = values
        let text = Self.refusal(graph())
        #expect(text.contains(words), "\(text)")
    }

    @Test(arguments: [[1 << 40, 1 << 40], [-1], [1 << 30], [3]])
    func `a tensor that claims another shape than it brings is refused`(shape: [Int]) {
        let tensor = Wire.bytes(5, Wire.list(1, shape) + Wire.int(2, 1) + Wire.text(8, "w") + Wire.bytes(9, [0, 0, 0, 0]))
        #expect(Self.refusal(Wire.model(graph: Wire.identity + tensor)).contains("\"w\" claims the shape"))
    }

    @Test func `absurd shapes of inputs and outputs are refused`() {
        func graph(_ shape: [Int?]) -> [UInt8] {
            Wire.model(graph: Wire.node("Identity", ["x"], "y") + Wire.value(11, "x", shape: shape) + Wire.value(12, "y", shape: [nil]))
        }
        #expect(Self.refusal(graph([nil, 1 << 40])).contains("dimension 1 of \"x\" is 1099511627776"))
        #expect(Self.refusal(graph([nil, 0])).contains("dimension 1 of \"x\" is 0"))
        #expect(Self.refusal(graph([nil, 1 << 20, 1 << 20, 1 << 20])).contains("more than 67108864 values"))
        let deep: [Int?] = [nil, 1, 1, 1, 1, 1, 1, 1, 1]
        #expect(Self.refusal(graph(deep)).contains("more than 8 dimensions"))
        #expect(Self.refusal(graph([nil, nil])) == "accepted")
        #expect(Self.refusal(graph([])) == "accepted")
    }

    @Test func `functions, training steps, foreign operators and deep nesting are refused`() {
        #expect(Self.refusal(Wire.model(graph: Wire.identity, more: Wire.bytes(25, []))).contains("functions"))
        #expect(Self.refusal(Wire.model(graph: Wire.identity, more: Wire.bytes(20, []))).contains("training"))
        let foreign = Wire.node("Exec", ["x"], "z", domain: "evil.example")
        #expect(Self.refusal(Wire.model(graph: Wire.identity + foreign)).contains("Exec of domain \"evil.example\""))
        var nested: [UInt8] = []
        for _ in 0..<6 {
            nested = Wire.node("If", ["x"], "z", attributes: Wire.bytes(5, Wire.text(1, "then_branch") + Wire.bytes(6, nested)))
        }
        #expect(Self.refusal(Wire.model(graph: Wire.identity + nested)).contains("nested more than 4"))
    }

    @Test(arguments: [
        ("nodes_truenodeids", [0, 1], "node 0 of its trees leads to node 0"), ("nodes_falsenodeids", [9, 1], "leads to leaf 9"),
        ("nodes_featureids", [0, 7], "nodes_featureids holds 7"), ("leaf_targetids", [0, 5], "leaf_targetids holds 5"),
        ("nodes_falsenodeids", [1, 1], "both sides of root 0"), ("tree_roots", [4], "tree_roots holds 4"),
        ("nodes_trueleafs", [0], "nodes_trueleafs has 1 entries"),
    ])
    func `trees that leave their lists or run in circles are refused`(list: String, values: [Int], words: String) {
        var lists = [
            "nodes_featureids": [0, 1], "nodes_truenodeids": [1, 0], "nodes_trueleafs": [0, 1], "nodes_falsenodeids": [0, 1],
            "nodes_falseleafs": [1, 1], "leaf_targetids": [0, 1], "tree_roots": [0],
        ]
        func graph() -> [UInt8] {
            let raw8 = [UInt8](repeating: 0, count: 8)
            let attributes =
                lists.sorted { $0.key < $1.key }.flatMap { Wire.ints($0.key, $0.value) } + Wire.scalar("n_targets", 2)
                + Wire.tensor("nodes_splits", type: 1, shape: [2], raw: raw8)
                + Wire.tensor("nodes_modes", type: 2, shape: [2], raw: [1, 1])
                + Wire.tensor("leaf_weights", type: 1, shape: [2], raw: raw8)
            return Wire.model(
                graph: Wire.node("TreeEnsemble", ["x"], "y", domain: "ai.onnx.ml", attributes: attributes)
                    + Wire.value(11, "x", shape: [nil, 2]) + Wire.value(12, "y", shape: [nil, 2]))
        }
        #expect(Self.refusal(graph()) == "accepted")
        lists[list] = values
        #expect(Self.refusal(graph()).contains(words))
    }

    @Test func `a model of other inputs is refused with the name of the input`() throws {
        func names(_ inputs: [UInt8]) -> String {
            let about = Wire.metadata("features", "a\nb") + Wire.metadata("classes", "c\nd") + Wire.metadata("version", "1")
            let outputs =
                Wire.value(12, "probabilities", shape: [nil, 2]) + Wire.value(12, "label", type: 7, shape: [nil])
                + Wire.value(12, "margins", shape: [nil, 2])
            do throws(InferenceError) {
                _ = try TabularPredictor.names(ModelFile(Wire.model(graph: inputs + outputs, more: about)).signature)
                return "accepted"
            } catch {
                return "\(error)"
            }
        }
        let features = Wire.value(11, "features", shape: [nil, 2])
        #expect(names(features) == "accepted")
        #expect(names(Wire.value(11, "x", shape: [nil, 2])).contains("no input \"features\" (found: x)"))
        #expect(names(features + Wire.value(11, "colour", shape: [nil])).contains("\"colour\" is unknown"))
        #expect(
            names(Wire.value(11, "features", shape: [nil, 5])).contains("\"features\" of the model must be float[N, 2], found float[N, 5]"))
        #expect(names(features + Wire.value(11, "site", shape: [nil])).contains("\"site\" of the model must be int64[N], found float[N]"))
        #expect(Self.refusal(Wire.model(graph: Wire.value(11, "t", type: 14, shape: [nil]))).contains("\"t\" has element type 14"))
    }
}

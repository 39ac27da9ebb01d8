/// Checks the lists of ai.onnx.ml's TreeEnsemble (version 5): a runtime follows their numbers without asking.
struct TreeEnsembleScreen {
    /// Columns of the features; nil where the trees' input is computed.
    private let columns: Int?
    private var lists: [String: [Int]] = [:]
    private var tensors: [String: Int] = [:]

    init(columns: Int?) { self.columns = columns }

    mutating func ints(_ name: String, _ numbers: [Int]) { if !numbers.isEmpty { lists[name] = numbers } }
    mutating func tensor(_ name: String, _ count: Int) { tensors[name] = count }

    func finish() throws(InferenceError) {
        let features = lists["nodes_featureids"] ?? []
        let (count, leafCount) = (features.count, (lists["leaf_targetids"] ?? []).count)
        for name in ["nodes_truenodeids", "nodes_trueleafs", "nodes_falsenodeids", "nodes_falseleafs"] {
            try requireCount(name, (lists[name] ?? []).count, count)
        }
        for name in ["nodes_splits", "nodes_modes"] { try requireCount(name, tensors[name] ?? 0, count) }
        if let found = lists["nodes_missing_value_tracks_true"] { try requireCount("nodes_missing_value_tracks_true", found.count, count) }
        if let found = tensors["nodes_hitrates"] { try requireCount("nodes_hitrates", found, count) }
        try requireCount("leaf_weights", tensors["leaf_weights"] ?? 0, leafCount)
        try require("nodes_featureids", features, below: columns ?? .max)
        try require("leaf_targetids", lists["leaf_targetids"] ?? [], below: lists["n_targets"]?.first ?? 0)
        try require("tree_roots", lists["tree_roots"] ?? [], below: count)
        try requireChildren("true", count: count, leafCount: leafCount)
        try requireChildren("false", count: count, leafCount: leafCount)
        try requireRoots()
    }

    /// ONNX Runtime takes a root whose two numbers are equal for a tree of one leaf and reads the leaf of the root's number, whatever is there.
    private func requireRoots() throws(InferenceError) {
        let (left, right) = (lists["nodes_truenodeids"] ?? [], lists["nodes_falsenodeids"] ?? [])
        if let root = (lists["tree_roots"] ?? []).first(where: { left[$0] == right[$0] }) {
            throw .unsupportedModel(
                reason: "both sides of root \(root) of its trees have the number \(left[root]), which ONNX Runtime misreads; copy the leaf")
        }
    }

    /// Children stand behind their parent: no walk can run in a circle.
    private func requireChildren(_ side: String, count: Int, leafCount: Int) throws(InferenceError) {
        let (targets, leaves) = (lists["nodes_\(side)nodeids"] ?? [], lists["nodes_\(side)leafs"] ?? [])
        for node in 0..<count {
            let isLeaf = leaves[node] != 0
            guard isLeaf ? (0..<leafCount).contains(targets[node]) : (node + 1..<max(count, node + 1)).contains(targets[node]) else {
                throw .hostileFile(
                    reason: "node \(node) of its trees leads to \(isLeaf ? "leaf" : "node") \(targets[node]), outside its tree")
            }
        }
    }

    private func requireCount(_ name: String, _ found: Int, _ expected: Int) throws(InferenceError) {
        guard found == expected else {
            throw .hostileFile(reason: "its trees' \(name) has \(found) entries where the other lists have \(expected)")
        }
    }

    private func require(_ name: String, _ numbers: [Int], below bound: Int) throws(InferenceError) {
        if let wrong = numbers.first(where: { $0 < 0 || $0 >= bound }) {
            throw .hostileFile(reason: "its trees' \(name) holds \(wrong), beyond \(bound - 1)")
        }
    }
}

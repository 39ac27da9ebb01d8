/// The lists of a node's attributes, by name.
struct AttributeLists {
    var ints: [String: [Int]] = [:]
    var texts: [String: [String]] = [:]
    /// Elements of tensors and of lists of floats.
    var counts: [String: Int] = [:]
}

/// Checks the lists of ai.onnx.ml's TreeEnsemble (version 5): a runtime follows their numbers without asking.
struct TreeEnsembleScreen {
    /// Columns of the features; nil where the trees' input is computed.
    private let columns: Int?
    private let lists: [String: [Int]]
    private let tensors: [String: Int]

    init(columns: Int?, _ attributes: AttributeLists) { (self.columns, lists, tensors) = (columns, attributes.ints, attributes.counts) }

    func finish() throws(InferenceError) {
        let features = lists["nodes_featureids"] ?? []
        if columns == nil, let wrong = features.first(where: { $0 >= 1 << 24 }) {
            throw .hostileFile(reason: "its trees' nodes_featureids holds \(wrong); at most \(1 << 24) columns are accepted")
        }
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

/// Checks the lists of ai.onnx.ml's TreeEnsembleRegressor and TreeEnsembleClassifier, whose nodes are found by tree and number.
struct NodeListScreen {
    /// Bound on the column of a feature where the trees' input is computed.
    private static let columnsMax = 1 << 24
    private let columns: Int?
    /// "target" or "class".
    private let leaves: String
    private let lists: AttributeLists

    init(columns: Int?, leaves: String, _ lists: AttributeLists) { (self.columns, self.leaves, self.lists) = (columns, leaves, lists) }

    private func ints(_ name: String) -> [Int] { lists.ints[name] ?? [] }

    func finish() throws(InferenceError) {
        let (trees, numbers, modes) = (ints("nodes_treeids"), ints("nodes_nodeids"), lists.texts["nodes_modes"] ?? [])
        let count = numbers.count
        guard lists.counts["nodes_values_as_tensor"] == nil, lists.counts["\(leaves)_weights_as_tensor"] == nil else {
            throw .unsupportedModel(reason: "its trees keep their numbers as 64-bit floats; write them as 32-bit ones")
        }
        for name in ["nodes_treeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids"] {
            try requireCount(name, ints(name).count, count)
        }
        try requireCount("nodes_values", lists.counts["nodes_values"] ?? 0, count)
        try requireCount("nodes_modes", modes.count, count)
        let tracks = ints("nodes_missing_value_tracks_true").count
        if tracks > 0 { try requireCount("nodes_missing_value_tracks_true", tracks, count) }
        if let found = lists.counts["nodes_hitrates"] { try requireCount("nodes_hitrates", found, count) }
        let place = try places(trees, numbers)
        try requireFeatures(modes)
        try requireChildren(trees, modes, place)
        try requireLeaves(modes, place)
    }

    private struct Key: Hashable { var tree, node: Int }

    private func places(_ trees: [Int], _ numbers: [Int]) throws(InferenceError) -> [Key: Int] {
        var places: [Key: Int] = [:]
        places.reserveCapacity(numbers.count)
        for index in numbers.indices {
            guard trees[index] >= 0, numbers[index] >= 0, trees[index] < 1 << 31, numbers[index] < 1 << 31 else {
                throw .hostileFile(reason: "its trees have a node \(numbers[index]) in tree \(trees[index]); both must be 0 or more")
            }
            guard places.updateValue(index, forKey: Key(tree: trees[index], node: numbers[index])) == nil else {
                throw .hostileFile(reason: "node \(numbers[index]) of tree \(trees[index]) occurs twice")
            }
        }
        return places
    }

    private func requireFeatures(_ modes: [String]) throws(InferenceError) {
        let known = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF"]
        for (index, feature) in ints("nodes_featureids").enumerated() {
            guard known.contains(modes[index]) else { throw .hostileFile(reason: "a node of its trees has the mode \"\(modes[index])\"") }
            guard (0..<(columns ?? Self.columnsMax)).contains(feature) || (modes[index] == "LEAF" && feature == 0) else {
                throw .hostileFile(reason: "its trees' nodes_featureids holds \(feature), beyond \((columns ?? Self.columnsMax) - 1)")
            }
        }
    }

    /// Every node has one parent at most, and the first of a tree none: no walk can run in a circle.
    private func requireChildren(_ trees: [Int], _ modes: [String], _ place: [Key: Int]) throws(InferenceError) {
        var (hasParent, roots): (Set<Int>, Set<Int>) = ([], [])
        var isKnown: Set<Int> = []
        for index in trees.indices where isKnown.insert(trees[index]).inserted { roots.insert(index) }
        let sides = [ints("nodes_truenodeids"), ints("nodes_falsenodeids")]
        for index in modes.indices where modes[index] != "LEAF" {
            for side in sides {
                guard let child = place[Key(tree: trees[index], node: side[index])] else {
                    throw .hostileFile(reason: "a node of tree \(trees[index]) leads to node \(side[index]), which is not there")
                }
                guard child != index, !roots.contains(child), hasParent.insert(child).inserted else {
                    throw .hostileFile(reason: "tree \(trees[index]) reaches node \(side[index]) in more than one way")
                }
            }
        }
    }

    private func requireLeaves(_ modes: [String], _ place: [Key: Int]) throws(InferenceError) {
        let (trees, nodes, ids) = (ints("\(leaves)_treeids"), ints("\(leaves)_nodeids"), ints("\(leaves)_ids"))
        for (name, found) in [("\(leaves)_nodeids", nodes.count), ("\(leaves)_ids", ids.count)] {
            try requireCount(name, found, trees.count)
        }
        try requireCount("\(leaves)_weights", lists.counts["\(leaves)_weights"] ?? 0, trees.count)
        let names = max(ints("classlabels_int64s").count, lists.texts["classlabels_strings"]?.count ?? 0)
        let bound = leaves == "target" ? ints("n_targets").first ?? 0 : names
        for index in trees.indices {
            guard let leaf = place[Key(tree: trees[index], node: nodes[index])], modes[leaf] == "LEAF" else {
                throw .hostileFile(reason: "\(leaves)_nodeids names node \(nodes[index]) of tree \(trees[index]), which is no leaf")
            }
            guard (0..<bound).contains(ids[index]) else {
                throw .hostileFile(reason: "its trees' \(leaves)_ids holds \(ids[index]), beyond \(bound - 1)")
            }
        }
        if let found = lists.counts["base_values"], found > max(bound, 1) {
            throw .hostileFile(
                reason: "its trees' base_values has \(found) entries for \(bound) \(leaves == "target" ? "targets" : "classes")")
        }
    }

    private func requireCount(_ name: String, _ found: Int, _ expected: Int) throws(InferenceError) {
        guard found == expected else {
            throw .hostileFile(reason: "its trees' \(name) has \(found) entries where the other lists have \(expected)")
        }
    }
}

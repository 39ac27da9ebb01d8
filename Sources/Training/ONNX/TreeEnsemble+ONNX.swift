import Learning

extension ONNXGraph {
    /// Adds the trees as ai.onnx.ml's TreeEnsemble, version 5.
    ///
    /// - Returns: the name of the margins, shape [N, targets].
    mutating func add(_ ensemble: TreeEnsemble, features: String) -> String {
        let layout = TreeLayout(ensemble)
        var attributes: [(String, Attribute)] = [
            ("n_targets", .int(ensemble.targetCount)), ("tree_roots", .ints(layout.roots)),
            ("nodes_featureids", .ints(layout.features)), ("nodes_splits", .tensor(.floats(layout.thresholds, shape: [layout.count]))),
            ("nodes_modes", .tensor(.bytes([UInt8](repeating: TreeLayout.less, count: layout.count)))),
            ("nodes_truenodeids", .ints(layout.left.map(\.index))), ("nodes_trueleafs", .ints(layout.left.map { $0.isLeaf ? 1 : 0 })),
            ("nodes_falsenodeids", .ints(layout.right.map(\.index))), ("nodes_falseleafs", .ints(layout.right.map { $0.isLeaf ? 1 : 0 })),
            ("leaf_targetids", .ints(layout.leaves.map(\.target))),
            ("leaf_weights", .tensor(.floats(layout.leaves.map { Float(bitPattern: $0.bits) }, shape: [layout.leaves.count]))),
        ]
        if layout.missingGoesLeft.contains(1) { attributes.append(("nodes_missing_value_tracks_true", .ints(layout.missingGoesLeft))) }
        return node("TreeEnsemble", domain: .classical, [features], "trees", attributes: attributes)
    }
}

/// The lists in which TreeEnsemble wants its trees: splits and leaves apart, each leaf written once however many splits lead to it.
private struct TreeLayout {
    /// BRANCH_LT: true, that is left, where value < threshold.
    static let less: UInt8 = 1

    /// A split or a leaf by its place in the lists.
    struct Reference {
        var index: Int
        var isLeaf: Bool
    }

    struct Leaf: Hashable {
        var target: Int
        var bits: UInt32
    }

    private(set) var roots: [Int] = []
    private(set) var features: [Int] = []
    private(set) var thresholds: [Float] = []
    private(set) var left: [Reference] = []
    private(set) var right: [Reference] = []
    private(set) var missingGoesLeft: [Int] = []
    private(set) var leaves: [Leaf] = []
    private var places: [Leaf: Int] = [:]

    var count: Int { features.count }

    /// The operator has no base margins: they go into the leaves of each target's first tree, which is where the sum starts.
    init(_ ensemble: TreeEnsemble) {
        var bases: [Float?] = ensemble.baseMargins
        for tree in ensemble.trees {
            append(Array(ensemble.nodes(of: tree)), target: tree.target, base: bases[tree.target] ?? 0)
            bases[tree.target] = nil
        }
        for (target, base) in bases.enumerated() {
            if let base { append([.leaf(base)], target: target, base: 0) }
        }
    }

    private mutating func append(_ nodes: [TreeEnsemble.Node], target: Int, base: Float) {
        roots.append(count)
        // Splits keep their order; leaves are taken out from between them.
        var places: [Reference] = []
        var splits = 0
        for node in nodes {
            if node.isLeaf {
                places.append(Reference(index: leaf(Leaf(target: target, bits: (base + node.value).bitPattern)), isLeaf: true))
            } else {
                places.append(Reference(index: count + splits, isLeaf: false))
                splits += 1
            }
        }
        // A root must be a split: a tree of one leaf asks something whose answers are the same.
        if splits == 0 {
            append(feature: 0, threshold: 0, places[0], places[0], missing: false)
        } else {
            for node in nodes {
                guard let feature = node.feature, let children = node.children else { continue }
                append(
                    feature: feature, threshold: node.value, places[children.left], places[children.right], missing: node.missingGoesLeft)
            }
        }
        distinguishChildren(of: roots.last!)
    }

    /// ONNX Runtime (up to 1.23 at least) takes a root whose two numbers are equal for a tree of one leaf, even if one is a leaf's and the
    /// other a split's, and then reads another leaf. So one of them becomes a copy of its leaf, which has a number of its own.
    private mutating func distinguishChildren(of root: Int) {
        guard left[root].index == right[root].index else { return }
        let isLeft = left[root].isLeaf
        leaves.append(leaves[(isLeft ? left : right)[root].index])
        let copy = Reference(index: leaves.count - 1, isLeaf: true)
        if isLeft { left[root] = copy } else { right[root] = copy }
    }

    private mutating func append(feature: Int, threshold: Float, _ whenTrue: Reference, _ whenFalse: Reference, missing: Bool) {
        features.append(feature)
        thresholds.append(threshold)
        left.append(whenTrue)
        right.append(whenFalse)
        missingGoesLeft.append(missing ? 1 : 0)
    }

    private mutating func leaf(_ leaf: Leaf) -> Int {
        if let place = places[leaf] { return place }
        places[leaf] = leaves.count
        leaves.append(leaf)
        return leaves.count - 1
    }
}

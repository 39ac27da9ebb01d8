extension TreeList {
    /// ai.onnx.ml's TreeEnsemble, version 5, screened.
    ///
    /// - Returns: nil for a form that is left to ONNX Runtime.
    init?(ensemble node: Graph.Node) {
        let (features, modes) = (node.ints("nodes_featureids"), node.attributes["nodes_modes"]?.tensor?.ints ?? [])
        let (splits, weights) = (node.attributes["nodes_splits"]?.tensor, node.attributes["leaf_weights"]?.tensor)
        let (yes, no) = (node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids"))
        let (yesLeaves, noLeaves) = (node.ints("nodes_trueleafs"), node.ints("nodes_falseleafs"))
        let tracks = node.ints("nodes_missing_value_tracks_true"), targets = node.ints("leaf_targetids")
        guard splits?.type == ElementType.float.rawValue, weights?.type == ElementType.float.rawValue,
            splits?.floats.count == features.count, modes.count == features.count, weights?.floats.count == targets.count,
            [yes, no, yesLeaves, noLeaves].allSatisfy({ $0.count == features.count }), tracks.isEmpty || tracks.count == features.count,
            node.attributes["membership_values"] == nil, node.int("post_transform", default: 0) == 0,
            node.attributes["nodes_hitrates"] == nil
        else { return nil }
        switch node.int("aggregate_function", default: 1) {
        case 0: isAverage = true
        case 1: isAverage = false
        default: return nil
        }
        targetCount = node.int("n_targets", default: 0)
        for index in features.indices {
            guard let mode = Mode(rawValue: modes[index]) else { return nil }
            nodes.append(
                Node(
                    column: features[index], mode: mode, threshold: splits!.floats[index],
                    tracksMissing: !tracks.isEmpty && tracks[index] != 0,
                    yes: yesLeaves[index] != 0 ? .leaf(yes[index]) : .node(yes[index]),
                    no: noLeaves[index] != 0 ? .leaf(no[index]) : .node(no[index])))
        }
        roots = node.ints("tree_roots").map { .node($0) }
        leaves = zip(targets, weights!.floats).map { [($0, $1)] }
    }

    /// TreeEnsembleRegressor (leaves of "target") or TreeEnsembleClassifier ("class"), screened.
    ///
    /// - Returns: nil for a form that is left to ONNX Runtime.
    init?(listed node: Graph.Node, leaves kind: String, targetCount: Int) {
        let (trees, numbers, features) = (node.ints("nodes_treeids"), node.ints("nodes_nodeids"), node.ints("nodes_featureids"))
        let (yes, no) = (node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids"))
        let (modes, values) = (node.attributes["nodes_modes"]?.texts ?? [], node.attributes["nodes_values"]?.floats ?? [])
        let tracks = node.ints("nodes_missing_value_tracks_true")
        let leafTrees = node.ints("\(kind)_treeids"), leafNumbers = node.ints("\(kind)_nodeids"), ids = node.ints("\(kind)_ids")
        let weights = node.attributes["\(kind)_weights"]?.floats ?? []
        guard [numbers.count, features.count, yes.count, no.count, modes.count, values.count].allSatisfy({ $0 == trees.count }),
            [leafNumbers.count, ids.count, weights.count].allSatisfy({ $0 == leafTrees.count }),
            tracks.isEmpty || tracks.count == trees.count
        else { return nil }
        self.targetCount = targetCount
        base = node.attributes["base_values"]?.floats ?? []
        struct Key: Hashable { var tree, node: Int }
        var (places, leafPlaces): ([Key: Int], [Int: Int]) = ([:], [:])
        for index in trees.indices {
            places[Key(tree: trees[index], node: numbers[index])] = index
            if modes[index] == "LEAF" {
                leafPlaces[index] = leaves.count
                leaves.append([])
            }
        }
        for index in leafTrees.indices {
            guard let place = places[Key(tree: leafTrees[index], node: leafNumbers[index])], let leaf = leafPlaces[place] else {
                return nil
            }
            leaves[leaf].append((ids[index], weights[index]))
        }
        func child(_ tree: Int, _ number: Int) -> Child? {
            guard let place = places[Key(tree: tree, node: number)] else { return nil }
            return leafPlaces[place].map { .leaf($0) } ?? .node(place)
        }
        let names = ["BRANCH_LEQ": Mode.lessOrEqual, "BRANCH_LT": .less, "BRANCH_GTE": .greaterOrEqual, "BRANCH_GT": .greater]
        var seen: Set<Int> = []
        for index in trees.indices {
            if seen.insert(trees[index]).inserted { roots.append(leafPlaces[index].map { .leaf($0) } ?? .node(index)) }
            // A leaf keeps its place in the list; nothing leads to it as a node.
            let isLeaf = modes[index] == "LEAF"
            guard let mode = isLeaf ? Mode.lessOrEqual : names[modes[index]],
                let yes = isLeaf ? Child.leaf(leafPlaces[index]!) : child(trees[index], yes[index]),
                let no = isLeaf ? Child.leaf(leafPlaces[index]!) : child(trees[index], no[index])
            else { return nil }
            nodes.append(
                Node(
                    column: features[index], mode: mode, threshold: values[index], tracksMissing: !tracks.isEmpty && tracks[index] != 0,
                    yes: yes, no: no))
        }
    }
}

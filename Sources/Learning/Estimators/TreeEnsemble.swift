/// A trained sum of regression trees: for each target (class) a base margin plus one leaf of each of its trees.
///
/// Pure value, independent of the library that grew the trees. A row goes left where `value < threshold`, to a stated side where the
/// value is NaN, and right otherwise: XGBoost's rule.
package struct TreeEnsemble: Sendable, Equatable {
    /// A split or a leaf.
    package struct Node: Sendable, Equatable {
        /// The threshold of a split; the summand of a leaf.
        package var value: Float
        /// Column of the feature a split looks at; negative in a leaf.
        fileprivate var column: Int32
        /// Positions of the children, relative to the tree's first node.
        fileprivate var left: Int32
        fileprivate var right: Int32
        /// Where a split sends NaN.
        package var missingGoesLeft: Bool

        /// - Parameters:
        ///   - left, right: positions of the children in the tree's nodes.
        package static func split(feature: Int, threshold: Float, left: Int, right: Int, missingGoesLeft: Bool) -> Node {
            Node(value: threshold, column: Int32(feature), left: Int32(left), right: Int32(right), missingGoesLeft: missingGoesLeft)
        }

        /// A node where a row ends.
        package static func leaf(_ value: Float) -> Node {
            Node(value: value, column: -1, left: 0, right: 0, missingGoesLeft: false)
        }

        /// A leaf has no feature and no children.
        package var isLeaf: Bool { column < 0 }
        /// Nil in a leaf.
        package var feature: Int? { isLeaf ? nil : Int(column) }
        /// Positions of the children in the tree's nodes; nil in a leaf.
        package var children: (left: Int, right: Int)? { isLeaf ? nil : (Int(left), Int(right)) }
    }

    /// One tree of the ensemble.
    package struct Tree: Sendable, Equatable {
        /// The margin its leaves are added to.
        package let target: Int
        /// The boosting round it was grown in, from 0.
        package let round: Int
        fileprivate let first: Int
        fileprivate let count: Int
    }

    /// Columns a row must have; no split looks at another.
    package let featureCount: Int
    /// What every row starts from, one number a target.
    package private(set) var baseMargins: [Float]
    /// In the order in which their leaves are added.
    package private(set) var trees: [Tree] = []
    /// The nodes of all trees, tree after tree.
    private var nodes: [Node] = []

    /// Classes; margins a row.
    package var targetCount: Int { baseMargins.count }
    /// Over all trees; one more than splits a tree.
    package var leafCount: Int { nodes.count { $0.isLeaf } }
    /// One more than the last round of any tree.
    package var roundCount: Int { (trees.map(\.round).max() ?? -1) + 1 }

    /// An ensemble without trees: every row has the base margins.
    package init(featureCount: Int, baseMargins: [Float]) {
        precondition(featureCount > 0 && !baseMargins.isEmpty, "at least one feature and one target are needed")
        self.featureCount = featureCount
        self.baseMargins = baseMargins
    }

    /// Adds a tree.
    ///
    /// - Parameter nodes: the root first; children stand behind their parent, which rules out circles.
    package mutating func append(target: Int, round: Int, nodes added: [Node]) {
        precondition((0..<targetCount).contains(target) && round >= 0, "target \(target) of \(targetCount), round \(round)")
        precondition(!added.isEmpty, "a tree has at least one leaf")
        for (position, node) in added.enumerated() {
            guard let children = node.children else { continue }
            precondition(Int(node.column) < featureCount, "a split on feature \(node.column) of \(featureCount)")
            let (nearest, farthest) = (min(children.left, children.right), max(children.left, children.right))
            precondition(nearest > position && farthest < added.count, "children stand behind their parent")
        }
        trees.append(Tree(target: target, round: round, first: nodes.count, count: added.count))
        nodes += added
    }

    /// The nodes of a tree, the root first.
    package func nodes(of tree: Tree) -> ArraySlice<Node> { nodes[tree.first..<tree.first + tree.count] }
}

extension TreeEnsemble {
    /// The same ensemble with base margins and leaves multiplied: a temperature, or a share in a bag.
    package func scaled(by factor: Float) -> TreeEnsemble {
        scaled(by: [Float](repeating: factor, count: targetCount))
    }

    /// The same with one factor a target.
    package func scaled(by factors: [Float]) -> TreeEnsemble {
        precondition(factors.count == targetCount, "one factor a target")
        var result = self
        for (target, factor) in factors.enumerated() { result.baseMargins[target] *= factor }
        for tree in trees {
            for position in tree.first..<tree.first + tree.count where nodes[position].isLeaf {
                result.nodes[position].value *= factors[tree.target]
            }
        }
        return result
    }

    /// The sum of both ensembles, which look at the same features; rounds keep their numbers.
    package func joined(with other: TreeEnsemble) -> TreeEnsemble {
        precondition(featureCount == other.featureCount && targetCount == other.targetCount, "ensembles of one shape are needed")
        var result = self
        for target in 0..<targetCount { result.baseMargins[target] += other.baseMargins[target] }
        result.nodes += other.nodes
        result.trees += other.trees.map {
            Tree(target: $0.target, round: $0.round, first: $0.first + nodes.count, count: $0.count)
        }
        return result
    }

    /// One ensemble whose margins are the mean of the members' margins.
    ///
    /// - Parameter members: at least one, all of one shape.
    package static func mean(of members: [TreeEnsemble]) -> TreeEnsemble {
        precondition(!members.isEmpty, "a mean needs a member")
        let parts = members.map { $0.scaled(by: 1 / Float(members.count)) }
        return parts.dropFirst().reduce(parts[0]) { $0.joined(with: $1) }
    }

    /// The first boosting rounds only; of a bag, the first rounds of every member.
    package func prefix(rounds: Int) -> TreeEnsemble {
        var result = TreeEnsemble(featureCount: featureCount, baseMargins: baseMargins)
        for tree in trees where tree.round < rounds {
            result.append(target: tree.target, round: tree.round, nodes: Array(nodes(of: tree)))
        }
        return result
    }
}

extension TreeEnsemble: Predictor {
    /// Rows that walk through a tree together while it is in the cache.
    private static let blockRows = 64

    /// Shape [rows, targets], before softmax.
    ///
    /// Summed in Float, from the base margin on in the order of the trees, as XGBoost does.
    /// - Parameter features: `featureCount` columns.
    package func margins(features: FeatureMatrix) -> [Float] {
        precondition(features.columnCount == featureCount, "\(features.columnCount) columns for \(featureCount) features")
        var result = [Float]()
        result.reserveCapacity(features.rowCount * targetCount)
        for _ in 0..<features.rowCount { result += baseMargins }
        result.withUnsafeMutableBufferPointer { margins in
            features.values.withUnsafeBufferPointer { values in
                nodes.withUnsafeBufferPointer { nodes in
                    for start in stride(from: 0, to: features.rowCount, by: Self.blockRows) {
                        add(rows: start..<min(start + Self.blockRows, features.rowCount), values, nodes, margins)
                    }
                }
            }
        }
        return result
    }

    private func add(
        rows: Range<Int>, _ values: UnsafeBufferPointer<Float>, _ nodes: UnsafeBufferPointer<Node>,
        _ margins: UnsafeMutableBufferPointer<Float>
    ) {
        for tree in trees {
            for row in rows {
                var node = nodes[tree.first]
                while node.column >= 0 {
                    let value = values[row * featureCount + Int(node.column)]
                    // Every comparison with NaN is false.
                    let goesLeft = node.missingGoesLeft ? !(value >= node.value) : value < node.value
                    node = nodes[tree.first + Int(goesLeft ? node.left : node.right)]
                }
                margins[row * targetCount + tree.target] += node.value
            }
        }
    }

    /// Softmax of the margins.
    package func predict(_ features: FeatureMatrix) -> ClassProbabilities {
        ClassProbabilities(classCount: targetCount, logits: margins(features: features))
    }
}

extension TreeEnsemble {
    private static let featuresMax = 1 << 16
    private static let targetsMax = 1 << 12

    /// Every number bit by bit.
    func write(to writer: inout StateWriter) {
        writer.write(count: featureCount)
        writer.write(baseMargins)
        writer.write(count: trees.count)
        for tree in trees {
            let nodes = nodes(of: tree)
            writer.write(count: tree.target)
            writer.write(count: tree.round)
            writer.write(count: nodes.count)
            for node in nodes {
                writer.write(UInt8((node.isLeaf ? 1 : 0) | (node.missingGoesLeft ? 2 : 0)))
                writer.write(node.value)
                guard let children = node.children else { continue }
                writer.write(count: node.feature!)
                writer.write(count: children.left)
                writer.write(count: children.right)
            }
        }
    }

    /// - Throws: `.damaged` for trees that `append` would trap on.
    init(from reader: inout StateReader) throws(StateError) {
        let features = Int(try reader.integer(UInt32.self))
        let margins = try reader.floats()
        guard (1...Self.featuresMax).contains(features), (1...Self.targetsMax).contains(margins.count) else {
            throw .damaged(reason: "trees over \(features) features with \(margins.count) targets")
        }
        self.init(featureCount: features, baseMargins: margins)
        for _ in 0..<(try reader.count(of: "trees", elementBytes: 17)) {
            let target = Int(try reader.integer(UInt32.self)), round = Int(try reader.integer(UInt32.self))
            guard target < margins.count else { throw .damaged(reason: "a tree for target \(target) of \(margins.count)") }
            let count = try reader.count(of: "nodes", elementBytes: 5)
            guard count > 0 else { throw .damaged(reason: "a tree without nodes") }
            var nodes: [Node] = []
            nodes.reserveCapacity(count)
            for position in 0..<count { nodes.append(try Self.node(from: &reader, at: position, of: count, features: features)) }
            append(target: target, round: round, nodes: nodes)
        }
    }

    private static func node(
        from reader: inout StateReader, at position: Int, of count: Int, features: Int
    ) throws(StateError) -> Node {
        let flags = try reader.integer(UInt8.self)
        let value = try reader.float()
        guard flags & 1 == 0 else { return .leaf(value) }
        let feature = Int(try reader.integer(UInt32.self))
        let left = Int(try reader.integer(UInt32.self)), right = Int(try reader.integer(UInt32.self))
        guard feature < features, min(left, right) > position, max(left, right) < count else {
            throw .damaged(reason: "a split on feature \(feature) of \(features) with children \(left) and \(right) of \(count)")
        }
        return .split(feature: feature, threshold: value, left: left, right: right, missingGoesLeft: flags & 2 != 0)
    }
}

extension DenseNetwork {
    func write(to writer: inout StateWriter) {
        writer.write(inputs.columnNames)
        for list in [inputs.filled, inputs.means, inputs.scales] { writer.write(list) }
        writer.write(inputs.clipBound)
        writer.write(count: inputs.indicatorColumns.count)
        for column in inputs.indicatorColumns { writer.write(count: column) }
        for list in [hiddenWeights, hiddenBiases, outputWeights, outputBiases] { writer.write(list) }
    }

    /// - Throws: `.damaged` for numbers that the initialisers would trap on.
    init(from reader: inout StateReader) throws(StateError) {
        let names = try reader.texts()
        let filled = try reader.floats(), means = try reader.floats(), scales = try reader.floats()
        let bound = try reader.float()
        var indicators: [Int] = []
        for _ in 0..<(try reader.count(of: "indicators", elementBytes: 4)) { indicators.append(Int(try reader.integer(UInt32.self))) }
        let hidden = try reader.floats(), hiddenBiases = try reader.floats()
        let output = try reader.floats(), outputBiases = try reader.floats()
        let inputCount = names.count + indicators.count
        guard [filled.count, means.count, scales.count].allSatisfy({ $0 == names.count }), scales.allSatisfy({ $0 > 0 }), bound > 0,
            indicators.allSatisfy(names.indices.contains), hidden.count == inputCount * hiddenBiases.count,
            output.count == hiddenBiases.count * outputBiases.count
        else { throw .damaged(reason: "a network whose weights do not fit its \(inputCount) inputs") }
        self.init(
            inputs: DenseInputs(
                columnNames: names, filled: filled, means: means, scales: scales, clipBound: bound, indicatorColumns: indicators),
            hiddenWeights: hidden, hiddenBiases: hiddenBiases, outputWeights: output, outputBiases: outputBiases)
    }
}

extension BlendedModel {
    private static let networksMax = 64

    func write(to writer: inout StateWriter) {
        trees.write(to: &writer)
        writer.write(count: networks.count)
        for network in networks { network.write(to: &writer) }
        writer.write(networkShare)
    }

    /// - Throws: `.damaged`, also where it was learned from other columns.
    init(from reader: inout StateReader, featureNames: [String]) throws(StateError) {
        let trees = try TreeEnsemble(from: &reader)
        guard trees.featureCount == featureNames.count else {
            throw .damaged(reason: "a model of \(trees.featureCount) columns, the job's rows have \(featureNames.count)")
        }
        var networks: [DenseNetwork] = []
        for _ in 0..<(try reader.count(of: "networks", elementBytes: 48, limit: Self.networksMax)) {
            let network = try DenseNetwork(from: &reader)
            guard network.outputCount == trees.targetCount, network.inputs.columnNames == featureNames else {
                throw .damaged(reason: "a network of other columns or classes than its trees")
            }
            networks.append(network)
        }
        let share = try reader.float()
        guard (0...1).contains(share) else { throw .damaged(reason: "networks have the share \(share)") }
        self.init(trees: trees, networks: networks, networkShare: share)
    }
}

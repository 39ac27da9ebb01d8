/// Trees as flat memory: walked eight at a time without branches, so that the processor never guesses wrongly.
///
/// Every comparison is made `feature <= threshold`. The features of a row are laid out twice: as they are, and with missing ones as negative infinity,
/// for nodes that missing values pass on the left. Behind both lies a NaN that is no feature: a leaf compares with it, always to false, and leads to
/// itself. So all trees of a group take as many steps as their deepest.
///
/// Immutable; any thread may walk it with memory of its own.
final class CompiledTrees {
    /// One node or leaf: 8 bytes.
    struct Node {
        /// Of a leaf: its value, or the number of its weights as bits.
        var threshold: Float
        /// Place in the row's layout.
        var feature: UInt16
        /// Where the true side lies, counted from the tree's beginning; the false side is next to it.
        var yes: UInt16
    }

    /// What is made of the leaves that a row reaches.
    enum Leaves: Equatable {
        /// One number each; each tree adds to one target.
        case numbers
        /// A number for every target each.
        case rows
    }

    static let together = 8
    /// Columns of a row.
    let columns: Int
    let targetCount: Int
    let treeCount: Int
    let leaves: Leaves
    private let isAverage: Bool
    private let nodes: UnsafeMutablePointer<Node>
    private let nodeCount: Int
    /// Eight trees each: where they begin, where their answers go.
    private let groups: UnsafeMutablePointer<Group>
    private let groupCount: Int
    /// Of each target: its trees' answers lie from here, in the order in which they are added.
    private let firsts: [Int]
    private let weights: UnsafeMutablePointer<Float>
    private let weightCount: Int
    private let base: UnsafeMutablePointer<Float>
    /// Where columns are compared at all; for rows to try.
    let thresholds: [[Float]]

    private struct Group {
        var starts: (Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32) = (0, 0, 0, 0, 0, 0, 0, 0)
        var places: (Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32) = (0, 0, 0, 0, 0, 0, 0, 0)
        var depth: Int32 = 0
    }

    /// Floats of memory that a walk needs.
    var scratchCount: Int { 2 * columns + 1 + treeCount + Self.together }

    deinit {
        nodes.deallocate()
        groups.deallocate()
        weights.deallocate()
        base.deallocate()
    }

    /// - Returns: nil for trees of a form that is left to ONNX Runtime.
    init?(_ list: TreeList, columns: Int) {
        let laid = TreeLayout(list, columns: columns)
        guard let laid, columns > 0, 2 * columns + 1 <= 1 << 16 else { return nil }
        (self.columns, targetCount, treeCount) = (columns, list.targetCount, list.roots.count)
        (leaves, isAverage, thresholds) = (laid.leaves, list.isAverage, laid.thresholds)
        nodeCount = laid.nodes.count
        nodes = .allocate(capacity: nodeCount)
        nodes.initialize(from: laid.nodes, count: nodeCount)
        weightCount = laid.weights.count
        weights = .allocate(capacity: max(weightCount, 1))
        weights.initialize(from: laid.weights, count: weightCount)
        base = .allocate(capacity: targetCount)
        base.initialize(repeating: 0, count: targetCount)
        for (target, value) in list.base.enumerated().prefix(targetCount) { base[target] = value }
        // Answers of one target lie together, in the order of its trees.
        var (places, firsts, count): ([Int], [Int], Int) = ([Int](repeating: 0, count: treeCount), [], 0)
        for target in 0..<targetCount {
            firsts.append(count)
            for tree in 0..<treeCount where leaves == .rows ? target == 0 : laid.targets[tree] == target {
                places[tree] = count
                count += 1
            }
        }
        self.firsts = firsts + [count]
        let order = (0..<treeCount).sorted { (laid.depths[$0], $0) < (laid.depths[$1], $1) }
        groupCount = (treeCount + Self.together - 1) / Self.together
        groups = .allocate(capacity: groupCount)
        for number in 0..<groupCount {
            var group = Group()
            let members = (0..<Self.together).map { number * Self.together + $0 }
            withUnsafeMutableBytes(of: &group.starts) { starts in
                for (slot, member) in members.enumerated() {
                    // Where a group is not full, its first tree is walked again, for nobody.
                    let tree = order[member < treeCount ? member : number * Self.together]
                    starts.storeBytes(of: Int32(laid.starts[tree]), toByteOffset: slot * 4, as: Int32.self)
                }
            }
            withUnsafeMutableBytes(of: &group.places) { all in
                for (slot, member) in members.enumerated() {
                    all.storeBytes(
                        of: Int32(member < treeCount ? places[order[member]] : treeCount + slot), toByteOffset: slot * 4, as: Int32.self)
                }
            }
            group.depth = Int32(members.map { laid.depths[order[min($0, treeCount - 1)]] }.max() ?? 0)
            (groups + number).initialize(to: group)
        }
    }

    /// The sums of a row's leaves.
    ///
    /// - Parameters:
    ///   - row: `columns` numbers; NaN is missing.
    ///   - scratch: `scratchCount` numbers of memory.
    ///   - sums: `targetCount` numbers, written.
    func evaluate(_ row: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>, into sums: UnsafeMutablePointer<Float>) {
        let answers = scratch + (2 * columns + 1)
        for column in 0..<columns {
            let value = row[column]
            scratch[column] = value
            scratch[columns + column] = value.isNaN ? -.infinity : value
        }
        scratch[2 * columns] = .nan
        for number in 0..<groupCount { walk(groups + number, UnsafePointer(scratch), answers) }
        switch leaves {
        case .numbers: add(numbers: answers, into: sums)
        case .rows: add(rows: answers, into: sums)
        }
        if isAverage { for target in 0..<targetCount { sums[target] /= Float(treeCount) } }
        for target in 0..<targetCount { sums[target] += base[target] }
    }

    @inline(__always)
    private static func step(_ tree: UnsafePointer<Node>, _ place: UInt16, _ values: UnsafePointer<Float>) -> UInt16 {
        let node = tree[Int(place)]
        return node.yes &+ (values[Int(node.feature)] <= node.threshold ? 0 : 1)
    }

    @inline(__always)
    private func walk(_ group: UnsafePointer<Group>, _ values: UnsafePointer<Float>, _ answers: UnsafeMutablePointer<Float>) {
        let (starts, places) = (group.pointee.starts, group.pointee.places)
        let nodes = UnsafePointer(nodes)
        let (t0, t1, t2, t3) = (nodes + Int(starts.0), nodes + Int(starts.1), nodes + Int(starts.2), nodes + Int(starts.3))
        let (t4, t5, t6, t7) = (nodes + Int(starts.4), nodes + Int(starts.5), nodes + Int(starts.6), nodes + Int(starts.7))
        var (p0, p1, p2, p3): (UInt16, UInt16, UInt16, UInt16) = (0, 0, 0, 0)
        var (p4, p5, p6, p7): (UInt16, UInt16, UInt16, UInt16) = (0, 0, 0, 0)
        for _ in 0..<group.pointee.depth {
            p0 = Self.step(t0, p0, values)
            p1 = Self.step(t1, p1, values)
            p2 = Self.step(t2, p2, values)
            p3 = Self.step(t3, p3, values)
            p4 = Self.step(t4, p4, values)
            p5 = Self.step(t5, p5, values)
            p6 = Self.step(t6, p6, values)
            p7 = Self.step(t7, p7, values)
        }
        answers[Int(places.0)] = t0[Int(p0)].threshold
        answers[Int(places.1)] = t1[Int(p1)].threshold
        answers[Int(places.2)] = t2[Int(p2)].threshold
        answers[Int(places.3)] = t3[Int(p3)].threshold
        answers[Int(places.4)] = t4[Int(p4)].threshold
        answers[Int(places.5)] = t5[Int(p5)].threshold
        answers[Int(places.6)] = t6[Int(p6)].threshold
        answers[Int(places.7)] = t7[Int(p7)].threshold
    }

    /// Sums in the order of the trees, as ONNX Runtime adds; of up to four targets side by side, because each sum waits for the one before it.
    private func add(numbers answers: UnsafePointer<Float>, into sums: UnsafeMutablePointer<Float>) {
        if targetCount == 3, firsts[1] == firsts[2] - firsts[1], firsts[1] == firsts[3] - firsts[2] {
            var (a, b, c): (Float, Float, Float) = (0, 0, 0)
            let count = firsts[1]
            for place in 0..<count {
                a += answers[place]
                b += answers[count + place]
                c += answers[2 * count + place]
            }
            (sums[0], sums[1], sums[2]) = (a, b, c)
            return
        }
        for target in 0..<targetCount {
            var sum: Float = 0
            for place in firsts[target]..<firsts[target + 1] { sum += answers[place] }
            sums[target] = sum
        }
    }

    private func add(rows answers: UnsafePointer<Float>, into sums: UnsafeMutablePointer<Float>) {
        for target in 0..<targetCount { sums[target] = 0 }
        for tree in 0..<treeCount {
            let row = weights + Int(answers[tree].bitPattern) * targetCount
            for target in 0..<targetCount { sums[target] += row[target] }
        }
    }
}

/// Trees as a file lists them, in one form for all three operators.
struct TreeList {
    enum Child { case node(Int), leaf(Int) }

    struct Node {
        var column: Int
        var mode: Mode
        var threshold: Float
        /// Missing values go to the true side.
        var tracksMissing: Bool
        var yes: Child
        var no: Child
    }

    enum Mode: Int { case lessOrEqual, less, greaterOrEqual, greater, equal, notEqual }

    var nodes: [Node] = []
    var roots: [Child] = []
    /// Targets and weights of each leaf, in the file's order.
    var leaves: [[(target: Int, weight: Float)]] = []
    var targetCount = 0
    var base: [Float] = []
    var isAverage = false
}

/// Nodes of all trees one behind the other, each tree level by level.
private struct TreeLayout {
    var nodes: [CompiledTrees.Node] = []
    var starts: [Int] = []
    var depths: [Int] = []
    /// Of each tree, where all its leaves have one.
    var targets: [Int] = []
    var weights: [Float] = []
    var leaves = CompiledTrees.Leaves.numbers
    var thresholds: [[Float]]
    private static let depthMax = 64
    private static let nodesMax = 1 << 22

    init?(_ list: TreeList, columns: Int) {
        guard !list.roots.isEmpty, !list.leaves.isEmpty, 1...4096 ~= list.targetCount else { return nil }
        thresholds = Array(repeating: [], count: columns)
        if !list.leaves.allSatisfy({ $0.count == 1 }) {
            // A number for every target, in their order.
            guard list.leaves.allSatisfy({ $0.map(\.target) == Array(0..<list.targetCount) }), list.leaves.count < 1 << 24 else {
                return nil
            }
            leaves = .rows
            weights = list.leaves.flatMap { $0.map(\.weight) }
        }
        for root in list.roots { guard add(root, list, columns) else { return nil } }
    }

    private mutating func add(_ root: TreeList.Child, _ list: TreeList, _ columns: Int) -> Bool {
        let start = nodes.count
        starts.append(start)
        var (level, depth, target): ([(child: TreeList.Child, place: Int)], Int, Int?) = ([(root, start)], 0, nil)
        nodes.append(CompiledTrees.Node(threshold: 0, feature: 0, yes: 0))
        while !level.isEmpty {
            var next: [(TreeList.Child, Int)] = []
            for (child, place) in level {
                switch child {
                case .leaf(let leaf):
                    let value: Float
                    if leaves == .numbers {
                        guard target ?? list.leaves[leaf][0].target == list.leaves[leaf][0].target else { return false }
                        target = list.leaves[leaf][0].target
                        value = list.leaves[leaf][0].weight
                    } else {
                        value = Float(bitPattern: UInt32(leaf))
                    }
                    nodes[place] = CompiledTrees.Node(
                        threshold: value, feature: UInt16(2 * columns), yes: UInt16(truncatingIfNeeded: place - start - 1))
                case .node(let number):
                    let pair = nodes.count
                    guard pair - start + 2 <= 1 << 16, pair < Self.nodesMax, depth < Self.depthMax,
                        let (made, isSwapped) = node(list.nodes[number], columns, pair - start)
                    else { return false }
                    nodes[place] = made
                    nodes.append(contentsOf: [made, made])
                    let (yes, no) = (list.nodes[number].yes, list.nodes[number].no)
                    next += isSwapped ? [(no, pair), (yes, pair + 1)] : [(yes, pair), (no, pair + 1)]
                }
            }
            if !next.isEmpty { depth += 1 }
            level = next
        }
        depths.append(depth)
        targets.append(target ?? 0)
        return true
    }

    /// A comparison as `<=`, and whether its sides change places for that; nil for one that is left to ONNX Runtime.
    private mutating func node(_ node: TreeList.Node, _ columns: Int, _ pair: Int) -> (CompiledTrees.Node, Bool)? {
        guard node.column < columns, !node.threshold.isNaN else { return nil }
        let (threshold, isSwapped): (Float, Bool)
        switch node.mode {
        case .lessOrEqual: (threshold, isSwapped) = (node.threshold, false)
        case .less: (threshold, isSwapped) = (node.threshold.nextDown, false)
        case .greaterOrEqual: (threshold, isSwapped) = (node.threshold.nextDown, true)
        case .greater: (threshold, isSwapped) = (node.threshold, true)
        case .equal, .notEqual: return nil
        }
        // Nothing is below negative infinity, which stands for missing values.
        guard threshold != node.threshold || node.mode == .lessOrEqual || node.mode == .greater else { return nil }
        thresholds[node.column].append(node.threshold)
        // A missing value must reach the true side of the file where it is tracked, and its false side otherwise.
        let isToLeft = node.tracksMissing != isSwapped
        return (
            CompiledTrees.Node(threshold: threshold, feature: UInt16(node.column + (isToLeft ? columns : 0)), yes: UInt16(pair)), isSwapped
        )
    }
}

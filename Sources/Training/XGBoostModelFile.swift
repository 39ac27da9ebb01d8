package import Learning

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The part of XGBoost's JSON model (dmlc/xgboost, doc/model.schema, versions 1.7 to 3.x) that predictions need.
struct XGBoostModelFile {
    private let learner: Learner

    /// - Throws: `TrainingError.unreadableModel` with the decoder's word.
    init(_ bytes: Data) throws(TrainingError) {
        do {
            learner = try JSONDecoder().decode(File.self, from: bytes).learner
        } catch {
            throw .unreadableModel("\(error)")
        }
    }

    /// - Throws: `TrainingError.unreadableModel` for another booster than gbtree, categorical or vector splits, or a broken tree.
    func ensemble() throws(TrainingError) -> TreeEnsemble {
        let (parameters, booster) = (learner.learner_model_param, learner.gradient_booster)
        guard booster.name == "gbtree", let model = booster.model else {
            throw .unreadableModel("its booster is \(booster.name); only gbtree can be turned into a tree ensemble")
        }
        guard let featureCount = Int(parameters.num_feature), featureCount > 0, featureCount <= Self.featuresMax else {
            throw .unreadableModel("num_feature is \(parameters.num_feature)")
        }
        let targetCount = max(1, Int(parameters.num_class) ?? 1)
        var result = TreeEnsemble(
            featureCount: featureCount, baseMargins: try Self.baseMargins(parameters.base_score, count: targetCount))
        let targets = model.tree_info
        guard targets.count == model.trees.count, targets.allSatisfy({ (0..<targetCount).contains($0) }) else {
            throw .unreadableModel("tree_info names other classes than 0..<\(targetCount) or another number of trees")
        }
        // A round adds the same number of trees each time: classes × parallel trees.
        let perRound = targetCount * max(1, Int(model.gbtree_model_param?.num_parallel_tree ?? "1") ?? 1)
        for (index, tree) in model.trees.enumerated() {
            let nodes = try tree.nodes(index: index, featureCount: featureCount)
            result.append(target: targets[index], round: index / perRound, nodes: nodes)
        }
        return result
    }

    /// Bound on num_feature, far above any table here.
    private static let featuresMax = 1 << 20

    /// One number for all classes ("5E-1", until 3.0) or a list with one a class ("[1E-1,-2E-1,1E-1]"); margins, because softmax has no
    /// inverse that XGBoost would apply.
    private static func baseMargins(_ text: String, count: Int) throws(TrainingError) -> [Float] {
        let numbers = text.filter { $0 != "[" && $0 != "]" && $0 != " " }.split(separator: ",").map { Float($0) }
        guard numbers.count == 1 || numbers.count == count, !numbers.contains(where: { !($0?.isFinite ?? false) }) else {
            throw .unreadableModel("base_score is \"\(text)\"; one number or \(count) are expected")
        }
        let margins = numbers.compactMap { $0 }
        return margins.count == count ? margins : [Float](repeating: margins[0], count: count)
    }
}

extension XGBoostModelFile {
    private struct File: Decodable { let learner: Learner }

    private struct Learner: Decodable {
        let learner_model_param: Parameters
        let gradient_booster: Booster
    }

    private struct Parameters: Decodable {
        let base_score: String
        let num_class: String
        let num_feature: String
    }

    private struct Booster: Decodable {
        let name: String
        let model: Model?
    }

    private struct Model: Decodable {
        struct Parameters: Decodable { let num_parallel_tree: String? }
        let gbtree_model_param: Parameters?
        let tree_info: [Int]
        let trees: [Tree]
    }

    private struct Tree: Decodable {
        let left_children: [Int]
        let right_children: [Int]
        let split_indices: [Int]
        /// Thresholds of splits and, in the same list, values of leaves.
        let split_conditions: [Float]
        let default_left: [Flag]
        let split_type: [Int]?

        /// The reachable nodes, parents before children: XGBoost leaves holes and re-uses them when it prunes.
        func nodes(index: Int, featureCount: Int) throws(TrainingError) -> [TreeEnsemble.Node] {
            let count = left_children.count
            let lengths = [right_children.count, split_indices.count, split_conditions.count, default_left.count]
            guard count > 0, lengths.allSatisfy({ $0 == count }) else {
                throw .unreadableModel("tree \(index) has lists of different lengths, or is a vector-leaf tree")
            }
            guard split_type?.allSatisfy({ $0 == 0 }) ?? true else { throw .unreadableModel("tree \(index) has categorical splits") }
            var order = [0]
            var children: [(left: Int, right: Int)?] = []
            while children.count < order.count {
                let old = order[children.count]
                guard left_children[old] != -1 else {
                    children.append(nil)
                    continue
                }
                let pair = [left_children[old], right_children[old]]
                guard pair.allSatisfy({ (0..<count).contains($0) }), order.count + 2 <= count, split_indices[old] < featureCount,
                    split_indices[old] >= 0
                else { throw .unreadableModel("tree \(index), node \(old): children \(pair), feature \(split_indices[old])") }
                children.append((order.count, order.count + 1))
                order += pair
            }
            return zip(order, children).map { old, children in
                guard let children else { return .leaf(split_conditions[old]) }
                return .split(
                    feature: split_indices[old], threshold: split_conditions[old], left: children.left, right: children.right,
                    missingGoesLeft: default_left[old].isSet)
            }
        }
    }

    /// 0 or 1 until 1.7, true or false or a number later.
    private struct Flag: Decodable {
        let isSet: Bool

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int.self) {
                isSet = number != 0
            } else {
                isSet = try container.decode(Bool.self)
            }
        }
    }
}

extension GradientBoostedTrees {
    /// The trained trees as a value, those of `roundsUsed` rounds only: its margins are the ones XGBoost predicts with.
    ///
    /// - Throws: `TrainingError.refused` or `.unreadableModel`.
    package func ensemble() throws(TrainingError) -> TreeEnsemble {
        try XGBoostModelFile(try savedModel()).ensemble().prefix(rounds: roundsUsed)
    }
}

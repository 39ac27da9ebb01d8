/// Trees and small networks that vote together: their margins are averaged, the networks' among themselves first.
package struct BlendedModel: Sendable, Equatable {
    /// Boosted on all rows to be learned from.
    package let trees: TreeEnsemble
    /// May be none; all see the trees' columns in the same order.
    package let networks: [DenseNetwork]
    /// Weight of the networks' mean margin, 0...1; the trees have the rest.
    package let networkShare: Float

    /// Traps where trees and networks have other classes or the share lies outside 0...1; without networks the share becomes 0.
    package init(trees: TreeEnsemble, networks: [DenseNetwork], networkShare: Float) {
        precondition((0...1).contains(networkShare), "a share lies in 0...1, found \(networkShare)")
        precondition(networks.allSatisfy { $0.outputCount == trees.targetCount }, "trees and networks must have the same classes")
        self.trees = trees
        self.networks = networks
        self.networkShare = networks.isEmpty ? 0 : networkShare
    }

    /// That of the trees, and of every network.
    package var classCount: Int { trees.targetCount }

    /// Shape [rows, classes], row-major: natural-log odds but for a constant a row.
    package func margins(_ features: FeatureMatrix) -> [Float] {
        var blended = trees.margins(features: features)
        guard !networks.isEmpty else { return blended }
        for index in blended.indices { blended[index] *= 1 - networkShare }
        for network in networks {
            let weight = networkShare / Float(networks.count)
            for (index, margin) in network.margins(features).enumerated() { blended[index] += weight * margin }
        }
        return blended
    }
}

package import Learning

/// Which sites and persons have been met in which data set, by the hashes that models know them by: what a node needs of a model's corrections is
/// told by the data sets that lie there. Pure.
package struct AdapterPlaces: Sendable, Equatable {
    /// Data sets of a job, and inputs of a model.
    package static let namesMax = 4096
    private static let mark: UInt32 = 0x504c_4b53
    private static let version: UInt16 = 1

    /// By data set, then by the model's input (`site`, `person`).
    package private(set) var hashes: [String: [String: Set<UInt32>]] = [:]

    /// None met yet.
    package init() {}

    /// Adds what some rows of a data set are of; rows of nobody add nothing.
    ///
    /// - Parameter keys: by input, one a row.
    package mutating func add(_ keys: [String: [String?]], of dataset: String) {
        for (input, keys) in keys {
            let met = Set(keys.lazy.map { AdapterTable.hash($0) }.filter { $0 != 0 })
            hashes[dataset, default: [:]][input, default: []].formUnion(met)
        }
    }

    /// What has been met in any of some data sets, by input; inputs that were met nowhere at all are not among them.
    package func union(_ datasets: [String]) -> [String: Set<UInt32>] {
        var all: [String: Set<UInt32>] = [:]
        for input in hashes.values.flatMap(\.keys) { all[input] = [] }
        for dataset in datasets { for (input, met) in hashes[dataset] ?? [:] { all[input]!.formUnion(met) } }
        return all
    }

    // MARK: Bytes

    /// Equal values give equal bytes.
    package var bytes: [UInt8] {
        var writer = StateWriter()
        writer.write(Self.mark)
        writer.write(Self.version)
        writer.write(count: hashes.count)
        for (dataset, inputs) in hashes.sorted(by: { $0.key < $1.key }) {
            writer.write(dataset)
            writer.write(count: inputs.count)
            for (input, met) in inputs.sorted(by: { $0.key < $1.key }) {
                writer.write(input)
                writer.write(count: met.count)
                for hash in met.sorted() { writer.write(hash) }
            }
        }
        return writer.bytes
    }

    /// Reads what `bytes` has written.
    ///
    /// - Throws: `StateError` for anything else.
    package init(_ bytes: [UInt8]) throws(StateError) {
        var reader = StateReader(bytes)
        guard try reader.integer(UInt32.self) == Self.mark else { throw .foreign(expected: "list of sites by data set") }
        let version = try reader.integer(UInt16.self)
        guard version <= Self.version else { throw .newer(version: Int(version), known: Int(Self.version)) }
        for _ in 0..<(try reader.count(of: "data sets", elementBytes: 8, limit: Self.namesMax)) {
            let dataset = try reader.text()
            var inputs: [String: Set<UInt32>] = [:]
            for _ in 0..<(try reader.count(of: "inputs", elementBytes: 8, limit: Self.namesMax)) {
                let input = try reader.text()
                var met: Set<UInt32> = []
                for _ in 0..<(try reader.count(of: "sites", elementBytes: 4)) { met.insert(try reader.integer(UInt32.self)) }
                inputs[input] = met
            }
            hashes[dataset] = inputs
        }
        try reader.finish()
    }
}

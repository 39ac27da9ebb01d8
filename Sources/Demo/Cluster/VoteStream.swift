import Learning
import ThermalComfort

/// The votes of the pool as the edges get them: each city belongs to an edge, and its votes come to that edge's file round by round.
struct VoteStream: Sendable {
    private let database: ComfortDatabase
    private let records: [Int: ComfortRecord]
    /// Leakage group of each row of the split, by record.
    private let groups: [Int: String]
    private let edgeOfCity: [String: Int]
    /// Number of edges.
    let edges: Int

    /// Gives each city to the edge that has the fewest votes so far, the largest first.
    init(_ source: ComfortSource, edges: Int) {
        database = source.database
        records = Dictionary(uniqueKeysWithValues: source.database.records.map { ($0.recordID, $0) })
        groups = Dictionary(uniqueKeysWithValues: source.rows.map { ($0.recordID, $0.group) })
        self.edges = edges
        var votes: [String: Int] = [:]
        for row in source.rows { votes[Self.city(records[row.recordID]!, source.database), default: 0] += 1 }
        var (owners, load): ([String: Int], [Int]) = ([:], [Int](repeating: 0, count: edges))
        for (city, count) in votes.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
            let edge = load.indices.min { load[$0] < load[$1] }!
            owners[city] = edge
            load[edge] += count
        }
        edgeOfCity = owners
    }

    private static func city(_ record: ComfortRecord, _ database: ComfortDatabase) -> String { database.buildings[record.buildingID]!.city }

    /// Number of the edge that a row's city belongs to, from 0.
    func edge(ofBuilding building: Int) -> Int { edgeOfCity[database.buildings[building]!.city]! }

    /// Cities of each edge, in order.
    var cities: [[String]] { (0..<edges).map { edge in edgeOfCity.filter { $0.value == edge }.map(\.key).sorted() } }

    static var header: [UInt8] { csvLine(ComfortStream.columns) }

    /// Fields of votes with their labels, in the order of `ComfortStream.columns`.
    ///
    /// - Parameter ids: of records whose labels were bought.
    func fields(_ ids: [Int]) -> [[String]] {
        ids.map { id in
            let record = records[id]!
            return ComfortStream.fields(record, database.buildings[record.buildingID]!, group: groups[id]!, isLabelled: true)
        }
    }

    /// Lines of votes for each edge's file. Of a vote whose label was not bought there is nothing but what is known before anyone votes.
    ///
    /// - Parameters:
    ///   - ids: of records of the pool.
    ///   - labelled: those whose labels were bought.
    func lines(_ ids: [Int], labelled: Set<Int>) -> [(bytes: [UInt8], count: Int)] {
        var result = [(bytes: [UInt8], count: Int)](repeating: ([], 0), count: edges)
        for id in ids {
            let record = records[id]!
            let building = database.buildings[record.buildingID]!
            let edge = edgeOfCity[building.city]!
            result[edge].bytes += csvLine(
                ComfortStream.fields(record, building, group: groups[id]!, isLabelled: labelled.contains(id)))
            result[edge].count += 1
        }
        return result
    }
}

import Learning
import Resources

/// Which round of the job each held-out row came in with, as its controller says: what the R matrix is made of.
///
/// `TEST_ROUNDS` holds entries joined by `;`: `ROUND=FILE` names a file of `TEST_DATASET_URL`, `ROUND=FROM-TO` rows of the data set that the one
/// file's rows are drawn of, by `TEST_SPLIT` (share that trains, seed).
struct TestRounds {
    private struct Range {
        var round: Int
        var from: Int64
        var to: Int64
    }

    private var files: [String: Int] = [:]
    private var ranges: [Range] = []
    private var split = DatasetSplit(.eval, trainShare: 0, seed: 0)

    /// Nil where the job does not tell rounds apart.
    ///
    /// - Throws: `WorkerInputError` naming the entry.
    init?(_ settings: WorkerSettings) throws(WorkerInputError) {
        let entries = settings.list("TEST_ROUNDS", separator: ";")
        guard !entries.isEmpty else { return nil }
        for entry in entries {
            let parts = entry.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let round = Int(parts[0]), round >= 0 else {
                throw WorkerInputError("TEST_ROUNDS: found \"\(entry.prefix(80))\", expected ROUND=FILE or ROUND=FROM-TO")
            }
            let ends = parts[1].split(separator: "-").compactMap { Int64($0) }
            if ends.count == 2, parts[1] == "\(ends[0])-\(ends[1])" {
                ranges.append(Range(round: round, from: ends[0], to: ends[1]))
            } else {
                files[parts[1]] = round
            }
        }
        guard !ranges.isEmpty else { return }
        let numbers = settings.list("TEST_SPLIT", separator: ",")
        guard numbers.count == 2, let share = Double(numbers[0]), (0...1).contains(share), let seed = UInt64(numbers[1]) else {
            throw WorkerInputError(
                "TEST_SPLIT=\((settings["TEST_SPLIT"] ?? "").prefix(40)): expected the share of rows that train and a seed, as 0.8,0")
        }
        split = DatasetSplit(.eval, trainShare: share, seed: seed)
    }

    /// - Parameter tables: the files of `TEST_DATASET_URL` with the numbers of their rows, in order.
    /// - Returns: one a row; nil for a row of no round that is named.
    func rounds(of tables: [(path: String, count: Int)]) -> [Int?] {
        guard !ranges.isEmpty else { return tables.flatMap { [Int?](repeating: files[$0.path], count: $0.count) } }
        // One file of the node's own rows: drawn by lot, in their order.
        let count = tables.reduce(0) { $0 + $1.count }
        var found: [Int?] = []
        let sorted = ranges.sorted { $0.from < $1.from }
        let last = sorted.map(\.to).max() ?? 0
        var place = 0, row: Int64 = 0
        while row < last, found.count < count {
            defer { row += 1 }
            guard split.contains(row) else { continue }
            while place < sorted.count, row >= sorted[place].to { place += 1 }
            found.append(place < sorted.count && row >= sorted[place].from ? sorted[place].round : nil)
        }
        return found + [Int?](repeating: nil, count: count - found.count)
    }
}

import Crypto
import Learning

/// Where a row stands in the lifelong-learning protocol.
package struct SplitRow: Sendable, Equatable {
    /// A pool row's label can be bought; a test row's is only for the judge.
    package enum Part: String, Sendable { case pool, test }

    /// Names a record of the database; each once in a split.
    package var recordID: Int
    /// 0…5, by the year of the building's survey.
    package var round: Int
    /// In the main split a leakage group is in one part as a whole; a split file is not checked for it.
    package var part: Part
    /// Leakage group: rows that must not be divided between pool and test.
    package var group: String
    /// Rank of a pool row within its (building, season), spread evenly over time; nil for a test row.
    package var siteRank: Int?
    /// May be trained on when only few labels are bought.
    package var isLabelledFew: Bool
    /// May be trained on when every pool row is labelled.
    package var isLabelledFull: Bool
}

/// Why a split file was refused.
package enum SplitError: Error, Equatable, CustomStringConvertible {
    case doubledRecord(line: Int, id: Int)
    case unknownRecord(line: Int, id: Int)
    case invalid(line: Int, column: String, found: String, allowed: String)
    case labelledTestRow(line: Int, id: Int)
    case emptyPart(SplitRow.Part)

    /// One sentence: the line and column at fault, the value found, and what is allowed.
    package var description: String {
        switch self {
        case .doubledRecord(let line, let id): "split, line \(line): record_id \(id) occurs a second time; keep one row"
        case .unknownRecord(let line, let id):
            "split, line \(line): record_id \(id) is not among the prepared rows of the data set; remove the line"
        case .invalid(let line, let column, let found, let allowed):
            "split, line \(line), column \"\(column)\": found \"\(found)\", allowed: \(allowed)"
        case .labelledTestRow(let line, let id):
            "split, line \(line): record_id \(id) is a test row with a label for training; set lab_few and lab_full to 0"
        case .emptyPart(let part): "the split has no \(part.rawValue) row; column \"part\" takes pool or test"
        }
    }
}

/// Divides a prepared database into pool and test, rounds and label budgets.
package enum ComfortSplit {
    /// Labels bought for one (building, season) after round 0 in mode `few`.
    package static let fewLabelsPerSite = 20
    /// Number of rounds of the protocol.
    package static let roundCount = 6

    /// The round of a survey year.
    package static func round(ofYear year: Int) -> Int {
        [1994, 1996, 2003, 2010, 2012].firstIndex { year <= $0 } ?? 5
    }

    /// The first 12 hexadecimal digits of SHA-256 of `salt|text`, as a fraction of 16^12: a hash in 0..<1 that every language computes alike.
    package static func fraction(_ text: String, salt: String) -> Double {
        let digest = SHA256.hash(data: Array("\(salt)|\(text)".utf8))
        let head = digest.prefix(6).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Double(head) / Double(UInt64(1) << 48)
    }

    /// The order in which n rows in time order are labelled so that any first k of them are spread evenly (van der Corput, base 2).
    ///
    /// - Returns: the position of the row with rank 0, 1, …; each of 0..<n once.
    package static func spreadOrder(_ n: Int) -> [Int] {
        guard n > 0 else { return [] }
        var taken = [Bool](repeating: false, count: n)
        var order: [Int] = []
        for k in 0..<n {
            let position = Int(Double(n) * reversedBits(k))
            if !taken[position] {
                taken[position] = true
                order.append(position)
            }
        }
        return order + taken.indices.filter { !taken[$0] }
    }

    private static func reversedBits(_ k: Int) -> Double {
        var rest = k, weight = 0.5, value = 0.0
        while rest > 0 {
            if rest & 1 == 1 { value += weight }
            rest >>= 1
            weight /= 2
        }
        return value
    }

    /// The protocol's main split, in order of record id.
    package static func main(_ database: ComfortDatabase) -> [SplitRow] {
        let bySite = Dictionary(grouping: database.records.indices) { database.records[$0].site }
        var rows: [SplitRow] = database.records.map { record in
            let round = round(ofYear: database.buildings[record.buildingID]!.year)
            return SplitRow(
                recordID: record.recordID, round: round, part: .test, group: "", siteRank: nil, isLabelledFew: false,
                isLabelledFull: false)
        }
        for (site, indices) in bySite {
            let groups = leakageGroups(site, indices, database.records)
            for (index, group) in zip(indices, groups) { rows[index].group = group }
            let pool = poolRows(site, indices, groups, database.records)
            for index in pool {
                rows[index].part = .pool
                rows[index].isLabelledFull = true
            }
            rank(pool, database.records, &rows)
        }
        return rows
    }

    /// A group is a day of a building, else a person in it, else a block of 20 consecutive records.
    static func leakageGroups(_ site: String, _ indices: [Int], _ records: [ComfortRecord]) -> [String] {
        indices.enumerated().map { position, index in
            let record = records[index]
            if !record.date.isEmpty { return "\(site)/d\(record.date)" }
            if !record.subjectID.isEmpty { return "\(site)/s\(record.subjectID)" }
            return "\(site)/k\(position / 20)"
        }
    }

    private static func poolRows(_ site: String, _ indices: [Int], _ groups: [String], _ records: [ComfortRecord]) -> [Int] {
        if Set(groups).count == 1 { return fraction(site, salt: "atcii") < 0.5 ? indices : [] }
        return earlierHalf(indices, groups, records)
    }

    /// Rows of the groups that come first in time, about half of all; no group is divided.
    private static func earlierHalf(_ indices: [Int], _ groups: [String], _ records: [ComfortRecord]) -> [Int] {
        let members = Dictionary(grouping: zip(indices, groups), by: \.1).mapValues { $0.map(\.0) }
        // Undated groups come before every date, as the empty text sorts first.
        let ordered = members.values.map { group in
            (date: group.map { records[$0].date }.filter { !$0.isEmpty }.min().map(String.init) ?? "", first: group[0], rows: group)
        }.sorted { ($0.date, $0.first) < ($1.date, $1.first) }
        var pool: [Int] = []
        var before = 0
        for group in ordered {
            if 2 * before + group.rows.count <= indices.count { pool += group.rows }
            before += group.rows.count
        }
        return pool
    }

    /// Whether a row belongs to the later half of its site's rows among these; leakage groups are not divided, and a site with a single one
    /// has no later half.
    package static func isInLaterHalf(_ rows: ComfortRows) -> [Bool] {
        let records = (0..<rows.count).map(rows.record)
        var isLater = [Bool](repeating: false, count: rows.count)
        for (site, indices) in Dictionary(grouping: records.indices, by: { records[$0].site }) {
            let groups = leakageGroups(site, indices, records)
            guard Set(groups).count > 1 else { continue }
            for index in indices { isLater[index] = true }
            for index in earlierHalf(indices, groups, records) { isLater[index] = false }
        }
        return isLater
    }

    private static func rank(_ pool: [Int], _ records: [ComfortRecord], _ rows: inout [SplitRow]) {
        let inTime = pool.sorted {
            let (a, b) = (records[$0], records[$1])
            return (a.timestamp, a.recordID) < (b.timestamp, b.recordID)
        }
        for (rank, position) in spreadOrder(inTime.count).enumerated() {
            let index = inTime[position]
            rows[index].siteRank = rank
            rows[index].isLabelledFew = rows[index].round == 0 || rank < fewLabelsPerSite
        }
    }

    /// Share of the rows that the random row split gives to the pool.
    package static let randomPoolShare = 0.8

    /// The leaky split of the published claim, as far as it can be guessed: each row is pool with probability 0.8, every pool row is
    /// labelled, and there is one round. Rows of one day, room and person fall on both sides, so its figures flatter; only to be quoted as
    /// leaky.
    package static func randomRow(_ database: ComfortDatabase, seed: UInt64) -> [SplitRow] {
        var generator = SeededGenerator(seed: seed)
        return main(database).map { row in
            var row = row
            let isPool = Double.random(in: 0..<1, using: &generator) < randomPoolShare
            row.round = 0
            row.part = isPool ? .pool : .test
            (row.isLabelledFew, row.isLabelledFull, row.siteRank) = (isPool, isPool, nil)
            return row
        }
    }

    /// Reads a split file (columns record_id, round, part, group, rank_bs, lab_few, lab_full) that replaces the main split.
    ///
    /// It may name duplicates; `ComfortDatabase.keep` takes them back.
    /// - Returns: its rows in order of record id; rows of the database that it does not name are left out.
    package static func read(_ next: () throws -> [UInt8]?, for database: ComfortDatabase) throws -> [SplitRow] {
        let known = Set((database.records + database.duplicates).map(\.recordID))
        var seen: Set<Int> = []
        var rows: [SplitRow] = []
        let required = ["record_id", "round", "part", "group", "rank_bs", "lab_few", "lab_full"]
        try readCSV(next, required: required) { line, fields, columns in
            func text(_ name: String) -> String { fields[columns.index(name)] }
            func whole(_ name: String, in allowed: ClosedRange<Int>) throws -> Int {
                guard let value = Int(text(name)), allowed.contains(value) else {
                    let range = "whole numbers from \(allowed.lowerBound) to \(allowed.upperBound)"
                    throw SplitError.invalid(line: line, column: name, found: text(name), allowed: range)
                }
                return value
            }
            let id = try whole("record_id", in: 0...Int(Int32.max))
            guard known.contains(id) else { throw SplitError.unknownRecord(line: line, id: id) }
            guard seen.insert(id).inserted else { throw SplitError.doubledRecord(line: line, id: id) }
            guard let part = SplitRow.Part(rawValue: text("part")) else {
                throw SplitError.invalid(line: line, column: "part", found: text("part"), allowed: "pool, test")
            }
            let few = try whole("lab_few", in: 0...1) == 1
            let full = try whole("lab_full", in: 0...1) == 1
            if part == .test && (few || full) { throw SplitError.labelledTestRow(line: line, id: id) }
            let hasRank = !["", "-1"].contains(text("rank_bs"))
            rows.append(
                SplitRow(
                    recordID: id, round: try whole("round", in: 0...roundCount - 1), part: part, group: text("group"),
                    siteRank: hasRank ? try whole("rank_bs", in: 0...Int(Int32.max)) : nil, isLabelledFew: few,
                    isLabelledFull: full))
        }
        for part in [SplitRow.Part.pool, .test] where !rows.contains(where: { $0.part == part }) {
            throw SplitError.emptyPart(part)
        }
        return rows.sorted { $0.recordID < $1.recordID }
    }
}

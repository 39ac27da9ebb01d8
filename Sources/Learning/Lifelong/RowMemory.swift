/// The rows that a job has learned from so far: kept, or only known by name and given again in each round.
struct RowMemory: Sendable {
    /// Whether rows go into the state.
    let keepsRows: Bool
    /// With `schema.neededColumns`; between rounds empty where rows are not kept.
    private(set) var rows: TextTable
    /// Names of all rows learned from so far, labelled or not, in their order.
    private(set) var ids: [Int] = []

    /// No row yet.
    init(_ schema: TabularSchema, keepsRows: Bool) {
        self.keepsRows = keepsRows
        rows = TextTable(columns: schema.neededColumns, source: "earlier rounds")
    }

    /// Forgets at the end of a round what is not to be kept.
    mutating func close() {
        if !keepsRows { rows = TextTable(columns: rows.columns, source: rows.source) }
    }

    /// Makes `rows` and `ids` all rows that count in this round.
    ///
    /// - Returns: how many rows of earlier rounds are not among them.
    mutating func merge(_ given: TextTable, _ schema: TabularSchema) throws(TableError) -> Int {
        guard given.count > 0 || !rows.rows.isEmpty else {
            throw TableError(
                .noLabels, "\(given.source): no row below the header; give rows with labels in column \"\(schema.roles.label)\"")
        }
        let names = try schema.ids(given)
        let position = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
        let again = ids.count { position[$0] != nil }
        // By name alone where rows have names. Else a table that holds most of the earlier rows is their grown table; any other brings new ones.
        let isGrown = schema.roles.id != nil || !keepsRows || 2 * again >= ids.count && again > 0
        guard isGrown else {
            // All new, although some may look like earlier ones.
            let fresh = try schema.ids(given, besides: Set(ids))
            try rows.append(contentsOf: given)
            ids += fresh
            return 0
        }
        let keepsAbsent = keepsRows && schema.roles.id != nil
        var (all, allIDs) = (TextTable(columns: given.columns, source: given.source), [Int]())
        let old = Dictionary(uniqueKeysWithValues: ids.enumerated().map { ($1, $0) })
        var absent = 0
        for (place, id) in ids.enumerated() {
            if let found = position[id] {
                all.append(given.rows[found], line: given.lines[found])
            } else if keepsAbsent {
                all.append(rows.rows[place], line: rows.lines[place])
            } else {
                absent += 1
                continue
            }
            allIDs.append(id)
        }
        for (place, id) in names.enumerated() where old[id] == nil {
            all.append(given.rows[place], line: given.lines[place])
            allIDs.append(id)
        }
        (rows, ids) = (all, allIDs)
        return absent
    }
}

extension RowMemory {
    func write(to writer: inout StateWriter) {
        writer.write(keepsRows)
        writer.write(block: keepsRows && !ids.isEmpty ? rows.csv : [])
        writer.write(count: ids.count)
        for id in ids { writer.write(Int64(id)) }
    }

    /// - Parameter source: the file, for messages.
    /// - Throws: `StateError`, `TableError`.
    init(from reader: inout StateReader, _ schema: TabularSchema, source: String) throws {
        keepsRows = try reader.claim()
        var csv: [UInt8]? = try reader.block()
        let columns = schema.neededColumns, name = "the rows in \(source)"
        if csv!.isEmpty {
            rows = TextTable(columns: columns, source: name)
        } else {
            let table = try TextTable(source: name) {
                defer { csv = nil }
                return csv
            }
            rows = try table.selecting(columns)
        }
        for _ in 0..<(try reader.count(of: "row names", elementBytes: 8)) { ids.append(Int(try reader.integer(Int64.self))) }
        guard !keepsRows || rows.count == ids.count, Set(ids).count == ids.count else {
            throw StateError.damaged(reason: "\(rows.count) rows with \(ids.count) names")
        }
    }
}

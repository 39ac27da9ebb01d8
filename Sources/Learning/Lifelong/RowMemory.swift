/// The rows that a job has learned from so far: kept, or only known by name and given again in each round.
struct RowMemory: Sendable {
    /// Whether rows go into the state.
    private(set) var keepsRows: Bool
    /// With `schema.neededColumns`; between rounds empty where rows are not kept.
    private(set) var rows: TextTable
    /// Names of all rows learned from so far, labelled or not, in their order.
    private(set) var ids: [Int] = []

    /// No row yet.
    init(_ schema: TabularSchema, keepsRows: Bool) {
        self.keepsRows = keepsRows
        rows = TextTable(columns: schema.neededColumns, source: "earlier rounds")
    }

    /// Rows that another job's state held: they stay.
    init(keeping rows: TextTable, ids: [Int]) { (keepsRows, self.rows, self.ids) = (true, rows, ids) }

    /// From the next round on rows go into the state; it must be given them all.
    mutating func keep() { keepsRows = true }

    /// The rows of both; of a name that both have, the other's.
    func joined(_ own: RowMemory) -> (rows: TextTable, ids: [Int]) {
        guard !ids.isEmpty else { return (own.rows, own.ids) }
        let names = Set(own.ids)
        let mine = ids.indices.filter { !names.contains(ids[$0]) }
        var all = TextTable(columns: rows.columns, source: own.rows.source)
        for row in mine { all.append(rows.rows[row], line: rows.lines[row]) }
        for (row, line) in zip(own.rows.rows, own.rows.lines) { all.append(row, line: line) }
        return (all, mine.map { ids[$0] } + own.ids)
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
        // Rows that were only known by name so far are not here to be kept.
        let holdsRows = keepsRows && rows.count == ids.count
        let position = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
        let again = ids.count { position[$0] != nil }
        // By name alone where rows have names. Else a table that holds most of the earlier rows is their grown table; any other brings new ones.
        let isGrown = schema.roles.id != nil || !holdsRows || 2 * again >= ids.count && again > 0
        guard isGrown else {
            // All new, although some may look like earlier ones.
            let fresh = try schema.ids(given, besides: Set(ids))
            try rows.append(contentsOf: given)
            ids += fresh
            return 0
        }
        let keepsAbsent = holdsRows && schema.roles.id != nil
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
    /// What another job took and remembers, as this one's from now on.
    ///
    /// - Parameters:
    ///   - memory: of the job that wrote the state.
    ///   - keepsRows: whether this job's own rows are kept.
    /// - Throws: `TableError` where that job's rows are not in its state.
    func takenOver(
        _ memory: RowMemory, _ schema: TabularSchema, keepsRows: Bool, source: String
    ) throws(TableError) -> (taken: RowMemory, memory: RowMemory) {
        guard memory.rows.count == memory.ids.count else {
            throw TableError(
                .noLabels,
                "\(source): the state holds none of its \(memory.ids.count) rows, as they stay on their node, and without them its tasks and"
                    + " sites would be forgotten; set STATE_ROWS=kept where it is trained, or spec.privacy.rule: all of a job that shares it"
            )
        }
        let (rows, ids) = joined(memory)
        return (RowMemory(keeping: rows, ids: ids), RowMemory(schema, keepsRows: keepsRows))
    }

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

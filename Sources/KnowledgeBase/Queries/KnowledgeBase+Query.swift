package import Storage

/// How much a query may take.
package struct QueryLimits: Equatable, Sendable {
    /// A query with more rows gives these and then fails with `.sizeLimit`.
    package var rowsMax = 10_000
    /// From the query's compilation to its last row; a longer one fails with `.timeLimit`.
    package var time: Duration = .seconds(10)
    /// Bytes of all texts and blobs of the result.
    package var bytesMax = 64 << 20

    /// The bounds shown at the properties, meant for a person's query at a terminal.
    package init() {}
}

extension KnowledgeBase {
    /// Options of a connection that people's queries run on: it cannot write, and every size is bounded.
    ///
    /// - Parameter wait: how long to wait for another connection's lock.
    package static func readingOptions(wait: Duration = .seconds(5)) -> SQLiteOptions {
        var options = SQLiteOptions(.readOnly)
        options.busyTimeout = wait
        options.limits.valueBytesMax = 1 << 20
        options.limits.statementBytesMax = 64 << 10
        return options
    }

    /// Runs one SELECT of a person and gives its rows to `sink`.
    ///
    /// It only reads, whatever it says: SQLite's compiler asks about every action, and all but selecting, reading and calling functions is
    /// refused. To be called on a connection with `readingOptions`, which could not write either.
    ///
    /// - Parameter now: a clock that only goes forward; asked during the query.
    /// - Throws: `.refusedQuery` with the reason, or with line, column and what is wrong there; `.timeLimit`; `.sizeLimit`, after the rows
    ///   that fit; `SQLiteError` for a damaged or locked file; what `sink` throws.
    package func query(
        _ sql: String, _ limits: QueryLimits = QueryLimits(), now: @escaping () -> Duration, into sink: inout some RowSink
    ) throws {
        database.setAuthorizer(Self.refusal)
        defer { database.setAuthorizer(nil) }
        let end = now() + limits.time
        do {
            try database.interrupted(when: { now() >= end }) {
                try sink.begin(try columns(of: sql))
                try addRows(of: sql, limits, to: &sink)
            }
        } catch let error as SQLiteError {
            throw explained(error, sql, limits)
        }
    }

    private func columns(of sql: String) throws -> [RowColumn] {
        let names = try database.columnNames(sql)
        guard !names.isEmpty else { throw KnowledgeError(.refusedQuery, "the statement returns no rows; a query begins with SELECT") }
        return names.map { RowColumn(name: $0) }
    }

    private func addRows(of sql: String, _ limits: QueryLimits, to sink: inout some RowSink) throws {
        var rowCount = 0
        var byteCount = 0
        var excess: String?
        try database.forEachWhile(sql) { row in
            if rowCount == limits.rowsMax { excess = "more than \(limits.rowsMax) rows" }
            for column in 0..<row.columnCount { byteCount += row.byteCount(column) }
            if byteCount > limits.bytesMax { excess = "more than \(limits.bytesMax) bytes" }
            guard excess == nil else { return false }
            try sink.add((0..<row.columnCount).map { row[$0] })
            rowCount += 1
            return true
        }
        try sink.end()
        if let excess {
            throw KnowledgeError(
                .sizeLimit,
                "the result has \(excess); the first \(rowCount) rows were given: ask for less with WHERE or LIMIT, or raise --rows-max")
        }
    }

    /// Why an action is none of a query; nil for one that only reads.
    private static func refusal(_ action: SQLiteAction) -> String? {
        let what: String
        switch action.kind {
        case .select, .read: return nil
        case .function:
            guard action.detail?.lowercased() == "load_extension" else { return nil }
            what = "load_extension would run foreign code"
        case .write: what = "it would write to \(action.subject ?? "a table")"
        case .schema: what = "it would change the table, view or index \(action.subject ?? "")"
        case .attach: what = "ATTACH would open another file"
        case .pragma: what = "PRAGMA \(action.subject ?? "") is not allowed"
        case .transaction: what = "BEGIN, COMMIT and SAVEPOINT are not allowed"
        case .other: what = "it would do more than read"
        }
        return "the query is refused: \(what); a query only reads: send one SELECT"
    }

    private func explained(_ error: SQLiteError, _ sql: String, _ limits: QueryLimits) -> any Error {
        switch error.code {
        case .denied: return KnowledgeError(.refusedQuery, error.message)
        case .interrupted:
            return KnowledgeError(
                .timeLimit, "the query was stopped after \(limits.time); ask for less, or raise --time-limit")
        case .tooBig:
            return KnowledgeError(.sizeLimit, "the query is refused: \(error.message); ask for shorter values or a shorter statement")
        case .statement:
            let place = error.offset.map { Self.place(of: $0, in: sql) } ?? "the query"
            return KnowledgeError(.refusedQuery, "\(place): \(error.message)\(remedy(for: error.message))")
        default: return error
        }
    }

    /// Line and column, counted from 1, of a byte.
    private static func place(of offset: Int, in sql: String) -> String {
        let before = String(decoding: sql.utf8.prefix(offset), as: UTF8.self)
        let lines = before.split(separator: "\n", omittingEmptySubsequences: false)
        return "line \(lines.count), column \((lines.last?.count ?? 0) + 1) of the query"
    }

    private func remedy(for message: String) -> String {
        database.setAuthorizer(nil)
        if message.hasPrefix("no such table") {
            let views = try? database.map("SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name") { try $0.text(0) }
            return "; the views are \((views ?? []).joined(separator: ", "))"
        }
        return message.hasPrefix("no such column")
            ? "; texts stand in 'single quotes', and SELECT * FROM the view LIMIT 1 shows its columns" : "; a query is one SELECT"
    }
}

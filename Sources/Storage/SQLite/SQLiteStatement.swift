import CSQLite

/// A prepared statement. Knows its connection's pointer but does not keep it open; `SQLiteDatabase` outlives its statements.
final class SQLiteStatement {
    let handle: OpaquePointer
    let sql: String
    let database: String
    private let connection: OpaquePointer
    /// Set while rows are read, so that a nested use of the same text prepares a second statement.
    var isRunning = false

    init(_ handle: OpaquePointer, sql: String, connection: OpaquePointer, database: String) {
        self.handle = handle
        self.sql = sql
        self.connection = connection
        self.database = database
    }

    deinit { sqlite3_finalize(handle) }

    var columnCount: Int { Int(sqlite3_column_count(handle)) }

    func columnName(_ column: Int) -> String { sqlite3_column_name(handle, Int32(column)).map { String(cString: $0) } ?? "" }

    func error(_ code: SQLiteError.Code, _ message: String) -> SQLiteError {
        SQLiteError(code, message, database: database, statement: sql)
    }

    func bind(_ values: [SQLiteValue]) throws(SQLiteError) {
        let expected = Int(sqlite3_bind_parameter_count(handle))
        guard values.count == expected else {
            throw error(.invalidValue, "the statement has \(expected) placeholders, \(values.count) values were given")
        }
        for (index, value) in values.enumerated() { try bind(value, Int32(index + 1)) }
    }

    private func bind(_ value: SQLiteValue, _ index: Int32) throws(SQLiteError) {
        let result: Int32
        switch value {
        case .null: result = sqlite3_bind_null(handle, index)
        case .integer(let number): result = sqlite3_bind_int64(handle, index, number)
        case .real(let number):
            guard !number.isNaN else { throw error(.invalidValue, "value \(index) is NaN, which SQLite cannot hold; bind null") }
            result = sqlite3_bind_double(handle, index, number)
        case .text(var text):
            // Empty text and blobs may have no address, which SQLite would take for null.
            result =
                text.isEmpty
                ? skerry_sqlite3_bind_text(handle, index, "", 0)
                : text.withUTF8 { bytes in
                    bytes.withMemoryRebound(to: CChar.self) {
                        skerry_sqlite3_bind_text(handle, index, $0.baseAddress, UInt64($0.count))
                    }
                }
        case .blob(let bytes):
            result =
                bytes.isEmpty
                ? sqlite3_bind_zeroblob(handle, index, 0)
                : bytes.withUnsafeBytes { skerry_sqlite3_bind_blob(handle, index, $0.baseAddress, UInt64($0.count)) }
        }
        if result != SQLITE_OK { throw failure(result) }
    }

    /// Moves to the next row; false at the end.
    func step() throws(SQLiteError) -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: true
        case SQLITE_DONE: false
        case let result: throw failure(result)
        }
    }

    /// Ready for other values; the last failure has been reported by `step`.
    func reset() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    private func failure(_ result: Int32) -> SQLiteError {
        SQLiteError(result, connection, database: database, statement: sql)
    }
}

/// Statements by their text. Holds at most `countMax`; beyond it the least recently used one is finalized.
struct SQLiteStatementCache {
    static let countMax = 64
    private var statements: [String: (statement: SQLiteStatement, lastUse: UInt64)] = [:]
    private var useCount: UInt64 = 0

    mutating func idle(_ sql: String) -> SQLiteStatement? {
        guard let entry = statements[sql], !entry.statement.isRunning else { return nil }
        useCount += 1
        statements[sql]!.lastUse = useCount
        return entry.statement
    }

    mutating func insert(_ statement: SQLiteStatement) {
        useCount += 1
        statements[statement.sql] = (statement, useCount)
        guard statements.count > Self.countMax else { return }
        let oldest = statements.min { $0.value.lastUse < $1.value.lastUse }!
        statements[oldest.key] = nil
    }

    mutating func removeAll() { statements = [:] }
}

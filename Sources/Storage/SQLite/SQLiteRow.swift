import CSQLite

/// The row a statement stands on; lives only inside the closure that is given it.
package struct SQLiteRow: ~Copyable {
    let statement: SQLiteStatement

    /// Number of columns.
    package var columnCount: Int { Int(sqlite3_data_count(statement.handle)) }

    /// The value of a column, counted from 0. Text that is no UTF-8 is repaired with U+FFFD.
    package subscript(column: Int) -> SQLiteValue {
        let index = checked(column)
        return switch sqlite3_column_type(statement.handle, index) {
        case SQLITE_INTEGER: .integer(sqlite3_column_int64(statement.handle, index))
        case SQLITE_FLOAT: .real(sqlite3_column_double(statement.handle, index))
        case SQLITE_TEXT: .text(String(decoding: textBytes(index), as: UTF8.self))
        case SQLITE_BLOB: .blob(blobBytes(index))
        default: .null
        }
    }

    /// - Throws: `.mismatch` when the column holds no integer.
    package func int(_ column: Int) throws(SQLiteError) -> Int {
        try require(column, SQLITE_INTEGER, "integer")
        return Int(sqlite3_column_int64(statement.handle, Int32(column)))
    }

    /// A number; integers are converted.
    ///
    /// - Throws: `.mismatch` when the column holds neither a real nor an integer.
    package func double(_ column: Int) throws(SQLiteError) -> Double {
        if sqlite3_column_type(statement.handle, checked(column)) != SQLITE_INTEGER { try require(column, SQLITE_FLOAT, "real") }
        return sqlite3_column_double(statement.handle, Int32(column))
    }

    /// - Throws: `.mismatch` when the column holds no text, or text that is no UTF-8.
    package func text(_ column: Int) throws(SQLiteError) -> String {
        try require(column, SQLITE_TEXT, "text")
        guard let text = String(validating: textBytes(Int32(column)), as: UTF8.self) else {
            throw statement.error(.mismatch, "column \(column) (\(statement.columnName(column))) holds text that is no UTF-8")
        }
        return text
    }

    /// - Throws: `.mismatch` when the column holds no blob.
    package func blob(_ column: Int) throws(SQLiteError) -> [UInt8] {
        try require(column, SQLITE_BLOB, "blob")
        return blobBytes(Int32(column))
    }

    /// Whether the column is null. Ask before the typed reader where null is a legal value.
    package func isNull(_ column: Int) -> Bool { sqlite3_column_type(statement.handle, checked(column)) == SQLITE_NULL }

    /// - Throws: as `int(_:)`, but null is nil.
    package func optionalInt(_ column: Int) throws(SQLiteError) -> Int? { isNull(column) ? nil : try int(column) }

    /// - Throws: as `double(_:)`, but null is nil.
    package func optionalDouble(_ column: Int) throws(SQLiteError) -> Double? { isNull(column) ? nil : try double(column) }

    /// - Throws: as `text(_:)`, but null is nil.
    package func optionalText(_ column: Int) throws(SQLiteError) -> String? { isNull(column) ? nil : try text(column) }

    /// Bytes of a text or blob without copying it; 0 for numbers and null.
    package func byteCount(_ column: Int) -> Int {
        switch sqlite3_column_type(statement.handle, checked(column)) {
        case SQLITE_TEXT, SQLITE_BLOB: Int(sqlite3_column_bytes(statement.handle, Int32(column)))
        default: 0
        }
    }

    private func checked(_ column: Int) -> Int32 {
        precondition(column >= 0 && column < columnCount, "column \(column) of a row with \(columnCount)")
        return Int32(column)
    }

    private func require(_ column: Int, _ type: Int32, _ name: String) throws(SQLiteError) {
        if sqlite3_column_type(statement.handle, checked(column)) == type { return }
        throw statement.error(
            .mismatch, "column \(column) (\(statement.columnName(column))) holds \(self[column].typeName), not \(name)")
    }

    private func textBytes(_ index: Int32) -> UnsafeBufferPointer<UInt8> {
        // The pointer first: asking for the length first may convert the value and move it.
        let start = sqlite3_column_text(statement.handle, index)
        return UnsafeBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(statement.handle, index)))
    }

    private func blobBytes(_ index: Int32) -> [UInt8] {
        let start = sqlite3_column_blob(statement.handle, index)
        return [UInt8](UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(statement.handle, index))))
    }
}

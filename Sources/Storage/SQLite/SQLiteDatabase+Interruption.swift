import CSQLite

extension SQLiteDatabase {
    /// Instructions of SQLite's machine between two questions of `interrupted(when:_:)`: some tens of microseconds.
    private static let instructionsBetween: Int32 = 2000

    /// Stops this connection from another thread.
    package var interrupter: SQLiteInterrupter { SQLiteInterrupter(connection) }

    /// Runs `body`; a statement in it fails with `.interrupted` soon after `condition` has become true.
    ///
    /// The condition is asked every 2,000 instructions, on this thread; it must not use the database. Not to be nested.
    package func interrupted<Result>(when condition: @escaping () -> Bool, _ body: () throws -> Result) rethrows -> Result {
        let question = Question(condition)
        return try withExtendedLifetime(question) {
            sqlite3_progress_handler(
                connection.handle, Self.instructionsBetween,
                { pointer in Unmanaged<Question>.fromOpaque(pointer!).takeUnretainedValue().ask() ? 1 : 0 },
                Unmanaged.passUnretained(question).toOpaque())
            defer { sqlite3_progress_handler(connection.handle, 0, nil, nil) }
            return try body()
        }
    }
}

/// Gives SQLite an address for the closure.
private final class Question {
    let ask: () -> Bool
    init(_ ask: @escaping () -> Bool) { self.ask = ask }
}

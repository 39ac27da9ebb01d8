import TestKit
import Testing

import Storage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#endif

/// A folder that is gone after `body`.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let path = FileManager.default.temporaryDirectory.path + "/skerry-\(UInt64.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

/// The code of the `SQLiteError` that `body` throws; nil for no error.
func sqliteCode(_ body: () throws -> Void) throws -> SQLiteError.Code? {
    do {
        try body()
        return nil
    } catch let error as SQLiteError {
        return error.code
    }
}

@Suite(.offThePool) struct SQLiteDatabaseTests {
    @Test(
        arguments: [
            .null, 0, -1, .integer(.min), .integer(.max), 0.5, .real(-.infinity), .real(.leastNonzeroMagnitude), "", "å🌡️\u{301}", "a\0b",
            .blob([]),
            .blob([0, 255, 0]), .text(String(repeating: "é", count: 100_000)),
        ] as [SQLiteValue])
    func `a value comes back as it was written`(_ value: SQLiteValue) throws {
        let database = try SQLiteDatabase(.memory)
        #expect(try database.value("SELECT ?", [value]) == value)
        try database.execute("CREATE TABLE t (v)")
        try database.execute("INSERT INTO t VALUES (?)", [value])
        #expect(try database.value("SELECT v FROM t") == value)
    }

    @Test func `a value that SQLite cannot hold is refused`() throws {
        let database = try SQLiteDatabase(.memory)
        #expect(try sqliteCode { _ = try database.value("SELECT ?", [.real(.nan)]) } == .invalidValue)
        #expect(try sqliteCode { _ = try database.value("SELECT ?", []) } == .invalidValue)
        #expect(try sqliteCode { _ = try database.value("SELECT 1", [1]) } == .invalidValue)
        let long = SQLiteValue.blob([UInt8](repeating: 0, count: SQLiteLimits().valueBytesMax + 1))
        #expect(try sqliteCode { _ = try database.value("SELECT ?", [long]) } == .tooBig)
        #expect(try database.value("SELECT ?", [7]) == 7, "the statement is usable after a refusal")
    }

    @Test func `a column of another type than asked for is an error that names the column`() throws {
        let database = try SQLiteDatabase(.memory)
        let error = #expect(throws: SQLiteError.self) {
            try database.forEach("SELECT 'x' AS season") { row in _ = try row.int(0) }
        }
        #expect(error?.code == .mismatch)
        #expect(error?.description.contains("season") == true)
        #expect(try sqliteCode { try database.forEach("SELECT CAST(x'ff' AS TEXT)") { _ = try $0.text(0) } } == .mismatch)
        let read = try database.first("SELECT NULL, 3, 'x'") { row in (try row.optionalText(0), try row.double(1), try row.text(2)) }
        #expect(read?.0 == nil && read?.1 == 3 && read?.2 == "x")
    }

    @Test func `a file is written ahead, synced and checks its foreign keys`() throws {
        try withTemporaryFolder { folder in
            let database = try SQLiteDatabase(.file(folder + "/a.db"))
            #expect(try database.value("PRAGMA journal_mode") == "wal")
            #expect(try database.value("PRAGMA synchronous") == 3)
            try database.executeScript("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a);")
            #expect(try sqliteCode { try database.execute("INSERT INTO b VALUES (1)") } == .constraint(.foreignKey))
            try database.execute("INSERT INTO a VALUES (1)")
            #expect(database.lastInsertedRowID == 1)
            #expect(try sqliteCode { try database.execute("INSERT INTO a VALUES (1)") } == .constraint(.unique))
        }
    }

    @Test func `a transaction that throws leaves nothing`() throws {
        struct Stop: Error {}
        let database = try SQLiteDatabase(.memory)
        try database.execute("CREATE TABLE t (v)")
        #expect(throws: Stop.self) {
            try database.transaction {
                try database.execute("INSERT INTO t VALUES (1)")
                throw Stop()
            }
        }
        #expect(try database.value("SELECT count(*) FROM t") == 0)
        #expect(try database.transaction { try database.execute("INSERT INTO t VALUES (1), (2)") } == 2)
        #expect(try database.value("SELECT count(*) FROM t") == 2)
    }

    @Test func `a reader sees the last commit while a writer writes, and a second writer is told to wait`() throws {
        try withTemporaryFolder { folder in
            let file = SQLiteLocation.file(folder + "/a.db")
            let writer = try SQLiteDatabase(file)
            try writer.execute("CREATE TABLE t (v)")
            let reader = try SQLiteDatabase(file, SQLiteOptions(.readOnly))
            var impatient = SQLiteOptions(.readWrite)
            impatient.busyTimeout = .milliseconds(1)
            let second = try SQLiteDatabase(file, impatient)
            try writer.transaction {
                try writer.execute("INSERT INTO t VALUES (1)")
                #expect(try reader.value("SELECT count(*) FROM t") == 0)
                let code = try sqliteCode { _ = try second.transaction { try second.execute("INSERT INTO t VALUES (2)") } }
                #expect(code == .busy)
            }
            #expect(try reader.value("SELECT count(*) FROM t") == 1)
            try reader.transaction(.reading) {
                #expect(try reader.value("SELECT count(*) FROM t") == 1)
                try writer.execute("INSERT INTO t VALUES (3)")
                #expect(try reader.value("SELECT count(*) FROM t") == 1, "one state for the whole transaction")
            }
            #expect(try sqliteCode { try reader.execute("INSERT INTO t VALUES (2)") } == .readOnly)
        }
    }

    @Test func `a full database refuses a transaction as a whole and stays usable`() throws {
        try withTemporaryFolder { folder in
            var options = SQLiteOptions()
            options.pageCountMax = 20
            let database = try SQLiteDatabase(.file(folder + "/a.db"), options)
            try database.execute("CREATE TABLE t (v)")
            let error = #expect(throws: SQLiteError.self) {
                try database.transaction {
                    for _ in 0..<100 { try database.execute("INSERT INTO t VALUES (?)", [.blob([UInt8](repeating: 7, count: 4000))]) }
                }
            }
            #expect(error?.code == .full)
            #expect(error?.isRetryable == true)
            #expect(error?.description.contains("no space left") == true)
            #expect(try database.value("SELECT count(*) FROM t") == 0)
            #expect(try database.execute("INSERT INTO t VALUES (1)") == 1)
        }
    }

    @Test func `files that are no databases, are damaged or missing are told apart`() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/a.db"
            func opened(_ access: SQLiteOptions.Access) throws -> SQLiteError.Code? {
                try sqliteCode { _ = try SQLiteDatabase(.file(path), SQLiteOptions(access)) }
            }
            #expect(try opened(.readOnly) == .cannotOpen)
            #expect(try opened(.readWrite) == .cannotOpen)
            #expect(!FileManager.default.fileExists(atPath: path))
            try Data("record_id,round,method\n".utf8).write(to: URL(filePath: path))
            #expect(try opened(.readOnly) == .notADatabase)
            #expect(try opened(.create) == .notADatabase)
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "record_id,round,method\n", "left as it was")
            try FileManager.default.removeItem(atPath: path)
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            #expect(try opened(.create) == .cannotOpen)
        }
    }

    @Test func `special names of SQLite are plain file names`() throws {
        try withTemporaryFolder { folder in
            for name in [":memory:", "file:x?mode=memory"] {
                let path = folder + "/" + name
                try SQLiteDatabase(.file(path)).execute("CREATE TABLE t (v)")
                #expect(FileManager.default.fileExists(atPath: path))
            }
            #expect(try sqliteCode { _ = try SQLiteDatabase(.file("")) } == .cannotOpen)
            #expect(try sqliteCode { _ = try SQLiteDatabase(.file(folder + "/a\0b")) } == .cannotOpen)
        }
    }

    @Test func `a private file can be read by its owner only, its write-ahead log too`() throws {
        try withTemporaryFolder { folder in
            var options = SQLiteOptions()
            options.isPrivate = true
            let database = try SQLiteDatabase(.file(folder + "/a.db"), options)
            try database.execute("CREATE TABLE t (v)")
            for name in ["a.db", "a.db-wal"] {
                var status = stat()
                #expect(stat(folder + "/" + name, &status) == 0)
                #expect(status.st_mode & 0o777 == 0o600, "\(name)")
            }
        }
    }

    @Test(arguments: ["", "  ;", "-- nothing", "SELECT 1; SELECT 2", "SELECT 1; nonsense", "SELECT 1\0; SELECT 2", "SELEC 1"])
    func `only one whole statement is taken at a time`(_ sql: String) throws {
        let database = try SQLiteDatabase(.memory)
        #expect(try sqliteCode { try database.execute(sql) } == .statement)
    }

    @Test func `a statement may end in semicolons, blanks and comments`() throws {
        #expect(try SQLiteDatabase(.memory).value("SELECT 3 ; ; -- three\n /* ; */ ;\n") == 3)
    }

    @Test func `the same statement can be used inside its own rows`() throws {
        let database = try SQLiteDatabase(.memory)
        var pairs: [[Int]] = []
        let sql = "WITH t(v) AS (VALUES (1), (2)) SELECT v FROM t ORDER BY v"
        try database.forEach(sql) { outer in
            let first = try outer.int(0)
            try database.forEach(sql) { inner in pairs.append([first, try inner.int(0)]) }
        }
        #expect(pairs == [[1, 1], [1, 2], [2, 1], [2, 2]])
    }

    @Test func `more statements than are kept still work`() throws {
        let database = try SQLiteDatabase(.memory)
        for round in 0..<2 {
            for number in 0..<200 {
                #expect(try database.value("SELECT \(number) + ?", [SQLiteValue(round)]) == SQLiteValue(number + round))
            }
        }
    }

    @Test func `a statement that never ends is stopped by a condition and from another thread`() async throws {
        let forever = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n) SELECT count(*) FROM n"
        let database = try SQLiteDatabase(.memory)
        var questions = 0
        let code = try sqliteCode {
            try database.interrupted(when: {
                questions += 1; return questions > 3
            }) { _ = try database.value(forever) }
        }
        #expect(code == .interrupted)
        #expect(questions == 4)
        #expect(try database.value("SELECT 1") == 1)

        let interrupter = database.interrupter
        let stopper = Task.detached {
            // Interrupting an idle connection does nothing, so it is repeated until the statement has been caught.
            while !Task.isCancelled {
                interrupter.interrupt()
                await Task.yield()
            }
        }
        #expect(try sqliteCode { _ = try database.value(forever) } == .interrupted)
        stopper.cancel()
    }

    @Test func `an authorizer's refusal carries its reason, and ends with it`() throws {
        let database = try SQLiteDatabase(.memory)
        try database.execute("CREATE TABLE secret (v)")
        database.setAuthorizer { $0.kind == .read && $0.subject == "secret" ? "secret is not for you" : nil }
        let error = #expect(throws: SQLiteError.self) { try database.execute("SELECT v FROM secret") }
        #expect(error?.code == .denied)
        #expect(error?.description == "secret is not for you")
        #expect(try database.value("SELECT 1") == 1)
        database.setAuthorizer(nil)
        #expect(try database.value("SELECT count(v) FROM secret") == 0)
    }

    @Test func `a misspelt column is an error, not a text`() throws {
        let database = try SQLiteDatabase(.memory)
        try database.execute("CREATE TABLE t (v)")
        #expect(try sqliteCode { try database.execute("SELECT * FROM t WHERE \"w\" = 1") } == .statement)
    }
}

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

@Suite(.offThePool) struct SQLiteBackupTests {
    private func names(_ folder: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }

    @Test func `a backup holds the last commit, without a write-ahead log, while a writer writes`() throws {
        try withTemporaryFolder { folder in
            let writer = try SQLiteDatabase(.file(folder + "/a.db"))
            try writer.execute("CREATE TABLE t (v)")
            try writer.execute("INSERT INTO t VALUES (1)")
            let reader = try SQLiteDatabase(.file(folder + "/a.db"), SQLiteOptions(.readOnly))
            try writer.transaction {
                try writer.execute("INSERT INTO t VALUES (2)")
                try reader.backup(to: folder + "/b.db")
            }
            let copy = try SQLiteDatabase(.file(folder + "/b.db"), SQLiteOptions(.readOnly))
            #expect(try copy.value("SELECT count(*) FROM t") == 1)
            #expect(try copy.value("PRAGMA integrity_check") == "ok")
            #expect(try names(folder) == ["a.db", "a.db-shm", "a.db-wal", "b.db"])
        }
    }

    @Test func `a backup replaces a file only when told to, and never the database itself or one in use`() throws {
        try withTemporaryFolder { folder in
            let database = try SQLiteDatabase(.file(folder + "/a.db"))
            try database.execute("CREATE TABLE t (v)")
            try Data("precious".utf8).write(to: URL(filePath: folder + "/b.db"))
            #expect(try sqliteCode { try database.backup(to: folder + "/b.db") } == .cannotOpen)
            #expect(try String(contentsOfFile: folder + "/b.db", encoding: .utf8) == "precious")
            try database.backup(to: folder + "/b.db", replace: true)
            let copy = try SQLiteDatabase(.file(folder + "/b.db"))
            #expect(try copy.value("SELECT count(*) FROM t") == 0)
            try copy.execute("INSERT INTO t VALUES (5)")
            #expect(try sqliteCode { try database.backup(to: folder + "/b.db", replace: true) } == .cannotOpen, "it is in use")
            #expect(
                try sqliteCode { try database.backup(to: folder + "/../" + folder.split(separator: "/").last! + "/a.db", replace: true) }
                    == .cannotOpen)
            #expect(try database.value("PRAGMA quick_check") == "ok")
        }
    }

    @Test func `a backup that fails leaves no file`() throws {
        try withTemporaryFolder { folder in
            let database = try SQLiteDatabase(.file(folder + "/a.db"))
            #expect(try sqliteCode { try database.backup(to: folder + "/missing/b.db") } == .cannotOpen)
            try database.execute("CREATE TABLE t (v)")
            for _ in 0..<50 { try database.execute("INSERT INTO t VALUES (zeroblob(4000))") }
            try database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            #expect(truncate(folder + "/a.db", 8192) == 0)
            // The write-ahead log's index, held by the writer, still counts 50 pages more: a copy would take them as zeros.
            let reader = try SQLiteDatabase(.file(folder + "/a.db"), SQLiteOptions(.readOnly))
            #expect(try sqliteCode { try reader.backup(to: folder + "/b.db") } == .corrupt)
            #expect(try !names(folder).contains { $0.hasPrefix("b.db") })
        }
    }
}

@Suite(.offThePool) struct SQLiteSchemaTests {
    let first = SQLiteSchema(purpose: "herbarium", applicationID: 77, steps: ["CREATE TABLE plant (name TEXT)"])
    var second: SQLiteSchema {
        SQLiteSchema(
            purpose: "herbarium", applicationID: 77,
            steps: first.steps + ["ALTER TABLE plant ADD COLUMN leaves INTEGER DEFAULT 0; CREATE TABLE root (depth)"])
    }

    @Test func `an old file gets only the steps it misses and keeps its rows`() throws {
        try withTemporaryFolder { folder in
            let file = SQLiteLocation.file(folder + "/a.db")
            let old = try SQLiteDatabase(file)
            try old.migrate(to: first)
            try old.migrate(to: first)
            try old.execute("INSERT INTO plant VALUES ('oak')")
            let new = try SQLiteDatabase(file)
            #expect(try new.version(of: second) == 1)
            try new.migrate(to: second)
            #expect(try new.version(of: second) == 2)
            #expect(try new.value("SELECT name || leaves FROM plant") == "oak0")
        }
    }

    @Test func `a newer file and a database of another purpose are refused`() throws {
        let newer = try SQLiteDatabase(.memory)
        try newer.migrate(to: second)
        let error = #expect(throws: SQLiteError.self) { try newer.migrate(to: first) }
        #expect(error?.code == .newerSchema)
        #expect(error?.description.contains("version 2") == true)
        let foreign = try SQLiteDatabase(.memory)
        try foreign.execute("CREATE TABLE bookmarks (url)")
        #expect(try sqliteCode { try foreign.migrate(to: first) } == .foreignSchema)
        try foreign.execute("PRAGMA application_id = 78")
        #expect(try sqliteCode { try foreign.migrate(to: first) } == .foreignSchema)
        #expect(try foreign.value("SELECT count(*) FROM sqlite_master") == 1)
    }

    @Test func `a step that fails leaves the version before it`() throws {
        let database = try SQLiteDatabase(.memory)
        try database.migrate(to: first)
        let broken = SQLiteSchema(purpose: "herbarium", applicationID: 77, steps: first.steps + ["CREATE TABLE x (a); CREATE TABLE x (b)"])
        #expect(try sqliteCode { try database.migrate(to: broken) } == .statement)
        #expect(try database.version(of: broken) == 1)
        #expect(try database.value("SELECT count(*) FROM sqlite_master") == 1)
    }
}

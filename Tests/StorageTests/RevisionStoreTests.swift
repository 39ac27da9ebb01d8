import Storage
import Synchronization
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@Suite(.offThePool) struct RevisionStoreTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func withFile<Result>(_ body: (String) async throws -> Result) async throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "skerry-revisions-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try await body(folder.appending(path: "store.db").path)
    }

    @Test func `writes are taken only at the revision they expect`() async throws {
        let store = try RevisionStore(.memory)
        #expect(try await store.write(.create("pods", "a", bytes("1"))) == 1)
        await #expect(throws: RevisionError.exists(revision: 1)) { try await store.write(.create("pods", "a", bytes("2"))) }
        #expect(try await store.write(.update("pods", "a", bytes("2"), from: 1)) == 2)
        await #expect(throws: RevisionError.changed(revision: 2)) { try await store.write(.update("pods", "a", bytes("3"), from: 1)) }
        await #expect(throws: RevisionError.changed(revision: 2)) { try await store.write(.delete("pods", "a", from: 1)) }
        await #expect(throws: RevisionError.missing) { try await store.write(.update("pods", "b", bytes("3"), from: 1)) }
        #expect(store.get("pods", "a") == .init(name: "a", bytes: bytes("2"), created: 1, revision: 2))
        #expect(try await store.write(.delete("pods", "a", from: 2)) == 3)
        #expect(store.get("pods", "a") == nil)
        #expect(try await store.write(.create("pods", "a", bytes("4"))) == 4)
        #expect(store.get("pods", "a")?.created == 4)
    }

    @Test func `a list is in the order of names, in pages, and of the revision asked for`() async throws {
        let store = try RevisionStore(.memory)
        for name in ["ns/c", "ns/a", "other/x", "ns/b", "n/z"] { try await store.write(.create("pods", name, bytes(name))) }
        let first = try store.list("pods", prefix: "ns/", limit: 2)
        #expect(first.values.map(\.name) == ["ns/a", "ns/b"])
        #expect(first.hasMore)
        #expect(first.revision == 5)
        try await store.write(.delete("pods", "ns/c", from: 1))
        try await store.write(.create("pods", "ns/d", bytes("d")))
        try await store.write(.update("pods", "ns/a", bytes("new"), from: 2))
        let second = try store.list("pods", prefix: "ns/", at: first.revision, after: "ns/b", limit: 2)
        #expect(second.values.map(\.name) == ["ns/c"])
        #expect(!second.hasMore)
        #expect(
            try store.list("pods", prefix: "ns/", at: 5).values.map { String(decoding: $0.bytes, as: UTF8.self) } == [
                "ns/a", "ns/b", "ns/c",
            ])
        #expect(try store.list("pods", prefix: "ns/").values.map(\.name) == ["ns/a", "ns/b", "ns/d"])
        #expect(try store.list("nodes").values.isEmpty)
        #expect(throws: RevisionError.future(newest: 8)) { try store.list("pods", at: 9) }
    }

    @Test func `changes above a revision come in order with the states before and after`() async throws {
        let store = try RevisionStore(.memory)
        try await store.write(.create("pods", "a", bytes("1")))
        try await store.write(.create("nodes", "n", bytes("n")))
        try await store.write(.update("pods", "a", bytes("2"), from: 1))
        try await store.write(.delete("pods", "a", from: 3))
        let (events, revision) = try store.events("pods", after: 1, countMax: 10)
        #expect(events.map(\.revision) == [3, 4])
        #expect(events.map { $0.value?.bytes } == [bytes("2"), nil])
        #expect(events.map { $0.previous?.bytes } == [bytes("1"), bytes("2")])
        #expect(revision == 4)
        let part = try store.events("pods", after: 0, countMax: 2)
        #expect(part.events.map(\.revision) == [1, 3])
        #expect(part.revision == 3)
        #expect(try store.events("nodes", after: 2, countMax: 10).events.isEmpty)
    }

    @Test func `compaction forgets history and keeps the state`() async throws {
        try await withFile { path in
            do {
                let store = try RevisionStore(.file(path))
                var revision = try await store.write(.create("pods", "a", bytes("0")))
                for round in 1...20 { revision = try await store.write(.update("pods", "a", bytes("\(round)"), from: revision)) }
                try await store.write(.create("pods", "gone", bytes("x")))
                try await store.write(.delete("pods", "gone", from: 22))
                try await store.compact(to: 23)
                #expect(throws: RevisionError.compacted(oldest: 23)) { try store.events("pods", after: 22, countMax: 1) }
                #expect(throws: RevisionError.compacted(oldest: 23)) { try store.list("pods", at: 21) }
                #expect(throws: RevisionError.compacted(oldest: 23)) { try store.events("unknown", after: 2, countMax: 1) }
                store.close()
            }
            let store = try RevisionStore(.file(path))
            #expect(store.revision == 23)
            #expect(store.get("pods", "a") == .init(name: "a", bytes: bytes("20"), created: 1, revision: 21))
            #expect(throws: RevisionError.compacted(oldest: 23)) { try store.events("pods", after: 22, countMax: 1) }
            #expect(try await store.write(.create("pods", "b", bytes("y"))) == 24)
            #expect(try store.events("pods", after: 23, countMax: 9).events.map(\.name) == ["b"])
        }
    }

    @Test func `a watch goes on over a restart where it stopped`() async throws {
        try await withFile { path in
            do {
                let store = try RevisionStore(.file(path))
                for index in 1...5 { try await store.write(.create("pods", "p\(index)", bytes("\(index)"))) }
                store.close()
            }
            let store = try RevisionStore(.file(path))
            #expect(try store.events("pods", after: 2, countMax: 9).events.map(\.name) == ["p3", "p4", "p5"])
        }
    }

    @Test func `many writers share commits and each gets a revision of its own`() async throws {
        try await withFile { path in
            let store = try RevisionStore(.file(path))
            let value = bytes("x")
            let revisions = try await withThrowingTaskGroup(of: Int64.self) { group in
                for index in 0..<2000 { group.addTask { try await store.write(.create("pods", "p\(index)", value)) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(revisions) == Set(1...2000))
            #expect(store.count("pods") == 2000)
            #expect(try store.list("pods").values.map(\.name) == (0..<2000).map { "p\($0)" }.sorted())
        }
    }

    @Test func `what many writers commit reaches the database while they write, and all of it is there afterwards`() async throws {
        try await withFile { path in
            let value = [UInt8](repeating: 7, count: 100_000)
            let (writers, each) = (4, 50)
            do {
                let store = try RevisionStore(.file(path))
                defer { store.close() }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<writers {
                        group.addTask { for number in 0..<each { try await store.write(.create("pods", "\(writer)-\(number)", value)) } }
                    }
                    try await group.waitForAll()
                }
                // 20 MB were committed: the first of the steps of 4 MB are copied without another commit.
                func databaseBytes() throws -> Int {
                    let size = try FileManager.default.attributesOfItem(atPath: path)[.size]
                    return (size as? Int) ?? (size as? UInt64).map { Int($0) } ?? 0
                }
                while try databaseBytes() < 2_000_000 { try await Task.sleep(for: .milliseconds(5)) }
            }
            let store = try RevisionStore(.file(path))
            defer { store.close() }
            #expect(store.count("pods") == writers * each)
            #expect(store.get("pods", "3-49")?.bytes == value)
        }
    }

    @Test func `what is written on a slow disk is there on a fast one`() async throws {
        try await withFile { path in
            var options = RevisionStore.Options()
            options.fileSystem = try SlowFileSystem.register(syncTakes: .milliseconds(1))
            #expect(try SlowFileSystem.register(syncTakes: .milliseconds(1)) == options.fileSystem)
            do {
                let store = try RevisionStore(.file(path), options)
                defer { store.close() }
                for name in ["a", "b", "c"] { try await store.write(.create("pods", name, bytes(name))) }
            }
            let store = try RevisionStore(.file(path))
            defer { store.close() }
            #expect(try store.list("pods").values.map(\.name) == ["a", "b", "c"])
        }
    }

    @Test func `writes handed over together are judged one by one and answered in their order`() async throws {
        let store = try RevisionStore(.memory)
        try await store.write(.create("leases", "a", bytes("1")))
        let answers = await store.writeEach([
            .update("leases", "a", bytes("2"), from: 1), .create("leases", "a", bytes("3")), .update("leases", "b", bytes("4"), from: 1),
            .create("leases", "c", bytes("5")), .update("leases", "a", bytes("6"), from: 2),
        ])
        #expect(answers.map { try? $0.get() } == [2, nil, nil, 3, 4])
        #expect(throws: RevisionError.exists(revision: 2)) { try answers[1].get() }
        #expect(throws: RevisionError.missing) { try answers[2].get() }
        #expect(store.get("leases", "a")?.bytes == bytes("6"))
        #expect(await store.writeEach([]).isEmpty)
        store.close()
        let late = await store.writeEach([.create("leases", "d", bytes("7")), .create("leases", "e", bytes("8"))])
        for answer in late { #expect(throws: RevisionError.closed) { try answer.get() } }
    }

    @Test func `of writers that expect the same revision one wins`() async throws {
        let store = try RevisionStore(.memory)
        try await store.write(.create("pods", "a", bytes("0")))
        let value = bytes("1")
        let wins = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 { group.addTask { (try? await store.write(.update("pods", "a", value, from: 1))) != nil } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(wins == 1)
    }

    @Test func `a full disk refuses the write and loses nothing`() async throws {
        try await withFile { path in
            var options = RevisionStore.Options()
            options.pageCountMax = 20
            let store = try RevisionStore(.file(path), options)
            try await store.write(.create("pods", "a", bytes("small")))
            await #expect(throws: SQLiteError.self) { try await store.write(.create("pods", "b", [UInt8](repeating: 1, count: 200_000))) }
            #expect(store.failure == nil)
            #expect(store.get("pods", "b") == nil)
            #expect(try await store.write(.create("pods", "c", bytes("small"))) == 2)
        }
    }

    @Test func `values beyond the store's limit are refused and deletions still taken`() async throws {
        var options = RevisionStore.Options()
        options.bytesMax = 10
        let store = try RevisionStore(.memory, options)
        try await store.write(.create("pods", "a", bytes("12345678")))
        await #expect(throws: RevisionError.full(bytesMax: 10)) { try await store.write(.create("pods", "b", bytes("123"))) }
        try await store.write(.delete("pods", "a", from: 1))
        try await store.write(.create("pods", "b", bytes("123")))
    }

    @Test func `a flipped bit in a value is found when the store opens`() async throws {
        try await withFile { path in
            do {
                let store = try RevisionStore(.file(path))
                try await store.write(.create("pods", "a", bytes("the value that is to be damaged")))
                store.close()
            }
            var file = [UInt8](try Data(contentsOf: URL(filePath: path)))
            let place = try #require(file.firstRange(of: bytes("value that")))
            file[place.lowerBound] ^= 1
            try Data(file).write(to: URL(filePath: path))
            #expect(throws: RevisionError.damaged(revision: 1, file: path)) { try RevisionStore(.file(path)) }
        }
    }

    @Test func `a second process is kept out while the store is open`() async throws {
        try await withFile { path in
            let store = try RevisionStore(.file(path))
            #expect(throws: RevisionError.inUse(file: path)) { try RevisionStore(.file(path)) }
            store.close()
        }
    }

    @Test func `a closed store has its files open no more, whoever still holds it`() async throws {
        try await withFile { path in
            let folder = URL(filePath: path).deletingLastPathComponent().lastPathComponent
            func openFiles() throws -> [String] {
                let links = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
                return links.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)") }
                    .filter { $0.contains(folder) }
            }
            let store = try RevisionStore(.file(path))
            try await store.write(.create("pods", "a", bytes("1")))
            #expect(try !openFiles().isEmpty)
            store.close()
            #expect(try openFiles() == [])
            // What it knew is still told.
            #expect(store.get("pods", "a")?.bytes == bytes("1"))
        }
    }

    /// Beside the commits, where SQLite would tell nobody.
    @Test func `a store whose log cannot be copied takes no more writes and loses none`() async throws {
        try await withFile { path in
            var kept: [String: Int64] = [:]
            var failure: (any Error)?
            do {
                let store = try RevisionStore(.file(path))
                func descriptors() throws -> [Int32] {
                    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter {
                        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")) == path
                    }.compactMap { Int32($0) }
                }
                // Until the connection that copies is there too.
                for number in 0..<2000 where try descriptors().count < 2 {
                    let name = "first-\(number)"
                    kept[name] = try await store.write(.create("pods", name, [UInt8](repeating: 1, count: 20_000)))
                }
                // From here on the disk takes writes of the log and none of the database.
                let readOnly = open(path, O_RDONLY | O_CLOEXEC)
                defer { close(readOnly) }
                for descriptor in try descriptors() where descriptor != readOnly { dup2(readOnly, descriptor) }
                for number in 0..<2000 where failure == nil {
                    do {
                        kept["\(number)"] = try await store.write(
                            .create("pods", "\(number)", [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 20_000)))
                    } catch { failure = error }
                }
                failure = store.failure
                store.close()
            }
            let words = "\(try #require(failure))"
            #expect(words.contains("copying its log") && words.split(separator: "takes no more writes").count == 2, "\(words)")
            let store = try RevisionStore(.file(path))
            for (name, revision) in kept { #expect(store.get("pods", name)?.revision == revision, "\(name)") }
            #expect(try await store.write(.create("pods", "last", bytes("2"))) > kept.values.max()!)
        }
    }

    @Test func `a backup taken under load opens as a store and can be restored`() async throws {
        try await withFile { path in
            do {
                let store = try RevisionStore(.file(path))
                for index in 0..<50 { try await store.write(.create("pods", "p\(index)", bytes("\(index)"))) }
                let value = bytes("later")
                async let later: Void = {
                    for index in 50..<100 { try await store.write(.create("pods", "p\(index)", value)) }
                }()
                try RevisionBackup.make(of: path, to: path + ".backup")
                try await later
                store.close()
            }
            try RevisionBackup.restore(path + ".backup", to: path)
            let store = try RevisionStore(.file(path))
            #expect(store.count("pods") >= 50)
            #expect(store.revision == Int64(store.count("pods")))
            #expect(throws: RevisionError.inUse(file: path)) { try RevisionBackup.restore(path + ".backup", to: path) }
        }
    }

    @Test func `listeners are called after the state has changed and not after they are removed`() async throws {
        let store = try RevisionStore(.memory)
        let calls = Mutex(0)
        let number = store.addListener("pods") { calls.withLock { $0 += 1 } }
        try await store.write(.create("pods", "a", bytes("1")))
        // Its answer comes behind whatever the commit before it had to tell.
        try await store.write(.create("nodes", "n", bytes("1")))
        #expect(calls.withLock { $0 } == 1)
        store.removeListener(number, of: "pods")
        try await store.write(.create("pods", "b", bytes("1")))
        try await store.write(.create("nodes", "o", bytes("1")))
        #expect(calls.withLock { $0 } == 1)
    }

    @Test func `a closed store refuses writes`() async throws {
        let store = try RevisionStore(.memory)
        store.close()
        await #expect(throws: RevisionError.closed) { try await store.write(.create("pods", "a", bytes("1"))) }
    }
}

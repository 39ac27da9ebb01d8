import TestKit
import Testing
import ThermalComfort

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

/// The built program as a person runs it, on made-up data: nothing is fetched.
@Suite struct DemoCommandTests {
    private static let names = ["comfort.onnx", "knowledge.db", "predictions.csv.gz", "report.html", "report.svg", "results.json"]

    /// Without cloud and edges, which `DemoClusterTests` has.
    private func arguments(_ out: String) -> [String] {
        ["demo", "thermal-comfort", "--in-process", "--offline", "--data", "/nonexistent", "--out", out]
    }

    @Test(arguments: ["this run makes up its own", "learning from"]) func `Ctrl-C ends with 130, one message and the folder as it was`(
        moment: String
    ) throws {
        let folder = try TemporaryFolder()
        let out = "\(folder.path)/out"
        try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
        for name in Self.names { try Data("old \(name)".utf8).write(to: URL(filePath: "\(out)/\(name)")) }
        let program = try Program(arguments(out), in: folder, current: folder.path)
        try program.waitForError(containing: moment)
        program.send(SIGINT)
        let ending = try program.wait()
        #expect(ending.status == 130)
        #expect(ending.errors.hasSuffix("stopped by Ctrl-C; \(out) is as it was before this run\n"))
        #expect(ending.errors.split(separator: "\n").count { $0.contains("stopped by") } == 1)
        #expect(ending.output.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: out).sorted() == Self.names)
        for name in Self.names { #expect(try String(contentsOfFile: "\(out)/\(name)", encoding: .utf8) == "old \(name)") }
    }

    /// A whole run on few votes takes some seconds, so that a signal can come at any moment of it, also while files change their names.
    @Test func `Ctrl-C at any moment leaves all files of one run or all of the other`() throws {
        let folder = try TemporaryFolder()
        let database = try SyntheticComfort().database()
        let split = "\(folder.path)/few.csv"
        try Data(Self.few(of: database).utf8).write(to: URL(filePath: split))
        let out = "\(folder.path)/out"
        try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
        func old() throws { for name in Self.names { try Data("old \(name)".utf8).write(to: URL(filePath: "\(out)/\(name)")) } }
        try old()
        let start = ContinuousClock.now
        let whole = try Program.run(arguments(out) + ["--split", split], in: folder, current: folder.path)
        let length = Int((ContinuousClock.now - start) / .milliseconds(1))
        try #require(whole.status == 0, "\(whole.errors)")
        #expect(try newCount(out) == Self.names.count)
        for turn in 0..<Self.interruptions {
            try old()
            let program = try Program(arguments(out) + ["--split", split], in: folder, current: folder.path)
            // Every second time when the files are about to change their names.
            let isLate = turn % 2 == 0
            if isLate { try program.waitForError(containing: "serving at") }
            usleep(UInt32(Int.random(in: 0...(isLate ? length / 20 : length)) * 1000))
            program.send(SIGINT)
            let ending = try program.wait()
            let count = try newCount(out)
            let isNew = count == Self.names.count
            #expect(isNew || count == 0, "\(ending.errors)")
            #expect(ending.status == 130 || ending.status == 0 && isNew, "\(ending.errors)")
            let state = isNew ? "holds all files of this run" : "is as it was before this run"
            if ending.status == 130 { #expect(ending.errors.hasSuffix("stopped by Ctrl-C; \(out) \(state)\n"), "\(ending.errors)") }
            // Beside them only models of earlier rounds that still serve.
            let left = try FileManager.default.contentsOfDirectory(atPath: out).filter { !$0.hasPrefix("comfort-round-") }
            #expect(left.sorted() == Self.names)
        }
    }

    /// How often; `make prove-interruption` sets more.
    private static let interruptions = getenv("SKERRY_INTERRUPTIONS").flatMap { Int(String(cString: $0)) } ?? 3

    /// Files that are not those of the run before.
    private func newCount(_ out: String) throws -> Int {
        try Self.names.count { try Data(contentsOf: URL(filePath: "\(out)/\($0)")) != Data("old \($0)".utf8) }
    }

    #if os(Linux)
        @Test func `a file that cannot grow ends the run with 1, and the run before stays`() throws {
            let folder = try TemporaryFolder()
            let out = "\(folder.path)/out"
            try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
            for name in Self.names { try Data("old \(name)".utf8).write(to: URL(filePath: "\(out)/\(name)")) }
            let split = "\(folder.path)/few.csv"
            try Data(Self.few(of: try SyntheticComfort().database()).utf8).write(to: URL(filePath: split))
            // The model does not fit what the shell allows, in blocks of 512 bytes; an ignored signal stays ignored by the program.
            let limited = "trap '' XFSZ; ulimit -f 60; exec \"$0\" \"$@\""
            let ending = try Program.run(
                ["-c", limited, Program.path] + arguments(out) + ["--split", split], executable: "/bin/sh", in: folder, current: folder.path
            )
            #expect(ending.status == 1 && ending.errors.contains("free space"), "\(ending.errors)")
            #expect(try newCount(out) == 0)
        }
    #endif

    /// CSV of a split with one in so many votes.
    static func few(of database: ComfortDatabase, oneIn share: Int = 8) -> String {
        ComfortSplit.main(database).filter { $0.recordID % share == 0 }.reduce(
            into: "record_id,round,part,group,rank_bs,lab_few,lab_full\n"
        ) {
            let rank = $1.siteRank.map(String.init) ?? ""
            $0 +=
                "\($1.recordID),\($1.round),\($1.part.rawValue),\($1.group),\(rank),\($1.isLabelledFull ? 1 : 0),\($1.isLabelledFull ? 1 : 0)\n"
        }
    }

    @Test func `bad usage ends with 2 and names what is wrong`() throws {
        let folder = try TemporaryFolder()
        for (extra, words) in [
            (["--edges", "0"], "--edges must be 1 to 64, found 0"), (["--edges", "-1"], "--edges must be 1 to 64, found -1"),
            (["--edges", "2", "-1"], "-1"), (["--labels", "many"], "many"), (["--colour"], "--colour"),
        ] {
            let ending = try Program(arguments("out") + extra, in: folder, current: folder.path).wait()
            #expect(ending.status == 2 && ending.errors.contains(words), "\(ending.errors)")
        }
    }

    @Test func `data of another digest and a split of unknown rows end with 1 and leave nothing`() throws {
        let folder = try TemporaryFolder()
        for name in [ComfortFiles.measurements.name, ComfortFiles.metadata.name] {
            try Data("not the database".utf8).write(to: URL(filePath: "\(folder.path)/\(name)"))
        }
        let wrong = try Program(
            ["demo", "thermal-comfort", "--offline", "--data", folder.path, "--out", "out"], in: folder, current: folder.path
        ).wait()
        #expect(wrong.status == 1 && wrong.errors.contains("--accept-digest"))
        let split = "\(folder.path)/split.csv"
        try Data("record_id,round,part,group,rank_bs,lab_few,lab_full\n99999999,0,pool,g,0,1,1\n".utf8).write(to: URL(filePath: split))
        let unknown = try Program(arguments("out") + ["--split", split], in: folder, current: folder.path).wait()
        #expect(unknown.status == 1 && unknown.errors.contains("record_id 99999999"), "\(unknown.errors)")
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasPrefix("out") }
        #expect(try left.allSatisfy { try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/\($0)").isEmpty })
    }
}

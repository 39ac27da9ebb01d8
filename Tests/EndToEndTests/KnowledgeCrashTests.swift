import KnowledgeBase
import Storage
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

/// A recording program is killed at random moments: what it acknowledged is there, and every round is whole or absent.
@Suite struct KnowledgeCrashTests {
    /// Kills; `make prove-knowledge` asks for many.
    static var kills: Int { getenv("SKERRY_KILLS").flatMap { Int(String(cString: $0)) } ?? 12 }
    private static let roundCount = 8
    private static let sampleCount = 3000

    @Test func `a program killed at any moment leaves the last complete round`() throws {
        let folder = try TemporaryFolder()
        let files = try (0..<Self.roundCount).map { try Self.write(round: $0, into: folder) }
        let records = try files.map { try RoundRecord(json: try Data(contentsOf: URL(filePath: $0)), name: $0).canonical() }
        let wholeRun = try Self.duration(files, folder)
        var interruptedCount = 0
        for kill in 0..<Self.kills {
            let path = "\(folder.path)/k\(kill).db"
            // A program that was faster than the kill is no proof: its file is taken away, and another moment is drawn.
            while interruptedCount <= kill {
                let child = try Program(["kb", "record", "--kb", path] + files, in: folder)
                usleep(UInt32.random(in: 0...UInt32(wholeRun * 1.1)))
                child.kill()
                let result = try child.wait()
                try Self.check(path, acknowledged: result.output, records)
                if result.status == nil { interruptedCount += 1 } else { Self.remove(path) }
            }
            let end = try Program.run(["kb", "record", "--kb", path] + files, in: folder)
            #expect(end.status == 0, "the killed file goes on: \(end.errors)")
            try Self.check(path, acknowledged: end.output, records)
            #expect(try KnowledgeBase(.file(path)).roundNames().count == Self.roundCount)
            Self.remove(path)
        }
    }

    private static func remove(_ path: String) { for suffix in ["", "-wal", "-shm"] { unlink(path + suffix) } }

    /// How long an undisturbed run takes, in microseconds: moments are drawn from it.
    private static func duration(_ files: [String], _ folder: TemporaryFolder) throws -> Double {
        let path = folder.path + "/whole.db"
        let time = try ContinuousClock().measure {
            let result = try Program.run(["kb", "record", "--kb", path] + files, in: folder)
            #expect(result.status == 0, "\(result.errors)")
        }
        return time / .microseconds(1)
    }

    private static func check(_ path: String, acknowledged output: String, _ records: [RoundRecord]) throws {
        // Only whole lines are promises.
        let promised = output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().count
        guard FileManager.default.fileExists(atPath: path) else {
            #expect(promised == 0)
            return
        }
        let knowledge = try KnowledgeBase(.file(path))
        let names = try knowledge.roundNames()
        #expect(names.count >= promised, "\(promised) rounds were acknowledged")
        #expect(names.map(\.round) == Array(0..<names.count), "rounds are there in the order of recording, without a gap")
        for name in names {
            #expect(try knowledge.round(name.job, name.round, pod: name.pod) == records[name.round], "round \(name.round) is whole")
        }
        #expect(try SQLiteDatabase(.file(path)).value("PRAGMA integrity_check") == "ok")
        #expect(try SQLiteDatabase(.file(path)).value("SELECT count(*) FROM pragma_foreign_key_check") == 0)
    }

    private static func write(round: Int, into folder: TemporaryFolder) throws -> String {
        let digest = String(repeating: "ab", count: 32)
        let samples = (0..<sampleCount).map { index in
            let key = round * sampleCount / 2 + index
            return #"{"dataset": "d", "key": \#(key), "state": "labelled", "task": "t\#(key % 5)", "score": \#(Double(key) / 7)}"#
        }
        let tasks = (0..<5).map { #"{"name": "t\#($0)", "attributes": {"number": "\#($0)"}, "samples": \#(round)}"# }
        let adapters = (0..<200).map { #"{"kind": "person", "subject": "p\#($0)", "weights": [0.1, \#(Float($0 + round))]}"# }
        let text = """
            {"job": "crash/test", "round": \(round), "pod": "p", "datasets": [{"name": "d", "sha256": "\(digest)", "rows": 100000}],
             "tasks": [\(tasks.joined(separator: ","))], "adapters": [\(adapters.joined(separator: ","))],
             "samples": [\(samples.joined(separator: ","))], "decisions": [{"action": "deploy", "reason": "round \(round)"}]}
            """
        let path = "\(folder.path)/round-\(round).json"
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }
}

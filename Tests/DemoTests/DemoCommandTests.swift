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

    private func arguments(_ out: String) -> [String] { ["demo", "thermal-comfort", "--offline", "--data", "/nonexistent", "--out", out] }

    @Test(arguments: ["this run makes up its own", "learning from"]) func `Ctrl-C ends with 130, one message and the folder as it was`(
        moment: String
    ) throws {
        let folder = try TemporaryFolder()
        let out = "\(folder.path)/out"
        try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
        for name in Self.names { try Data("old \(name)".utf8).write(to: URL(filePath: "\(out)/\(name)")) }
        let program = try Program(arguments(out), in: folder.path)
        program.waitForError(containing: moment)
        program.send(SIGINT)
        let ending = program.wait()
        #expect(ending.code == 130)
        #expect(ending.error.hasSuffix("stopped by Ctrl-C; \(out) is as it was before this run\n"))
        #expect(ending.error.split(separator: "\n").count { $0.contains("stopped by") } == 1)
        #expect(ending.output.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: out).sorted() == Self.names)
        for name in Self.names { #expect(try String(contentsOfFile: "\(out)/\(name)", encoding: .utf8) == "old \(name)") }
    }

    @Test func `bad usage ends with 2 and names what is wrong`() throws {
        let folder = try TemporaryFolder()
        for (extra, words) in [
            (["--edges", "0"], "--edges must be 1 to 64, found 0"), (["--labels", "many"], "many"), (["--colour"], "--colour"),
        ] {
            let ending = try Program(arguments("out") + extra, in: folder.path).wait()
            #expect(ending.code == 2 && ending.error.contains(words), "\(ending.error)")
        }
    }

    @Test func `data of another digest and a split of unknown rows end with 1 and leave nothing`() throws {
        let folder = try TemporaryFolder()
        for name in [ComfortFiles.measurements.name, ComfortFiles.metadata.name] {
            try Data("not the database".utf8).write(to: URL(filePath: "\(folder.path)/\(name)"))
        }
        let wrong = try Program(["demo", "thermal-comfort", "--offline", "--data", folder.path, "--out", "out"], in: folder.path).wait()
        #expect(wrong.code == 1 && wrong.error.contains("--accept-digest"))
        let split = "\(folder.path)/split.csv"
        try Data("record_id,round,part,group,rank_bs,lab_few,lab_full\n99999999,0,pool,g,0,1,1\n".utf8).write(to: URL(filePath: split))
        let unknown = try Program(arguments("out") + ["--split", split], in: folder.path).wait()
        #expect(unknown.code == 1 && unknown.error.contains("record_id 99999999"), "\(unknown.error)")
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasPrefix("out") }
        #expect(try left.allSatisfy { try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/\($0)").isEmpty })
    }
}

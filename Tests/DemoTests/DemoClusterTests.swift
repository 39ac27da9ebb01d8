import Demo
import Learning
import Storage
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

/// The demo as a person runs it: a real cloud and real edges, on a few made-up votes.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct DemoClusterTests {
    private func arguments(_ out: String, _ more: [String] = []) -> [String] {
        ["demo", "thermal-comfort", "--offline", "--data", "/nonexistent", "--out", out] + more
    }

    private func results(_ out: String) throws -> ComfortResults {
        try ComfortResults(json: Array(Data(contentsOf: URL(filePath: "\(out)/results.json"))))
    }

    /// Lines of our method's predictions.
    private func predictions(_ out: String) throws -> [[String]] {
        let reader = try GzipReader(path: "\(out)/predictions.csv.gz")
        var bytes: [UInt8] = []
        while let chunk = try reader.next() { bytes += chunk }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { $0.split(separator: ",").map(String.init) }
            .filter { $0[2] == "skerry" }
    }

    @Test func `cloud and edges learn and say what one process would, and an edge that is cut off goes on`() throws {
        let folder = try TemporaryFolder()
        let temporary = "\(folder.path)/tmp"
        try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: false)
        let split = "\(folder.path)/few.csv"
        try Data(DemoCommandTests.few(of: try SyntheticComfort().database()).utf8).write(to: URL(filePath: split))
        let platform = "\(folder.path)/platform", alone = "\(folder.path)/alone"
        let ending = try Program.run(
            arguments(platform, ["--split", split]), in: folder, current: folder.path, environment: ["TMPDIR": temporary])
        try #require(ending.status == 0, "\(ending.errors)")
        let other = try Program.run(arguments(alone, ["--split", split, "--in-process"]), in: folder, current: folder.path)
        try #require(other.status == 0, "\(other.errors)")

        let found = try results(platform), expected = try results(alone)
        #expect(found.methods.keys.sorted() == expected.methods.keys.sorted())
        for (name, method) in found.methods {
            let same = expected.methods[name]!
            #expect(
                method.accuracy == same.accuracy && method.accuracyByRound == same.accuracyByRound,
                "\(name): \(method.accuracy), expected \(same.accuracy)")
        }
        #expect(found.decisions.map(\.subject).sorted() == expected.decisions.map(\.subject).sorted())
        #expect(found.relations.map(\.from).sorted() == expected.relations.map(\.from).sorted())
        #expect(found.model?.features == expected.model?.features)
        let edge = try #require(found.edge)
        #expect(edge.nodes == ["edge-1", "edge-2"] && edge.predictionsServed == expected.edge?.predictionsServed)
        let cut = try #require(edge.cut)
        #expect(cut.node == "edge-2" && cut.answered > 0 && cut.reportedLater >= cut.answered)
        let adaptation = try #require(cut.adaptation)
        #expect(adaptation.labels > 0 && adaptation.judged > 0)
        let (left, right) = (try predictions(platform), try predictions(alone))
        #expect(left.map { $0[0] } == right.map { $0[0] } && left.count == edge.predictionsServed)
        // To the last bit, though each edge has its part of the model alone.
        let apart = zip(left, right).filter { $0 != $1 }
        #expect(apart.isEmpty, "\(apart.count) of \(left.count), as \(apart.prefix(3))")
        // Nothing is left behind.
        #expect(try FileManager.default.contentsOfDirectory(atPath: temporary) == [])
    }

    @Test(arguments: ["applied the data sets", "is deployed"]) func `Ctrl-C ends cloud, edges and all their workers`(moment: String) throws
    {
        let folder = try TemporaryFolder()
        let split = "\(folder.path)/few.csv"
        try Data(DemoCommandTests.few(of: try SyntheticComfort().database()).utf8).write(to: URL(filePath: split))
        let program = try Program(
            arguments("out", ["--split", split]), in: folder, current: folder.path, environment: ["TMPDIR": folder.path])
        try program.waitForError(containing: moment)
        // Those that name the cluster's folder, their workers among them.
        let cluster = "\(folder.path)/skerry-demo-\(program.id)"
        #expect(!Self.processes(naming: cluster).isEmpty)
        program.send(SIGINT)
        let ending = try program.wait()
        #expect(
            ending.status == 130 && ending.errors.hasSuffix("stopped by Ctrl-C; out is as it was before this run\n"), "\(ending.errors)")
        #expect(Self.processes(naming: cluster) == [])
        #expect(!FileManager.default.fileExists(atPath: cluster))
    }

    private static let hasKubectl = (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":")
        .contains { access("\($0)/kubectl", X_OK) == 0 }

    @Test(.enabled(if: hasKubectl, "kubectl is not installed"))
    func `a cluster that is kept does what its last words say, and its last command ends all of it`() throws {
        let folder = try TemporaryFolder()
        let split = "\(folder.path)/few.csv"
        try Data(DemoCommandTests.few(of: try SyntheticComfort().database()).utf8).write(to: URL(filePath: split))
        let ending = try Program.run(arguments("out", ["--split", split, "--keep"]), in: folder, current: folder.path)
        try #require(ending.status == 0, "\(ending.errors)")
        let cluster = "\(folder.path)/out/cluster"
        let words = try #require(ending.output.components(separatedBy: "The cluster stays").last)
        let commands = words.split(separator: "\n").filter { $0.hasPrefix("  ") }.map { $0.dropFirst(2) }
        #expect(commands.count == 8 && !Self.processes(naming: cluster).isEmpty, "\(words)")
        let script = "set -ex\n" + commands.joined(separator: "\n")
        let done = try Program.run(["-c", script], executable: "/bin/sh", in: folder, current: folder.path)
        #expect(done.status == 0, "\(done.errors)")
        #expect(done.output.contains("knowledgetask") && done.output.contains("[pod/thermal-comfort-train-"), "\(done.output)")
        // Told to end, they do.
        while !Self.processes(naming: cluster).isEmpty { usleep(20_000) }
    }

    /// Processes whose command line or surroundings name a folder.
    private static func processes(naming folder: String) -> [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.filter { Int($0) != nil }.filter { id in
            ["cmdline", "environ"].contains { name in
                let text = FileManager.default.contents(atPath: "/proc/\(id)/\(name)").map { String(decoding: $0, as: UTF8.self) } ?? ""
                return text.contains(folder)
            }
        }
    }

    @Test(arguments: ["datasets", "job", "adapting"]) func `what the demo applies is what examples holds`(name: String) throws {
        let file = try String(contentsOf: URL(filePath: "examples/thermal-comfort/\(name).yaml"), encoding: .utf8)
        let own = ["datasets": ComfortManifests.datasets, "job": ComfortManifests.job, "adapting": ComfortManifests.adapting]
        #expect(file == own[name])
    }
}

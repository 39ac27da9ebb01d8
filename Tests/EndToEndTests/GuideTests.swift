import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The commands of a guide do what the guide says, in the order in which they stand there.
@Suite struct GuideTests {
    @Test(.enabled(if: FileManager.default.fileExists(atPath: "../shared/datasets/atcii"), "the database is not beside the repository"))
    func `every command of the README works, the whole example among them`() throws { try check("README.md") }

    @Test(arguments: ["docs/guides/knowledge-base.md"])
    func `every command of a guide works`(_ path: String) throws { try check(path) }

    @Test(.enabled(if: Cloud.kubectl != nil, "kubectl is not installed"))
    func `every command of the guide to the cloud works`() throws { try check("docs/guides/cloud.md") }

    @Test(.enabled(if: Cloud.kubectl != nil && ServingProgram.find("python3") != nil, "kubectl or python3 is not installed"))
    func `every command of the guide to workers works`() throws { try check("docs/guides/workers.md") }

    @Test(.enabled(if: Cloud.kubectl != nil, "kubectl is not installed"))
    func `every command of the guide to jobs works`() throws { try check("docs/guides/jobs.md") }

    @Test(.enabled(if: Cloud.kubectl != nil, "kubectl is not installed"))
    func `every command of the guide to the thermal-comfort example works`() throws { try check("docs/guides/thermal-comfort.md") }

    @Test(.enabled(if: Cloud.kubectl != nil && ServingProgram.find("curl") != nil, "kubectl or curl is not installed"))
    func `every command of the guide to inference works`() throws { try check("docs/guides/inference.md") }

    @Test(.enabled(if: Cloud.kubectl != nil, "kubectl is not installed"))
    func `every command of the guide to models works`() throws { try check("docs/guides/models.md") }

    @Test(.enabled(if: Cloud.kubectl != nil, "kubectl is not installed"))
    func `every command of the guide to joint inference works: cloud and edge answer together, and the edge alone`() throws {
        try check("docs/guides/joint-inference.md")
    }

    private func check(_ path: String) throws {
        let folder = try TemporaryFolder()
        let work = try Self.workplace(in: folder)
        let commands = Self.commands(String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self))
        #expect(commands.count > 5)
        let programs = try Self.programs(in: folder)
        let script = ["set -e", Self.tidy, "cd \(work)", "PATH=\(programs):$PATH", Self.make] + commands.map(Self.checked)
        let result = try Program.run(["-c", script.joined(separator: "\n")], executable: "/bin/sh", in: folder)
        #expect(result.status == 0, "\(result.errors)")
        #expect(!result.output.isEmpty)
    }

    /// A folder like the repository with the database beside it, as far as guides use them; what they write stays in it.
    private static func workplace(in folder: TemporaryFolder) throws -> String {
        let repository = FileManager.default.currentDirectoryPath
        let work = folder.path + "/repository"
        try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: false)
        for name in ["examples", "models", "datasets", ".deps", "Makefile"] {
            try FileManager.default.createSymbolicLink(atPath: "\(work)/\(name)", withDestinationPath: "\(repository)/\(name)")
        }
        if FileManager.default.fileExists(atPath: repository + "/../shared") {
            try FileManager.default.createSymbolicLink(atPath: folder.path + "/shared", withDestinationPath: repository + "/../shared")
        }
        return work
    }

    /// A folder with the program under its name; clouds and edges take any free port.
    private static func programs(in folder: TemporaryFolder) throws -> String {
        let script = """
            #!/bin/sh
            case "$1 $2" in "cloud --data-dir" | "edge --data-dir") part=$1; shift; exec \(Program.path) $part --listen 127.0.0.1:0 "$@";; esac
            exec \(Program.path) "$@"
            """
        let bin = folder.path + "/bin"
        try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: false)
        // By another program: a file that this one has open to write may be left open in a child of another test, and is then "busy".
        let written = try Program.run(
            ["-c", "printf '%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"", bin + "/skerry", script], executable: "/bin/sh", in: folder)
        #expect(written.status == 0, "\(written.errors)")
        return bin
    }

    /// Whatever happens, no server is left behind.
    private static let tidy = "trap 'kill $CLOUD $EDGE 2>/dev/null || true' EXIT"

    /// `make X` does what the Makefile says skerry does for X; the build and the tests are what runs already.
    private static let make = """
        make() {
            command make -n "$1" > recipe
            if [ "$1" != test ]; then sed -n 's|^.build/release/skerry|skerry|p' recipe > steps; test -s steps; . ./steps; fi
        }
        """

    /// "! command" must fail, which `set -e` does not ask for.
    private static func checked(_ command: String) -> String {
        command.hasPrefix("! ") ? "if \(command.dropFirst(2)); then echo 'should have failed' >&2; exit 1; fi" : command
    }

    /// The lines of the blocks that begin with ```sh.
    static func commands(_ text: String) -> [String] {
        var isInside = false
        return text.split(separator: "\n").compactMap { line in
            if line.hasPrefix("```") {
                isInside = line == "```sh"
                return nil
            }
            return isInside ? String(line) : nil
        }
    }

    @Test func `only lines of shell blocks are commands`() {
        #expect(Self.commands("a\n```sh\nb\nc\n```\nd\n```swift\ne\n```\n```sh\nf\n```") == ["b", "c", "f"])
    }
}

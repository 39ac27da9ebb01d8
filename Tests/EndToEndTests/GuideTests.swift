import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The commands of a guide do what the guide says, in the order in which they stand there.
@Suite struct GuideTests {
    @Test(arguments: ["docs/guides/knowledge-base.md"])
    func `every command of a guide works`(_ path: String) throws {
        let folder = try TemporaryFolder()
        let commands = Self.commands(String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self))
        #expect(commands.count > 5)
        // The guide stands in the repository and writes beside it; here it writes into a folder of its own.
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/examples", withDestinationPath: FileManager.default.currentDirectoryPath + "/examples")
        let script = ["set -e", "cd \(folder.path)", "skerry() { \(Program.path) \"$@\"; }"] + commands.map { Self.checked($0) }
        let result = try Program.run(["-c", script.joined(separator: "\n")], executable: "/bin/sh", in: folder)
        #expect(result.status == 0, "\(result.errors)")
        #expect(!result.output.isEmpty)
    }

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

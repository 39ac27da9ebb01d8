import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The registry and the commands of daily life, by the real program against a real cloud.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct ModelCommandTests {
    private static let small = "models/thermal-comfort/comfort-small.onnx"
    private static let large = "models/thermal-comfort/comfort.onnx"

    private static func skerry(_ line: String, _ cloud: Cloud) async -> ServingProgram.Result {
        await Edge.skerry(line.split(separator: " ").map(String.init), in: cloud.folder).wait()
    }

    /// Runs a command that must succeed.
    private static func done(_ line: String, _ cloud: Cloud) async -> String {
        let result = await skerry(line, cloud)
        #expect(result.status == 0, "skerry \(line): \(result.error)")
        return result.output
    }

    @Test func `a model is pushed, promoted, rolled back and fetched as it was`() async throws {
        try await Cloud.with { cloud in
            let first = await Self.done("model push \(Self.small) --name comfort --metric accuracy=0.5979", cloud)
            #expect(first == "model/comfort: version 1, serves\n")
            let second = await Self.done("model push \(Self.large) --name comfort --metric accuracy=0.6122 --with README.md", cloud)
            #expect(second == "model/comfort: version 2; version 1 serves (skerry model promote comfort 2)\n")
            let again = await Self.done("model push \(Self.small) --name comfort", cloud)
            #expect(again == "model/comfort: the same file is version 1 already, serves\n")

            let promoted = await Self.done("model promote comfort 2", cloud)
            #expect(promoted == "model/comfort: version 2 serves (before: 1)\n")
            let rolledBack = await Self.done("model rollback comfort", cloud)
            #expect(rolledBack == "model/comfort: version 1 serves again (before: 2)\n")
            _ = await Self.done("model promote comfort 2", cloud)
            let rows = await Self.done("model show comfort -o csv", cloud).split(separator: "\n").map { $0.split(separator: ",") }
            #expect(rows.map { $0.prefix(2).joined(separator: " ") } == ["VERSION ALIAS", "1 previous", "2 serving"])
            let list = await Self.done("model list -o json", cloud)
            #expect(
                list.contains("\"name\":\"comfort\"") && list.contains("\"serving\":2") && list.contains("\"accuracy\":0.6122"), "\(list)")

            _ = await Self.done("model pull comfort --to \(cloud.folder)/pulled", cloud)
            for (name, origin) in [("model.onnx", Self.large), ("README.md", "README.md")] {
                let pulled = try Data(contentsOf: URL(filePath: "\(cloud.folder)/pulled/\(name)"))
                let pushed = try Data(contentsOf: URL(filePath: origin))
                #expect(pulled == pushed, "\(name)")
            }
        }
    }

    @Test func `what cannot be is refused in a sentence that names the remedy`() async throws {
        try await Cloud.with { cloud in
            try cloud.write("broken.onnx", "no model at all")
            _ = await Self.done("model push \(Self.small) --name comfort", cloud)
            let refusals = [
                ("model push \(cloud.folder)/broken.onnx --name other", 1, "the model is no whole ONNX file"),
                ("model push \(cloud.folder)/none.onnx --name other", 1, "No such file or directory"),
                ("model push README.md --name comfort", 2, "README.md does not end in .onnx"),
                ("model push \(Self.small) --name Comfort!", 2, "is no name of a model"),
                ("model push \(Self.small) --metric accuracy=high", 2, "accuracy=high"),
                ("model push \(Self.large) --name comfort --parent 3", 1, "--parent 3: model comfort has versions 1"),
                ("model show other", 1, "namespace default has no model \"other\"; there are: comfort"),
                ("model show comfort --version 9", 1, "has no version 9; it has 1"),
                ("model promote comfort 9", 1, "has no version 9 (it has 1)"),
                ("logs nothing", 1, "namespace default has no pod \"nothing\""),
                ("status --namespace Wrong!", 2, "expected lower-case letters"),
            ]
            for (line, status, words) in refusals {
                let result = await Self.skerry(line, cloud)
                #expect(result.status == Int32(status) && result.error.contains(words), "skerry \(line): \(result.status) \(result.error)")
            }
        }
    }

    @Test func `many pushes at the same time are versions each, and one serves`() async throws {
        try await Cloud.with { cloud in
            _ = await Self.done("model push \(Self.small) --name comfort", cloud)
            let folder = cloud.folder
            for number in 0..<6 { try cloud.write("note-\(number).txt", "note \(number)") }
            await withTaskGroup(of: ServingProgram.Result.self) { group in
                for number in 0..<6 {
                    let words = ["model", "push", Self.small, "--name", "comfort", "--with", "\(folder)/note-\(number).txt"]
                    group.addTask { await Edge.skerry(words, in: folder).wait() }
                }
                for await result in group { #expect(result.status == 0, "\(result.error)") }
            }
            let rows = await Self.done("model show comfort -o csv", cloud).split(separator: "\n").dropFirst()
            let numbers = rows.map { Int($0.prefix { $0 != "," }) ?? 0 }
            #expect(numbers == Array(1...7))
            let serving = rows.count { $0.contains(",serving,") }
            #expect(serving == 1)
        }
    }

    @Test func `a cloud is seen in one screen, also as JSON, and says which version it is`() async throws {
        try await Cloud.with(node: true) { cloud in
            _ = await Self.done("model push \(Self.small) --name comfort", cloud)
            try await Edge.until("the cloud's own node to be ready") {
                await Self.done("status -o csv", cloud).contains("cloud-0,Ready,cloud")
            }
            let screen = await Self.done("status", cloud)
            #expect(screen.contains("cloud-0") && screen.contains("default/comfort"), "\(screen)")
            let json = await Self.done("status -o json", cloud)
            #expect(json.contains("\"nodes\":[{") && json.contains("\"problems\":[]"), "\(json)")
            let version = await Self.done("version -o csv", cloud)
            #expect(version.split(separator: "\n").count == 3 && version.contains("cloud,v1."), "\(version)")
            let own = await Self.done("version --client -o csv", cloud)
            #expect(own.split(separator: "\n").count == 2)
        }
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func `each shell gets its completions`(_ shell: String) async throws {
        let folder = try Cloud.newFolder()
        let result = await Edge.skerry(["completion", shell], in: folder).wait()
        #expect(result.status == 0 && result.output.contains("promote"), "\(result.error)")
        try FileManager.default.removeItem(atPath: folder)
    }
}

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

/// A real `skerry edge` beside a cloud, as node `e1`, in the folder `edge` of the cloud's.
struct Edge {
    struct Failed: Error { let text: String }

    let program: ServingProgram
    /// `--server=http://127.0.0.1:PORT`: how kubectl sees the node's own copy.
    let server: String
    let folder: String

    /// Makes a token for it and starts it the first time.
    static func join(_ cloud: Cloud) async throws -> Edge {
        let made = await skerry(["token", "create", "--node", "e1"], in: cloud.folder).wait()
        #expect(made.status == 0, "\(made.error)")
        return try await start(cloud.folder, ["--join", String(made.output.prefix { $0 != "\n" })])
    }

    /// Starts it, with whatever its folder holds, and waits until it shows its objects.
    static func start(_ folder: String, _ options: [String] = []) async throws -> Edge {
        let program = skerry(["edge", "--data-dir", folder + "/edge", "--listen", "127.0.0.1:0"] + options, in: folder)
        var server = ""
        try await until("an edge: \(program.error)") {
            server = program.error.split(separator: " ").first { $0.hasPrefix("--server=") }.map(String.init) ?? ""
            return !server.isEmpty
        }
        return Edge(program: program, server: server, folder: folder)
    }

    /// One of the verbs on the node.
    func verb(_ line: String) async -> ServingProgram.Result {
        let words = line.split(separator: " ").map(String.init)
        return await Self.skerry(["edge", words[0], "--data-dir", folder + "/edge"] + words.dropFirst(), in: folder).wait()
    }

    func kill() async {
        program.signal(SIGKILL)
        _ = await program.wait()
    }

    func stop() async {
        program.signal(SIGTERM)
        let result = await program.wait()
        #expect(result.status == 0, "\(result.error)")
    }

    static func skerry(_ arguments: [String], in folder: String) -> ServingProgram {
        ServingProgram(
            "\(ServingProgram.builtFolder)/skerry", arguments, environment: ["KUBECONFIG": "\(folder)/admin.kubeconfig"], folder: folder)
    }

    /// Asks again and again, for three minutes.
    static func until(_ what: @autoclosure () -> String, _ isSo: () async throws -> Bool) async throws {
        for _ in 0..<3600 {
            if try await isSo() { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw Failed(text: "within three minutes it did not come to this: " + what())
    }
}

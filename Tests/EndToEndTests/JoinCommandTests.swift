import Resources
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `skerry token` and `skerry edge` against a running `skerry cloud`.
@Suite(.offThePool) struct JoinCommandTests {
    private static func run(_ arguments: [String], _ cloud: Cloud) async -> ServingProgram.Result {
        await ServingProgram(
            "\(ServingProgram.builtFolder)/skerry", arguments, environment: ["KUBECONFIG": "\(cloud.folder)/admin.kubeconfig"],
            folder: cloud.folder
        ).wait()
    }

    private static func token(_ cloud: Cloud, _ options: [String] = []) async throws -> String {
        let result = await run(["token", "create"] + options, cloud)
        #expect(result.status == 0, "\(result.error)")
        return String(result.output.prefix { $0 != "\n" })
    }

    /// Starts an edge and waits until it is in.
    private static func edge(_ cloud: Cloud, _ folder: String, _ options: [String] = []) async throws -> ServingProgram {
        let program = ServingProgram(
            "\(ServingProgram.builtFolder)/skerry",
            ["edge", "--data-dir", folder, "--listen", "127.0.0.1:0"] + options, folder: cloud.folder)
        while !program.error.contains("node ") || !program.error.contains(" of ") {
            guard waitpid(program.pid, nil, WNOHANG) == 0 else { throw Cloud.Failed(text: program.error) }
            try await Task.sleep(for: .milliseconds(10))
        }
        return program
    }

    @Test func `a machine joins once by a token, starts again without it, and is out when its node is removed`() async throws {
        try await Cloud.with { cloud in
            let folder = cloud.folder + "/edge"
            let token = try await Self.token(cloud, ["--node", "e1", "--ttl", "10m"])
            let first = try await Self.edge(cloud, folder, ["--join", token])
            #expect(first.error.contains("as node e1"), "\(first.error)")
            first.signal(SIGTERM)
            #expect(await first.wait().status == 0)
            let again = try await Self.edge(cloud, folder)
            again.signal(SIGTERM)
            #expect(await again.wait().status == 0)
            let thief = await Self.run(["edge", "--data-dir", cloud.folder + "/thief", "--join", token], cloud)
            #expect(thief.status == 1 && thief.error.contains("has been used by node \"e1\""), "\(thief.error)")
            let listed = await Self.run(["token", "list", "-o", "json"], cloud)
            let rows = try JSONParser.parse(Array(listed.output.utf8)).array ?? []
            #expect(rows.count == 1 && rows.first?["state"] == "used" && rows.first?["used_by"] == "e1", "\(listed.output)")
        }
    }

    @Test func `a revoked token, one of another cloud and a cloud that is away are told apart`() async throws {
        try await Cloud.with { cloud in
            let token = try await Self.token(cloud)
            let id = try JSONParser.parse(Array(await Self.run(["token", "list", "-o", "json"], cloud).output.utf8)).array?.first?["id"]?
                .string
            #expect(await Self.run(["token", "revoke", try #require(id)], cloud).status == 0)
            func failure(_ token: String, _ word: String) async {
                let result = await Self.run(["edge", "--data-dir", cloud.folder + "/edge", "--join", token], cloud)
                #expect(result.status == 1 && result.error.contains(word), "\(result.error)")
            }
            await failure(token, "no such join token")
            var parts = token.split(separator: ".").map(String.init)
            parts[1] = String(repeating: "0", count: 64)
            await failure(parts.joined(separator: "."), "not the cloud that made the token")
            await failure(try await Self.token(cloud, ["--cloud", "127.0.0.1:1"]), "cannot be reached")
            #expect(await Self.run(["token", "revoke", "0123456789"], cloud).status == 1)
            _ = try await Self.token(cloud, ["--node", "7"])
            let listed = try JSONParser.parse(Array(await Self.run(["token", "list", "-o", "json"], cloud).output.utf8)).array ?? []
            #expect(listed.contains { $0["node"] == "7" }, "a name of digits is a name: \(listed)")
            #expect(await Self.run(["token", "create", "--ttl", "soon"], cloud).status == 2)
            #expect(await Self.run(["token", "create", "--count", "0"], cloud).status == 2)
            #expect(await Self.run(["token", "create", "--count", "2", "--node", "e1"], cloud).status == 2)
            #expect(await Self.run(["edge", "--data-dir", cloud.folder + "/new"], cloud).error.contains("skerry token create"))
        }
    }

    @Test func `a fleet gets a token each by one command, and each of them admits one machine`() async throws {
        try await Cloud.with { cloud in
            let made = await Self.run(["token", "create", "--count", "3", "--ttl", "10m"], cloud)
            let tokens = made.output.split(separator: "\n").map(String.init)
            #expect(tokens.count == 3 && Set(tokens).count == 3, "\(made.output)\(made.error)")
            for (number, token) in tokens.enumerated() {
                let folder = "\(cloud.folder)/edge-\(number)"
                let edge = try await Self.edge(cloud, folder, ["--join", token, "--name", "fleet-\(number)"])
                edge.signal(SIGTERM)
                #expect(await edge.wait().status == 0)
            }
            let listed = try JSONParser.parse(Array(await Self.run(["token", "list", "-o", "json"], cloud).output.utf8)).array ?? []
            #expect(Set(listed.compactMap { $0["used_by"]?.string }) == ["fleet-0", "fleet-1", "fleet-2"], "\(listed)")
        }
    }
}

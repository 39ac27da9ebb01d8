import APIServer
import ArgumentParser
import Identity
import KubernetesClient
import Network
import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `skerry token`: who may join.
struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make, list and revoke the one-time tokens by which machines join a cloud.",
        subcommands: [TokenCreateCommand.self, TokenListCommand.self, TokenRevokeCommand.self])
}

/// Which cloud, by a kubeconfig.
struct ClusterOptions: ParsableArguments {
    @Option(help: "Kubeconfig of the cloud (default: $KUBECONFIG).") var kubeconfig: String?
    @Option(help: "Context of the kubeconfig; its current one if none is named.") var context: String?

    func access() throws -> ClusterAccess {
        guard let path = kubeconfig ?? environment()["KUBECONFIG"], !path.isEmpty else {
            throw CloudError("no cloud is named; give --kubeconfig FILE, or set KUBECONFIG to the admin.kubeconfig of its data directory")
        }
        return try Kubeconfig(path: path, read: ForeignCluster.read).access(context: context)
    }

    /// Gives `body` a client, and closes it.
    func with<Result>(_ body: (RESTClient, ClusterAccess) async throws -> Result) async throws -> Result {
        let access = try access()
        let client = try RESTClient(access, userAgent: "skerry/\(Skerry.configuration.version)", read: ForeignCluster.read)
        do {
            let result = try await body(client, access)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    static var now: Int64 { Int64(time(nil)) }
}

/// How the rows of a command are printed.
struct TableOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .customLong("output")], help: "table, json or csv.") var format: AlignedTable.Format = .table
}

/// A span of time as people write it: `90s`, `30m`, `1h`, `7d`.
struct Lifetime: ExpressibleByArgument, CustomStringConvertible {
    let seconds: Int64
    let description: String

    init?(argument: String) {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
        guard let unit = argument.last.flatMap({ units[$0] }), let count = Int64(argument.dropLast()), count > 0, count <= 100_000_000
        else {
            return nil
        }
        seconds = count * unit
        description = argument
    }

    var defaultValueDescription: String { description }
}

struct TokenCreateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a token for one machine and print it.",
        discussion: """
            The token is shown once: the cloud keeps its hash. Give it to 'skerry edge --join TOKEN'. A fleet gets one each: --count 50 prints \
            fifty, a line each.
            """)

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var table: TableOptions
    @Option(help: "The only node that may join with it; an existing node of this name is then given to the new machine.")
    var node: String?
    @Option(help: "How many tokens to make, each for one machine: 1 to 1000.")
    var count = 1
    @Option(help: "How long it may be used: 90s, 30m, 1h, 7d.")
    var ttl = Lifetime(argument: "1h")!
    @Option(help: "HOST:PORT by which edges reach the cloud (default: the kubeconfig's server).")
    var cloud: String?
    @Option(help: "The cloud's ca.crt, where the kubeconfig is that of another Kubernetes beside which the cloud runs.")
    var authority: String?

    func validate() throws {
        guard (1...1000).contains(count) else { throw ValidationError("--count \(count): expected 1 to 1000") }
        guard count == 1 || node == nil else {
            throw ValidationError("--count \(count) --node \(node ?? ""): a node is one machine; leave one of the two away")
        }
    }

    func run() async throws {
        try await cluster.with { client, access in
            let own = try authority.map { String(decoding: try SmallFile.read($0, bytesMax: Kubeconfig.bytesMax), as: UTF8.self) }
            guard let trusted = own ?? access.trust?.trustedPEM, !trusted.isEmpty else {
                throw CloudError(
                    "\(access) has no certificate-authority, so edges could not tell it from others; use the cloud's admin.kubeconfig")
            }
            var place = (host: access.host, port: access.port)
            if let cloud {
                guard let split = JoinToken.split(cloud) else { throw ValidationError("--cloud \(cloud): expected HOST:PORT") }
                place = split
            }
            let fingerprint = try PinnedAuthority(pem: trusted).fingerprint
            let tokens = try (0..<count).map { _ in
                let secret = JoinSecret(bytes: (0..<JoinSecret.byteCount).map { _ in UInt8.random(in: 0...255) })
                return try JoinToken(authority: fingerprint, host: place.host, port: place.port, secret: secret)
            }
            let now = ClusterOptions.now
            let expires = now + ttl.seconds
            try await JoinTokens(client).create(
                tokens.map { JoinGrant(hash: $0.secret.hash, node: node, expiresAt: expires) }, now: now)
            guard table.format != .table else { return try say(tokens.map(\.text).joined(separator: "\n")) }
            var rows = AlignedTable(["TOKEN", "ID", "NODE", "EXPIRES"], texts: ["ID", "NODE"])
            rows.rows = tokens.map { [$0.text, $0.secret.id, node ?? "", Timestamp(seconds: expires).text] }
            try say(rows.text(table.format))
        }
    }
}

struct TokenListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List tokens: which are open, and who used the others.")

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var table: TableOptions

    func run() async throws {
        try await cluster.with { client, _ in
            let now = ClusterOptions.now
            var rows = AlignedTable(["ID", "NODE", "STATE", "EXPIRES", "USED BY", "USED AT"], texts: ["ID", "NODE", "USED BY"])
            rows.rows = try await JoinTokens(client).list().map { grant in
                [
                    grant.id, grant.node ?? "", grant.use != nil ? "used" : grant.expiresAt <= now ? "expired" : "open",
                    Timestamp(seconds: grant.expiresAt).text, grant.use?.node ?? "", grant.use.map { Timestamp(seconds: $0.at).text } ?? "",
                ]
            }
            try say(rows.text(table.format))
        }
    }
}

struct TokenRevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "End a token before its time.",
        discussion: "A machine that has joined by it stays: remove its node to end that (kubectl delete node NAME).")

    @OptionGroup var cluster: ClusterOptions
    @Argument(help: "The token's id, as 'skerry token list' shows it.") var id: String

    func run() async throws {
        try await cluster.with { client, _ in try await JoinTokens(client).revoke(id) }
        writeError("join token \(id) is revoked")
    }
}

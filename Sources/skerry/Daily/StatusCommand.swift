import ArgumentParser
import KubernetesClient
import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `skerry status`: a cloud in one screen.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show a cloud in one screen: nodes, jobs with round and accuracy, models, and what is wrong.",
        discussion: "Of all namespaces, or of one. With --watch it is shown again and again until it is interrupted.")

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var table: TableOptions
    @Option(name: [.customShort("n"), .customLong("namespace")], help: "Only this namespace.") var namespace: String?
    @Flag(name: [.customShort("w"), .customLong("watch")], help: "Go on until interrupted.") var watches = false
    @Option(help: "Seconds between two looks with --watch.") var every: Double = 2

    func validate() throws {
        if let namespace, !NameRules.isLabel(namespace) {
            throw ValidationError("--namespace \(namespace): expected lower-case letters, digits and '-'")
        }
        guard (0.1...3600).contains(every) else { throw ValidationError("--every \(every): expected 0.1 to 3600 seconds") }
    }

    func run() async throws {
        try await cluster.with { client, _ in
            // A screen is cleared; a file gets one look after the other.
            let clears = watches && isatty(STDOUT_FILENO) == 1 && table.format == .table
            while true {
                let text = try await look(client).sheets(leavesOut: table.format == .table).text(table.format)
                try say((clears ? "\u{1b}[H\u{1b}[2J" : "") + text)
                guard watches else { return }
                if !clears, table.format != .json { try say("") }
                try await Task.sleep(for: .milliseconds(Int(every * 1000)))
            }
        }
    }

    private func look(_ client: RESTClient) async throws -> ClusterOverview {
        let query = ListQuery(namespace: namespace ?? "", limit: 500)
        var overview = ClusterOverview(now: Timestamp(seconds: ClusterOptions.now))
        overview.nodes = try await client.listAll(.node, ListQuery(limit: 500)).items
        overview.pods = try await client.listAll(.pod, query).items
        for (kind, short) in zip(KnownKinds.jobs, ["ll", "il", "ji"]) {
            overview.jobs.append((short, try await list(client, kind, query)))
        }
        overview.models = try await list(client, KnownKinds.model, query)
        overview.datasets = try await list(client, KnownKinds.dataset, query)
        return overview
    }

    /// Nothing where the server does not have the kind.
    private func list(_ client: RESTClient, _ kind: ResourceKind, _ query: ListQuery) async throws -> [JSON] {
        do throws(APIStatus) { return try await client.listAll(kind, query).items } catch {
            guard error.code == 404 else { throw error }
            return []
        }
    }
}

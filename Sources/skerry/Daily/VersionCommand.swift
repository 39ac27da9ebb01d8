import ArgumentParser
import KubernetesClient

/// `skerry version`: of this program, and of the cloud if one is named.
struct VersionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Print the version of this program, and of the cloud that a kubeconfig names.")

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var table: TableOptions
    @Flag(help: "Of this program only; no cloud is asked.") var client = false

    func run() async throws {
        var rows = AlignedTable(["WHAT", "VERSION", "SERVER"], texts: ["WHAT", "VERSION", "SERVER"])
        rows.rows = [["skerry", Skerry.configuration.version, ""]]
        let isNamed = cluster.kubeconfig != nil || !(environment()["KUBECONFIG"] ?? "").isEmpty
        if !client, isNamed {
            let (version, server) = try await cluster.with { client, access in
                (try await client.version(), "https://\(access.host):\(access.port)")
            }
            rows.rows.append(["cloud", version, server])
        }
        try say(rows.text(table.format))
    }
}

/// `skerry completion`: what a shell needs to complete commands.
struct CompletionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completion", abstract: "Print a script by which a shell completes commands of this program.",
        discussion: """
            bash: skerry completion bash > /etc/bash_completion.d/skerry, or 'source <(skerry completion bash)' for this shell.
            zsh: skerry completion zsh > "${fpath[1]}/_skerry"
            fish: skerry completion fish > ~/.config/fish/completions/skerry.fish
            """)

    enum Shell: String, ExpressibleByArgument, CaseIterable { case bash, zsh, fish }

    @Argument(help: "bash, zsh or fish.") var shell: Shell

    func run() throws {
        let known: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        try say(Skerry.completionScript(for: known))
    }
}

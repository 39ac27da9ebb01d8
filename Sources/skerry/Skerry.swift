import ArgumentParser

/// The program. Subcommands wire rooms together and hold no logic.
@main
struct Skerry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "skerry", abstract: "Edge AI collaboration: learn across cloud and edge.", version: "0.1.0",
        subcommands: [DatasetCommand.self, BenchCommand.self])
}

import ArgumentParser
import NodeAgent

/// The program. Subcommands wire rooms together and hold no logic.
@main
struct Skerry: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "skerry", abstract: "Edge AI collaboration: learn across cloud and edge.", version: "0.1.0",
        subcommands: [
            CloudCommand.self, EdgeCommand.self, TokenCommand.self,
            DemoCommand.self, ModelCommand.self, DatasetCommand.self, KnowledgeCommand.self,
            StatusCommand.self, TopCommand.self, DoctorCommand.self, LogsCommand.self, PredictCommand.self, VersionCommand.self,
            CompletionCommand.self, BenchCommand.self,
            ShippedModelsCommand.self,
            WorkerCommand.self,
        ])

    /// Exit status of bad usage; 0 is success, 1 failure.
    private static let badUsage: Int32 = 2

    static func main() async {
        // Before anything else is read or begun: a shim is to stay small, and forks.
        if CommandLine.arguments.dropFirst().first == ContainerShim.word { exit(withError: ExitCode(ContainerShim.run())) }
        do {
            var command = try parseAsRoot(joiningNegativeNumbers(Array(CommandLine.arguments.dropFirst())))
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            writeError(fullMessage(for: error))
            exit(withError: ExitCode(badUsage))
        }
    }
}

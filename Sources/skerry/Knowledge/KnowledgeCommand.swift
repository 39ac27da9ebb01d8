import ArgumentParser
import KnowledgeBase
import Storage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

struct KnowledgeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kb", abstract: "Look into a knowledge base: what jobs have learned, from what, and why.",
        subcommands: [
            RoundsCommand.self, TasksCommand.self, ModelsCommand.self, SamplesCommand.self, RelationsCommand.self, DecisionsCommand.self,
            AdaptersCommand.self, MatrixCommand.self, QueryCommand.self, ExportCommand.self, RecordCommand.self, UpgradeCommand.self,
        ])
}

struct RoundsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rounds", abstract: "The rounds of each job and what they left.")

    @OptionGroup var file: KnowledgeFileOptions
    @OptionGroup var rows: RowOptions
    @Option(help: "Only this job: NAMESPACE/NAME.") var job: JobName?
    @Option(help: "Only this round.") var round: Int?

    func run() async throws { try await printListing(.rounds(job: job, round: round), of: file, rows) }
}

struct TasksCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "tasks", abstract: "Tasks, what defines them, and their newest figures.")

    @OptionGroup var file: KnowledgeFileOptions
    @OptionGroup var rows: RowOptions
    @Option(help: "Only this job: NAMESPACE/NAME.") var job: JobName?
    @Option(help: "Only this task.") var task: String?
    @Option(help: "Only tasks with this attribute: NAME=VALUE.") var attribute: String?

    private var parsedAttribute: (name: String, value: String)? {
        guard let attribute, let sign = attribute.firstIndex(of: "=") else { return nil }
        return (String(attribute[..<sign]), String(attribute[attribute.index(after: sign)...]))
    }

    func validate() throws {
        if let attribute, parsedAttribute == nil { throw ValidationError("--attribute \"\(attribute)\" has no '='; give NAME=VALUE") }
    }

    func run() async throws { try await printListing(.tasks(job: job, task: task, attribute: parsedAttribute), of: file, rows) }
}

struct ModelsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models", abstract: "Models with what they were made from, what they serve and how good they were in each round.")

    @OptionGroup var file: KnowledgeFileOptions
    @OptionGroup var rows: RowOptions
    @Option(help: "Only this job: NAMESPACE/NAME.") var job: JobName?
    @Option(help: "Only this round.") var round: Int?
    @Option(help: "Only models of this task.") var task: String?
    @Flag(help: "Only models that the newest decisions deployed.") var serving = false

    func run() async throws { try await printListing(.models(job: job, round: round, task: task, isServing: serving), of: file, rows) }
}

struct SamplesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "samples", abstract: "Samples, by reference, as the newest round left them; with --round, as that round did.")

    @OptionGroup var file: KnowledgeFileOptions
    @OptionGroup var rows: RowOptions
    @Option(help: "Only this job: NAMESPACE/NAME.") var job: JobName?
    @Option(help: "What this round said.") var round: Int?
    @Option(help: "Only samples of this task.") var task: String?
    @Option(help: "Only samples in this state.") var state: RoundRecord.Sample.State?
    @Option(help: "Only samples of this data set.") var dataset: String?
    @Option(help: "At most so many.") var limit: Int?

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit \(limit) is negative") }
    }

    func run() async throws {
        try await printListing(.samples(job: job, round: round, task: task, state: state, dataset: dataset, limit: limit), of: file, rows)
    }
}

struct RelationsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relations", abstract: "What tasks have to do with each other, strongest first in each round.")

    @OptionGroup var file: KnowledgeFileOptions
    @OptionGroup var rows: RowOptions
    @Option(help: "Only this job: NAMESPACE/NAME.") var job: JobName?
    @Option(help: "Only this round.") var round: Int?
    @Option(help: "Only relations from or to this task.") var task: String?
    @Option(help: "Only this kind.") var kind: String?

    func run() async throws { try await printListing(.relations(job: job, round: round, task: task, kind: kind), of: file, rows) }
}

struct DecisionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decisions", abstract: "What was decided in each round, the figures behind it, and why.")

    @OptionGroup var file: KnowledgeFileOptions
    @OptionGroup var rows: RowOptions
    @Option(help: "Only this job: NAMESPACE/NAME.") var job: JobName?
    @Option(help: "Only this round.") var round: Int?
    @Option(help: "Only decisions about this task.") var task: String?
    @Option(help: "Only this action, as deploy or keep.") var action: String?

    func run() async throws { try await printListing(.decisions(job: job, round: round, task: task, action: action), of: file, rows) }
}

struct AdaptersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adapters", abstract: "Small corrections for single subjects, as sites and persons, in each round.")

    @OptionGroup var file: KnowledgeFileOptions
    @OptionGroup var rows: RowOptions
    @Option(help: "Only this job: NAMESPACE/NAME.") var job: JobName?
    @Option(help: "Only this round.") var round: Int?
    @Option(help: "Only this kind, as site or person.") var kind: String?
    @Option(help: "Only this subject.") var subject: String?

    func run() async throws { try await printListing(.adapters(job: job, round: round, kind: kind, subject: subject), of: file, rows) }
}

struct MatrixCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "matrix", abstract: "The R matrix: accuracy after each round on the rows of each round.")

    @OptionGroup var file: KnowledgeFileOptions
    @OptionGroup var rows: RowOptions
    @Option(help: "Only this job: NAMESPACE/NAME.") var job: JobName?
    @Option(help: "Only accuracies after this round.") var round: Int?
    @Option(help: "Only accuracies on the rows of this round.") var on: Int?

    func run() async throws { try await printListing(.matrix(job: job, round: round, rows: on), of: file, rows) }
}

struct QueryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query", abstract: "Ask in SQL. Only reads: anything else is refused, and so is what takes too long.",
        discussion:
            "The views are adapters, datasets, decisions, matrix, model_metrics, models, relations, round_metrics, rounds, sample_history,"
            + " samples, serving, task_attributes, task_metrics and tasks.")

    @OptionGroup var file: KnowledgeFileOptions
    @OptionGroup var rows: RowOptions
    @Argument(help: "One SELECT.") var sql: String
    @Option(help: "Most rows of the result.") var rowsMax: Int = QueryLimits().rowsMax
    @Option(help: "Longest time, seconds.") var timeLimit: Double = 10

    func validate() throws {
        guard (1...100_000_000).contains(rowsMax) else { throw ValidationError("--rows-max \(rowsMax) is out of bounds; give 1 or more") }
        guard timeLimit > 0, timeLimit <= 86_400 else {
            throw ValidationError("--time-limit \(timeLimit) is out of bounds; give more than 0 and at most 86400 seconds")
        }
    }

    func run() async throws {
        let knowledge = try await file.reading()
        var limits = QueryLimits()
        limits.rowsMax = rowsMax
        limits.time = .seconds(timeLimit)
        let start = ContinuousClock.now
        try rows.print { writer in
            try knowledge.query(sql, limits, now: { ContinuousClock.now - start }, into: &writer)
        }
    }
}

struct ExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Write a snapshot: one checked file, whole or not at all, while others go on writing.")

    @OptionGroup var file: KnowledgeFileOptions
    @Argument(help: "The file to write.") var target: String
    @Flag(help: "Replace a file of this name.") var replace = false

    func run() async throws {
        try await file.reading().export(to: target, replace: replace)
        try say(target)
    }
}

struct RecordCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record",
        abstract: "Remember rounds given as JSON, each whole or not at all. Repeating it is harmless. Makes the knowledge base if needed.")

    @OptionGroup var file: KnowledgeFileOptions
    @Argument(help: "Files with one round each, taken in order.") var rounds: [String]

    func run() throws {
        let knowledge = try file.writing(.create)
        let output = StandardOutput()
        for path in rounds {
            let round = try RoundRecord(json: try Self.bytes(path), name: path)
            let outcome = try knowledge.record(round, at: Int64(Date().timeIntervalSince1970))
            let word = outcome == .recorded ? "recorded" : "known already"
            try output.write("\(word): round \(round.round) of \(round.job), pod \(round.pod)\n")
            // Each line is a promise that the round is on the disk.
            try output.flush()
        }
    }

    private static func bytes(_ path: String) throws -> Data {
        let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
        guard size <= RoundRecord.jsonBytesMax else {
            throw KnowledgeError(
                .invalidRecord, "\(path) has \(size) bytes, at most \(RoundRecord.jsonBytesMax) are read; report the round in parts")
        }
        return try Data(contentsOf: URL(filePath: path))
    }
}

struct UpgradeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade", abstract: "Bring a knowledge base of an older program to this program's version.")

    @OptionGroup var file: KnowledgeFileOptions

    func run() throws {
        _ = try file.writing(.readWrite)
        try say("\(file.path): version \(KnowledgeBase.schemaVersion)")
    }
}

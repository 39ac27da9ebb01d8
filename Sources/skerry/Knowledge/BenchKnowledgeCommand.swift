import ArgumentParser
import KnowledgeBase
import Storage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct BenchKnowledgeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "knowledge", abstract: "How fast rounds of many samples are recorded and asked for, and how large the file is.")

    @Option(help: "Samples of a round.") var samples: Int = 60_000
    @Option(help: "Rounds.") var rounds: Int = 6
    @Option(help: "Tasks of the job.") var tasks: Int = 12
    @Option(help: "Adapters of a round.") var adapters: Int = 3000
    @Option(help: "Folder for the file, on the disk to be measured.") var folder: String = "."

    private static let digest = String(repeating: "0123456789abcdef", count: 4)

    func validate() throws {
        guard (1...RoundLimits.samplesMax).contains(samples), (1...1000).contains(rounds), (1...10_000).contains(tasks),
            (0...RoundLimits.linksMax).contains(adapters)
        else { throw ValidationError("give --samples 1 to \(RoundLimits.samplesMax), --rounds 1 to 1000, --tasks 1 to 10000") }
    }

    func run() throws {
        let path = "\(folder)/skerry-bench-\(getpid()).db"
        defer { for suffix in ["", "-wal", "-shm", ".snapshot"] { unlink(path + suffix) } }
        let knowledge = try KnowledgeBase(.file(path))
        let records = try (0..<rounds).map(record)
        let recording = try records.map { round in try Self.milliseconds { try knowledge.record(round, at: 0) } }
        let repeating = try Self.milliseconds { try knowledge.record(records[rounds - 1], at: 0) }
        let recalling = try Self.milliseconds { _ = try knowledge.round(records[0].job, 0, pod: "bench") }
        let exporting = try Self.milliseconds { try knowledge.export(to: path + ".snapshot") }
        let size = try knowledge.sizeBytes()
        let reader = try KnowledgeBase(.file(path), KnowledgeBase.readingOptions())
        let counting = try Self.milliseconds { try Self.ask(reader, "SELECT state, count(*) FROM samples GROUP BY state") }
        let listing = try Self.milliseconds { try Self.ask(reader, "SELECT * FROM tasks") }
        try printConditions()
        try say("record a round             median \(Self.shown(Self.median(recording))) ms, slowest \(Self.shown(recording.max()!)) ms")
        try say("record it again (no change)       \(Self.shown(repeating)) ms")
        try say("recall a round                    \(Self.shown(recalling)) ms")
        try say("count samples by state            \(Self.shown(counting)) ms")
        try say("list tasks                        \(Self.shown(listing)) ms")
        try say("export, checked                   \(Self.shown(exporting)) ms")
        try say(
            "file                              \(size / 1024) KiB, \(Self.shown(Double(size) / Double(samples * rounds))) bytes a sample")
    }

    private func printConditions() throws {
        var system = utsname()
        uname(&system)
        let release = withUnsafeBytes(of: system.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        try say(
            "\(rounds) rounds of \(samples) samples, \(tasks) tasks, \(adapters) adapters, each in one transaction synced to disk in"
                + " \(folder)")
        try say("\(sysconf(Int32(_SC_NPROCESSORS_ONLN))) processors, Linux \(release); one run, wall-clock time")
    }

    /// A third of the samples of each round were met in the round before.
    private func record(_ number: Int) throws -> RoundRecord {
        var round = RoundRecord(job: try JobName("bench/knowledge"), round: number, pod: "bench")
        let names = (0..<tasks).map { "season-\($0 % 4)|cooling-\($0 / 4)" }
        round.datasets = [RoundRecord.Dataset(name: "survey", digest: Self.digest, rowCount: samples * rounds)]
        round.tasks = names.enumerated().map { index, name in
            RoundRecord.Task(
                name: name, attributes: ["season": "\(index % 4)", "cooling": "\(index / 4)"], sampleCount: samples / tasks,
                metrics: ["accuracy": 0.5 + Double(index) / 100])
        }
        round.adapters = (0..<adapters).map { index in
            RoundRecord.Adapter(
                kind: "person", subject: "\(index / 7)/\(index)", sampleCount: index % 20,
                weights: [Float(index) * 0.001, -Float(index % 13) * 0.01, 0.1])
        }
        let first = number * samples - (number > 0 ? samples / 3 : 0)
        round.samples = (first..<first + samples).map { key in
            let isKnown = key % 10 > 0
            return RoundRecord.Sample(
                dataset: "survey", key: .number(Int64(key)), state: isKnown ? .labelled : .unseen, task: isKnown ? names[key % tasks] : nil,
                score: isKnown ? nil : Double(key % 97) / 97)
        }
        return round
    }

    private static func ask(_ knowledge: KnowledgeBase, _ sql: String) throws {
        var sink = RowWriter(.csv) { _ in }
        try knowledge.query(sql, now: { .zero }, into: &sink)
    }

    private static func milliseconds(_ body: () throws -> Void) rethrows -> Double {
        try ContinuousClock().measure(body) / .milliseconds(1)
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    private static func shown(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}

import Dispatch
import Learning
import Network
import Resources
import Serving
import Synchronization

/// Rows of the sources that a Model names, answered to its sinks: `STREAMS`, which holds `sources`, `sinks` and `deadLetter` of the Model with
/// paths and credentials as the worker finds them.
///
/// A source's rows are acknowledged once every sink has their answers, and the dead letters theirs; whatever ends the worker before makes
/// them come again. At least once, that is, and in the order of the source.
final class WorkerStreams: Sendable {
    /// How the worker answers.
    struct Asker: Sendable {
        /// How the model of the moment is asked; nil while there is none.
        enum Form: Sendable { case columns, inputs }

        var form: @Sendable () -> Form?
        /// Version of the moment.
        var version: @Sendable () -> String
        /// Judges rows by their columns.
        var judge: @Sendable (TextTable) async throws -> (answer: RowTable, version: String)
        /// The port of the worker itself, for models of inputs of their own.
        var port: @Sendable () -> Int
    }

    /// What is told of all of them.
    private struct Counts {
        var answered = 0
        var letters = 0
        var dropped = 0
        var retries = 0
        /// By source and sink: what is wrong now.
        var faults: [String: String] = [:]
    }

    /// A source or sink with the queue that it is used on, hence unchecked.
    private final class Held<Value>: @unchecked Sendable {
        private let value: Value
        private let queue: DispatchQueue

        init(_ value: Value, _ label: String) { (self.value, queue) = (value, DispatchQueue(label: label)) }

        func use<Result: Sendable>(_ body: @escaping @Sendable (Value) throws -> Result) async throws -> Result {
            try await withCheckedThrowingContinuation { continuation in
                queue.async { continuation.resume(with: Swift.Result { try body(self.value) }) }
            }
        }
    }

    private let modelName: String
    private let say: @Sendable (String) -> Void
    private let sources: [(name: String, source: Held<any StreamSource>)]
    private let sinks: [(name: String, sink: Held<any StreamSink>)]
    private let letters: (name: String, sink: Held<any StreamSink>)?
    private let counts = Mutex(Counts())

    /// Nil where nothing is declared.
    ///
    /// - Parameters:
    ///   - libraries: where libmosquitto may lie, best first; looked for when a broker is named.
    /// - Throws: `WorkerInputError` naming the field of `STREAMS`.
    init?(_ settings: WorkerSettings, modelName: String, libraries: [String], say: @escaping @Sendable (String) -> Void) throws {
        guard let text = settings["STREAMS"] else { return nil }
        guard let json = try? JSON(parsing: text) else {
            throw WorkerInputError("STREAMS=\(text.prefix(80)): expected JSON with sources and sinks")
        }
        let (streams, errors) = ModelStreams.read(json, at: "STREAMS")
        if let error = errors.first { throw WorkerInputError("\(error.field): \(error.message)") }
        guard !streams.sources.isEmpty else { return nil }
        (self.modelName, self.say) = (modelName, say)
        let reader = "\(settings["NAMESPACE"] ?? "default").\(modelName)"
        let client = "skerry.\(reader).\(settings["NODE_NAME"] ?? settings.podName)"
        func named(_ place: ModelStreams.Place, _ json: JSON?) -> String {
            if case .file(let file) = place { json?["file"]?["name"]?.string ?? file.path } else { "" }
        }
        sources = streams.sources.enumerated().map { number, source in
            let held: any StreamSource, name: String
            switch source.place {
            case .file(let file):
                name = named(source.place, json["sources"]?.array?[number])
                held = FileSource(file, name: name, idColumn: source.id, reader: reader)
            case .mqtt(let messages):
                name = "\(messages.host):\(messages.port), topic \(messages.topic)"
                let id = messages.clientID ?? "\(client).\(number)"
                held = MQTTSource(messages, clientID: id, idColumn: source.id, libraries: libraries)
            }
            return (name, Held(held, "source"))
        }
        func sink(_ place: ModelStreams.Place, _ json: JSON?) -> (name: String, sink: Held<any StreamSink>) {
            let sink: any StreamSink =
                switch place {
                case .file(let file): FileSink(file, name: named(place, json))
                case .mqtt(let messages): MQTTSink(messages, libraries: libraries)
                }
            return (sink.name, Held(sink, "sink"))
        }
        sinks = streams.sinks.enumerated().map { sink($1, json["sinks"]?.array?[$0]) }
        letters = streams.deadLetter.map { sink($0, json["deadLetter"]) }
    }

    /// What is told of the streams, for the worker's report.
    var info: JSONObject {
        counts.withLock { counts in
            let faults = counts.faults.sorted { $0.key < $1.key }.map(\.value).joined(separator: "; ")
            return [
                "streamRows": .integer(Int64(counts.answered)), "deadLetters": .integer(Int64(counts.letters)),
                "droppedRows": .integer(Int64(counts.dropped)), "streamRetries": .integer(Int64(counts.retries)),
                "streamFault": .string(String(faults.prefix(500))),
            ]
        }
    }

    /// Brings rows and takes answers away until cancelled.
    func run(_ asker: Asker) async {
        await withTaskGroup(of: Void.self) { group in
            for source in sources { group.addTask { await self.pump(source.name, source.source, asker) } }
        }
    }

    // MARK: - One source

    private func pump(_ name: String, _ source: Held<any StreamSource>, _ asker: Asker) async {
        var pause = Pause()
        while !Task.isCancelled {
            // Not before there is a model: rows wait where they are.
            guard asker.form() != nil else {
                guard await Self.sleep(.milliseconds(200)) else { return }
                continue
            }
            do {
                let records = try await source.use { try $0.next() }
                clear("source \(name)")
                pause = Pause()
                guard !records.isEmpty else {
                    await idle()
                    continue
                }
                guard try await deliver(records, asker) else { return }
                try await source.use { try $0.acknowledge() }
            } catch {
                tell("source \(name)", "\(error)")
                try? await source.use { $0.drop() }
                guard await Self.sleep(pause.next()) else { return }
            }
        }
        try? await source.use { $0.drop() }
    }

    /// Nothing has come: sinks keep their connections, and a source that answers at once is not asked all the time.
    private func idle() async {
        for sink in sinks + (letters.map { [$0] } ?? []) { try? await sink.sink.use { $0.idle() } }
        _ = await Self.sleep(.milliseconds(100))
    }

    /// Answers rows and has the answers taken, however long that takes.
    ///
    /// - Returns: false if the worker is to end first.
    private func deliver(_ records: [StreamRecord], _ asker: Asker) async throws -> Bool {
        guard let found = await answer(records, asker) else { return false }
        for sink in sinks where !found.answers.isEmpty {
            guard await hand(found.answers, to: sink) else { return false }
        }
        if !found.letters.isEmpty {
            if let letters {
                guard await hand(found.letters, to: letters) else { return false }
                counts.withLock { $0.letters += found.letters.count }
            } else {
                counts.withLock { $0.dropped += found.letters.count }
            }
        }
        counts.withLock { $0.answered += found.answers.count }
        return true
    }

    private func hand(_ answers: [StreamAnswer], to sink: (name: String, sink: Held<any StreamSink>)) async -> Bool {
        var pause = Pause()
        while !Task.isCancelled {
            do {
                try await sink.sink.use { try $0.write(answers) }
                clear("sink \(sink.name)")
                return true
            } catch {
                counts.withLock { $0.retries += 1 }
                tell("sink \(sink.name)", "\(error)")
                guard await Self.sleep(pause.next()) else { return false }
            }
        }
        return false
    }

    // MARK: - Answers

    /// Nil if the worker is to end.
    private func answer(_ records: [StreamRecord], _ asker: Asker) async -> (answers: [StreamAnswer], letters: [StreamAnswer])? {
        var (answers, letters): ([StreamAnswer], [StreamAnswer]) = ([], [])
        var rest = records[...]
        while let first = rest.first {
            if case .unreadable(let reason) = first.content {
                letters.append(refuse(first, reason))
                rest.removeFirst()
                continue
            }
            let group = Array(rest.prefix { Self.isAlike($0, first) })
            rest = rest.dropFirst(group.count)
            var results = await ask(group, asker)
            while results == nil {
                // The model is on its way, or the worker busy with others.
                guard await Self.sleep(.milliseconds(200)) else { return nil }
                results = await ask(group, asker)
            }
            for (record, result) in zip(group, results!) {
                switch result {
                case .success(let answer): answers.append(answer)
                case .failure(let fault): letters.append(refuse(record, fault.description))
                }
            }
        }
        return (answers, letters)
    }

    private static func isAlike(_ one: StreamRecord, _ other: StreamRecord) -> Bool {
        switch (one.content, other.content) {
        case (.words(let one, _), .words(let other, _)): one == other
        case (.values, .values): true
        default: false
        }
    }

    private func refuse(_ record: StreamRecord, _ reason: String) -> StreamAnswer {
        if letters == nil { say("\(record.place): \(reason); the row is dropped, name a deadLetter to keep it") }
        return StreamAnswer(refusing: record, model: modelName, String(reason.prefix(1000)))
    }

    private typealias Results = [Result<StreamAnswer, StreamFault>]

    /// Answers rows of the same columns; where they are refused together, each alone. Nil: ask again later.
    private func ask(_ records: [StreamRecord], _ asker: Asker) async -> Results? {
        do {
            switch asker.form() {
            case nil: return nil
            case .columns where !Self.areInputs(records[0]): return try await byColumns(records, asker)
            case .columns, .inputs: return try await byInputs(records, asker)
            }
        } catch let refusal as InferenceRefusal where refusal.status == 503 || refusal.status == 429 {
            return nil
        } catch {
            guard records.count > 1 else {
                return [.failure(StreamFault((error as? InferenceRefusal)?.reason ?? "\(error)"))]
            }
            var results: Results = []
            for record in records {
                guard let one = await ask([record], asker) else { return nil }
                results += one
            }
            return results
        }
    }

    private func byColumns(_ records: [StreamRecord], _ asker: Asker) async throws -> Results {
        guard case .words(let columns, _) = records[0].content else {
            throw InferenceRefusal(400, "a value is a list or an object; the model takes one value a column")
        }
        guard Set(columns).count == columns.count else { throw InferenceRefusal(400, "a column occurs twice") }
        var table = TextTable(columns: columns, source: records[0].source)
        for (number, record) in records.enumerated() {
            guard case .words(_, let values) = record.content else { continue }
            table.append(values, line: record.line ?? number + 1)
        }
        let (found, version) = try await asker.judge(table)
        return zip(records, found.rows).map { record, row in
            let fields = zip(found.columns, row).map {
                (name: $0, value: $0 == "class" || $0 == "task" ? .string($1) : StreamAnswer.value($1))
            }
            return .success(StreamAnswer(to: record, model: modelName, version: version, fields))
        }
    }

    /// Rows of the model's own inputs, as anybody else on the machine would ask about them.
    private func byInputs(_ records: [StreamRecord], _ asker: Asker) async throws -> Results {
        let isCSV = records[0].line != nil && Self.hasNumberedColumns(records[0])
        var body: [UInt8] = []
        for (number, record) in records.enumerated() {
            if isCSV, case .words(let columns, let values) = record.content {
                if number == 0 { body += csvLine(columns) }
                body += csvLine(values)
            } else {
                body += (record.object ?? .null).bytes() + [0x0a]
            }
        }
        let client = try PooledHTTPClient(host: "127.0.0.1", port: asker.port(), trust: nil)
        let request = HTTPRequest(
            method: "POST", path: "/v2/models/\(modelName)/infer-stream",
            headers: ["Content-Type": isCSV ? "text/csv" : "application/x-ndjson"], body: body)
        let sent: Result<HTTPAnswer, any Error>
        do { sent = .success(try await client.send(request)) } catch { sent = .failure(error) }
        await client.close()
        let answer = try sent.get()
        guard answer.status == 200 else {
            let reason = (try? JSONParser.parse(answer.body))?["error"]?.string
            throw InferenceRefusal(answer.status, reason ?? "the model answers with \(answer.status)")
        }
        let lines = answer.body.split(separator: 0x0a).map { Array($0) }
        let found = isCSV ? try Self.rows(csv: lines) : lines.map { Self.fields(json: $0) }
        guard found.count == records.count else { throw InferenceRefusal(500, "\(found.count) answers to \(records.count) rows") }
        let version = asker.version()
        return zip(records, found).map { .success(StreamAnswer(to: $0, model: modelName, version: version, $1)) }
    }

    /// Whether a row brings what a model of named features is asked with in the end, and not the columns of a table.
    private static func areInputs(_ record: StreamRecord) -> Bool {
        switch record.content {
        case .words(let columns, _): columns.contains { $0 == "features" || $0.hasPrefix("features.") }
        case .values(let json): json["features"] != nil
        case .unreadable: false
        }
    }

    /// `features.0`, `features.1`: an input of several numbers, as CSV has it.
    private static func hasNumberedColumns(_ record: StreamRecord) -> Bool {
        guard case .words(let columns, _) = record.content else { return false }
        return columns.contains { $0.hasSuffix(".0") }
    }

    private static func rows(csv lines: [[UInt8]]) throws -> [[(name: String, value: JSON)]] {
        guard let first = lines.first else { return [] }
        let columns = try StreamRecord.fields(first)
        return try lines.dropFirst().map { line in
            zip(columns, try StreamRecord.fields(line)).map { (name: $0, value: StreamAnswer.value($1)) }
        }
    }

    private static func fields(json line: [UInt8]) -> [(name: String, value: JSON)] {
        let members = (try? JSONParser.parse(line))?.object ?? [:]
        return members.map { (name: $0.0, value: $0.1) }
    }

    // MARK: - Faults

    private func tell(_ part: String, _ words: String) {
        let isNews = counts.withLock { counts in
            defer { counts.faults[part] = words }
            return counts.faults[part] != words
        }
        if isNews { say("\(part): \(words); it is tried again") }
    }

    private func clear(_ part: String) {
        if counts.withLock({ $0.faults.removeValue(forKey: part) }) != nil { say("\(part): works again") }
    }

    private static func sleep(_ duration: Duration) async -> Bool {
        do { try await Task.sleep(for: duration) } catch { return false }
        return true
    }

    /// Pauses between tries: twice as long each time, up to half a minute, and never the same for all nodes.
    private struct Pause {
        private var milliseconds = 200.0

        mutating func next() -> Duration {
            defer { milliseconds = min(milliseconds * 2, 30_000) }
            return .milliseconds(Int(milliseconds * .random(in: 0.8...1.2)))
        }
    }
}

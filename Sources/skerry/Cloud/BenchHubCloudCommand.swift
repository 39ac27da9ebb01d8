import APIServer
import ArgumentParser
import Dispatch
import Identity
import Resources

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

/// What `skerry bench hub` measures: a cloud like any other, with one more controller in its process, which changes Nodes when told to;
/// not for people.
struct BenchHubCloudCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hub-cloud", abstract: "Run a cloud that changes its Nodes as lines of the standard input say.", shouldDisplay: false)

    @OptionGroup var options: CloudOptions
    @Option(help: "Address and port to listen on.") var listen: String

    func validate() throws {
        if CloudSettings.address(listen) == nil { throw ValidationError("--listen \(listen): expected ADDRESS:PORT, as 127.0.0.1:7443") }
    }

    func run() async throws {
        HeapKeeper.prepare()
        guard let (host, port) = CloudSettings.address(listen) else { return }
        try await CloudServeCommand.serve(CloudSettings(), dataDir: options.dataDir, host: host, port: port) { service in
            let client = ServiceClient(service, user: User(name: "system:bench", groups: ["system:masters"]))
            for await line in Self.lines(of: STDIN_FILENO) {
                guard let order = ChangeOrder(line) else {
                    writeError("the order \"\(line)\" is none; expected RATE COUNT NODES FILE")
                    continue
                }
                await Self.carryOut(order, client)
            }
        }
    }

    /// Ends with the input, or when the reader's task is cancelled.
    private static func lines(of input: Int32) -> AsyncStream<String> {
        let (stream, continuation) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingNewest(16))
        nonisolated(unsafe) let source = DispatchSource.makeReadSource(fileDescriptor: input)
        source.setEventHandler {
            // The bench writes a line at once.
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = read(input, &bytes, bytes.count)
            guard count > 0 else { return continuation.finish() }
            for line in bytes[..<count].split(separator: UInt8(ascii: "\n")) { continuation.yield(String(decoding: line, as: UTF8.self)) }
        }
        continuation.onTermination = { _ in source.cancel() }
        source.resume()
        return stream
    }

    private static func carryOut(_ order: ChangeOrder, _ client: ServiceClient) async {
        let made = await order.carryOut { number async in
            let patch = Resources.ObjectPatch(.merge, BenchChange.patch(number))
            do throws(APIStatus) {
                _ = try await client.patch(.node, ObjectKey(name: order.node(number)), patch, part: .whole)
                return nil
            } catch { return "\(error.code) \(error.message)" }
        }
        do {
            // Whoever waits for the file sees it whole.
            let text = Array(made.map { "\($0)\n" }.joined().utf8)
            try Data(text).write(to: URL(filePath: order.file), options: .atomic)
        } catch { writeError("cannot write \(order.file): \(error)") }
    }
}

/// A change that is known again where it arrives.
enum BenchChange {
    /// The label that a change of a Node carries: its number.
    static let label = "bench-change"

    static func patch(_ number: Int) -> JSON { ["metadata": ["labels": [label: .string("\(number)")]]] }
}

/// So many changes at an even pace, each of the next Node in turn.
struct ChangeOrder: CustomStringConvertible {
    /// Changes a second, and changes.
    let rate: Int
    let count: Int
    /// Nodes that there are, named node-0 and so on.
    let nodes: Int
    /// What became of the changes, a line each, is to stand here.
    let file: String

    init(rate: Int, count: Int, nodes: Int, file: String) {
        (self.rate, self.count, self.nodes, self.file) = (rate, count, nodes, file)
    }

    /// Reads what `description` says; nil for text that is no order.
    init?(_ text: String) {
        let words = text.split(separator: " ", maxSplits: 3)
        guard words.count == 4, let rate = Int(words[0]), let count = Int(words[1]), let nodes = Int(words[2]) else { return nil }
        if rate < 1 || nodes < 1 || count < 0 { return nil }
        self.init(rate: rate, count: count, nodes: nodes, file: String(words[3]))
    }

    var description: String { "\(rate) \(count) \(nodes) \(file)" }

    func node(_ number: Int) -> String { "node-\(number % nodes)" }

    /// What became of a change.
    struct Made: CustomStringConvertible {
        let number: Int
        /// Nanoseconds of the system's clock: when it was to begin, when it did, when it was committed.
        let due: UInt64
        let begun: UInt64
        let committed: UInt64
        /// Why it was not made; nil if it was.
        let refusal: String?

        init(number: Int, due: UInt64, begun: UInt64, committed: UInt64, refusal: String?) {
            (self.number, self.due, self.begun, self.committed, self.refusal) = (number, due, begun, committed, refusal)
        }

        /// Reads what `description` says; nil for other lines.
        init?(_ line: some StringProtocol) {
            let words = line.split(separator: " ", maxSplits: 4)
            guard words.count == 5, let number = Int(words[0]), let due = UInt64(words[1]), let begun = UInt64(words[2]),
                let committed = UInt64(words[3])
            else { return nil }
            self.init(
                number: number, due: due, begun: begun, committed: committed, refusal: words[4] == "ok" ? nil : String(words[4]))
        }

        var description: String { "\(number) \(due) \(begun) \(committed) \(refusal?.replacing("\n", with: " ") ?? "ok")" }
    }

    /// Makes the changes at their times, in steps of a millisecond, whether those before have been committed or not.
    ///
    /// - Parameter change: makes the change of a number; returns why that was refused.
    func carryOut(_ change: @escaping @Sendable (Int) async -> String?) async -> [Made] {
        let start = monotonicNanoseconds()
        return await withTaskGroup(of: Made.self) { group in
            for number in 0..<count {
                let due = start + UInt64(number * 1000 / rate) * 1_000_000
                let now = monotonicNanoseconds()
                if due > now { try? await Task.sleep(for: .nanoseconds(due - now)) }
                group.addTask {
                    let begun = monotonicNanoseconds()
                    let refusal = await change(number)
                    return Made(number: number, due: due, begun: begun, committed: monotonicNanoseconds(), refusal: refusal)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }
}

import Network
package import Resources
import Synchronization

/// Brings a worker's messages to the node's agent: `POST $LC_SERVER/sedna/workers/$WORKER_NAME/info`.
///
/// Progress goes in the background, at most once a second and the latest only; the last message goes until it was taken.
package final class WorkerReporter: Sendable {
    /// Between two messages of progress.
    package static let pause = Duration.seconds(1)
    /// Tries of the last message; the pauses between them are some five minutes in all, in which an agent can be replaced.
    package static let triesMax = 40

    private let settings: WorkerSettings
    private let name: String
    private let client: PooledHTTPClient?
    private let feed: AsyncStream<WorkerReport>
    private let feeder: AsyncStream<WorkerReport>.Continuation

    /// Without `LC_SERVER` nothing is sent: a worker can be run by hand.
    ///
    /// - Throws: `WorkerInputError` for an address that is none, and for a worker without a name.
    package init(_ settings: WorkerSettings) throws {
        self.settings = settings
        (feed, feeder) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        guard let address = settings[WorkerContract.serverVariable] else {
            (client, name) = (nil, settings[WorkerContract.nameVariable] ?? "by-hand")
            return
        }
        name = try settings.required(WorkerContract.nameVariable, "the name under which this worker reports")
        let (host, port) = try Self.address(address)
        var limits = HTTPClientLimits()
        (limits.connectTimeout, limits.headTimeout, limits.answerTimeout) = (.seconds(5), .seconds(30), .seconds(30))
        (limits.answerBytesMax, limits.connectionsMax) = (1 << 20, 2)
        client = try PooledHTTPClient(host: host, port: port, trust: nil, limits: limits)
    }

    /// `http://HOST:PORT`, with or without a slash behind.
    static func address(_ text: String) throws(WorkerInputError) -> (String, Int) {
        let scheme = "http://"
        let rest = text.hasPrefix(scheme) ? String(text.dropFirst(scheme.count).prefix { $0 != "/" }) : ""
        let cut = rest.lastIndex(of: ":")
        guard let cut, let port = Int(rest[rest.index(after: cut)...]), (1...65535).contains(port), cut > rest.startIndex else {
            throw WorkerInputError("LC_SERVER=\(text.prefix(100)): expected http://ADDRESS:PORT")
        }
        return (String(rest[..<cut].filter { $0 != "[" && $0 != "]" }), port)
    }

    /// Says how far the work is; returns at once.
    package func tell(_ message: WorkerReport) { feeder.yield(message) }

    /// Sends what `tell` is given until cancelled. What the agent does not take is dropped: a later message says more.
    package func run() async {
        for await message in feed {
            _ = try? await send(message)
            do { try await Task.sleep(for: Self.pause) } catch { return }
        }
    }

    /// Sends the last message, again and again while the agent is away.
    ///
    /// - Parameter say: is told of the first try that failed.
    /// - Throws: `WorkerDeliveryError` when it was refused, or not taken after all tries.
    package func finish(_ message: WorkerReport, triesMax: Int = triesMax, say: (String) -> Void = { _ in }) async throws {
        var pause = Duration.milliseconds(200)
        for attempt in 1...triesMax {
            do throws(WorkerDeliveryError) {
                return try await send(message)
            } catch {
                if !error.isRetryable || attempt == triesMax { throw error }
                if attempt == 1 { say("\(error); it is sent again for some minutes") }
            }
            try await Task.sleep(for: pause)
            pause = min(pause * 2, .seconds(8))
        }
    }

    /// Closes connections; last.
    package func close() async {
        feeder.finish()
        await client?.close()
    }

    private func send(_ message: WorkerReport) async throws(WorkerDeliveryError) {
        guard let client else { return }
        let body = message.body(name: name, settings)
        let request = HTTPRequest(
            method: "POST", path: WorkerContract.reportPath(name), headers: ["Content-Type": "application/json"], body: body)
        let answer: HTTPAnswer
        do throws(HTTPClientError) {
            answer = try await client.send(request)
        } catch {
            throw WorkerDeliveryError(
                "the node's agent at \(settings[WorkerContract.serverVariable] ?? "") did not take the report: \(error)", isRetryable: true)
        }
        guard answer.status != 200 else { return }
        let words = String(decoding: answer.body.prefix(300), as: UTF8.self)
        throw WorkerDeliveryError(
            "the node's agent refused the report with \(answer.status): \(words)", isRetryable: answer.status >= 500 || answer.status == 429
        )
    }
}

/// A report that was not taken.
package struct WorkerDeliveryError: Error, Equatable, CustomStringConvertible {
    /// One sentence: the agent's address or its answer.
    package var description: String
    /// Whether the same message may be taken later.
    package var isRetryable: Bool

    init(_ description: String, isRetryable: Bool) { (self.description, self.isRetryable) = (description, isRetryable) }
}

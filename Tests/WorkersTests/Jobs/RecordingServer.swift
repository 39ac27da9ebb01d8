import Network
import Resources
import Synchronization
import TestKit
import Workers

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension Program {
    /// Waits for the end without holding the thread, which the recording server may need; once only.
    func ending() async throws -> Ending {
        while true {
            // Looked at only: its status stays to be had.
            var information = siginfo_t()
            guard waitid(P_PID, id_t(id), &information, WEXITED | WNOHANG | WNOWAIT) == 0, information.si_signo == 0 else { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        return try wait()
    }
}

/// A node's agent as workers see it: takes reports and keeps them.
final class RecordingServer: HTTPResponder {
    /// What a report may meet before one is taken.
    enum Fault: Sendable, ExpressibleByIntegerLiteral {
        case status(Int)
        /// No answer until the worker gives up.
        case silence
        /// The end of the connection instead of an answer.
        case hangUp

        init(integerLiteral value: Int) { self = .status(value) }
    }

    private let kept = Mutex<[WorkerReport]>([])
    private let refused = Mutex<[String]>([])
    private let name: String
    private let faults: Mutex<[Fault]>

    init(name: String, faults: [Fault] = []) {
        self.name = name
        self.faults = Mutex(faults)
    }

    /// What was taken, oldest first.
    var reports: [WorkerReport] { kept.withLock { $0 } }
    /// Why something was not.
    var refusals: [String] { refused.withLock { $0 } }

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        let (status, body) = take(request.method, request.path, request.body)
        return HTTPResponse(status: status, body: .bytes(body))
    }

    private func take(_ method: String, _ path: String, _ body: [UInt8]) -> (status: Int, body: [UInt8]) {
        do {
            guard method == "POST", path == WorkerContract.reportPath(name) else { throw RecordingError(text: "\(method) \(path)") }
            let json = try JSONParser.parse(body)
            guard json["name"]?.string == name else { throw RecordingError(text: "the body names another worker") }
            let report = try WorkerReport(json)
            kept.withLock { $0.append(report) }
            return (200, Array(#"{"Status":200,"Message":"OK"}"#.utf8))
        } catch {
            refused.withLock { $0.append("\(error)") }
            return (400, Array("\(error)".utf8))
        }
    }

    private struct RecordingError: Error { var text: String }

    // MARK: On threads of its own

    private func serve(_ connection: LoopbackConnection) {
        var received: [UInt8] = []
        while let request = Self.next(&received, connection) {
            let answer: (status: Int, body: [UInt8])
            switch faults.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
            case .hangUp: return
            case .silence: return connection.readToEnd()
            case .status(let status): answer = (status, [])
            case nil: answer = take(request.method, request.path, request.body)
            }
            let head = "HTTP/1.1 \(answer.status) As Recorded\r\nContent-Length: \(answer.body.count)\r\n\r\n"
            guard connection.write(Array(head.utf8) + answer.body) else { return }
        }
    }

    /// The next whole request; nil once the peer is gone.
    private static func next(
        _ received: inout [UInt8], _ connection: LoopbackConnection
    ) -> (method: String, path: String, body: [UInt8])? {
        var length: (head: Int, body: Int)?
        while true {
            if length == nil, let end = received.firstRange(of: [13, 10, 13, 10]) {
                let lines = String(decoding: received[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
                let field = lines.first { $0.lowercased().hasPrefix("content-length:") }
                length = (end.upperBound, field.flatMap { Int($0.drop { $0 != ":" }.dropFirst().filter { $0 != " " }) } ?? 0)
            }
            if let length, received.count >= length.head + length.body {
                let words = String(decoding: received.prefix { $0 != 13 }, as: UTF8.self).split(separator: " ")
                let body = Array(received[length.head..<length.head + length.body])
                received.removeFirst(length.head + length.body)
                return words.count < 2 ? nil : (String(words[0]), String(words[1]), body)
            }
            let more = connection.read()
            if more.isEmpty { return nil }
            received += more
        }
    }

    /// Waits until a report is as wanted, or the worker is gone for good: some minutes.
    func first(_ isWanted: (WorkerReport) -> Bool) async -> WorkerReport? {
        for _ in 0..<9000 {
            if let found = reports.first(where: isWanted) { return found }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return nil
    }

    /// Runs with the server listening on a port of the system's choice; the first reports meet the faults.
    static func with<Result: Sendable>(
        name: String = "comfort-train-0-0123456789abcdef", faults: [Fault] = [],
        _ body: (RecordingServer, [String: String]) async throws -> Result
    ) async throws -> Result {
        let recorder = RecordingServer(name: name, faults: faults)
        let server = LoopbackServer { recorder.serve($0) }
        defer { server.stop() }
        let environment = [
            "LC_SERVER": "http://127.0.0.1:\(server.port)", "WORKER_NAME": name, "NAMESPACE": "lab", "JOB_NAME": "comfort",
        ]
        return try await body(recorder, environment)
    }
}

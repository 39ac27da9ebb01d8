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
    private let kept = Mutex<[WorkerReport]>([])
    private let refused = Mutex<[String]>([])
    private let name: String
    /// Statuses to answer with before 200.
    private let failures: Mutex<[Int]>

    init(name: String, failures: [Int] = []) {
        self.name = name
        self.failures = Mutex(failures)
    }

    /// What was taken, oldest first.
    var reports: [WorkerReport] { kept.withLock { $0 } }
    /// Why something was not.
    var refusals: [String] { refused.withLock { $0 } }

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        let failure = failures.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        if let failure { return HTTPResponse(status: failure) }
        do {
            guard request.method == "POST", request.path == WorkerContract.reportPath(name) else {
                throw RecordingError(text: "\(request.method) \(request.path)")
            }
            let json = try JSONParser.parse(request.body)
            guard json["name"]?.string == name else { throw RecordingError(text: "the body names another worker") }
            let report = try WorkerReport(json)
            kept.withLock { $0.append(report) }
            return HTTPResponse(status: 200, body: .bytes(Array(#"{"Status":200,"Message":"OK"}"#.utf8)))
        } catch {
            refused.withLock { $0.append("\(error)") }
            return HTTPResponse(status: 400)
        }
    }

    private struct RecordingError: Error { var text: String }

    /// Waits until a report is as wanted, or the worker is gone for good: some minutes.
    func first(_ isWanted: (WorkerReport) -> Bool) async -> WorkerReport? {
        for _ in 0..<9000 {
            if let found = reports.first(where: isWanted) { return found }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return nil
    }

    /// Runs with the server listening on a port of the system's choice.
    static func with<Result: Sendable>(
        name: String = "comfort-train-0-0123456789abcdef", failures: [Int] = [],
        _ body: (RecordingServer, [String: String]) async throws -> Result
    ) async throws -> Result {
        let recorder = RecordingServer(name: name, failures: failures)
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: recorder)
        let environment = [
            "LC_SERVER": "http://127.0.0.1:\(server.port)", "WORKER_NAME": name, "NAMESPACE": "lab", "JOB_NAME": "comfort",
        ]
        do {
            let result = try await body(recorder, environment)
            await server.stop(grace: .zero)
            return result
        } catch {
            await server.stop(grace: .zero)
            throw error
        }
    }
}

package import Resources

/// Sedna's address for workers: `POST /sedna/workers/NAME/info`. Whoever knows a worker's name may report for it.
package struct WorkerDoor: Sendable {
    /// What a worker is answered.
    package struct Answer: Sendable, Hashable {
        /// 200 once the report is durable; 400, 404, 405, 409, 413, 429 or 503 with a reason.
        package let status: Int
        /// `{"Status":200,"Message":"OK"}`.
        package let body: JSON
        /// Seconds after which to try again; 0 for none.
        package let retryAfterSeconds: Int
    }

    /// What every such path begins with.
    package static let folder = "/sedna/workers/"
    let agent: NodeAgent

    init(_ agent: NodeAgent) { self.agent = agent }

    /// Takes a report.
    ///
    /// - Parameters:
    ///   - path: as it was sent; names have nothing to escape.
    ///   - body: at most `WorkerReport.Limits.bodyBytesMax`.
    package func answer(method: String, path: String, body: [UInt8]) async -> Answer {
        do throws(WorkerLedger.Refusal) {
            try await take(method, path, body)
            return Self.answer(200, "OK")
        } catch { return Self.answer(error.code, error.message, error.retryAfterSeconds) }
    }

    /// Whether a path is that of a question: `POST /sedna/workers/NAME/ask`.
    package static func isQuestion(_ path: String) -> Bool { path.hasPrefix(folder) && path.hasSuffix("/ask") }

    /// Takes a question of an edge worker up to the cloud worker of its service, and brings the answer.
    ///
    /// - Throws: what the agent or the cloud refuses with.
    package func ask(method: String, path: String, body: [UInt8]) async throws(APIStatus) -> [UInt8] {
        let words = path.split(separator: "/", omittingEmptySubsequences: false)
        guard words.count == 5, method == "POST" else {
            throw APIStatus(code: 404, reason: "NotFound", message: "\(path.prefix(100)): workers ask by POST \(Self.folder)NAME/ask")
        }
        return try await agent.ask(String(words[3]), body)
    }

    private static func answer(_ status: Int, _ message: String, _ retryAfterSeconds: Int = 0) -> Answer {
        Answer(
            status: status, body: ["Status": .integer(Int64(status)), "Message": .string(message)], retryAfterSeconds: retryAfterSeconds)
    }

    private func take(_ method: String, _ path: String, _ body: [UInt8]) async throws(WorkerLedger.Refusal) {
        let words = path.split(separator: "/", omittingEmptySubsequences: false)
        guard words.count == 5, path.hasPrefix(Self.folder), words[4] == "info" else {
            throw .init(code: 404, message: "\(path.prefix(100)): workers report to \(Self.folder)NAME/info")
        }
        let name = String(words[3])
        guard method == "POST" else { throw .init(code: 405, message: "\(method): workers report by POST") }
        guard body.count <= WorkerReport.Limits.bodyBytesMax else {
            throw .init(
                code: 413,
                message:
                    "a report of \(body.count) bytes; at most \(WorkerReport.Limits.bodyBytesMax) are taken, leave large things in files")
        }
        guard let worker = try await agent.worker(named: name) else {
            throw .init(
                code: 404,
                message:
                    "no worker of this node goes by the name \"\(WorkerNames.shown(String(name.prefix(300))))-…\"; a worker finds its own in WORKER_NAME"
            )
        }
        let claim = WorkerClaim(body)
        if let said = claim.name, said != name {
            throw .init(
                code: 400,
                message: "name: found \"\(WorkerNames.shown(String(said.prefix(300))))-…\", expected that of the path, WORKER_NAME")
        }
        try await worker.0.take(claim, of: worker.1, named: WorkerNames.shown(name))
    }
}

/// A body as a worker has sent it: a report, or why it is none.
struct WorkerClaim: Sendable, Hashable {
    /// Nil where it does not say.
    private(set) var name: String?
    /// It says that the worker is done, be the rest as it may.
    private(set) var isCompletion = false
    private(set) var report: Result<WorkerReport, Fault>

    struct Fault: Error, Hashable {
        let message: String
    }

    /// Python writes `NaN` and `Infinity` where JSON has no words for them: read, so that what holds them can be named and refused.
    init(_ body: [UInt8]) {
        let json: JSON
        do throws(JSONParseError) { json = try Self.parse(body) } catch {
            report = .failure(Fault(message: "the report is no JSON: \(error)"))
            return
        }
        name = json["name"]?.string
        isCompletion = json["status"]?.string?.lowercased() == "completed"
        do throws(WorkerReportError) { report = .success(try WorkerReport(json)) } catch {
            report = .failure(Fault(message: error.description))
        }
    }

    private static let limits = JSONParser.Limits(depthMax: 32, bytesMax: WorkerReport.Limits.bodyBytesMax)

    private static func parse(_ body: [UInt8]) throws(JSONParseError) -> JSON {
        do throws(JSONParseError) { return try JSONParser.parse(body, limits: limits) } catch {
            let quoted = quotingNumbersThatAreNone(body)
            guard quoted != body, let json = try? JSONParser.parse(quoted, limits: .init(depthMax: 32, bytesMax: quoted.count)) else {
                throw error
            }
            return json
        }
    }

    /// `NaN` becomes `"NaN"` wherever it stands outside of a text.
    private static func quotingNumbersThatAreNone(_ body: [UInt8]) -> [UInt8] {
        let words = ["-Infinity", "Infinity", "NaN"].map { Array($0.utf8) }
        let quote = UInt8(ascii: "\"")
        var result: [UInt8] = []
        var index = 0
        var isInText = false
        while index < body.count {
            let byte = body[index]
            if !isInText, let word = words.first(where: { body[index...].starts(with: $0) }) {
                result += [quote] + word + [quote]
                index += word.count
                continue
            }
            result.append(byte)
            if isInText, byte == UInt8(ascii: "\\"), index + 1 < body.count {
                index += 1
                result.append(body[index])
            } else if byte == quote {
                isInText.toggle()
            }
            index += 1
        }
        return result
    }
}

import ArgumentParser
import Network
import Resources

/// Which node of this machine, by its folder.
struct NodeOptions: ParsableArguments {
    @Option(help: "Folder of the running node, as given to 'skerry edge'.") var dataDir: String

    /// Gives `body` the node's agent, and closes the way to it.
    func with<Result>(_ body: (LocalNode) async throws -> Result) async throws -> Result {
        let node = LocalNode(client: PooledHTTPClient(socket: try AgentSocket(folder: dataDir).path), folder: dataDir)
        do {
            let result = try await body(node)
            await node.client.close()
            return result
        } catch {
            await node.client.close()
            throw error
        }
    }
}

/// The agent of a node on this machine, spoken to by its socket; the cloud need not be in reach.
struct LocalNode {
    private static let answerBytesMax = 64 << 20
    private static let table = "application/json;as=Table;v=v1;g=meta.k8s.io"

    let client: PooledHTTPClient
    let folder: String

    /// An object or list.
    func get(_ path: String, asTable: Bool = false) async throws -> JSON {
        try await send(HTTPRequest(method: "GET", path: path, headers: ["Accept": asTable ? Self.table : "application/json"]))
    }

    /// - Returns: what the agent answers.
    @discardableResult
    func post(_ path: String, _ body: JSON) async throws -> JSON {
        try await send(HTTPRequest(method: "POST", path: path, headers: ["Content-Type": "application/json"], body: body.bytes()))
    }

    private func send(_ request: HTTPRequest) async throws -> JSON {
        let answer: HTTPAnswer
        do { answer = try await client.send(request) } catch { throw unreachable(error) }
        return try Self.checked(answer.status, answer.body)
    }

    private func unreachable(_ error: HTTPClientError) -> CloudError {
        guard error.code == .unreachable else { return CloudError("\(error)") }
        return CloudError("no agent answers in \(folder); start it with 'skerry edge --data-dir \(folder)'")
    }

    private static func checked(_ status: Int, _ body: [UInt8]) throws -> JSON {
        let json = (try? JSONParser.parse(body, limits: .init(depthMax: 512, bytesMax: answerBytesMax))) ?? .null
        guard (200..<300).contains(status) else {
            throw CloudError(json["message"]?.string ?? "the agent answers \(status): \(String(decoding: body.prefix(500), as: UTF8.self))")
        }
        return json
    }

    /// Hands out an answer as it comes.
    func follow(_ path: String, query: String, _ take: ([UInt8]) throws -> Void) async throws {
        let stream: HTTPAnswerStream
        // Ended by the other side, or by the person who asked.
        do { stream = try await client.open(HTTPRequest(method: "GET", path: path, query: query), timeLimit: .seconds(365 * 86400)) } catch
        {
            throw unreachable(error)
        }
        var refusal: [UInt8] = []
        while let bytes = try await stream.next() {
            if stream.status == 200 { try take(bytes) } else if refusal.count < 64 << 10 { refusal += bytes }
        }
        if stream.status != 200 { _ = try Self.checked(stream.status, refusal) }
    }

    /// The Pod that is meant by `NAME` or `NAMESPACE/NAME`.
    ///
    /// - Throws: `CloudError` with the Pods that are here for a name that none or several of them have.
    func pod(_ word: String) async throws -> ObjectKey {
        let all = try await get("/api/v1/pods")["items"]?.array?.map { ObjectKey($0) } ?? []
        let found = all.filter { $0.name == word || "\($0.namespace)/\($0.name)" == word }
        if found.count == 1 { return found[0] }
        let list = (found.isEmpty ? all : found).map { "\($0.namespace)/\($0.name)" }.sorted().joined(separator: ", ")
        throw CloudError(
            found.isEmpty
                ? "no pod \"\(word)\" is on this node; there \(list.isEmpty ? "is none" : "are: \(list)")"
                : "\"\(word)\" may be any of \(list); name its namespace too, as NAMESPACE/NAME")
    }
}

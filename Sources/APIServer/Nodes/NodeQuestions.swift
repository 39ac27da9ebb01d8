package import Resources

/// Asks the agents of nodes what only they know.
package struct NodeQuestions: Sendable {
    /// Nodes that are asked at a time.
    static let nodesAtOnce = 32

    private let calls: any NodeCalls
    private let timeout: Duration

    /// - Parameters:
    ///   - calls: reaches every node.
    ///   - timeout: for one question; beyond: 504.
    package init(calls: any NodeCalls, timeout: Duration = .seconds(30)) { (self.calls, self.timeout) = (calls, timeout) }

    /// What an agent has answered.
    package struct Answer: Sendable {
        /// As in HTTP.
        package var status: Int
        /// Empty for nothing.
        package var body: JSON
    }

    /// - Parameter body: at most `NodeQuestion.bytesMax`.
    /// - Throws: 413; 503 for a node that is not connected; 504 for one that says nothing; 502 for one that speaks otherwise.
    package func ask(_ question: NodeQuestion, body: [UInt8] = [], of node: String) async throws(APIStatus) -> Answer {
        guard body.count <= NodeQuestion.bytesMax else {
            throw APIStatus(
                code: 413, reason: "RequestEntityTooLarge",
                message: "\(body.count) bytes; at most \(NodeQuestion.bytesMax) are brought to a node at a time")
        }
        let stream = try await calls.open(.question(question), on: node)
        let answered = await Self.exchange(stream, body, node, timeout)
        stream.close(nil)
        let bytes = try answered.get()
        guard let json = try? JSONParser.parse(bytes, limits: .init(depthMax: 32, bytesMax: NodeQuestion.bytesMax)),
            let status = json["status"]?.integer, let body = json["body"]
        else { throw APIStatus(code: 502, reason: "BadGateway", message: "node \"\(node)\" gave no answer that can be read") }
        return Answer(status: Int(status), body: body)
    }

    /// What several nodes answer with status 200, by their names; those that do not are left out.
    func ask(_ question: NodeQuestion, of nodes: [String]) async -> [String: JSON] {
        await withTaskGroup(of: (String, JSON?).self) { group in
            var (rest, found) = (nodes[...], [String: JSON]())
            func begin() {
                guard let node = rest.popFirst() else { return }
                group.addTask {
                    do throws(APIStatus) {
                        let answer = try await ask(question, of: node)
                        return (node, answer.status == 200 ? answer.body : nil)
                    } catch { return (node, nil) }
                }
            }
            for _ in 0..<Self.nodesAtOnce { begin() }
            while let (node, answer) = await group.next() {
                found[node] = answer
                begin()
            }
            return found
        }
    }

    private static func exchange(
        _ stream: any CallStream, _ question: [UInt8], _ node: String, _ timeout: Duration
    ) async -> Result<[UInt8], APIStatus> {
        await withTaskGroup(of: Result<[UInt8], APIStatus>?.self) { group in
            group.addTask {
                do throws(APIStatus) {
                    var rest = question[...]
                    while !rest.isEmpty {
                        try await stream.send(.data(.stdin, Array(rest.prefix(CallFrame.bytesMax))))
                        rest = rest.dropFirst(CallFrame.bytesMax)
                    }
                    try await stream.send(.end(.stdin))
                    return nil
                } catch { return .failure(error) }
            }
            group.addTask {
                do throws(APIStatus) {
                    var bytes: [UInt8] = []
                    while case .data(_, let part)? = try await stream.receive() {
                        bytes += part
                        guard bytes.count <= NodeQuestion.bytesMax else {
                            return .failure(
                                APIStatus(
                                    code: 502, reason: "BadGateway",
                                    message: "node \"\(node)\" answers with more than \(NodeQuestion.bytesMax) bytes"))
                        }
                    }
                    return .success(bytes)
                } catch { return .failure(error) }
            }
            group.addTask {
                try? await Task.sleep(for: timeout)
                return .failure(
                    APIStatus(code: 504, reason: "Timeout", message: "node \"\(node)\" did not answer within \(timeout); ask again later"))
            }
            defer { group.cancelAll() }
            while let ended = await group.next() { if let found = ended { return found } }
            return .failure(APIStatus(code: 502, reason: "BadGateway", message: "node \"\(node)\" said nothing"))
        }
    }
}

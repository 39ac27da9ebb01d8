package import Network
package import Resources

/// Asks the large model of a joint inference service, by the node's own certificate, over connections that stay.
package struct CloudAsker: Sendable {
    private static let answerTimeout: Duration = .seconds(30)
    private static let answerBytesMax = 4 << 20
    private let client: PooledHTTPClient

    /// - Parameter trust: what the node trusts and shows; asked again before each request.
    /// - Throws: `NetworkError` for a certificate or key that cannot be read.
    package init(host: String, port: Int, renewing trust: @escaping @Sendable () throws -> TLSTrust) throws {
        var limits = HTTPClientLimits()
        (limits.answerTimeout, limits.answerBytesMax, limits.connectionsMax) = (Self.answerTimeout, Self.answerBytesMax, 16)
        limits.connectTimeout = .seconds(2)
        client = try PooledHTTPClient(host: host, port: port, limits: limits, renewing: trust)
    }

    /// - Parameter body: a request of the Open Inference Protocol.
    /// - Returns: the large model's answer to it.
    /// - Throws: 503 when the cloud is out of reach; what it refuses with.
    package func ask(_ service: ObjectKey, _ body: [UInt8]) async throws(APIStatus) -> [UInt8] {
        let answer: HTTPAnswer
        do {
            answer = try await client.send(
                HTTPRequest(
                    method: "POST", path: "/joint/v1/\(service.namespace)/\(service.name)", headers: ["Content-Type": "application/json"],
                    body: body))
        } catch { throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "\(error)") }
        guard answer.status == 200 else {
            throw APIStatus(reading: (try? JSONParser.parse(answer.body, limits: .init(depthMax: 32, bytesMax: 64 << 10))) ?? .null)
        }
        return answer.body
    }

    /// To be called once, last.
    package func close() async { await client.close() }
}

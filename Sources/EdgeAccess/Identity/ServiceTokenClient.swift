package import Network
package import Resources

/// Asks the cloud, by the node's own certificate, for tokens of the service accounts of its Pods.
package struct ServiceTokenClient: Sendable {
    private static let answerTimeout: Duration = .seconds(10)
    private static let answerBytesMax = 64 << 10
    private let client: PooledHTTPClient

    /// - Parameter trust: what the node trusts and shows; asked again before each request.
    /// - Throws: `NetworkError` for a certificate or key that cannot be read.
    package init(host: String, port: Int, renewing trust: @escaping @Sendable () throws -> TLSTrust) throws {
        var limits = HTTPClientLimits()
        (limits.answerTimeout, limits.answerBytesMax, limits.connectionsMax) = (Self.answerTimeout, Self.answerBytesMax, 4)
        client = try PooledHTTPClient(host: host, port: port, limits: limits, renewing: trust)
    }

    /// - Parameter request: a `TokenRequest`.
    /// - Returns: the cloud's answer to it.
    /// - Throws: 503 when the cloud is out of reach; what it refuses with.
    package func token(of account: ObjectKey, _ request: JSON) async throws(APIStatus) -> JSON {
        let answer: HTTPAnswer
        do {
            answer = try await client.send(
                HTTPRequest(
                    method: "POST", path: "/api/v1/namespaces/\(account.namespace)/serviceaccounts/\(account.name)/token",
                    headers: ["Content-Type": "application/json"], body: request.bytes()))
        } catch { throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "\(error)") }
        let json = (try? JSONParser.parse(answer.body, limits: .init(depthMax: 32, bytesMax: Self.answerBytesMax))) ?? .null
        guard (200..<300).contains(answer.status) else { throw APIStatus(reading: json) }
        return json
    }

    /// To be called once, last.
    package func close() async { await client.close() }
}

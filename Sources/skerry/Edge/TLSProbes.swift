import Network
import NodeAgent

/// Asks Pods over TLS with the client that the rest of this program uses.
struct TLSProbes: SecureProbes {
    func status(
        host: String, port: Int, target: String, headers: [(String, String)], timeout: Duration
    ) async throws(ProbeFailure) -> Int {
        do {
            return try await PooledHTTPClient.statusFromAnybody(host: host, port: port, target: target, headers: headers, timeout: timeout)
        } catch { throw ProbeFailure("\(error)") }
    }
}

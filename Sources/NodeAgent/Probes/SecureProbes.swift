/// Asks Pods over TLS, for probes and hooks. Who answers is not identified, as Kubernetes has it: the certificate may be anybody's.
package protocol SecureProbes: Sendable {
    /// Asks by GET.
    ///
    /// - Parameters:
    ///   - target: path and query, as they are sent.
    ///   - headers: names and values.
    /// - Returns: the status of the answer.
    func status(host: String, port: Int, target: String, headers: [(String, String)], timeout: Duration) async throws(ProbeFailure) -> Int
}

/// Why a Pod could not be asked.
package struct ProbeFailure: Error, Sendable, CustomStringConvertible {
    /// One sentence.
    package let description: String

    /// - Parameter description: one sentence, as the Pod's event has it.
    package init(_ description: String) { self.description = description }
}

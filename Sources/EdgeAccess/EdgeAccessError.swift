package import Network
package import Storage

/// Why an edge cannot get in, or a file cannot be fetched; a sentence with what was seen and the remedy.
package struct EdgeAccessError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What callers decide by.
    package enum Code: Sendable, Equatable {
        /// Nobody answers at the address, or the answer broke off. Later it may work.
        case unreachable
        /// Whoever answers is not the cloud that was named.
        case untrusted
        /// The cloud knows the token, the certificate or the request and says no; its HTTP status.
        case refused(status: Int)
        /// The cloud is too busy, or has failed. Later it may work.
        case unavailable
        /// What came is not what the cloud of this release answers.
        case malformed
        /// The token, name or folder that was given cannot be used.
        case unusable
        /// The local disk.
        case storage
        /// The task was cancelled.
        case cancelled
    }

    /// What went wrong, as far as a caller would act on it.
    package let code: Code
    /// One sentence; no secret stands in it.
    package let description: String

    /// The description is taken as it is.
    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    init(_ error: HTTPClientError, from address: String) {
        switch error.code {
        case .untrusted:
            self.init(.untrusted, "\(address) is not trusted: \(error)")
        case .cancelled: self.init(.cancelled, "cancelled")
        case .tooLarge, .malformed: self.init(.malformed, "\(address): \(error)")
        case .unreachable, .timedOut, .closedEarly, .busy:
            self.init(.unreachable, "\(address) cannot be reached: \(error); check the address and the way to it")
        }
    }

    init(_ error: ArtifactError) { self.init(.storage, "\(error)") }

    /// Whether the same may work later, without anybody's doing.
    package var isRetryable: Bool {
        switch code {
        case .unreachable, .unavailable: true
        case .untrusted, .refused, .malformed, .unusable, .storage, .cancelled: false
        }
    }

    /// The cloud says that the certificate holds no longer: the Node was removed, or joined by another machine.
    package var isRevocation: Bool { code == .refused(status: 401) }
}

/// Bounds of a client; each says what happens at it.
package struct HTTPClientLimits: Sendable {
    /// Time for a connection to be there, without TLS; beyond: `.unreachable`.
    package var connectTimeout: Duration = .seconds(10)
    /// Time from a request to the head of its answer, TLS handshake included; beyond: `.timedOut`.
    package var headTimeout: Duration = .seconds(30)
    /// Time from a request to the end of an answer that is not streamed; beyond: `.timedOut`.
    package var answerTimeout: Duration = .seconds(60)
    /// Bytes of an answer that is not streamed; beyond: `.tooLarge`, found before they are taken.
    package var answerBytesMax = 64 << 20
    /// Bytes of a streamed answer that wait for their reader; beyond: no more are read from the connection.
    package var streamBytesMax = 256 << 10
    /// Connections at a time, streams included; beyond: `.busy`.
    package var connectionsMax = 256
    /// Requests at a time on one connection, where the server speaks HTTP/2; beyond: another connection. 0 asks for HTTP/1.1.
    package var streamsPerConnectionMax = 0
    /// Time between two pings on a connection of HTTP/2 that carries requests; one that has not been answered by the next: it is closed.
    package var silenceTimeout: Duration = .seconds(20)
    /// Time after which a connection that nobody uses is closed.
    package var idleTimeout: Duration = .seconds(60)

    /// Every bound at the value that stands here.
    package init() {}
}

/// Why there is no answer.
package struct HTTPClientError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What callers decide by; the description is for people.
    package enum Code: Sendable, Equatable {
        /// No connection: name, address, port.
        case unreachable
        /// The handshake failed: the server is not who it should be, or refuses our certificate.
        case untrusted
        case timedOut
        case tooLarge
        /// The connection ended before the answer did.
        case closedEarly
        /// What came is no HTTP.
        case malformed
        /// `connectionsMax`, or the client has been closed.
        case busy
        /// The task that asked was cancelled.
        case cancelled
    }

    /// What went wrong, as far as a caller would act on it.
    package let code: Code
    /// One sentence: what was seen, and the bound where one was met.
    package let description: String
    /// Of an answer that opened no WebSocket: its code; 0 for everything else.
    package var status = 0
    /// Seconds after which that answer asks to come again; 0 for none.
    package var retryAfterSeconds = 0

    /// Made by clients; the description is taken as it is.
    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    static let cancelled = HTTPClientError(.cancelled, "cancelled")
}

/// What a client trusts and shows.
package struct TLSTrust: Sendable, Equatable {
    /// PEM of the authorities that may have signed the server's certificate; empty for the system's.
    package var trustedPEM = ""
    /// PEM: the client's certificate, then those that signed it; empty to show none.
    package var chainPEM = ""
    /// PEM of its key.
    package var keyPEM = ""
    /// The name or address that the server's certificate must bear, and that a server is told if it is a name; empty for the host.
    package var serverName = ""
    /// Whoever answers is talked to. Only for asking what is public and is then recognised by itself, as an authority by its digest:
    /// nothing secret may be sent, and no certificate is shown.
    package var isUnverified = false

    /// The system's authorities, and no certificate of our own.
    package init() {}
}

/// An answer, its body whole.
package struct HTTPAnswer: Sendable {
    /// HTTP status code; a refusal is an answer too, not an error.
    package var status: Int
    /// As they came, in their order.
    package var headers: HTTPHeaders
    /// Whole and within `answerBytesMax`; as it was sent, no encoding is undone.
    package var body: [UInt8]

    /// Made by clients once the body is there.
    package init(status: Int, headers: HTTPHeaders, body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

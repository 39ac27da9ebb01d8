/// Bounds of a server; each says what happens at it.
package struct HTTPLimits: Sendable {
    /// Bytes of a body; beyond: 413, and the connection is closed.
    package var bodyBytesMax = 3 << 20
    /// Connections; beyond: closed as soon as they are accepted.
    package var connectionsMax = 4096
    /// Connections that the system keeps until they are accepted, as far as it may (`net.core.somaxconn`); beyond, clients knock again.
    package var backlog: Int32 = 4096
    /// Requests that are being answered, streams not counted; beyond: 429 with Retry-After.
    package var requestsMax = 512
    /// Time for the TLS handshake and for each request to arrive whole; beyond: the connection is closed.
    package var arrivalTimeout: Duration = .seconds(30)
    /// Time without a request on a connection that is kept open; beyond: it is closed.
    package var idleTimeout: Duration = .seconds(180)
    /// Answers of at least so many bytes are compressed for peers that accept gzip.
    package var compressedFromBytes = 128 << 10
    /// Bounds of connections that have become WebSockets.
    package var webSocket = WebSocketLimits()

    /// Every bound at the value that stands here.
    package init() {}
}

/// Why a server cannot start, or a connection could not be made or was lost.
package struct NetworkError: Error, CustomStringConvertible {
    /// One sentence: what is wrong, and with which address, certificate or key.
    package let description: String
    /// The description is taken as it is.
    package init(_ description: String) { self.description = description }
}

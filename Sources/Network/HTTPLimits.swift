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
    /// Bounds of connections of HTTP/2.
    package var streams = HTTPStreamLimits()
    /// Bounds of connections that have become WebSockets.
    package var webSocket = WebSocketLimits()

    /// Every bound at the value that stands here.
    package init() {}
}

/// Bounds of a server's connections of HTTP/2, and of the requests on them; each says what happens at it.
package struct HTTPStreamLimits: Sendable {
    /// Streams of a connection at a time, as a real API server has it; beyond: what RFC 9113 says, the connection is closed. Also requests of a
    /// connection that are being answered, those included whose stream the client has ended; beyond: 429 with Retry-After.
    package var perConnectionMax = 250
    /// Streams of all connections; beyond: 429 with Retry-After.
    package var totalMax = 16_384
    /// Bytes of a request's header fields, with 32 for each; beyond: the connection is closed.
    package var headerBytesMax = 64 << 10
    /// Bytes of bodies that one connection's open requests may hold; beyond: 429 with Retry-After.
    package var bodyBytesMax = 12 << 20
    /// Bytes that a client may send before it hears that they were taken, over all streams; of one stream the least that there is, 65,535.
    package var connectionWindowBytes = 1 << 20
    /// Bytes that wait for a stream's window; beyond: its body is not asked for more.
    package var unsentBytesMax = 64 << 10
    /// Streams that a client ends before their answer, in 30 s; beyond: the connection is closed (CVE-2023-44487).
    package var resetsMax = 300
    /// Pings, settings and priorities, in 30 s; beyond: the connection is closed. Clients written in Go send a ping with each stream that they
    /// end early, and some after each few answers.
    package var controlFramesMax = 300

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

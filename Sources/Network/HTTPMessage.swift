/// Header fields in their order; names are compared without case.
package struct HTTPHeaders: Sendable, ExpressibleByDictionaryLiteral {
    /// In the order they are sent; a name may stand more than once.
    package private(set) var fields: [(name: String, value: String)] = []

    /// No fields.
    package init() {}
    /// Fields in the literal's order; a name given twice stands twice.
    package init(dictionaryLiteral elements: (String, String)...) { fields = elements.map { ($0, $1) } }

    /// Every value of a name.
    package subscript(all name: String) -> [String] {
        fields.filter { Self.isSame($0.name, name) }.map(\.value)
    }

    /// The first value of a name; setting replaces all of them.
    package subscript(name: String) -> String? {
        get { fields.first { Self.isSame($0.name, name) }?.value }
        set {
            fields.removeAll { Self.isSame($0.name, name) }
            if let newValue { fields.append((name, newValue)) }
        }
    }

    /// Adds a field at the end; those of the same name stay.
    package mutating func add(_ name: String, _ value: String) { fields.append((name, value)) }

    private static func isSame(_ left: String, _ right: String) -> Bool {
        left.utf8.count == right.utf8.count
            && zip(left.utf8, right.utf8).allSatisfy { $0 == $1 || ($0 | 0x20 == $1 | 0x20 && $0 | 0x20 >= 0x61) }
    }
}

/// A request, whole with its body within the server's limit; or, where its responder takes bodies in parts, with a body that arrives.
package struct HTTPRequest: Sendable {
    /// In capitals, as it is sent: `GET`.
    package var method: String
    /// The target before `?`, percent-encoded as it was sent.
    package var path: String
    /// The target behind `?`, percent-encoded; empty without one.
    package var query: String
    /// As they are sent. A client adds `Content-Length` and, where it is missing, `Host` itself.
    package var headers: HTTPHeaders
    /// The body; empty for none, and for one that arrives.
    package var body: [UInt8]
    /// The body while it arrives, of requests whose responder `takesInParts`; nil for all others.
    package var incoming: HTTPIncomingBody?
    /// The peer's certificate in DER, where it presented one and the server's authority signed it.
    package var certificate: [UInt8]?
    /// The peer's address, for logs.
    package var peer: String

    /// Made by servers from what arrives, and by whoever asks a client.
    package init(
        method: String, path: String, query: String = "", headers: HTTPHeaders = [:], body: [UInt8] = [], certificate: [UInt8]? = nil,
        peer: String = ""
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.certificate = certificate
        self.peer = peer
    }
}

/// An answer; a streamed body is sent in chunks.
package struct HTTPResponse: Sendable {
    /// What is sent behind the head.
    package enum Body: Sendable {
        case bytes([UInt8])
        case stream(any HTTPBodyStream)
    }

    /// HTTP status code.
    package var status: Int
    /// Beyond those the server sets itself: length, encoding of the body, what becomes of the connection.
    package var headers: HTTPHeaders
    /// For HEAD, whole bytes are counted in `Content-Length` and not sent.
    package var body: Body
    /// What takes the connection over as a WebSocket; status and body are then not sent, and a request that did not ask for it properly is
    /// answered by 400.
    package var upgrade: (any WebSocketPeer)?
    /// The protocol that `upgrade` speaks instead of WebSockets, as the header `Upgrade` names it: bare bytes, which the peer gets and gives
    /// in binary messages. Nil for a WebSocket.
    package var upgradeProtocol: String?
    /// Bounds of that WebSocket; nil for the server's.
    package var upgradeLimits: WebSocketLimits?

    /// Nothing is checked; the server writes it as it is.
    package init(status: Int, headers: HTTPHeaders = [:], body: Body = .bytes([])) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// What a stream has for its connection.
package enum HTTPBodyStep: Sendable {
    case chunk([UInt8])
    /// Nothing now; the stream wakes its connection when there is.
    case wait
    case end
    /// The rest cannot be had: the connection is closed, so that its peer does not take what it has for the whole.
    case failed
}

/// A body that is pulled by its connection, so that nothing is buffered for a peer that does not read.
///
/// All calls come from one thread at a time. `wake` may be called from any thread, and more often than needed.
package protocol HTTPBodyStream: AnyObject, Sendable {
    /// Called once, before the first `next`.
    func start(wake: @escaping @Sendable () -> Void)
    /// What comes next. Called only when the connection can take it; `.end` is the last answer.
    func next() -> HTTPBodyStep
    /// Time from now after which `next` is asked even if nobody has woken the stream; nil for never. Asked after `start` and each time it has
    /// passed.
    var dueAfter: Duration? { get }
    /// Called once: after `.end`, or when the connection is gone or the server stops.
    func stop()
    /// Its source is lost: a connection that takes nothing more is closed when it is woken, instead of waiting for its peer.
    var isBroken: Bool { get }
}

extension HTTPBodyStream {
    package var dueAfter: Duration? { nil }
    package var isBroken: Bool { false }
}

/// Answers requests. Cancelled when the peer goes away before it is answered.
package protocol HTTPResponder: Sendable {
    func respond(to request: HTTPRequest) async -> HTTPResponse
    /// Whether a POST to this path is answered while its body arrives (`HTTPRequest.incoming`), which then may have any length. Asked on the
    /// connection's thread.
    func takesInParts(path: String) -> Bool
    /// What a peer is told whose request the server does not take: its body is too large (413), or too many are in flight (429).
    ///
    /// - Parameter text: one sentence: what was found, the bound, what to do.
    func refusal(_ status: Int, _ text: String) -> HTTPResponse
}

extension HTTPResponder {
    package func takesInParts(path: String) -> Bool { false }

    /// The sentence as plain text.
    package func refusal(_ status: Int, _ text: String) -> HTTPResponse {
        HTTPResponse(status: status, headers: ["Content-Type": "text/plain"], body: .bytes(Array((text + "\n").utf8)))
    }
}

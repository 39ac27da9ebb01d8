/// Header fields in their order; names are compared without case.
package struct HTTPHeaders: Sendable, ExpressibleByDictionaryLiteral {
    package private(set) var fields: [(name: String, value: String)] = []

    package init() {}
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

    package mutating func add(_ name: String, _ value: String) { fields.append((name, value)) }

    private static func isSame(_ left: String, _ right: String) -> Bool {
        left.utf8.count == right.utf8.count
            && zip(left.utf8, right.utf8).allSatisfy { $0 == $1 || ($0 | 0x20 == $1 | 0x20 && $0 | 0x20 >= 0x61) }
    }
}

/// A whole request, its body within the server's limit.
package struct HTTPRequest: Sendable {
    package var method: String
    /// The target before `?`, percent-encoded as it was sent.
    package var path: String
    /// The target behind `?`, percent-encoded; empty without one.
    package var query: String
    package var headers: HTTPHeaders
    package var body: [UInt8]
    /// The peer's certificate in DER, where it presented one and the server's authority signed it.
    package var certificate: [UInt8]?
    /// The peer's address, for logs.
    package var peer: String

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
    package enum Body: Sendable {
        case bytes([UInt8])
        case stream(any HTTPBodyStream)
    }

    package var status: Int
    package var headers: HTTPHeaders
    package var body: Body

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
}

/// A body that is pulled by its connection, so that nothing is buffered for a peer that does not read.
///
/// All calls come from one thread at a time. `wake` may be called from any thread, and more often than needed.
package protocol HTTPBodyStream: AnyObject, Sendable {
    /// Called once, before the first `next`.
    func start(wake: @escaping @Sendable () -> Void)
    /// What comes next. Called only when the connection can take it; `.end` is the last answer.
    func next() -> HTTPBodyStep
    /// Called once: after `.end`, or when the connection is gone or the server stops.
    func stop()
}

/// Answers requests. Cancelled when the peer goes away before it is answered.
package protocol HTTPResponder: Sendable {
    func respond(to request: HTTPRequest) async -> HTTPResponse
}

import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

/// Follows answers that go on, many over one connection of HTTP/2, with as little work as the protocol allows: for measuring a server on a
/// machine that it shares with those who measure. In earnest each of them would be a machine of its own.
///
/// It knows what that takes and nothing else: requests without bodies, asked when the connection begins, and answers of 200, whose fields are not
/// read. Everybody else asks `PooledHTTPClient`.
package final class AnswerFollower: Sendable {
    /// Bytes of an answer, which are there for the time of the call, with the number of its request among those of the connection; nil is
    /// the end. On the follower's thread: it must be quick.
    package typealias Receive = @Sendable (_ number: Int, _ bytes: UnsafeRawBufferPointer?) -> Void

    private let host: String
    private let port: Int
    private let end: TLSClientEnd
    private let timeout: Duration
    /// A thread of its own: other requests of the program don't wait behind what is followed.
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let open = Mutex<[any Channel]>([])

    /// - Parameter timeout: for a connection and the heads of its answers.
    /// - Throws: `NetworkError` for a certificate or key that cannot be read.
    package init(host: String, port: Int, trust: TLSTrust, timeout: Duration = .seconds(30)) throws {
        self.host = host
        self.port = port
        self.timeout = timeout
        end = try TLSClientEnd(trust, host: host, offersHTTP2: true)
    }

    /// Asks over a connection of its own, and returns once all answers have begun.
    ///
    /// - Throws: `.unreachable`, `.untrusted` or `.closedEarly` when there is no connection, `.timedOut`, `.malformed` when a request was answered by
    ///   anything but 200, or in a way that is not read here.
    package func follow(_ requests: [HTTPRequest], _ receive: @escaping Receive) async throws {
        let begun = group.next().makePromise(of: Void.self)
        let (end, timeout) = (end, timeout)
        let authority = "\(host):\(port)"
        let bootstrap = ClientBootstrap(group: group).connectTimeout(TimeAmount(timeout))
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.keepFromChildren()
                    try pipeline.addHandler(try end.handler())
                    try pipeline.addHandler(FollowedConnection(requests, authority: authority, timeout, begun, receive))
                }
            }
        do {
            let channel = try await bootstrap.connect(host: host, port: port).get()
            open.withLock { $0.append(channel) }
        } catch {
            let reason = HTTPClientError(.unreachable, "cannot connect to \(authority): \(error)")
            begun.fail(reason)
            throw reason
        }
        try await begun.futureResult.get()
    }

    /// Ends all connections. To be called once, last.
    package func close() async {
        for channel in open.withLock({ $0 }) { try? await channel.close() }
        try? await group.shutdownGracefully()
    }
}

/// One connection, from its handshake on.
private final class FollowedConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The most that a window may be (RFC 9113, section 6.9.1), and when it is opened again.
    private static let windowMax = 0x7fff_ffff
    private static let windowStep = 1 << 30
    /// `:status` is 200, in the table that every connection has (RFC 7541, appendix A).
    private static let isOK: UInt8 = 0x88

    private struct Answer {
        var hasBegun = false
        var hasEnded = false
        /// Since the window was opened.
        var bytes = 0
    }

    private let requests: [HTTPRequest]
    private let authority: String
    private let timeout: Duration
    private let begun: EventLoopPromise<Void>
    private let receive: AnswerFollower.Receive
    private var answers: [Answer]
    private var waitingCount: Int
    private var bytes = 0
    private var frames = AnswerFrames()
    private var timer: Scheduled<Void>?
    /// To be sent once everything that came has been read.
    private var replies: [UInt8] = []

    init(
        _ requests: [HTTPRequest], authority: String, _ timeout: Duration, _ begun: EventLoopPromise<Void>,
        _ receive: @escaping AnswerFollower.Receive
    ) {
        (self.requests, self.authority, self.timeout, self.begun, self.receive) = (requests, authority, timeout, begun, receive)
        answers = Array(repeating: Answer(), count: requests.count)
        waitingCount = requests.count
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: TimeAmount(timeout)) { [timeout] in
            let (connection, context) = bound.value
            connection.fail(context, HTTPClientError(.timedOut, "not all requests were answered within \(timeout)"))
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let name)? = event as? TLSUserEvent else { return context.fireUserInboundEventTriggered(event) }
        guard name == ProtocolChoice.http2 else {
            return fail(context, HTTPClientError(.malformed, "\(authority) does not speak HTTP/2"))
        }
        var bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        // No pushes, and all that an answer has.
        Self.add(4, 0, 0, [0, 2, 0, 0, 0, 0, 0, 4] + Self.big(Self.windowMax), to: &bytes)
        Self.add(8, 0, 0, Self.big(Self.windowMax - 65_535), to: &bytes)
        for (number, request) in requests.enumerated() { Self.add(1, 5, number * 2 + 1, head(request), to: &bytes) }
        send(context, bytes)
        if waitingCount == 0 { hasBegun() }
    }

    private func head(_ request: HTTPRequest) -> [UInt8] {
        let target = request.query.isEmpty ? request.path : "\(request.path)?\(request.query)"
        var fields = [(":method", request.method), (":scheme", "https"), (":authority", authority), (":path", target)]
        fields += request.headers.fields.map { ($0.name.lowercased(), $0.value) }
        return fields.flatMap { [0] + Self.text($0.0) + Self.text($0.1) }
    }

    /// As it is, behind its length (RFC 7541, section 5.2).
    private static func text(_ text: String) -> [UInt8] {
        var length: [UInt8] = []
        var rest = text.utf8.count
        if rest < 127 {
            length = [UInt8(rest)]
        } else {
            length = [127]
            rest -= 127
            while rest >= 128 {
                length.append(UInt8(rest & 127) | 128)
                rest >>= 7
            }
            length.append(UInt8(rest))
        }
        return length + text.utf8
    }

    private static func big(_ number: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - $0 * 8)) } }

    private static func add(_ kind: UInt8, _ flags: UInt8, _ stream: Int, _ payload: [UInt8], to bytes: inout [UInt8]) {
        bytes += big(payload.count).dropFirst() + [kind, flags] + big(stream) + payload
    }

    private func send(_ context: ChannelHandlerContext, _ bytes: [UInt8]) {
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do throws(HTTPClientError) {
            try take(unwrapInboundIn(data))
        } catch { fail(context, error) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if !replies.isEmpty { send(context, replies) }
        replies = []
        context.fireChannelReadComplete()
    }

    private func take(_ buffer: ByteBuffer) throws(HTTPClientError) {
        let result = buffer.withUnsafeReadableBytes { bytes in
            Result { () throws(HTTPClientError) in
                try frames.take(bytes) { (piece) throws(HTTPClientError) in
                    switch piece {
                    case .body(let stream, let bytes): received(bytes, of: stream)
                    case .frame(let frame): try received(frame)
                    }
                }
            }
        }
        try result.get()
    }

    /// The place of a request that is being answered; nil for what is none.
    private func number(_ stream: Int) -> Int? {
        let number = (stream - 1) / 2
        return stream % 2 == 1 && number < answers.count && !answers[number].hasEnded ? number : nil
    }

    private func received(_ bytes: UnsafeRawBufferPointer, of stream: Int) {
        self.bytes += bytes.count
        if self.bytes >= Self.windowStep {
            Self.add(8, 0, 0, Self.big(self.bytes), to: &replies)
            self.bytes = 0
        }
        guard let number = number(stream) else { return }
        answers[number].bytes += bytes.count
        if answers[number].bytes >= Self.windowStep {
            Self.add(8, 0, stream, Self.big(answers[number].bytes), to: &replies)
            answers[number].bytes = 0
        }
        receive(number, bytes)
    }

    private func received(_ frame: AnswerFrames.Frame) throws(HTTPClientError) {
        switch frame.kind {
        case 1: if let number = number(frame.stream) { try begin(number, frame) }
        case 3: if let number = number(frame.stream) { try end(number) }
        case 4 where frame.flags & 1 == 0: Self.add(4, 1, 0, [], to: &replies)
        case 6 where frame.flags & 1 == 0: Self.add(6, 1, 0, frame.payload, to: &replies)
        default: break
        }
        if frame.endsStream, let number = number(frame.stream) { try end(number) }
    }

    private func begin(_ number: Int, _ frame: AnswerFrames.Frame) throws(HTTPClientError) {
        if answers[number].hasBegun { return }
        guard frame.payload.first == Self.isOK else {
            throw HTTPClientError(.malformed, "\(requests[number].path) was answered by something else than 200")
        }
        answers[number].hasBegun = true
        waitingCount -= 1
        if waitingCount == 0 { hasBegun() }
    }

    private func hasBegun() {
        timer?.cancel()
        begun.succeed()
    }

    private func end(_ number: Int) throws(HTTPClientError) {
        guard answers[number].hasBegun else {
            throw HTTPClientError(.closedEarly, "\(requests[number].path) was given up before it was answered")
        }
        answers[number].hasEnded = true
        receive(number, nil)
    }

    private func fail(_ context: ChannelHandlerContext, _ error: HTTPClientError) {
        begun.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        begun.fail(HTTPClientError(.closedEarly, "\(authority) has closed the connection"))
        for number in answers.indices where !answers[number].hasEnded {
            answers[number].hasEnded = true
            receive(number, nil)
        }
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(context, HTTPClientConnection.explained(error)) }
}

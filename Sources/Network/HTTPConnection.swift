import NIOCore
import NIOHTTP1
import Synchronization

/// One connection: gathers a request, has it answered, sends the answer, again.
///
///     idle ─head→ gathering ─end→ answering ─bytes→ idle
///                     │                └─stream→ streaming ─end→ idle
///                     └─too large→ closing      └─upgrade→ a WebSocket's handlers take over
///
/// A body that is taken in parts (`incoming`) arrives while its request is answered, in any of the states behind `gathering`.
///
/// A request that comes before the one before it has been answered is held back, and nothing more is read until it is its turn. Answers are
/// written as they stand on the wire (`HTTP1Answer`). A stream of HTTP/2 is served the same way: one request, and then its end; to close it
/// is to reset it; its answers are written in NIO's parts, which its codec translates.
final class HTTPConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
        case idle
        case gathering(HTTPRequestHead, ByteBuffer)
        case answering(Task<Void, Never>, isKept: Bool)
        case streaming(Streaming)
        case closing
    }

    private struct Streaming {
        let stream: any HTTPBodyStream
        let isKept: Bool
        /// Of HTTP/1.1, where the body's length is not known beforehand.
        let isChunked: Bool
    }

    /// What comes behind the requests that are held back.
    private enum HeldEnd {
        /// The client sends nothing more.
        case closed
        /// No request.
        case malformed
    }

    private let service: HTTPService
    private var responder: any HTTPResponder { service.responder }
    private var limits: HTTPLimits { service.limits }
    private var load: HTTPServer.Load { service.load }
    private var wakes: StreamWakes { service.wakes }
    /// Whose stream this is; nil for a connection of HTTP/1.1.
    private let shared: HTTP2Connection?
    /// Bytes of a stream's body that count with its connection's.
    private var heldBytes = 0
    /// Nil once it has left its channel.
    private var context: ChannelHandlerContext?
    private var state = State.idle
    /// A body that arrives while its request is answered; nil once it is whole.
    private var incoming: HTTPIncomingBody?
    private var incomingTimer: Scheduled<Void>?
    /// What was read beyond the request that is being answered: at most what one read holds, since nothing is read meanwhile.
    private var held: ArraySlice<HTTPServerRequestPart> = []
    private var heldEnd: HeldEnd?
    private var isGoingOn = false
    /// When the connection is closed if nothing happens; nil while its request is being answered.
    private var deadline: NIODeadline?
    /// One at most, which looks at the deadline when its time has come: setting one for each request would cost more than some requests.
    private var timer: (task: Scheduled<Void>, due: NIODeadline)?
    private var isDraining = false
    private var isPumping = false
    /// Who is at the other end: the same for every request of the connection. Nil before the first.
    private var peer: HTTPPeer?
    /// Its first request was answered.
    private var isKnown: Bool

    /// - Parameter shared: whose stream is served; nil for a connection of HTTP/1.1.
    init(_ service: HTTPService, of shared: HTTP2Connection? = nil) {
        self.service = service
        self.shared = shared
        isKnown = shared != nil
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if let shared { return shared.began(self) }
        // Taken up and shaken hands with already.
        if context.channel.isActive { close(context, after: limits.arrivalTimeout) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        shared?.ended(self)
    }

    func channelActive(context: ChannelHandlerContext) {
        if shared == nil {
            guard load.admit(context.channel, limits) else { return context.close(promise: nil) }
            close(context, after: limits.arrivalTimeout)
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.task.cancel()
        endIncoming("the client has gone")
        if let shared { shared.released(heldBytes) } else { load.forget(context.channel) }
        switch state {
        case .answering(let task, _): task.cancel()
        case .streaming(let streaming): streaming.stream.stop()
        case .idle, .gathering, .closing: break
        }
        state = .closing
        context.fireChannelInactive()
    }

    /// Closes the connection after a time unless something happens; a stream is asked instead.
    private func close(_ context: ChannelHandlerContext, after time: Duration) {
        let deadline = NIODeadline.now() + TimeAmount(time)
        self.deadline = deadline
        if timer.map({ $0.due > deadline }) ?? true { wake(context, at: deadline) }
    }

    private func wake(_ context: ChannelHandlerContext, at due: NIODeadline) {
        if let shared { return shared.look(at: due) }
        timer?.task.cancel()
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = (context.eventLoop.scheduleTask(deadline: due) { connection.value.lookAtDeadline(bound.value) }, due)
    }

    /// Does what is due by now.
    ///
    /// - Returns: when it is to be called again; nil for a stream for which no clock is set.
    func lookedAtDeadline() -> NIODeadline? {
        guard let context, let due = deadline else { return nil }
        if due <= .now() { lookAtDeadline(context) }
        return deadline
    }

    private func lookAtDeadline(_ context: ChannelHandlerContext) {
        timer = nil
        guard let deadline else { return }
        if deadline > .now() { return wake(context, at: deadline) }
        self.deadline = nil
        guard case .streaming = state else { return context.close(promise: nil) }
        pump(context)
        waitForDue(context, least: .seconds(1))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if shared == nil, isHeld(part) { hold(context, part) } else { take(context, part) }
    }

    // MARK: Requests that come early

    private func isHeld(_ part: HTTPServerRequestPart) -> Bool {
        if !held.isEmpty { return true }
        guard case .head = part else { return false }
        return switch state {
        case .answering, .streaming: true
        case .idle, .gathering, .closing: false
        }
    }

    private func hold(_ context: ChannelHandlerContext, _ part: HTTPServerRequestPart) {
        if held.isEmpty { stopReading(context) }
        held.append(part)
    }

    private func stopReading(_ context: ChannelHandlerContext) {
        context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
    }

    /// An answer has been sent: what came before it was is next.
    private func goOn(_ context: ChannelHandlerContext) {
        guard !isGoingOn, !held.isEmpty || heldEnd != nil else { return }
        isGoingOn = true
        defer { isGoingOn = false }
        while !held.isEmpty {
            switch state {
            case .idle, .gathering: take(context, held.removeFirst())
            case .answering, .streaming: return
            case .closing: return held = []
            }
        }
        switch (heldEnd, state) {
        case (nil, _): context.channel.goOnReading()
        case (.closed, _):
            heldEnd = nil
            inputClosed(context)
        case (.malformed, .idle), (.malformed, .gathering): refuseMalformed(context)
        case (.malformed, _): break
        }
    }

    /// What came is no request.
    private func refuseMalformed(_ context: ChannelHandlerContext) {
        if case .answering(let task, _) = state { task.cancel() }
        state = .closing
        context.writeAndFlush(NIOAny(HTTP1Answer.malformed), promise: nil)
        context.close(promise: nil)
    }

    // MARK: A request

    private func take(_ context: ChannelHandlerContext, _ part: HTTPServerRequestPart) {
        switch (part, state) {
        case (.head(let head), .idle):
            expect(context)
            let isInParts = head.method == .POST && responder.takesInParts(path: Self.path(head.uri))
            if !isInParts, let length = head.headers.first(name: "content-length").flatMap({ Int($0) }), length > limits.bodyBytesMax {
                return refuse(context, head, bodyBytes: length)
            }
            if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                let proceed = HTTPResponseHead(version: .http1_1, status: .continue)
                context.writeAndFlush(shared == nil ? NIOAny(HTTP1Answer.proceed) : wrapOutboundOut(.head(proceed)), promise: nil)
            }
            guard isInParts else { return state = .gathering(head, ByteBuffer()) }
            deadline = nil
            let body = HTTPIncomingBody(context.channel)
            incoming = body
            watch(context, body)
            answer(context, head, ByteBuffer())
        case (.body(let part), _) where incoming != nil:
            if incoming!.received(Array(buffer: part)) { context.channel.setOption(.autoRead, value: false).whenFailure { _ in } }
        case (.end, _) where incoming != nil:
            incoming!.finish(.success(()))
            incoming = nil
            incomingTimer?.cancel()
        case (.body(var part), .gathering(let head, var body)):
            guard body.readableBytes + part.readableBytes <= limits.bodyBytesMax else {
                return refuse(context, head, bodyBytes: body.readableBytes + part.readableBytes)
            }
            if let shared {
                guard shared.holds(part.readableBytes) else { return refuseHeld(context) }
                heldBytes += part.readableBytes
            }
            state = .idle
            body.writeBuffer(&part)
            state = .gathering(head, body)
        case (.end, .gathering(let head, let body)):
            deadline = nil
            answer(context, head, body)
        default: break
        }
    }

    /// The rest of a request is to come within its time. Most requests on streams are whole with their head: for those no clock is set.
    private func expect(_ context: ChannelHandlerContext) {
        if shared == nil { return close(context, after: limits.arrivalTimeout) }
        deadline = .now() + TimeAmount(limits.arrivalTimeout)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if shared != nil, timer == nil, let deadline { wake(context, at: deadline) }
        context.fireChannelReadComplete()
    }

    /// Ends a body that neither arrives nor is taken; its connection is closed soon after, whatever is being answered.
    private func watch(_ context: ChannelHandlerContext, _ body: HTTPIncomingBody) {
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        incomingTimer = context.eventLoop.scheduleTask(in: TimeAmount(limits.arrivalTimeout)) {
            let (connection, context) = (connection.value, bound.value)
            guard connection.incoming === body else { return }
            if body.hasMoved() { return connection.watch(context, body) }
            connection.endIncoming("for \(connection.limits.arrivalTimeout) nothing of the body has arrived, or been taken")
            context.eventLoop.scheduleTask(in: .seconds(2)) { bound.value.close(promise: nil) }
        }
    }

    /// Whoever answers gets no more of the body.
    private func endIncoming(_ reason: String) {
        incoming?.finish(.failure(NetworkError(reason)))
        incoming = nil
        incomingTimer?.cancel()
        isDraining = true
    }

    private func refuse(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, bodyBytes: Int) {
        state = .closing
        let text = "the request's body has more than \(limits.bodyBytesMax) bytes (at least \(bodyBytes)); send less"
        send(context, responder.refusal(413, text), isKept: false)
        // What is still on its way is read and dropped, so that the answer is not lost to a reset.
        close(context, after: .seconds(2))
    }

    private func refuseHeld(_ context: ChannelHandlerContext) {
        state = .closing
        let most = limits.streams.bodyBytesMax
        let text = "the requests of this connection would hold more than \(most) bytes of bodies, which is the most; try again"
        send(context, busy(text), isKept: false)
        close(context, after: .seconds(2))
    }

    private func busy(_ text: String) -> HTTPResponse {
        var response = responder.refusal(429, text)
        response.headers["Retry-After"] = "1"
        return response
    }

    /// - Returns: why a request is not taken; nil for one that is.
    private func refusesToAnswer() -> String? {
        if let text = shared?.refusesToAnswer() { return text }
        let isAdmitted = load.counts.withLock { counts in
            guard counts.requests < self.limits.requestsMax else { return false }
            counts.requests += 1
            return true
        }
        if isAdmitted { return nil }
        shared?.answered()
        return "\(limits.requestsMax) requests are being answered, which is the most; try again"
    }

    private func answer(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ body: ByteBuffer) {
        // The decoder reads nothing behind a request for an upgrade, whatever became of it.
        let isUpgrade = head.headers.contains(name: "Upgrade")
        // Nor is it read: it would be gathered without bound.
        if isUpgrade, shared == nil { stopReading(context) }
        let isKept = head.isKeepAlive && !isDraining && !isUpgrade
        if let text = refusesToAnswer() {
            state = .idle
            return send(context, busy(text), isKept: isKept)
        }
        if !isKnown { context.triggerUserOutboundEvent(HandshakeTurn.Event.asked, promise: nil) }
        let request = request(context, head, body)
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let loop = context.eventLoop
        let responder = responder
        let load = load
        let limits = limits
        let task = Task {
            let response = Compression.apply(to: await responder.respond(to: request), for: request, limits)
            load.counts.withLock { $0.requests -= 1 }
            loop.execute {
                connection.value.shared?.answered()
                connection.value.finish(bound.value, head, response)
            }
        }
        state = .answering(task, isKept: isKept)
    }

    /// The target before `?`.
    private static func path(_ target: String) -> String {
        String(target[..<(target.utf8.firstIndex(of: UInt8(ascii: "?")) ?? target.endIndex)])
    }

    private func request(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ body: ByteBuffer) -> HTTPRequest {
        var headers = HTTPHeaders()
        for (name, value) in head.headers { headers.add(name, value) }
        let mark = head.uri.utf8.firstIndex(of: UInt8(ascii: "?"))
        let peer = shared?.peer ?? peer ?? HTTPPeer(context.channel)
        self.peer = peer
        var request = HTTPRequest(
            method: head.method.rawValue, path: Self.path(head.uri),
            query: mark.map { String(head.uri[head.uri.index(after: $0)...]) } ?? "", headers: headers, body: Array(buffer: body),
            certificate: peer.certificate, peer: peer.address)
        request.incoming = incoming
        return request
    }

    private func finish(_ context: ChannelHandlerContext, _ request: HTTPRequestHead, _ response: HTTPResponse) {
        if !isKnown {
            isKnown = true
            context.triggerUserOutboundEvent(HandshakeTurn.Event.answered, promise: nil)
        }
        guard case .answering(_, let isKept) = state else {
            return drop(response)
        }
        let isHead = request.method == .HEAD
        state = .idle
        guard shared != nil || HTTP1Answer.isSendable(response.headers) else {
            drop(response)
            return send(context, HTTPResponse(status: 500), isKept: isKept)
        }
        if let peer = response.upgrade {
            return shared == nil ? upgrade(context, request, response, peer) : refuseUpgrade(context, response, peer)
        }
        switch response.body {
        case .bytes: send(context, response, isKept: isKept, isHead: isHead)
        case .stream(let stream): begin(context, response, stream, isKept: isKept)
        }
    }

    /// Nobody gets it.
    private func drop(_ response: HTTPResponse) {
        if case .stream(let stream) = response.body { stream.stop() }
        response.upgrade?.closed(code: 1006)
    }

    private func refuseUpgrade(_ context: ChannelHandlerContext, _ response: HTTPResponse, _ peer: any WebSocketPeer) {
        peer.closed(code: 1006)
        let name = response.upgradeProtocol ?? "a WebSocket"
        let text = "\(name) is asked for over HTTP/1.1, with Upgrade and Connection: Upgrade; this connection speaks HTTP/2"
        send(context, responder.refusal(400, text), isKept: true)
    }

    /// The connection becomes a WebSocket, or its request is refused: it was no proper handshake.
    private func upgrade(
        _ context: ChannelHandlerContext, _ request: HTTPRequestHead, _ response: HTTPResponse, _ peer: any WebSocketPeer
    ) {
        timer?.task.cancel()
        timer = nil
        deadline = nil
        state = .closing
        defer { context.channel.goOnReading() }
        let upgradeLimits = response.upgradeLimits ?? limits.webSocket
        if let name = response.upgradeProtocol {
            let connection = BareConnection(peer: peer, limits: upgradeLimits, load: load)
            return BareUpgrade.perform(context, request, name, connection) { switchProtocols(context, response, peer, $0) }
        }
        WebSocketUpgrade.perform(context, request, peer, upgradeLimits, load) { self.switchProtocols(context, response, peer, $0) }
    }

    /// - Parameter headers: nil for a request that was no proper handshake.
    private func switchProtocols(
        _ context: ChannelHandlerContext, _ response: HTTPResponse, _ peer: any WebSocketPeer, _ headers: NIOHTTP1.HTTPHeaders?
    ) {
        guard let headers, !isDraining else {
            peer.closed(code: 1006)
            state = .idle
            let text =
                response.upgradeProtocol.map { "\($0) is asked for with Upgrade: \($0) and Connection: Upgrade\n" }
                ?? "a WebSocket is asked for by GET with Upgrade: websocket, Sec-WebSocket-Version: 13 and Sec-WebSocket-Key\n"
            let version: HTTPHeaders = response.upgradeProtocol == nil ? ["Sec-WebSocket-Version": "13"] : [:]
            return send(context, HTTPResponse(status: 400, headers: version, body: .bytes(Array(text.utf8))), isKept: false)
        }
        let all = headers.map { (name: $0.name, value: $0.value) } + response.headers.fields
        context.writeAndFlush(NIOAny(HTTP1Answer.switching(all)), promise: nil)
    }

    /// Of a stream of HTTP/2.
    private func head(_ response: HTTPResponse) -> HTTPResponseHead {
        var headers = NIOHTTP1.HTTPHeaders()
        for (name, value) in response.headers.fields { headers.add(name: name, value: value) }
        return HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
    }

    private func send(_ context: ChannelHandlerContext, _ response: HTTPResponse, isKept: Bool, isHead: Bool = false) {
        guard case .bytes(let bytes) = response.body else { return }
        let stays = isKept && !isDraining && incoming == nil
        if shared == nil {
            let pieces = HTTP1Answer.whole(response, bytes, isKept: stays, isHead: isHead)
            guard let rest = pieces.rest else { return end(context, isKept: stays, with: pieces.first) }
            context.write(NIOAny(pieces.first), promise: nil)
            return end(context, isKept: stays, with: rest)
        }
        var head = head(response)
        head.headers.replaceOrAdd(name: "Content-Length", value: String(bytes.count))
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !bytes.isEmpty && !isHead {
            context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: bytes)))), promise: nil)
        }
        end(context, isKept: stays)
    }

    /// - Parameter last: of an answer of HTTP/1.1 what has not been written.
    private func end(_ context: ChannelHandlerContext, isKept: Bool, with last: ByteBuffer = ByteBuffer()) {
        let last = shared == nil ? NIOAny(last) : wrapOutboundOut(.end(nil))
        if incoming != nil {
            // Answered before its body was whole: the rest is read and dropped for a moment, so that the answer is not lost to a reset.
            endIncoming("the request was answered before its body was whole")
            state = .closing
            context.writeAndFlush(last, promise: nil)
            context.channel.goOnReading()
            return close(context, after: .seconds(2))
        }
        if shared != nil {
            context.writeAndFlush(last, promise: nil)
            // Over, unless the answer waits for its window, or `refuse` for what is still on its way.
            guard context.channel.isActive else { return }
            if case .closing = state { return }
            close(context, after: limits.idleTimeout)
        } else if isKept {
            close(context, after: limits.idleTimeout)
            context.writeAndFlush(last, promise: nil)
            goOn(context)
        } else if case .closing = state {
            // Closed by the timer of `refuse`.
            context.writeAndFlush(last, promise: nil)
        } else {
            state = .closing
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            context.writeAndFlush(last).whenComplete { _ in bound.value.close(promise: nil) }
        }
    }

    private func begin(_ context: ChannelHandlerContext, _ response: HTTPResponse, _ stream: any HTTPBodyStream, isKept: Bool) {
        guard !isDraining else {
            stream.stop()
            return send(context, HTTPResponse(status: 503, headers: ["Retry-After": "1"]), isKept: false)
        }
        let isChunked = shared == nil && response.headers["content-length"] == nil
        state = .streaming(Streaming(stream: stream, isKept: isKept, isChunked: isChunked))
        if shared == nil {
            let head = HTTP1Answer.head(response, isKept: isKept, isChunked ? .chunks : .asGiven)
            context.writeAndFlush(NIOAny(head), promise: nil)
        } else {
            context.writeAndFlush(wrapOutboundOut(.head(head(response))), promise: nil)
        }
        let line = StreamWakes.Line(NIOLoopBound(self, eventLoop: context.eventLoop), wakes, place: shared?.place ?? 0)
        stream.start { line.wake() }
        pump(context)
        waitForDue(context)
    }

    /// Sends what its stream has, which has been woken.
    func serve() {
        if let context { pump(context) }
    }

    /// Sets the clock for a stream that is to be asked whatever happens.
    ///
    /// - Parameter least: a stream whose peer does not read cannot be asked, however long it is due.
    private func waitForDue(_ context: ChannelHandlerContext, least: Duration = .zero) {
        guard case .streaming(let streaming) = state, let due = streaming.stream.dueAfter else { return }
        close(context, after: max(due, least))
    }

    private func pump(_ context: ChannelHandlerContext) {
        // What is flushed may make the channel writable again, which is told before the flush returns.
        guard !isPumping, case .streaming(let streaming) = state else { return }
        isPumping = true
        defer { isPumping = false }
        if !context.channel.isWritable, streaming.stream.isBroken { return context.close(promise: nil) }
        while context.channel.isWritable {
            // A flush may find that the peer is gone.
            guard case .streaming = state else { return }
            switch streaming.stream.next() {
            case .chunk(let bytes): send(bytes, of: streaming, context)
            case .wait: return
            case .end:
                state = .idle
                streaming.stream.stop()
                return end(context, isKept: streaming.isKept && !isDraining, with: Self.last(of: streaming))
            case .failed:
                state = .closing
                streaming.stream.stop()
                // Behind what was written: that much is right.
                let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
                let nothing = shared == nil ? NIOAny(ByteBuffer()) : wrapOutboundOut(.body(.byteBuffer(ByteBuffer())))
                return context.writeAndFlush(nothing).whenComplete { _ in bound.value.close(promise: nil) }
            }
        }
    }

    /// Flushed one by one: what is not counts for nothing with `isWritable`.
    private func send(_ bytes: [UInt8], of streaming: Streaming, _ context: ChannelHandlerContext) {
        if bytes.isEmpty { return }
        if streaming.isChunked {
            context.writeAndFlush(NIOAny(wakes.frames.frame(bytes)), promise: nil)
        } else if shared == nil {
            context.writeAndFlush(NIOAny(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
        } else {
            context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(wakes.bareFrames.frame(bytes)))), promise: nil)
        }
    }

    /// What ends the body of a stream.
    private static func last(of streaming: Streaming) -> ByteBuffer { streaming.isChunked ? HTTP1Answer.chunksEnd : ByteBuffer() }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { pump(context) }
        context.fireChannelWritabilityChanged()
    }

    /// The server stops: what is asked for is answered still, streams end.
    func drain() {
        guard let context else { return }
        isDraining = true
        switch state {
        // Of a stream an answer, which may still be on its way.
        case .idle: if shared == nil { context.close(promise: nil) }
        case .streaming(let streaming):
            state = .idle
            streaming.stream.stop()
            end(context, isKept: false, with: Self.last(of: streaming))
        case .gathering, .answering, .closing: break
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is HTTPServer.Drain {
            drain()
        } else if case ChannelEvent.inputClosed = event {
            inputClosed(context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// The client will send nothing more (a half-closed connection): what it has asked for wholly is answered still.
    private func inputClosed(_ context: ChannelHandlerContext) {
        if !held.isEmpty { return heldEnd = heldEnd ?? .closed }
        if incoming != nil {
            endIncoming("the client has ended its side before the body was whole")
            return context.close(promise: nil)
        }
        switch state {
        case .answering: isDraining = true
        case .idle, .gathering, .streaming: context.close(promise: nil)
        case .closing: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard shared == nil, error is HTTPParserError else { return context.close(promise: nil) }
        switch state {
        case .idle, .gathering: refuseMalformed(context)
        case .answering where incoming != nil: refuseMalformed(context)
        // Behind the answer that is under way.
        case .answering, .streaming:
            heldEnd = heldEnd ?? .malformed
            stopReading(context)
        case .closing: break
        }
    }
}

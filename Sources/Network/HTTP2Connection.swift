import NIOCore
import NIOHTTP2
import NIOSSL
import Synchronization

/// One connection of HTTP/2: what its streams have in common, and its end. Each stream is served as a connection of HTTP/1.1 is
/// (`HTTPConnection`).
///
///     open ─nothing asked for a while→ goodbye (GOAWAY) ─last stream ended→ closed
///       └──── the server stops ──────────┘
final class HTTP2Connection: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private static let goodbyeTime: TimeAmount = .milliseconds(200)
    private let service: HTTPService
    /// Orders its streams among those of other connections, so that what they send together is sent in one piece.
    let place: Int
    private var context: ChannelHandlerContext?
    private var streams: [ObjectIdentifier: HTTPConnection] = [:]
    /// One for the deadlines of all streams.
    private var streamTimer: (task: Scheduled<Void>, due: NIODeadline)?
    /// The newest stream: those behind it are the client's to ask for elsewhere.
    private var last = HTTP2StreamID.rootStream
    private var isEnding = false
    private var restsSince = NIODeadline.now()
    private var timer: Scheduled<Void>?
    /// Bytes of bodies that streams hold which are open.
    private var bodyBytes = 0
    /// Requests that are being answered, those included whose stream the client has ended.
    private var answering = 0
    private var knownPeer: HTTPPeer?

    private init(_ service: HTTPService) {
        self.service = service
        place = service.wakes.newPlace()
    }

    /// Has a connection speak HTTP/2; its handshake is over.
    static func add(to pipeline: ChannelPipeline.SynchronousOperations, of channel: any Channel, _ service: HTTPService) throws {
        let connection = HTTP2Connection(service)
        let bound = NIOLoopBound(connection, eventLoop: channel.eventLoop)
        try pipeline.addHandler(OutboundGatherer(service.wakes))
        try pipeline.addHandler(OwnReads(service.limits.streams))
        try pipeline.addHandler(
            NIOHTTP2Handler(
                mode: .server, eventLoop: channel.eventLoop, connectionConfiguration: configuration(service.limits),
                streamConfiguration: streamConfiguration(service.limits)
            ) { stream in stream.eventLoop.makeCompletedFuture { try bound.value.begin(stream) } })
        try pipeline.addHandler(connection)
    }

    /// NIO holds a time for each frame that it may count, from the start: it is given few, and counts those of one moment. Those of longer are
    /// counted by `FrameRates`.
    private static let countedElsewhere = (count: 16, window: TimeAmount.nanoseconds(1))

    private static func configuration(_ limits: HTTPLimits) -> NIOHTTP2Handler.ConnectionConfiguration {
        var configuration = NIOHTTP2Handler.ConnectionConfiguration()
        configuration.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: limits.streams.perConnectionMax),
            HTTP2Setting(parameter: .maxHeaderListSize, value: limits.streams.headerBytesMax),
        ]
        configuration.targetWindowSize = limits.streams.connectionWindowBytes
        configuration.controlFrameRateLimit.maximumCount = countedElsewhere.count
        configuration.controlFrameRateLimit.windowLength = countedElsewhere.window
        // Clients pad with empty frames now and then.
        configuration.maximumSequentialEmptyDataFrames = 10
        return configuration
    }

    private static func streamConfiguration(_ limits: HTTPLimits) -> NIOHTTP2Handler.StreamConfiguration {
        var configuration = NIOHTTP2Handler.StreamConfiguration()
        configuration.outboundBufferSizeHighWatermark = limits.streams.unsentBytesMax
        configuration.outboundBufferSizeLowWatermark = limits.streams.unsentBytesMax / 2
        configuration.streamResetFrameRateLimit.maximumCount = countedElsewhere.count
        configuration.streamResetFrameRateLimit.windowLength = countedElsewhere.window
        configuration.streamErrorRateLimit.maximumCount = 32
        return configuration
    }

    // MARK: Streams

    private func begin(_ stream: any Channel) throws {
        if let id = try stream.syncOptions?.getOption(HTTP2StreamChannelOptions.streamID) { last = max(last, id) }
        try stream.pipeline.syncOperations.addHandler(HTTP2FramePayloadToHTTP1ServerCodec())
        try stream.pipeline.syncOperations.addHandler(HTTPConnection(service, of: self))
    }

    func began(_ stream: HTTPConnection) {
        streams[ObjectIdentifier(stream)] = stream
        service.load.counts.withLock { $0.streams += 1 }
    }

    func ended(_ stream: HTTPConnection) {
        guard streams.removeValue(forKey: ObjectIdentifier(stream)) != nil else { return }
        service.load.counts.withLock { $0.streams -= 1 }
        guard streams.isEmpty else { return }
        restsSince = .now()
        if isEnding { close() }
    }

    /// Looks at the deadlines of its streams then, or before.
    func look(at due: NIODeadline) {
        guard let context, streamTimer.map({ $0.due > due }) ?? true else { return }
        streamTimer?.task.cancel()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        streamTimer = (context.eventLoop.scheduleTask(deadline: due) { bound.value.lookAtDeadlines() }, due)
    }

    private func lookAtDeadlines() {
        streamTimer = nil
        // What is due may end streams.
        let next = Array(streams.values).compactMap { $0.lookedAtDeadline() }.min()
        if let next { look(at: next) }
    }

    /// Who is at the other end: the same for all streams.
    var peer: HTTPPeer {
        if let knownPeer { return knownPeer }
        let peer = context.map { HTTPPeer($0.channel) } ?? HTTPPeer()
        knownPeer = peer
        return peer
    }

    /// - Returns: why a request is not taken; nil for one that is, whose answer is then told by `answered`.
    func refusesToAnswer() -> String? {
        let limits = service.limits.streams
        guard answering < limits.perConnectionMax else {
            return "\(limits.perConnectionMax) requests of this connection are being answered, which is the most; try again"
        }
        guard service.load.counts.withLock({ $0.streams <= limits.totalMax }) else {
            return "\(limits.totalMax) streams of all connections are open, which is the most; try again"
        }
        answering += 1
        return nil
    }

    func answered() { answering -= 1 }

    /// More of a body has come.
    ///
    /// - Returns: whether it may be held; else the sum of what this connection's requests hold would be too large.
    func holds(_ count: Int) -> Bool {
        guard bodyBytes + count <= service.limits.streams.bodyBytesMax else { return false }
        bodyBytes += count
        return true
    }

    /// Bytes of a body are held no more.
    func released(_ count: Int) { bodyBytes -= count }

    // MARK: The connection

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        lookIfResting(after: service.limits.idleTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        streamTimer?.task.cancel()
        service.load.forget(context.channel)
        context.fireChannelInactive()
    }

    private func lookIfResting(after time: Duration) {
        guard let context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: TimeAmount(time)) { bound.value.endIfResting() }
    }

    private func endIfResting() {
        let idle = service.limits.idleTimeout
        let rested = streams.isEmpty ? Duration(NIODeadline.now() - restsSince) : .zero
        if rested >= idle { end() } else { lookIfResting(after: idle - rested) }
    }

    /// Takes no more streams; closed with the last that is open.
    private func end() {
        guard let context, !isEnding else { return }
        isEnding = true
        sayGoodbye(context, .noError)
        if streams.isEmpty { close() }
    }

    private func sayGoodbye(_ context: ChannelHandlerContext, _ code: HTTP2ErrorCode) {
        let goodbye = HTTP2Frame(streamID: .rootStream, payload: .goAway(lastStreamID: last, errorCode: code, opaqueData: nil))
        context.writeAndFlush(wrapOutboundOut(goodbye), promise: nil)
    }

    /// Soon: what the client has sent meanwhile would answer our goodbye with a reset, and it would never be read.
    private func close() {
        guard let context else { return }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: Self.goodbyeTime) { bound.value.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is HTTPServer.Drain:
            end()
            for stream in Array(streams.values) { stream.drain() }
        // The client will send nothing more, so it hears of nothing either: windows stay as they are.
        case ChannelEvent.inputClosed: context.close(promise: nil)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    /// Frames of no stream; NIO has answered those that want an answer.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    /// What breaks the rules of one stream ended that stream; anything else ends the connection, whose goodbye has been sent.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is FrameExcess { sayGoodbye(context, .enhanceYourCalm) }
        if !Self.isOfOneStream(error) { context.close(promise: nil) }
    }

    /// Whether an error of NIO's is of one stream, which it has ended.
    static func isOfOneStream(_ error: any Error) -> Bool {
        switch error {
        case is NIOHTTP2Errors.StreamError, is NIOHTTP2Errors.StreamClosed,
            is NIOHTTP2Errors.MissingPseudoHeader, is NIOHTTP2Errors.DuplicatePseudoHeader,
            is NIOHTTP2Errors.PseudoHeaderAfterRegularHeader,
            is NIOHTTP2Errors.UnknownPseudoHeader, is NIOHTTP2Errors.InvalidPseudoHeaders, is NIOHTTP2Errors.UnsupportedPseudoHeader,
            is NIOHTTP2Errors.InvalidPseudoHeaderValue, is NIOHTTP2Errors.InvalidHTTP2HeaderFieldName,
            is NIOHTTP2Errors.InvalidHTTP2HeaderFieldValue, is NIOHTTP2Errors.ForbiddenHeaderField, is NIOHTTP2Errors.EmptyPathHeader,
            is NIOHTTP2Errors.MissingHostHeader, is NIOHTTP2Errors.DuplicateHostHeader, is NIOHTTP2Errors.ContentLengthViolated,
            is NIOHTTP2Errors.ContentLengthHeadersMismatch, is NIOHTTP2Errors.ContentLengthHeaderNegative,
            is NIOHTTP2Errors.ContentLengthHeaderMalformedValue:
            true
        default: false
        }
    }
}

/// Who is at the other end of a connection.
struct HTTPPeer {
    /// DER; nil where none was shown that the server's authority signed.
    var certificate: [UInt8]?
    var address = ""
}

extension HTTPPeer {
    /// - Parameter channel: of the connection, not of a stream; its handshake is over.
    init(_ channel: any Channel) {
        let handler = try? channel.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self)
        certificate = try? handler?.peerCertificate?.toDERBytes()
        address = channel.remoteAddress?.description ?? ""
    }
}

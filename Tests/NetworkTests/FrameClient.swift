import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// A client of HTTP/2 that sends whatever frames it is told to, right or wrong, and notes those that come.
final class FrameClient: Sendable {
    struct Frame: Sendable {
        enum Kind: UInt8, Sendable { case data, headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate, continuation }
        /// Nil for one that RFC 9113 does not know.
        var kind: Kind?
        var flags: UInt8
        var stream: Int
        var payload: [UInt8]
        var endsStream: Bool { (kind == .data || kind == .headers) && flags & 1 != 0 }
        /// Of a reset, or behind the last stream of a goodbye.
        var errorCode: Int { payload.suffix(from: kind == .goAway ? 4 : 0).prefix(4).reduce(0) { $0 << 8 | Int($1) } }
    }

    private struct Heard {
        var rest: [UInt8] = []
        var frames: [Frame] = []
        /// What came as data, by stream: asked for again and again while it comes.
        var bodies: [Int: [UInt8]] = [:]
        var isClosed = false
    }

    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    private let channel: any Channel
    private let heard: Listener

    /// Dials, offers `h2`, and sends the preface with settings.
    ///
    /// - Parameters:
    ///   - settings: numbers and values, as RFC 9113, section 6.5.2, has them.
    ///   - hasPreface: false sends nothing at all.
    init(port: Int, settings: [(UInt16, UInt32)] = [], hasPreface: Bool = true) async throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.applicationProtocols = ["h2"]
        let context = try NIOSSLContext(configuration: configuration)
        let bytes = settings.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 0xff)] + Self.big($0.1) }
        let heard = Listener(first: hasPreface ? Self.preface + Self.frame(.settings, 0, 0, bytes) : nil)
        self.heard = heard
        channel = try await ClientBootstrap(group: NIOSingletons.posixEventLoopGroup)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
                    try channel.pipeline.syncOperations.addHandler(heard)
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    deinit { channel.close(promise: nil) }

    private final class Listener: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        let state = Mutex(Heard())
        private let first: [UInt8]?

        /// - Parameter first: what is sent before everything else; nil for a client that says nothing of itself.
        init(first: [UInt8]?) { self.first = first }

        func channelActive(context: ChannelHandlerContext) {
            if let first { context.writeAndFlush(NIOAny(ByteBuffer(bytes: first)), promise: nil) }
            context.fireChannelActive()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Array(buffer: unwrapInboundIn(data))
            if note(bytes), first != nil {
                // Settings count once they are acknowledged.
                context.writeAndFlush(NIOAny(ByteBuffer(bytes: FrameClient.frame(.settings, 1, 0))), promise: nil)
            }
        }

        /// - Returns: whether settings have come.
        private func note(_ bytes: [UInt8]) -> Bool {
            state.withLock { state in
                let known = state.frames.count
                state.rest += bytes
                var rest = state.rest[...]
                while rest.count >= 9 {
                    let head = Array(rest.prefix(9))
                    let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
                    guard rest.count >= 9 + length else { break }
                    let stream = head[5..<9].reduce(0) { $0 << 8 | Int($1) } & 0x7fff_ffff
                    let payload = Array(rest.dropFirst(9).prefix(length))
                    let kind = Frame.Kind(rawValue: head[3])
                    if kind == .data { state.bodies[stream, default: []] += payload }
                    state.frames.append(Frame(kind: kind, flags: head[4], stream: stream, payload: payload))
                    rest = rest.dropFirst(9 + length)
                }
                state.rest = Array(rest)
                return state.frames[known...].contains { $0.kind == .settings && $0.flags == 0 }
            }
        }

        func channelInactive(context: ChannelHandlerContext) { state.withLock { $0.isClosed = true } }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    // MARK: Sending

    static func big(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

    static func frame(_ kind: Frame.Kind, _ flags: UInt8, _ stream: Int, _ payload: [UInt8] = []) -> [UInt8] {
        Array(big(UInt32(payload.count)).dropFirst()) + [kind.rawValue, flags] + big(UInt32(stream)) + payload
    }

    /// Fields as HPACK has them where nothing is indexed (RFC 7541, section 6.2.2).
    static func fields(_ fields: [(String, String)]) -> [UInt8] {
        func text(_ text: String) -> [UInt8] {
            var bytes: [UInt8] = []
            var count = text.utf8.count
            if count < 127 { return [UInt8(count)] + Array(text.utf8) }
            bytes.append(127)
            count -= 127
            while count >= 128 {
                bytes.append(UInt8(count & 127 | 128))
                count >>= 7
            }
            return bytes + [UInt8(count)] + Array(text.utf8)
        }
        return fields.flatMap { [0] + text($0.0) + text($0.1) }
    }

    static func head(_ method: String, _ path: String, _ more: [(String, String)] = []) -> [UInt8] {
        fields([(":method", method), (":scheme", "https"), (":authority", "test"), (":path", path)] + more)
    }

    func send(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }

    func send(_ kind: Frame.Kind, _ flags: UInt8 = 0, on stream: Int, _ payload: [UInt8] = []) {
        send(Self.frame(kind, flags, stream, payload))
    }

    /// A whole request without a body.
    func get(_ path: String, on stream: Int) { send(.headers, 5, on: stream, Self.head("GET", path)) }

    /// Lets the server send more.
    func open(_ stream: Int, by count: Int) { send(.windowUpdate, on: stream, Self.big(UInt32(count))) }

    /// Closes the connection without a word of HTTP/2.
    func close() { channel.close(promise: nil) }

    // MARK: Hearing

    var frames: [Frame] { heard.state.withLock { $0.frames } }
    var isClosed: Bool { heard.state.withLock { $0.isClosed } }

    /// Bytes of the body that have come on a stream.
    func body(_ stream: Int) -> [UInt8] { heard.state.withLock { $0.bodies[stream] ?? [] } }

    func hasEnded(_ stream: Int) -> Bool { frames.contains { $0.stream == stream && ($0.endsStream || $0.kind == .reset) } }

    func reset(_ stream: Int) -> Frame? { frames.first { $0.stream == stream && $0.kind == .reset } }

    var goodbye: Frame? { frames.first { $0.kind == .goAway } }

    /// Waits until something is so; a minute at most, then what is asked next says that it is not.
    func wait(until isSo: (FrameClient) -> Bool) async throws {
        for _ in 0..<12_000 where !isSo(self) { try await Task.sleep(for: .milliseconds(5)) }
    }
}

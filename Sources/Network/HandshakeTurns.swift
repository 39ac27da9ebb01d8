import NIOCore
import NIOSSL
import Synchronization

/// The order in which a server's new connections get on with their TLS handshakes.
///
/// A handshake costs the one thread of all connections about a millisecond of signing and checking. Thousands that come at once, as after a
/// restart, would keep that thread from everybody else for seconds. So some steps are taken at a time, and between them the thread looks after
/// its other connections. Clients that can wait say so by the protocol they offer (`patientProtocol`): they come behind the others, already at
/// the door (`Vestibule`), and so do their first requests, of which a few are answered at a time.
///
/// Nothing is refused here: what waits costs a connection, of which `HTTPLimits.connectionsMax` are accepted.
final class HandshakeTurns: Sendable {
    /// Offered, beside `http/1.1`, by clients that can wait: agents of nodes, which come in thousands and work on without their cloud.
    static let patientProtocol = "skerry-patient"
    /// Steps before the thread looks at its other connections.
    private static let stepsMax = 4
    /// First requests of those who can wait that are answered at a time.
    private static let answersMax = 16
    /// How long the thread then rests: tasks that are ready at once would keep it from looking.
    private static let rest: TimeAmount = .microseconds(10)

    private struct State {
        var order = HandshakeOrder<NIOLoopBound<HandshakeTurn>>(stepsMax: HandshakeTurns.stepsMax, answersMax: HandshakeTurns.answersMax)
        var isDue = false
    }

    private let state = Mutex(State())

    /// A connection goes on now or later. From the connections' thread, as all calls.
    fileprivate func wait(_ turn: HandshakeTurn, isPatient: Bool, on loop: any EventLoop) {
        let bound = NIOLoopBound(turn, eventLoop: loop)
        let isNow = state.withLock { $0.order.arrived(bound, isPatient: isPatient) }
        goOnSoon(loop)
        if isNow { turn.goOn() }
    }

    private func goOnSoon(_ loop: any EventLoop) {
        let isDue = state.withLock { state in
            defer { state.isDue = true }
            return state.isDue
        }
        if !isDue { loop.scheduleTask(in: Self.rest) { self.serve(loop) } }
    }

    private func serve(_ loop: any EventLoop) {
        let turns = state.withLock { state in
            state.isDue = false
            return state.order.next { $0.value.isWaiting }
        }
        if turns.isEmpty { return }
        goOnSoon(loop)
        for turn in turns { turn.value.goOn() }
    }

    fileprivate func asked() { state.withLock { $0.order.asked() } }

    fileprivate func answered(_ loop: any EventLoop) {
        state.withLock { $0.order.answered() }
        goOnSoon(loop)
    }
}

/// A new connection's place in the order of handshakes: holds back what its client says until it is its turn, and goes with its first request.
///
/// TLS itself is there from the first turn on.
final class HandshakeTurn: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Told by the connection about its first request.
    enum Event: Sendable { case asked, answered }

    private let turns: HandshakeTurns
    /// Until the first turn.
    private var tls: NIOSSLContext?
    /// Of who is patient, until the first turn.
    private var seat: Vestibule.Seat?
    private let isPatient: Bool
    private var context: ChannelHandlerContext?
    private var held: ByteBuffer?
    fileprivate private(set) var isWaiting = false
    private var isReadWanted = false
    private var isAsking = false

    /// - Parameter seat: of who is patient; nil for who is in a hurry.
    init(_ turns: HandshakeTurns, _ tls: NIOSSLContext, _ seat: Vestibule.Seat?) {
        self.turns = turns
        self.tls = tls
        self.seat = seat
        isPatient = seat != nil
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        end()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    private func end() {
        isWaiting = false
        held = nil
        seat = nil
        if isAsking, let context {
            isAsking = false
            turns.answered(context.eventLoop)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if held == nil { held = bytes } else { held!.writeBuffer(&bytes) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard !isWaiting, held != nil else { return context.fireChannelReadComplete() }
        isWaiting = true
        turns.wait(self, isPatient: isPatient, on: context.eventLoop)
    }

    /// Who waits is not read from: what it goes on sending waits with it.
    func read(context: ChannelHandlerContext) {
        if isWaiting { isReadWanted = true } else { context.read() }
    }

    /// It is its turn.
    func goOn() {
        guard isWaiting, let context, let bytes = held else { return }
        isWaiting = false
        held = nil
        seat = nil
        // First: what is handed on may take this handler away.
        if isReadWanted {
            isReadWanted = false
            context.read()
        }
        beginTLS(context)
        context.fireChannelRead(wrapInboundOut(bytes))
        context.fireChannelReadComplete()
    }

    private func beginTLS(_ context: ChannelHandlerContext) {
        guard let tls else { return }
        self.tls = nil
        let handlers: [any ChannelHandler] = [HandshakeBuffer(), NIOSSLServerHandler(context: tls)]
        let place = ChannelPipeline.SynchronousOperations.Position.after(self)
        do { try context.pipeline.syncOperations.addHandlers(handlers, position: place) } catch { context.close(promise: nil) }
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let event = event as? Event else { return context.triggerUserOutboundEvent(event, promise: promise) }
        promise?.succeed()
        if event == .asked, isPatient {
            isAsking = true
            turns.asked()
        } else {
            leave(context)
        }
    }

    private func leave(_ context: ChannelHandlerContext) {
        if isWaiting { goOn() }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }
}

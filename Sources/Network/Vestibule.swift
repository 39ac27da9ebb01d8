import CEpoll
import NIOCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where a server's new connections stand until they are let in: a thread that takes them from the system, looks at what each says first, and
/// hands over those who are in a hurry at once, the patient ones a few at a time.
///
/// The system's own queue knows no order: whoever connects behind five thousand others would wait until all of them have been made connections
/// of NIO's, which costs a hundred times what it costs to stand here. What was looked at is left to be read by whoever reads the connection.
///
/// Nobody is refused here but who says nothing for `HTTPLimits.arrivalTimeout`, and who comes when `HTTPLimits.connectionsMax` are there.
final class Vestibule: Sendable {
    /// A place among those patient ones that were let in and whose turn has not come: given back when nobody holds it any more.
    final class Seat: Sendable {
        private let vestibule: Vestibule

        fileprivate init(_ vestibule: Vestibule) { self.vestibule = vestibule }

        deinit { vestibule.rise() }
    }

    /// Takes a socket over, closing included. Who is patient has a seat.
    typealias Admission = @Sendable (_ socket: CInt, _ seat: Seat?) -> Void

    /// What other threads have to say.
    private struct Calls {
        var risen = 0
        var isClosing = false
        var hasEnded = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    /// Patient connections that are let in before their turn: enough for the connections' thread never to wait for more.
    private static let seatsMax = 16
    /// Connections that are taken from the system before those who stand there are looked at.
    private static let takenMax = 64
    private static let (listenerID, bellID, firstGuest) = (UInt64(0), UInt64(1), UInt64(2))
    /// What is waited when this process may have no more open files.
    private static let shortage: UInt32 = 20_000

    private let listener: CInt
    private let poll: CInt
    private let bell: CInt
    private let limits: HTTPLimits
    private let load: HTTPServer.Load
    private let opened = ContinuousClock.now
    private let calls = Mutex(Calls())

    /// - Parameters:
    ///   - listener: a listening socket that does not block; it is closed by this one.
    ///   - load: the connections that were let in.
    /// - Throws: `NetworkError` when the system has nothing left to wait with.
    init(listener: CInt, _ limits: HTTPLimits, _ load: HTTPServer.Load, admit: @escaping Admission) throws {
        self.listener = listener
        self.limits = limits
        self.load = load
        poll = skerry_epoll()
        bell = skerry_eventfd()
        guard poll >= 0, bell >= 0, skerry_watch(poll, listener, Self.listenerID, skerry_readable, 1) == 0,
            skerry_watch(poll, bell, Self.bellID, skerry_readable, 1) == 0
        else {
            let reason = String(cString: strerror(errno))
            _ = closeFile(listener)
            throw NetworkError("cannot wait for connections: \(reason)")
        }
        let result = start(admit)
        guard result == 0 else {
            _ = closeFile(listener)
            throw NetworkError("no thread for new connections: \(String(cString: strerror(result)))")
        }
    }

    deinit {
        _ = closeFile(poll)
        _ = closeFile(bell)
    }

    private func start(_ admit: @escaping Admission) -> CInt {
        let body = Unmanaged.passRetained(ThreadBody { [self] in serve(admit) }).toOpaque()
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { body in
                Unmanaged<ThreadBody>.fromOpaque(body!).takeRetainedValue().run()
                return nil
            }, body)
        if result == 0 { pthread_detach(thread) } else { Unmanaged<ThreadBody>.fromOpaque(body).release() }
        return result
    }

    /// Stops listening and closes what stands here; returns once that is done. To be called once.
    func close() async {
        await withCheckedContinuation { continuation in
            let hasEnded = calls.withLock { calls in
                calls.isClosing = true
                if !calls.hasEnded { calls.waiter = continuation }
                return calls.hasEnded
            }
            if hasEnded { continuation.resume() } else { ring() }
        }
    }

    private func rise() {
        let isFirst = calls.withLock { calls in
            calls.risen += 1
            return calls.risen == 1
        }
        if isFirst { ring() }
    }

    private func ring() {
        var one: UInt64 = 1
        _ = write(bell, &one, 8)
    }

    // MARK: The thread

    /// What the thread alone knows.
    private struct Floor {
        var order: ArrivalOrder
        var sockets: [UInt64: CInt] = [:]
        var last = Vestibule.firstGuest
    }

    private var now: Duration { .now - opened }

    private func serve(_ admit: Admission) {
        var floor = Floor(order: ArrivalOrder(seatsMax: Self.seatsMax, patience: limits.arrivalTimeout))
        var found = [skerry_event](repeating: skerry_event(), count: 128)
        while true {
            let count = skerry_wait(poll, &found, floor.order.hasUnknown ? 1000 : -1)
            for event in found.prefix(Int(max(0, count))) {
                switch event.id {
                case Self.listenerID: take(&floor, admit)
                case Self.bellID: if answerBell(&floor) { return end(&floor) }
                default: look(at: event.id, event.events, &floor, admit)
                }
            }
            while let guest = floor.order.late(now: now) { shut(guest, &floor) }
            while let guest = floor.order.next() {
                if let socket = letGo(guest, &floor) { admit(socket, Seat(self)) } else { floor.order.rose() }
            }
        }
    }

    /// - Returns: whether this is the end.
    private func answerBell(_ floor: inout Floor) -> Bool {
        var count: UInt64 = 0
        _ = read(bell, &count, 8)
        let (risen, isClosing) = calls.withLock { calls in
            defer { calls.risen = 0 }
            return (calls.risen, calls.isClosing)
        }
        for _ in 0..<risen { floor.order.rose() }
        return isClosing
    }

    private func end(_ floor: inout Floor) {
        for socket in floor.sockets.values { _ = closeFile(socket) }
        _ = closeFile(listener)
        calls.withLock { calls in
            calls.hasEnded = true
            defer { calls.waiter = nil }
            return calls.waiter
        }?.resume()
    }

    private func take(_ floor: inout Floor, _ admit: Admission) {
        for _ in 0..<Self.takenMax {
            let socket = skerry_accept(listener)
            guard socket >= 0 else {
                // Without room for it a connection stays in the system's queue, and would be told of again at once.
                if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) { usleep(Self.shortage) }
                if errno == EINTR || errno == ECONNABORTED { continue }
                return
            }
            let inside = load.counts.withLock { $0.connections.count }
            guard inside + floor.order.count < limits.connectionsMax else {
                _ = closeFile(socket)
                continue
            }
            floor.last += 1
            let guest = floor.last
            floor.sockets[guest] = socket
            floor.order.arrived(guest, now: now)
            // Mostly it has spoken by now.
            look(at: guest, 0, &floor, admit)
            guard floor.sockets[guest] != nil else { continue }
            let wanted = floor.order.isPatient(guest) ? skerry_gone : skerry_gone | skerry_readable
            if skerry_watch(poll, socket, guest, wanted | skerry_once, 1) != 0 { shut(guest, &floor) }
        }
    }

    private func look(at guest: UInt64, _ events: UInt32, _ floor: inout Floor, _ admit: Admission) {
        guard let socket = floor.sockets[guest] else { return }
        if events & skerry_gone != 0 { return shut(guest, &floor) }
        switch Self.hello(on: socket) {
        case .gone: shut(guest, &floor)
        case .said(.incomplete): break
        case .said(let hello):
            var isPatient = false
            if case .offers(let names) = hello { isPatient = names.contains(HandshakeTurns.patientProtocol) }
            if floor.order.spoke(guest, isPatient: isPatient), let socket = letGo(guest, &floor) { admit(socket, nil) }
        }
    }

    private enum Said {
        case said(ClientHello)
        case gone
    }

    private static func hello(on socket: CInt) -> Said {
        withUnsafeTemporaryAllocation(byteCount: ClientHello.bytesMax, alignment: 1) { bytes in
            let count = skerry_peek(socket, bytes.baseAddress!, Int32(bytes.count))
            if count > 0 { return .said(ClientHello(UnsafeRawBufferPointer(rebasing: bytes[..<Int(count)]))) }
            return count < 0 && [EAGAIN, EWOULDBLOCK, EINTR].contains(errno) ? .said(.incomplete) : .gone
        }
    }

    /// Its socket, which is no longer looked at here.
    private func letGo(_ guest: UInt64, _ floor: inout Floor) -> CInt? {
        guard let socket = floor.sockets.removeValue(forKey: guest) else { return nil }
        skerry_unwatch(poll, socket)
        return socket
    }

    private func shut(_ guest: UInt64, _ floor: inout Floor) {
        floor.order.left(guest)
        if let socket = floor.sockets.removeValue(forKey: guest) { _ = closeFile(socket) }
    }
}

/// Gives the thread an address for its closure.
private final class ThreadBody {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
}

/// `Vestibule.close` is another.
private func closeFile(_ file: CInt) -> CInt { close(file) }

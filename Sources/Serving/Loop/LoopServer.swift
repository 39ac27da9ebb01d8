import Synchronization

#if canImport(Glibc)
    import CEpoll
    import Glibc

    /// Bounds of a `LoopServer`; each says what happens at it.
    package struct LoopLimits: Sendable {
        /// Bytes of a request's head; beyond: 431.
        package var headBytesMax = 16 << 10
        /// Bytes of a body that is collected; beyond: 413.
        package var bodyBytesMax = 64 << 20
        /// Bytes of all bodies that are being collected; beyond: 503.
        package var collectedBytesMax = 256 << 20
        /// Connections; beyond: closed as soon as they are accepted.
        package var connectionsMax = 1024
        /// Requests that wait for somebody else; beyond: 429.
        package var waitingMax = 256
        /// Seconds for a request to arrive whole, and for a peer to take its answer; beyond: the connection is closed.
        package var arrivalSeconds = 30
        /// Seconds without a request; beyond: the connection is closed.
        package var idleSeconds = 180
        /// Bytes of a stream's answer that wait to be sent; beyond: its body is not read.
        package var streamBytesMax = 1 << 20

        /// Every bound at the value that stands here.
        package init() {}
    }

    /// HTTP/1.1 in plain text, all connections on one thread: a request is read, answered and written without a change of thread, and requests that
    /// arrive together are given to the handler together.
    ///
    /// All state but `posted` belongs to the loop's thread, hence unchecked.
    package final class LoopServer: @unchecked Sendable {
        private struct Posted {
            var responses: [(UInt64, LoopResponse)] = []
            var parts: [(UInt64, LoopPart)] = []
            var isStopping = false
            var hasEnded = false
        }

        /// The port that listens.
        package let port: Int
        private let limits: LoopLimits
        private let handler: any LoopHandler
        private let listener: Int32
        private let poll: Int32
        private let wake: Int32
        private let posted = Mutex(Posted())
        private var connections: [UInt64: LoopConnection] = [:]
        private var lastID: UInt64 = 1
        private var waiting = 0
        private var isAccepting = true
        private var events = [skerry_event](repeating: skerry_event(), count: 128)
        private var companions = Companions()
        private static let (listenerID, wakeID): (UInt64, UInt64) = (0, 1)

        /// Listens, and serves on a thread of its own until `stop`.
        ///
        /// - Parameters:
        ///   - host: an IPv4 address.
        ///   - port: 0 lets the system choose.
        /// - Throws: `LoopError` naming the address.
        package init(host: String, port: Int, limits: LoopLimits = LoopLimits(), handler: any LoopHandler) throws(LoopError) {
            (self.limits, self.handler) = (limits, handler)
            (listener, self.port) = try Self.listen(host, port)
            poll = skerry_epoll()
            wake = skerry_eventfd()
            guard poll >= 0, wake >= 0 else { throw LoopError("cannot wait for connections: \(String(cString: strerror(errno)))") }
            _ = skerry_watch(poll, listener, Self.listenerID, skerry_readable, 1)
            _ = skerry_watch(poll, wake, Self.wakeID, skerry_readable, 1)
        }

        private static func listen(_ host: String, _ port: Int) throws(LoopError) -> (Int32, Int) {
            func failed() -> LoopError {
                LoopError("cannot listen on \(host):\(port): \(String(cString: strerror(errno))); choose another address")
            }
            let socket = Glibc.socket(
                AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
            guard socket >= 0 else { throw failed() }
            var one: Int32 = 1
            setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(UInt16(port).bigEndian)
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isBound =
                inet_pton(AF_INET, host, &address.sin_addr) == 1
                && withUnsafeMutablePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        bind(socket, $0, length) == 0 && Glibc.listen(socket, 512) == 0 && getsockname(socket, $0, &length) == 0
                    }
                }
            guard isBound else {
                let error = failed()
                close(socket)
                throw error
            }
            return (socket, Int(UInt16(bigEndian: address.sin_port)))
        }

        deinit { close(wake) }

        /// Serves on a new thread. To be called once.
        package func start() {
            let held = Unmanaged.passRetained(self)
            var thread = pthread_t()
            let failure = pthread_create(
                &thread, nil,
                { pointer in
                    Unmanaged<LoopServer>.fromOpaque(pointer!).takeRetainedValue().run()
                    return nil
                }, held.toOpaque())
            precondition(failure == 0, "no thread can be made: \(String(cString: strerror(failure)))")
            pthread_detach(thread)
        }

        /// Serves until `stop`; to be called once, on a thread that it may have for itself.
        package func run() {
            var carried: [LoopConnection] = []
            var sweptAt = Self.seconds()
            while true {
                let count = skerry_wait(poll, &events, carried.isEmpty ? 500 : 0)
                var ready = carried
                for connection in carried { connection.isCarried = false }
                carried.removeAll(keepingCapacity: true)
                for index in 0..<max(Int(count), 0) { handle(events[index], &ready) }
                serve(ready, &carried)
                let now = Self.seconds()
                if now != sweptAt {
                    sweep(now)
                    sweptAt = now
                }
                if !isAccepting, connections.values.allSatisfy({ $0.isIdle }) { break }
                if posted.withLock({ $0.hasEnded }) { break }
            }
            for connection in connections.values { connection.close() }
            connections = [:]
            if isAccepting { close(listener) }
            close(poll)
            posted.withLock { $0.hasEnded = true }
        }

        /// Accepts no more; requests that have begun are answered within some seconds. May be called from any thread, more than once.
        package func stop() {
            posted.withLock { $0.isStopping = true }
            rouse()
        }

        /// Ends now, whatever is under way. May be called from any thread.
        package func end() {
            posted.withLock { $0.hasEnded = true }
            rouse()
        }

        /// Whether `run` has returned.
        package var hasEnded: Bool { posted.withLock { $0.hasEnded } }

        /// Wakes the loop.
        private func rouse() {
            var one: UInt64 = 1
            _ = write(wake, &one, 8)
        }

        private static func nanoseconds() -> UInt64 {
            var time = timespec()
            clock_gettime(CLOCK_MONOTONIC, &time)
            return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
        }

        static func seconds() -> Int {
            var time = timespec()
            clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
            return time.tv_sec
        }

        // MARK: - Events

        private func handle(_ event: skerry_event, _ ready: inout [LoopConnection]) {
            switch event.id {
            case Self.listenerID: accept()
            case Self.wakeID: takePosted(&ready)
            case let id:
                guard let connection = connections[id] else { return }
                if event.events & skerry_writable != 0 { connection.flush() }
                if event.events & ~skerry_writable != 0, !connection.receive(limits) {
                    // What was sent before the end is answered still.
                    if connection.isLost { return drop(connection) }
                }
                ready.append(connection)
            }
        }

        private func accept() {
            while true {
                let socket = skerry_accept(listener)
                guard socket >= 0 else { return }
                guard connections.count < limits.connectionsMax else {
                    close(socket)
                    continue
                }
                var one: Int32 = 1
                setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
                lastID += 1
                let connection = LoopConnection(id: lastID, socket: socket, now: Self.seconds())
                connections[lastID] = connection
                _ = skerry_watch(poll, socket, lastID, skerry_readable, 1)
            }
        }

        private func takePosted(_ ready: inout [LoopConnection]) {
            var count: UInt64 = 0
            _ = read(wake, &count, 8)
            let (responses, parts, isStopping) = posted.withLock { posted in
                defer { (posted.responses, posted.parts) = ([], []) }
                return (posted.responses, posted.parts, posted.isStopping)
            }
            for (id, part) in parts {
                waiting -= 1
                guard let connection = connections[id] else { continue }
                connection.resume(part)
                ready.append(connection)
            }
            for (id, response) in responses {
                waiting -= 1
                guard let connection = connections[id] else { continue }
                connection.isWaiting = false
                connection.send(response)
                ready.append(connection)
            }
            if isStopping, isAccepting {
                isAccepting = false
                close(listener)
                for connection in connections.values {
                    if connection.isIdle { drop(connection) } else { connection.closesAfter = true }
                }
            }
        }

        private func drop(_ connection: LoopConnection) {
            connection.close()
            connections[connection.id] = nil
        }

        private func sweep(_ now: Int) {
            for connection in Array(connections.values) where connection.isOverdue(now, limits) { drop(connection) }
        }

        // MARK: - Requests

        /// Requests that are answered together, and whose they are.
        private struct Batch {
            var requests: [LoopRequest] = []
            var askers: [LoopConnection] = []
        }

        /// Answers what has arrived whole, all connections' requests together.
        private func serve(_ ready: [LoopConnection], _ carried: inout [LoopConnection]) {
            var (batch, seen) = (Batch(), ready)
            gather(ready, &batch)
            if !batch.requests.isEmpty {
                awaitOthers(&batch, &seen)
                companions.asked(batch.askers)
                answer(batch.requests, batch.askers)
            }
            for connection in seen where !connection.isClosed { settle(connection, &carried) }
        }

        /// Whole requests of connections.
        private func gather(_ ready: [LoopConnection], _ batch: inout Batch) {
            for connection in ready where !connection.isClosed && !connection.isAsking {
                do throws(ServingRefusal) {
                    let request = try connection.next(limits, handler, room: collectedRoom)
                    if let work = connection.takeWork() { begin(work, connection) }
                    guard let request else { continue }
                    connection.isAsking = true
                    batch.requests.append(request)
                    batch.askers.append(connection)
                } catch {
                    connection.refuse(error)
                }
            }
        }

        /// Waits for clients that are likely to ask at once again, where answering them together gains more than the wait.
        private func awaitOthers(_ batch: inout Batch, _ seen: inout [LoopConnection]) {
            var missing = companions.missing
            guard missing > 0, companions.mayWait else { return }
            let (begin, before) = (Self.nanoseconds(), batch.askers.count)
            let patience = handler.patience(missing: missing)
            guard patience > 0 else { return }
            waiting: while missing > 0 {
                let passed = Self.nanoseconds() - begin
                guard passed < patience else { break }
                let count = skerry_wait_briefly(poll, &events, Int64(patience - passed))
                guard count > 0 else { break }
                var ready: [LoopConnection] = []
                for index in 0..<Int(count) {
                    // A request that is about to be answered lies where more of its connection would be received.
                    if connections[events[index].id]?.isAsking ?? false { break waiting }
                    handle(events[index], &ready)
                }
                gather(ready, &batch)
                seen += ready
                missing = companions.missing
            }
            companions.waited(isFruitless: batch.askers.count == before)
        }

        /// Has a part of a stream answered elsewhere.
        private func begin(_ work: @escaping @Sendable () async -> LoopPart, _ connection: LoopConnection) {
            guard waiting < limits.waitingMax else {
                return connection.resume(LoopPart([], failure: ServingRefusal(429, "\(waiting) requests wait already; ask again later")))
            }
            waiting += 1
            connection.isWaiting = true
            let id = connection.id
            Task {
                let part = await work()
                self.posted.withLock { $0.parts.append((id, part)) }
                self.rouse()
            }
        }

        private var collectedRoom: Int { limits.collectedBytesMax - connections.values.reduce(0) { $0 + $1.collectedBytes } }

        private func answer(_ requests: [LoopRequest], _ askers: [LoopConnection]) {
            for (connection, answer) in zip(askers, handler.answers(to: requests)) {
                connection.isAsking = false
                switch answer {
                case .now(let response): connection.send(response)
                case .later(let work):
                    guard waiting < limits.waitingMax else {
                        connection.send(LoopResponse(ServingRefusal(429, "\(waiting) requests wait already; ask again later")))
                        continue
                    }
                    waiting += 1
                    connection.isWaiting = true
                    let id = connection.id
                    Task {
                        let response = await work()
                        self.posted.withLock { $0.responses.append((id, response)) }
                        self.rouse()
                    }
                }
                connection.forgetRequest()
            }
        }

        /// Writes what is to be written, and says what is waited for next.
        private func settle(_ connection: LoopConnection, _ carried: inout [LoopConnection]) {
            connection.flush()
            if connection.isLost { return drop(connection) }
            let isDone = connection.isSent && !connection.isWaiting && !connection.isOwing
            if isDone, connection.closesAfter, !connection.lingers() { return drop(connection) }
            let events = connection.wantedEvents(limits)
            if events != connection.events {
                connection.events = events
                _ = skerry_watch(poll, connection.socket, connection.id, events, 0)
            }
            if connection.hasWork, !connection.isCarried {
                connection.isCarried = true
                carried.append(connection)
            }
        }
    }

    /// Why a server cannot listen.
    package struct LoopError: Error, CustomStringConvertible {
        /// One sentence that names the address.
        package let description: String
        init(_ description: String) { self.description = description }
    }
#endif

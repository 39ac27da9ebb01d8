import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Waits for SIGTERM or SIGINT instead of dying of them: from its making on none is lost.
final class TerminationSignals {
    private let source: any DispatchSourceRead
    private let stream: AsyncStream<Void>
    private final class Arrival: Sendable { let isThere = Atomic(false) }
    private let arrival = Arrival()

    /// One has come; `first` then returns at once.
    var hasCome: Bool { arrival.isThere.load(ordering: .relaxed) }

    init() {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        self.stream = stream
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "a pipe can be made for signals")
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        source = DispatchSource.makeReadSource(fileDescriptor: ends[0])
        let readEnd = ends[0]
        source.setEventHandler { [arrival] in
            var byte: UInt8 = 0
            guard read(readEnd, &byte, 1) == 1 else { return }
            arrival.isThere.store(true, ordering: .relaxed)
            continuation.yield()
        }
        source.resume()
        // A handler stands at once; a source of Dispatch for signals only a moment later, and what is ignored until then is lost.
        wakeEnd = ends[1]
        for number in [SIGTERM, SIGINT] {
            signal(number) { _ in
                let error = errno
                var byte: UInt8 = 0
                _ = write(wakeEnd, &byte, 1)
                errno = error
            }
        }
        // A client that goes away while it is answered must not end the program.
        signal(SIGPIPE, SIG_IGN)
    }

    /// Returns at the first signal. A second one ends the program at once.
    func first() async {
        for await _ in stream { break }
        for number in [SIGTERM, SIGINT] { signal(number, SIG_DFL) }
    }
}

/// Where the handler of signals says that one came; written before the handler is there.
private nonisolated(unsafe) var wakeEnd: Int32 = -1

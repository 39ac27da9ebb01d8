import Dispatch

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Waits for SIGTERM or SIGINT instead of dying of them.
final class TerminationSignals {
    private let sources: [any DispatchSourceSignal]
    private let stream: AsyncStream<Void>

    init() {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        self.stream = stream
        sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler { continuation.yield() }
            source.resume()
            return source
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

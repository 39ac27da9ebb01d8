import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Ends the program at SIGINT (Ctrl-C), SIGTERM and SIGHUP: at once, with one message, and never while files are being put in place.
///
/// The signals are blocked in all threads and taken by one that waits for them, so there is no handler in which little is allowed.
package final class Interruption: Sendable {
    private static let signals = [SIGINT, SIGTERM, SIGHUP]
    /// Held while several files change their names together; true once they have.
    private let placed = Mutex(false)
    private let leaving: @Sendable (Int32, Bool) -> Void
    private let isLeaving = Mutex(false)

    /// Call before any other thread is made; threads inherit what their maker blocks.
    ///
    /// - Parameter leaving: called once with the signal's number and whether files were put in place, on the waiting thread, while nothing
    ///   is being put in place; the program ends with 128 + that number afterwards.
    package init(leaving: @escaping @Sendable (_ signal: Int32, _ isPlaced: Bool) -> Void) {
        self.leaving = leaving
        var set = Self.set
        pthread_sigmask(SIG_BLOCK, &set, nil)
        #if os(Linux)
            var thread = pthread_t()
        #else
            var thread: pthread_t?
        #endif
        // Lives as long as the program.
        let context = Unmanaged.passRetained(self)
        let status = pthread_create(&thread, nil, interruptionThread, context.toOpaque())
        precondition(status == 0, "a thread that waits for signals can be made")
    }

    /// Does what must not be cut in two: a signal waits until it is done. Keep it short.
    package func uninterrupted(_ body: () throws -> Void) rethrows {
        try placed.withLock { isPlaced in
            try body()
            isPlaced = true
        }
    }

    /// Never returns once a signal is ending the program: what fails on the way out is not to be told of.
    package func waitIfLeaving() {
        while isLeaving.withLock({ $0 }) { sleep(1) }
    }

    private static var set: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }

    fileprivate func wait() {
        var signal: Int32 = 0
        var set = Self.set
        while sigwait(&set, &signal) != 0 {}
        isLeaving.withLock { $0 = true }
        placed.withLock { isPlaced in
            leaving(signal, isPlaced)
            // No exit handlers: other threads are at work on what those would take down.
            _exit(128 + signal)
        }
    }
}

#if os(Linux)
    private typealias ThreadArgument = UnsafeMutableRawPointer?
#else
    private typealias ThreadArgument = UnsafeMutableRawPointer
#endif

private func interruptionThread(_ argument: ThreadArgument) -> UnsafeMutableRawPointer? {
    #if os(Linux)
        Unmanaged<Interruption>.fromOpaque(argument!).takeUnretainedValue().wait()
        return nil
    #else
        Unmanaged<Interruption>.fromOpaque(argument).takeUnretainedValue().wait()
        return nil
    #endif
}

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A thread of its own for what looks again and again. A task that sleeps has a timer made for each sleep; what timers leave lies among what a version of a
/// model takes, and keeps its pages from going back to the system when the version is given up.
enum LookThread {
    /// Enough to load any model; a worker's limit counts all of it.
    private static let stackBytes = 2 << 20

    /// What waits between two looks: for a time, or until its task is cancelled.
    struct Pause {
        fileprivate let bell: Int32

        /// - Returns: false when the task was cancelled: no look follows.
        func callAsFunction(milliseconds: Int32) -> Bool {
            var event = pollfd(fd: bell, events: Int16(POLLIN), revents: 0)
            var found: Int32
            // A signal is no bell; the wait begins anew.
            repeat { found = poll(&event, 1, milliseconds) } while found < 0 && errno == EINTR
            return found == 0
        }
    }

    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Begins the looks, and waits for their end: once the task is cancelled, behind the look of that moment.
    ///
    /// - Parameter looks: looks until its pause says that it is over.
    static func run(_ looks: @escaping @Sendable (Pause) -> Void) async {
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "no descriptors are left to wait with: \(String(cString: strerror(errno)))")
        let (bell, rope) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                begin {
                    looks(Pause(bell: bell))
                    continuation.resume()
                }
            }
        } onCancel: {
            var pull: UInt8 = 1
            _ = write(rope, &pull, 1)
        }
        close(bell)
        close(rope)
    }

    private static func begin(_ run: @escaping () -> Void) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, stackBytes)
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, &attributes,
            { body in
                Unmanaged<Body>.fromOpaque(body!).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(Body(run)).toOpaque())
        precondition(failure == 0, "no thread can be made: \(String(cString: strerror(failure)))")
    }
}

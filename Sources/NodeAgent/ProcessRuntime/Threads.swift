import CProcess
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Threads of their own for what blocks: those that tasks share are as few as the machine has cores.
enum Threads {
    private final class Work {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    /// Begins something on a new thread. If there is no room for one more, it is done at once, on this one.
    static func begin(_ body: @escaping @Sendable () -> Void) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 256 << 10)
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(body))
        let failure = pthread_create(
            &thread, &attributes,
            { pointer in
                Unmanaged<Work>.fromOpaque(pointer!).takeRetainedValue().body()
                return nil
            }, work.toOpaque())
        if failure != 0 { work.takeRetainedValue().body() }
    }

    /// Does something that blocks and waits for it.
    static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in begin { continuation.resume(returning: body()) } }
    }
}

/// Tells when processes end: one thread that waits for all of them.
final class ProcessWatcher: Sendable {
    private struct State {
        /// By process: a descriptor that is readable once it has ended, -1 where the kernel has none.
        var descriptors: [pid_t: Int32] = [:]
        var isStopped = false
    }

    private let state = Mutex(State())
    /// Both ends of what wakes the thread.
    private let bell: (reading: Int32, writing: Int32)
    private let ended: @Sendable (pid_t) -> Void
    private let open: @Sendable (pid_t) -> Int32

    /// - Parameters:
    ///   - open: a descriptor that is readable once a process has ended, or -1.
    ///   - ended: called on the watcher's thread, once for each process.
    init(open: @escaping @Sendable (pid_t) -> Int32, ended: @escaping @Sendable (pid_t) -> Void) {
        self.open = open
        self.ended = ended
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "no descriptors are left for watching processes")
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        bell = (ends[0], ends[1])
    }

    func start() { Threads.begin { [self] in run() } }

    func watch(_ process: pid_t) {
        let descriptor = open(process)
        state.withLock { $0.descriptors[process] = descriptor }
        ring()
    }

    func stop() {
        state.withLock { $0.isStopped = true }
        ring()
    }

    private func ring() {
        var byte: UInt8 = 1
        _ = write(bell.writing, &byte, 1)
    }

    private func run() {
        while true {
            guard let watched = state.withLock({ $0.isStopped ? nil : $0.descriptors }) else { break }
            var set = [pollfd(fd: bell.reading, events: Int16(POLLIN), revents: 0)]
            let order = watched.filter { $0.value >= 0 }.map(\.key)
            for process in order { set.append(pollfd(fd: watched[process]!, events: Int16(POLLIN), revents: 0)) }
            // Without a descriptor a process is asked after now and then.
            poll(&set, nfds_t(set.count), order.count < watched.count ? 200 : -1)
            var buffer = [UInt8](repeating: 0, count: 64)
            while read(bell.reading, &buffer, buffer.count) > 0 {}
            var gone = zip(order, set.dropFirst()).filter { $1.revents != 0 }.map(\.0)
            for (process, descriptor) in watched where descriptor < 0 {
                // One of ours stays, dead, until it is waited for.
                waitpid(process, nil, WNOHANG)
                if SystemFacts.startTicks(process) == nil { gone.append(process) }
            }
            for process in gone {
                waitpid(process, nil, WNOHANG)
                if let descriptor = state.withLock({ $0.descriptors.removeValue(forKey: process) }), descriptor >= 0 { close(descriptor) }
                ended(process)
            }
        }
        for descriptor in state.withLock({ $0.descriptors.values }) where descriptor >= 0 { close(descriptor) }
        close(bell.reading)
        close(bell.writing)
    }
}

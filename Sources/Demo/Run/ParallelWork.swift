import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Runs jobs on a few threads: each takes the next job from the front.
package enum ParallelWork {
    /// Blocks until all jobs are done, or one has failed and the running ones have ended.
    ///
    /// - Parameters:
    ///   - threads: at least 1; the caller's is one of them.
    ///   - jobs: begun in order; the longest belong in front.
    /// - Returns: their results, in order.
    /// - Throws: the first error met.
    package static func run<Result: Sendable>(threads: Int, _ jobs: [@Sendable () throws -> Result]) throws -> [Result] {
        let queue = Queue(jobs)
        #if os(Linux)
            var others = [pthread_t](repeating: pthread_t(), count: max(0, min(threads, jobs.count) - 1))
        #else
            var others = [pthread_t?](repeating: nil, count: max(0, min(threads, jobs.count) - 1))
        #endif
        // Filled by the C library: the type's initialiser is another module's wherever one imports the header too.
        let attributes = UnsafeMutablePointer<pthread_attr_t>.allocate(capacity: 1)
        pthread_attr_init(attributes)
        defer {
            pthread_attr_destroy(attributes)
            attributes.deallocate()
        }
        // As the main thread has; the default of a thread may be far less elsewhere.
        pthread_attr_setstacksize(attributes, 8 << 20)
        var running = 0
        for index in others.indices {
            let context = Unmanaged.passRetained(Box(queue.work))
            guard pthread_create(&others[index], attributes, workThread, context.toOpaque()) == 0 else {
                // With fewer threads it only takes longer.
                context.release()
                break
            }
            running += 1
        }
        queue.work()
        for index in 0..<running {
            #if os(Linux)
                pthread_join(others[index], nil)
            #else
                pthread_join(others[index]!, nil)
            #endif
        }
        return try queue.results()
    }

    private final class Queue<Result: Sendable>: Sendable {
        private struct State {
            var next = 0
            var results: [Int: Result] = [:]
            var failure: (any Error)?
        }

        private let jobs: [@Sendable () throws -> Result]
        private let state = Mutex(State())

        init(_ jobs: [@Sendable () throws -> Result]) { self.jobs = jobs }

        @Sendable func work() {
            while let index = take() {
                do {
                    let result = try jobs[index]()
                    state.withLock { $0.results[index] = result }
                } catch {
                    state.withLock { if $0.failure == nil { $0.failure = error } }
                }
            }
        }

        func results() throws -> [Result] {
            let state = state.withLock { $0 }
            if let failure = state.failure { throw failure }
            return jobs.indices.map { state.results[$0]! }
        }

        private func take() -> Int? {
            state.withLock { state in
                guard state.next < jobs.count, state.failure == nil else { return nil }
                defer { state.next += 1 }
                return state.next
            }
        }
    }
}

private final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

#if os(Linux)
    private typealias ThreadArgument = UnsafeMutableRawPointer?
#else
    private typealias ThreadArgument = UnsafeMutableRawPointer
#endif

private func workThread(_ argument: ThreadArgument) -> UnsafeMutableRawPointer? {
    #if os(Linux)
        let pointer = argument!
    #else
        let pointer = argument
    #endif
    Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().body()
    return nil
}

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One thread that performs jobs in batches: whatever has gathered while the last batch was on its way to the disk is the next batch, with
/// what those bring who were just answered, if they come at once (`BatchGathering`).
///
/// Unchecked: `jobs`, `gathering` and `isClosed` are used under `mutex` only, `thread` by the one `close` that ends it.
final class CommitThread<Job: Sendable>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [Job] = []
    private var gathering = BatchGathering()
    private var isClosed = false
    private let batchMax: Int
    private var thread = pthread_t()

    /// - Parameters:
    ///   - batchMax: most jobs in one batch.
    ///   - perform: performs a batch, on the thread, one batch at a time, and returns what answers each of its jobs.
    init(batchMax: Int, perform: @escaping ([Job]) -> () -> Void) {
        self.batchMax = batchMax
        pthread_mutex_init(mutex, nil)
        Self.initialize(condition)
        let body = Unmanaged.passRetained(
            ThreadBody {
                while let batch = self.nextBatch() {
                    let start = Self.nanoseconds()
                    let answer = perform(batch)
                    // Before the answers, which bring the next jobs.
                    self.ended(batch.count, since: start)
                    answer()
                }
            }
        ).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { body in
                Unmanaged<ThreadBody>.fromOpaque(body!).takeRetainedValue().run()
                return nil
            }, body)
        precondition(result == 0, "no thread for commits: \(String(cString: strerror(result)))")
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    /// Hands a job over; false once the thread is closed, and then the job is not performed.
    func add(_ job: Job) -> Bool { add(CollectionOfOne(job)) }

    /// Hands jobs over, side by side; all of them or none.
    func add(_ more: some Collection<Job>) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if isClosed { return false }
        let wasEmpty = jobs.isEmpty
        let before = jobs.count
        jobs.append(contentsOf: more)
        if wasEmpty || (before < gathering.wanted && jobs.count >= gathering.wanted) { pthread_cond_signal(condition) }
        return true
    }

    /// Performs what was added before and ends the thread; returns when it has ended. Calling it again does nothing.
    ///
    /// - Returns: whether it was this call that ended it.
    @discardableResult
    func close() -> Bool {
        pthread_mutex_lock(mutex)
        let wasClosed = isClosed
        isClosed = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
        if !wasClosed { pthread_join(thread, nil) }
        return !wasClosed
    }
}

extension CommitThread {
    private func nextBatch() -> [Job]? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while jobs.isEmpty && !isClosed { pthread_cond_wait(condition, mutex) }
        while !isClosed, let patience = gathering.patience(with: jobs.count, at: Self.nanoseconds()) { wait(nanoseconds: patience) }
        if jobs.isEmpty { return nil }
        if jobs.count <= batchMax {
            let batch = jobs
            jobs = []
            return batch
        }
        let batch = Array(jobs.prefix(batchMax))
        jobs.removeFirst(batchMax)
        return batch
    }
}

extension CommitThread {
    private func ended(_ count: Int, since start: UInt64) {
        let now = Self.nanoseconds()
        pthread_mutex_lock(mutex)
        gathering.ended(count, tookNanoseconds: now - start, at: now, waiting: jobs.count)
        pthread_mutex_unlock(mutex)
    }

    /// Of a clock that nobody sets.
    private static func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    #if canImport(Glibc)
        private static func initialize(_ condition: UnsafeMutablePointer<pthread_cond_t>) {
            var attributes = pthread_condattr_t()
            pthread_condattr_init(&attributes)
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
            pthread_cond_init(condition, &attributes)
            pthread_condattr_destroy(&attributes)
        }

        /// Returns when the condition was signalled, or after a time; the mutex is held before and after.
        private func wait(nanoseconds: UInt64) {
            let due = Self.nanoseconds() + nanoseconds
            var time = timespec(tv_sec: Int(due / 1_000_000_000), tv_nsec: Int(due % 1_000_000_000))
            pthread_cond_timedwait(condition, mutex, &time)
        }
    #else
        private static func initialize(_ condition: UnsafeMutablePointer<pthread_cond_t>) { pthread_cond_init(condition, nil) }

        /// Returns when the condition was signalled, or after a time; the mutex is held before and after.
        private func wait(nanoseconds: UInt64) {
            var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
            pthread_cond_timedwait_relative_np(condition, mutex, &time)
        }
    #endif
}

/// Gives the thread an address for its closure.
private final class ThreadBody {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
}

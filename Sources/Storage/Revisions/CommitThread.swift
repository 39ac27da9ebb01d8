#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One thread that performs jobs in batches: whatever has gathered while the last batch was on its way to the disk is the next batch.
///
/// Unchecked: `jobs` and `isClosed` are used under `mutex` only, `thread` by the one `close` that ends it.
final class CommitThread<Job: Sendable>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [Job] = []
    private var isClosed = false
    private let batchMax: Int
    private var thread = pthread_t()

    /// - Parameters:
    ///   - batchMax: most jobs in one batch.
    ///   - perform: performs a batch, on the thread, one batch at a time. Each job must be answered by it.
    init(batchMax: Int, perform: @escaping ([Job]) -> Void) {
        self.batchMax = batchMax
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        let body = Unmanaged.passRetained(ThreadBody { while let batch = self.nextBatch() { perform(batch) } }).toOpaque()
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
        jobs.append(contentsOf: more)
        if wasEmpty { pthread_cond_signal(condition) }
        return true
    }

    /// Performs what was added before and ends the thread; returns when it has ended. Calling it again does nothing.
    func close() {
        pthread_mutex_lock(mutex)
        let wasClosed = isClosed
        isClosed = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
        if !wasClosed { pthread_join(thread, nil) }
    }
}

extension CommitThread {
    private func nextBatch() -> [Job]? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while jobs.isEmpty && !isClosed { pthread_cond_wait(condition, mutex) }
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

/// Gives the thread an address for its closure.
private final class ThreadBody {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
}

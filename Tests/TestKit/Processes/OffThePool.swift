#if canImport(Testing)
    import Dispatch
    package import Testing

    extension Trait where Self == OffThePool {
        /// For tests that compute, or wait for a program, for longer than a moment: they hold no thread of the pool.
        package static var offThePool: OffThePool { OffThePool() }
    }

    /// Runs the bodies of tests on threads of their own. The pool of async code has as many threads as the machine has cores, and the servers
    /// and clients of the tests beside them answer from it: two tests that block would silence them all.
    package struct OffThePool: TestTrait, SuiteTrait, TestScoping {
        package var isRecursive: Bool { true }

        package func provideScope(
            for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
        ) async throws {
            try await withTaskExecutorPreference(OwnThreads(), operation: function)
        }
    }

    /// A thread for each piece of work, for as long as that takes.
    private final class OwnThreads: TaskExecutor {
        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            // A queue of its own gets a thread at once, whatever the others do.
            DispatchQueue(label: "test off the pool").async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        }
    }
#endif

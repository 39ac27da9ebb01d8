import Demo
import Synchronization
import Testing

@Suite struct ParallelWorkTests {
    private struct Failure: Error, Equatable {}

    @Test(arguments: [1, 2, 5, 40]) func `results come in the order of the jobs, whatever the number of threads`(threads: Int) throws {
        let jobs = (0..<20).map { number -> @Sendable () throws -> Int in { number * number } }
        #expect(try ParallelWork.run(threads: threads, jobs) == (0..<20).map { $0 * $0 })
        #expect(try ParallelWork.run(threads: threads, [@Sendable () throws -> Int]()).isEmpty)
    }

    @Test func `a job that fails fails the whole, and no further job is begun`() {
        let begun = Mutex(0)
        let jobs = (0..<50).map { number -> @Sendable () throws -> Int in
            {
                begun.withLock { $0 += 1 }
                if number == 3 { throw Failure() }
                return number
            }
        }
        #expect(throws: Failure()) { try ParallelWork.run(threads: 1, jobs) }
        #expect(begun.withLock { $0 } == 4)
    }

    @Test func `two threads are at work at the same time`() throws {
        // Each job waits for the other one to begin: on one thread neither would end.
        let begun = Mutex(0)
        let job: @Sendable () throws -> Bool = {
            begun.withLock { $0 += 1 }
            while begun.withLock({ $0 }) < 2 {}
            return true
        }
        #expect(try ParallelWork.run(threads: 2, [job, job]) == [true, true])
    }
}

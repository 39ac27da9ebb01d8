import Permits
import Synchronization
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Permits of a node, through openings of the file that know of each other by it alone, as processes do.
@Suite struct ComputePermitsTests {
    static let long: UInt64 = 600_000_000_000

    /// A thread for each piece of work; returns when all have ended.
    static func together(_ works: [@Sendable () -> Void]) async {
        await withTaskGroup(of: Void.self) { group in
            for work in works {
                group.addTask {
                    await withCheckedContinuation { continuation in
                        // A thread of its own: permits are waited for by blocking.
                        let held = Unmanaged.passRetained(
                            Work {
                                work(); continuation.resume()
                            })
                        var thread = pthread_t()
                        pthread_create(
                            &thread, nil,
                            { pointer in
                                Unmanaged<Work>.fromOpaque(pointer!).takeRetainedValue().body()
                                return nil
                            }, held.toOpaque())
                        pthread_detach(thread)
                    }
                }
            }
        }
    }

    final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// What threads have seen.
    final class Seen: Sendable {
        let inside = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        let done = Atomic<Int>(0)
        let failed = Atomic<Int>(0)

        func enter(_ count: Int = 1) {
            let now = inside.wrappingAdd(count, ordering: .sequentiallyConsistent).newValue
            most.max(now, ordering: .sequentiallyConsistent)
        }
        func leave(_ count: Int = 1) {
            inside.wrappingSubtract(count, ordering: .sequentiallyConsistent)
            done.wrappingAdd(1, ordering: .sequentiallyConsistent)
        }
        func fail() { failed.wrappingAdd(1, ordering: .sequentiallyConsistent) }
    }

    /// Computes what nobody can foretell.
    static func compute(_ count: Int) -> UInt64 {
        var value = UInt64(count)
        for _ in 0..<count { value = value &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407 }
        return value
    }

    @Test(arguments: [1, 2, 3]) func `never more runs compute at once than there are permits, and all come to their end`(limit: Int)
        async throws
    {
        let folder = try TemporaryFolder()
        let path = folder.path + "/permits"
        let node = try ComputePermits(file: path, limit: limit)
        let seen = Seen()
        let works = try (0..<6).map { number -> @Sendable () -> Void in
            let permits = try ComputePermits(joining: path)
            return {
                for turn in 0..<400 {
                    guard let permit = permits.begin(within: Self.long) else {
                        seen.fail()
                        continue
                    }
                    seen.enter()
                    if Self.compute(1 + (turn * 7 + number) % 500) == 0 { seen.fail() }
                    seen.leave()
                    permits.end(permit)
                }
            }
        }
        await Self.together(works)
        let done = seen.done.load(ordering: .sequentiallyConsistent), failed = seen.failed.load(ordering: .sequentiallyConsistent)
        let most = seen.most.load(ordering: .sequentiallyConsistent)
        #expect(done == 2400 && failed == 0)
        #expect(most <= limit, "\(most) at once")
        let use = node.use
        #expect(use.limit == limit && use.busy == 0 && use.waiting == 0)
    }

    @Test func `a run of several threads takes as many permits, and two such runs do not wait for each other for ever`() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/permits"
        let node = try ComputePermits(file: path, limit: 3)
        let seen = Seen()
        let works = try [1, 2, 2, 3, 9].map { threads -> @Sendable () -> Void in
            let permits = try ComputePermits(joining: path)
            return {
                for _ in 0..<200 {
                    guard let permit = permits.begin(threads: threads, within: Self.long) else {
                        seen.fail()
                        continue
                    }
                    seen.enter(permit.count)
                    if Self.compute(200) == 0 { seen.fail() }
                    seen.leave(permit.count)
                    permits.end(permit)
                }
            }
        }
        await Self.together(works)
        let done = seen.done.load(ordering: .sequentiallyConsistent), failed = seen.failed.load(ordering: .sequentiallyConsistent)
        let most = seen.most.load(ordering: .sequentiallyConsistent)
        #expect(done == 1000 && failed == 0)
        #expect(most == 3 && node.use.busy == 0, "\(most) at once")
    }

    @Test func `who finds no permit in time goes without, and finds it once it is given back`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/permits"
        let node = try ComputePermits(file: path, limit: 1)
        let (first, second) = (try ComputePermits(joining: path), try ComputePermits(joining: path))
        let held = try #require(first.begin(within: 0))
        #expect(second.begin(within: 1_000_000) == nil && second.begin(threads: 4, within: 0) == nil)
        #expect(node.use.busy == 1 && node.use.waiting == 0 && node.use.waits == 2)
        first.end(held)
        let found = try #require(second.begin(within: 0))
        second.end(found)
        #expect(node.use.busy == 0)
    }

    @Test func `permits of whoever is gone are free again, also for those who wait already`() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/permits"
        let node = try ComputePermits(file: path, limit: 2)
        var gone: [ComputePermits] = [try ComputePermits(joining: path), try ComputePermits(joining: path)]
        for permits in gone { _ = try #require(permits.begin(within: 0)) }
        #expect(node.use.busy == 2)
        let waiter = try ComputePermits(joining: path)
        // Closed without having given anything back, as the kernel does for a process that was killed.
        gone = []
        #expect(gone.isEmpty)
        let permit = try #require(waiter.begin(threads: 2, within: Self.long))
        #expect(permit.count == 2)
        waiter.end(permit)
        let use = node.use
        #expect(use.busy == 0 && use.waiting == 0 && use.waits == 1)
    }

    @Test func `a node that begins anew goes on with its file and its workers, with another number of permits`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/permits"
        var node: ComputePermits? = try ComputePermits(file: path, limit: 2)
        let worker = try ComputePermits(joining: path)
        let held = try #require(worker.begin(within: 0))
        #expect(node?.limit == 2)
        node = nil
        let again = try ComputePermits(file: path, limit: 1)
        #expect(again.use.busy == 1 && worker.limit == 1 && again.begin(within: 0) == nil)
        worker.end(held)
        let found = try #require(again.begin(within: 0))
        again.end(found)
        again.limit = 300
        #expect(worker.limit == ComputePermits.limitMax)
    }

    @Test func `a file that is none is named with its remedy`() throws {
        let folder = try TemporaryFolder()
        #expect(throws: PermitsError.self) { try ComputePermits(joining: folder.path + "/missing") }
        let path = folder.path + "/other"
        let file = open(path, O_CREAT | O_WRONLY, 0o600)
        _ = write(file, "something else", 14)
        close(file)
        let error = #expect(throws: PermitsError.self) { try ComputePermits(joining: path) }
        #expect("\(error!)".contains(path) && "\(error!)".contains("14 bytes"))
    }
}

import Learning
import Reconciliation
import Resources
import TestKit
import Testing

@Suite struct WorkQueueTests {
    private func queue(keysMax: Int = 100) -> WorkQueue<String> {
        WorkQueue(
            keysMax: keysMax, backoff: .init(first: .seconds(1), limit: .seconds(10)), retryRate: .init(perSecond: 1, burst: 1000))
    }

    @Test func `a key that is added many times is looked at once`() {
        var queue = queue()
        for _ in 0..<5 { queue.add("a") }
        #expect(queue.take(now: .zero) == "a")
        #expect(queue.take(now: .zero) == nil)
    }

    @Test func `keys come in the order in which they were added`() {
        var queue = queue()
        for key in ["b", "a", "c", "a"] { queue.add(key) }
        #expect([queue.take(now: .zero), queue.take(now: .zero), queue.take(now: .zero)] == ["b", "a", "c"])
    }

    @Test func `a key at work is not given out again, and once more when it is finished`() {
        var queue = queue()
        queue.add("a")
        #expect(queue.take(now: .zero) == "a")
        queue.add("a")
        queue.add("a")
        #expect(queue.take(now: .zero) == nil)
        queue.finish("a", .done, now: .zero)
        #expect(queue.take(now: .zero) == "a")
        queue.finish("a", .done, now: .zero)
        #expect(queue.take(now: .zero) == nil && queue.isIdle)
    }

    @Test func `failures wait twice as long each time up to the limit, and success forgets them`() {
        var queue = queue()
        queue.add("a")
        var now: Duration = .zero
        for wait in [1, 2, 4, 8, 10, 10] {
            #expect(queue.take(now: now) == "a")
            queue.finish("a", .failed(), now: now)
            #expect(queue.nextDue == now + .seconds(wait))
            #expect(queue.take(now: now + .seconds(wait) - .nanoseconds(1)) == nil)
            now += .seconds(wait)
        }
        #expect(queue.take(now: now) == "a")
        #expect(queue.failureCount("a") == 6)
        queue.finish("a", .done, now: now)
        #expect(queue.failureCount("a") == 0)
    }

    @Test func `a wait that a server asks for is kept even if the back-off is shorter`() {
        var queue = queue()
        queue.add("a")
        _ = queue.take(now: .zero)
        queue.finish("a", .failed(atLeast: .seconds(7)), now: .zero)
        #expect(queue.nextDue == .seconds(7))
    }

    @Test func `a failed key is looked at at once when something changes`() {
        var queue = queue()
        queue.add("a")
        _ = queue.take(now: .zero)
        queue.finish("a", .failed(), now: .zero)
        queue.add("a")
        #expect(queue.take(now: .zero) == "a")
        queue.finish("a", .done, now: .zero)
        #expect(queue.nextDue == nil, "the look answered what the key waited for")
    }

    @Test func `a look that is wished for later comes then, and of two times the earlier counts`() {
        var queue = queue()
        queue.add("a", at: .seconds(9))
        queue.add("a", at: .seconds(5))
        queue.add("a", at: .seconds(7))
        queue.add("b", at: .seconds(4))
        #expect(queue.take(now: .seconds(3)) == nil)
        #expect(queue.take(now: .seconds(4)) == "b")
        #expect(queue.take(now: .seconds(5)) == "a")
        #expect(queue.count == 2)
    }

    @Test func `a key beyond the limit is dropped, and that is remembered`() {
        var queue = queue(keysMax: 2)
        for key in ["a", "b", "c"] { queue.add(key) }
        #expect(queue.hasDropped && queue.count == 2)
        queue.forgetDropped()
        queue.add("a")
        #expect(!queue.hasDropped)
    }

    @Test func `retries over all keys keep to a rate once the burst is used`() {
        var queue = WorkQueue<Int>(
            backoff: .init(first: .nanoseconds(1), limit: .seconds(1)), retryRate: .init(perSecond: 10, burst: 2))
        for key in 0..<12 { queue.add(key) }
        while let key = queue.take(now: .zero) { queue.finish(key, .failed(), now: .zero) }
        var count = 0
        while queue.take(now: .milliseconds(510)) != nil { count += 1 }
        #expect(count == 7, "two at once, then one each 100 ms: found \(count)")
    }

    /// Random use against a plain model: nothing is lost, nothing is given out twice at a time.
    @Test(arguments: UInt64(1)...50) func `random use never loses a key`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var queue = WorkQueue<Int>(
            backoff: .init(first: .milliseconds(10), limit: .seconds(1)), retryRate: .init(perSecond: 100, burst: 10))
        var now: Duration = .zero
        var pending: Set<Int> = []
        var running: Set<Int> = []
        for _ in 0..<2000 {
            switch Int.random(in: 0..<5, using: &random) {
            case 0, 1:
                let key = Int.random(in: 0..<20, using: &random)
                queue.add(key)
                pending.insert(key)
            case 2:
                if let key = queue.take(now: now) {
                    #expect(running.insert(key).inserted, "key \(key) is given out twice")
                    pending.remove(key)
                }
            case 3:
                guard let key = running.sorted().randomElement(using: &random) else { continue }
                running.remove(key)
                let isFailed = Bool.random(using: &random)
                queue.finish(key, isFailed ? .failed() : .done, now: now)
                if isFailed { pending.insert(key) }
            default: now += .milliseconds(Int64.random(in: 0..<20, using: &random))
            }
        }
        for key in running.sorted() { queue.finish(key, .done, now: now) }
        now += .seconds(3600)
        while let key = queue.take(now: now) {
            pending.remove(key)
            queue.finish(key, .done, now: now)
        }
        #expect(pending.isEmpty && queue.count == 0)
    }

    @Test func `of thousands of keys that wait, looked at again and taken away between, each comes at its time`() {
        var queue = queue(keysMax: 5000)
        var random = SeededGenerator(seed: 7)
        var due: [String: Int] = [:]
        var taken: [(String, Int)] = []
        for now in 0..<3000 {
            let key = "key \(Int.random(in: 0..<1000, using: &random))"
            let time = now + Int.random(in: 1...500, using: &random)
            queue.add(key, at: .seconds(time))
            due[key] = min(due[key] ?? .max, time)
            while let next = queue.take(now: .seconds(now)) {
                taken.append((next, now))
                #expect(due.removeValue(forKey: next) == now, "\(next) at \(now)")
                queue.finish(next, .done, now: .seconds(now))
            }
            #expect(queue.nextDue == due.values.min().map { .seconds($0) })
        }
        #expect(taken.count > 1000)
        #expect(queue.count == due.count)
    }
}

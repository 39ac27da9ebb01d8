/// What waits to be looked at: every key once, never two at work on the same key, failures tried again later and later.
///
/// Pure: `now` is the time since any fixed moment. What a key may do:
///
///     add ────────► ready ──take──► running ──finish──► gone
///     add(at:) ──► waits ──time──►  ▲ ready              └──► waits, for a back-off or a time that was asked for
///                     an add while running makes it ready again as soon as it is finished
package struct WorkQueue<Key: Hashable & Sendable>: Sendable {
    /// How a look at a key ended.
    package enum Outcome: Sendable, Equatable {
        case done
        /// Look again after a while, whatever happens until then.
        case again(after: Duration)
        /// Look again after a back-off; `atLeast` is what a server asked for.
        case failed(atLeast: Duration = .zero)
    }

    /// Distinct keys that are held. One more is dropped and remembered in `hasDropped`: everything must be added again once there is room.
    package let keysMax: Int
    private let backoff: ExponentialBackoff
    private var retryRate: TokenBucket
    private var ready: [Key] = []
    private var head = 0
    private var isReady: Set<Key> = []
    private var running: Set<Key> = []
    private var isDirty: Set<Key> = []
    private var waiting = DueHeap<Key>()
    private var failures: [Key: Int] = [:]
    /// A key found no room since `forgetDropped` was called.
    package private(set) var hasDropped = false

    /// - Parameters:
    ///   - backoff: wait after failures of one key.
    ///   - retryRate: of retries over all keys.
    package init(
        keysMax: Int = 1_000_000, backoff: ExponentialBackoff = .init(first: .milliseconds(5), limit: .seconds(300)),
        retryRate: TokenBucket = .init(perSecond: 10, burst: 100)
    ) {
        self.keysMax = keysMax
        self.backoff = backoff
        self.retryRate = retryRate
    }

    /// Keys that are ready, running or waiting.
    package var count: Int { isReady.count + running.count + waiting.count }
    /// Some key was taken and is not finished.
    package var isRunning: Bool { !running.isEmpty }
    /// Nothing is ready or running; keys may wait for a time.
    package var isIdle: Bool { isReady.isEmpty && running.isEmpty }

    /// Failures in a row of a key.
    package func failureCount(_ key: Key) -> Int { failures[key] ?? 0 }

    /// To be called before everything is added again, so that a drop on the way is seen.
    package mutating func forgetDropped() { hasDropped = false }

    /// Makes a key ready; one at work is looked at once more afterwards.
    package mutating func add(_ key: Key) {
        if running.contains(key) {
            isDirty.insert(key)
        } else if !isReady.contains(key) {
            guard hasRoom(for: key) else { return }
            isReady.insert(key)
            ready.append(key)
        }
    }

    /// Makes a key ready at a time; of several times the earliest counts.
    package mutating func add(_ key: Key, at time: Duration) {
        guard hasRoom(for: key) else { return }
        waiting.add(key, at: time)
    }

    private mutating func hasRoom(for key: Key) -> Bool {
        if count < keysMax || waiting.contains(key) { return true }
        hasDropped = true
        return false
    }

    /// When the next waiting key becomes ready; nil if none waits.
    package var nextDue: Duration? { waiting.first?.due }

    /// The key that is ready longest. It is running until `finish` is called with it.
    package mutating func take(now: Duration) -> Key? {
        while let first = waiting.first, first.due <= now {
            waiting.remove(first.key)
            add(first.key)
        }
        guard head < ready.count else { return nil }
        let key = ready[head]
        head += 1
        if head > 1024, head * 2 > ready.count {
            ready.removeFirst(head)
            head = 0
        }
        isReady.remove(key)
        running.insert(key)
        // The look that begins now answers whatever the key waited for.
        waiting.remove(key)
        return key
    }

    /// - Precondition: the key was taken and is not finished yet.
    package mutating func finish(_ key: Key, _ outcome: Outcome, now: Duration) {
        precondition(running.remove(key) != nil, "finish of a key that is not at work")
        switch outcome {
        case .done: failures[key] = nil
        case .again(let wait):
            failures[key] = nil
            waiting.add(key, at: now + wait)
        case .failed(let least):
            failures[key, default: 0] += 1
            let wait = max(least, backoff.wait(afterFailures: failures[key]!)) + retryRate.take(now: now)
            waiting.add(key, at: now + wait)
        }
        if isDirty.remove(key) != nil { add(key) }
    }
}

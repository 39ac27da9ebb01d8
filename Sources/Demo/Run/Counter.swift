import Synchronization

/// A number that several threads add to.
final class Counter: Sendable {
    private let value = Mutex(0)

    /// - Parameter then: given the new number, in order.
    func add(_ count: Int, then: (Int) -> Void) {
        value.withLock {
            $0 += count
            then($0)
        }
    }
}

import Synchronization

/// A large value that several jobs use: made by the first of them, dropped after the last.
final class SharedValue<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var usesLeft: Int
    }

    private let state: Mutex<State>
    private let make: @Sendable () throws -> Value

    /// - Parameter uses: how often `use` will be called, at most.
    init(uses: Int, _ make: @escaping @Sendable () throws -> Value) {
        state = Mutex(State(value: nil, usesLeft: uses))
        self.make = make
    }

    /// Others wait while the first makes the value.
    func use<Result>(_ body: (Value) throws -> Result) throws -> Result {
        let value = try state.withLock { state in
            if let known = state.value { return known }
            let made = try make()
            state.value = made
            return made
        }
        defer {
            state.withLock { state in
                state.usesLeft -= 1
                if state.usesLeft <= 0 { state.value = nil }
            }
        }
        return try body(value)
    }
}

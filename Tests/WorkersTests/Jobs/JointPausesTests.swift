import Testing
import Workers

/// When a large model that may be away is asked again.
@Suite struct JointPausesTests {
    @Test func `while it answers everybody may ask`() {
        var pauses = JointPauses(patience: 5)
        let first = (0..<3).map { _ in pauses.begins(now: 0) }
        pauses.answered()
        let later = pauses.begins(now: 0)
        #expect(first == [true, true, true] && later)
    }

    @Test func `pauses grow with each failure to half a minute`() {
        var pauses = JointPauses(patience: 5)
        for pause in [1.0, 2, 4, 8, 16, 30, 30] {
            pauses.failed(begun: 100, now: 100)
            #expect(!pauses.isOpen(now: 100 + pause - 0.1) && pauses.isOpen(now: 100 + pause))
        }
    }

    @Test func `questions that were on their way together fail once`() {
        var pauses = JointPauses(patience: 5)
        for _ in 0..<8 { pauses.failed(begun: 0, now: 2) }
        #expect(pauses.isOpen(now: 3))
    }

    @Test func `behind a pause one question goes first, and no other waits for it`() {
        var pauses = JointPauses(patience: 5)
        pauses.failed(begun: 0, now: 0)
        let first = pauses.begins(now: 1), second = pauses.begins(now: 1)
        #expect(first && !second && !pauses.isOpen(now: 5.9))
        // Whoever went first was never heard of again.
        let third = pauses.begins(now: 6)
        pauses.answered()
        let others = (0..<2).map { _ in pauses.begins(now: 6) }
        #expect(third && others == [true, true])
    }
}

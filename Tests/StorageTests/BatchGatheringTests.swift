import Storage
import TestKit
import Testing

@Suite(.offThePool) struct BatchGatheringTests {
    @Test func `the first batch waits for nobody`() {
        #expect(BatchGathering().patience(with: 1, at: 5) == nil)
    }

    @Test func `a writer alone never waits`() {
        var gathering = BatchGathering()
        gathering.ended(1, tookNanoseconds: 100, at: 1000, waiting: 0)
        #expect(gathering.patience(with: 1, at: 1001) == nil)
    }

    @Test func `a batch waits for those who were answered and those who had come, as long as the last one took`() {
        var gathering = BatchGathering()
        gathering.ended(3, tookNanoseconds: 100, at: 1000, waiting: 2)
        #expect(gathering.patience(with: 2, at: 1000) == 100)
        #expect(gathering.patience(with: 4, at: 1099) == 1)
        #expect(gathering.patience(with: 4, at: 1100) == nil)
        #expect(gathering.patience(with: 5, at: 1000) == nil)
    }

    @Test func `nobody waits long for a slow disk`() {
        var gathering = BatchGathering()
        gathering.ended(2, tookNanoseconds: 900_000_000, at: 0, waiting: 0)
        #expect(gathering.patience(with: 1, at: 0) == BatchGathering.patienceNanosecondsMax)
    }
}

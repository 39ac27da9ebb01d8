import CloudHub
import Testing

/// How many edges are let in a second.
@Suite struct AdmissionGateTests {
    @Test func `of a storm of edges so many are let in as the gate allows, and the others are told to come when there is room`() {
        var gate = AdmissionGate(perSecond: 20, burst: 5)
        let answers = (0..<65).map { _ in gate.refuses(now: .zero) }
        #expect(answers.prefix(5).allSatisfy { $0 == nil })
        #expect(answers.dropFirst(5).allSatisfy { $0 != nil })
        // Who comes later waits longer: they do not come back together.
        #expect(answers[5] == 1)
        #expect(answers[64] == 3)
    }

    @Test func `those who were refused are let in by and by, and after a quiet time many may come at once again`() {
        var gate = AdmissionGate(perSecond: 10, burst: 4)
        var letIn = 0
        for tenth in 0..<40 { for _ in 0..<3 where gate.refuses(now: .milliseconds(100 * tenth)) == nil { letIn += 1 } }
        #expect((43...44).contains(letIn), "found \(letIn)")
        let later = (0..<5).map { _ in gate.refuses(now: .seconds(60)) }
        #expect(later.map { $0 == nil } == [true, true, true, true, false])
    }

    @Test func `nobody is asked to wait for longer than a minute, and a clock that goes back lets nobody in twice`() {
        var gate = AdmissionGate(perSecond: 1, burst: 1)
        let answers = (0..<500).map { _ in gate.refuses(now: .seconds(10)) }
        #expect(answers.last == 60)
        let before = gate.refuses(now: .seconds(5))
        #expect(before != nil)
    }
}

import Resources
import TestKit
import Testing

@testable import NodeAgent

/// What becomes of reports, one after the other.
@Suite(.offThePool) struct WorkerLedgerTests {
    private let life = ContainerID(pod: "u", container: "c", attempt: 0)

    private func moment(_ milliseconds: Int64) -> Moment {
        Moment(time: Timestamp(seconds: 1_700_000_000 + milliseconds / 1000), uptime: .milliseconds(milliseconds))
    }

    private func file(_ url: String, digest: String = "") -> WorkerReport.Result {
        WorkerReport.Result(name: "model.onnx", format: "onnx", url: url, digest: digest)
    }

    private func refusal(_ ledger: inout WorkerLedger, _ report: WorkerReport, _ life: ContainerID, at now: Moment) -> WorkerLedger.Refusal?
    {
        do throws(WorkerLedger.Refusal) { _ = try ledger.take(report, of: life, named: "train-1", at: now) } catch { return error }
        return nil
    }

    private func shown(_ ledger: inout WorkerLedger, _ known: [JSON], at now: Moment) -> JSON? { ledger.condition(known, at: now) }

    @Test func `progress is shown at most once a second, and the last one always`() throws {
        var ledger = WorkerLedger()
        var known: [JSON] = []
        var shown: [Int64] = []
        for step in 0..<30 {
            let now = moment(Int64(step) * 100)
            let progress = WorkerReport.Progress(done: Int64(step), total: 30, unit: "rounds")
            #expect(try ledger.take(WorkerReport(.running, progress: progress), of: life, named: "w", at: now) == .noted)
            if let condition = ledger.condition(known, at: now) {
                known = [condition]
                shown.append(Int64(step))
            }
        }
        #expect(shown == [0, 10, 20])
        let again = try #require(ledger.showAgainAt(known))
        #expect(again == .seconds(3))
        let last = try #require(self.shown(&ledger, known, at: moment(3000)))
        #expect(last["message"]?.string?.contains("\"done\":29") == true)
        #expect(last["status"] == "Unknown" && last["reason"] == "Running")
        #expect(ledger.showAgainAt([last]) == nil)
    }

    @Test func `a failure is shown at once, with the time of its transition`() throws {
        var ledger = WorkerLedger()
        _ = try ledger.take(WorkerReport(.running), of: life, named: "w", at: moment(0))
        let first = try #require(shown(&ledger, [], at: moment(0)))
        _ = try ledger.take(WorkerReport(.failed, message: "no label"), of: life, named: "w", at: moment(5200))
        let second = try #require(shown(&ledger, [first], at: moment(5200)))
        #expect(second["status"] == "False" && second["reason"] == "Failed")
        #expect(first["lastTransitionTime"] == "2023-11-14T22:13:20Z" && second["lastTransitionTime"] == "2023-11-14T22:13:25Z")
    }

    @Test func `the last word is final, and saying it again changes nothing`() throws {
        var ledger = WorkerLedger()
        let done = WorkerReport(.completed, results: [file("/out/model.onnx", digest: "sha256:claimed")])
        #expect(try ledger.take(done, of: life, named: "w", at: moment(0)) == .publish)
        #expect(ledger.word?.state.report.results[0].digest == "", "a claim is compared, never passed on")
        #expect(try ledger.take(done, of: life, named: "w", at: moment(10)) == .same)
        let late = refusal(&ledger, WorkerReport(.running), life, at: moment(20))
        #expect(late?.code == 409)
        #expect(late?.message.contains("train-1") == true)
        ledger.found([0: "sha256:found"], of: life)
        #expect(ledger.unpublished == [0])
        ledger.isHeldUp("no link", of: life)
        #expect(ledger.condition([], at: moment(30))?["message"]?.string?.contains("no link") == true)
        ledger.published(0, size: 7, of: life)
        #expect(ledger.word?.state.reason == .completed)
        #expect(ledger.word?.state.report.message == "")
        #expect(ledger.word?.state.report.results[0].size == 7)
    }

    @Test func `a worker that has only judged what it was given has completed`() throws {
        var ledger = WorkerLedger()
        let judged = WorkerReport(.completed, kind: "eval", results: [file("/models/new/model.onnx"), file("/models/old/model.onnx")])
        #expect(try ledger.take(judged, of: life, named: "w", at: moment(0)) == .publish)
        ledger.found([0: "sha256:new", 1: ""], judged: [0, 1], of: life)
        #expect(ledger.word?.state.reason == .completed)
        #expect(ledger.word?.state.report.results.map(\.digest) == ["sha256:new", ""])
        var next = WorkerLedger()
        next.restore(ledger.bytes, of: life)
        #expect(next.word == ledger.word)
    }

    @Test func `a service's reports take each other's place`() throws {
        var ledger = WorkerLedger()
        for status in [WorkerReport.Status.completed, .failed, .running, .completed] {
            let report = WorkerReport(status, kind: "deploy", results: [file("/model/model.onnx")])
            #expect(try ledger.take(report, of: life, named: "w", at: moment(0)) == .noted)
            #expect(ledger.unpublished == [])
        }
        #expect(ledger.word?.state.reason == .completed)
    }

    @Test func `who floods is told, and can still say that it is done`() throws {
        var ledger = WorkerLedger()
        var refused: [WorkerLedger.Refusal] = []
        for number in 0..<200 {
            let report = WorkerReport(.running, progress: .init(done: Int64(number)))
            if let found = refusal(&ledger, report, life, at: moment(0)) { refused.append(found) }
        }
        #expect(refused.count == 150)
        #expect(refused[0].code == 429 && refused[0].message.contains("train-1") && refused[0].retryAfterSeconds == 1)
        #expect(refusal(&ledger, WorkerReport(.running), life, at: moment(1000)) == nil)
        #expect(try ledger.take(WorkerReport(.completed), of: life, named: "w", at: moment(1000)) == .noted)
        #expect(ledger.word?.state.reason == .completed)
    }

    @Test func `an earlier life says nothing once a later one has spoken`() throws {
        var ledger = WorkerLedger()
        let next = ContainerID(pod: "u", container: "c", attempt: 1)
        _ = try ledger.take(WorkerReport(.failed, message: "bad"), of: life, named: "w", at: moment(0))
        _ = try ledger.take(WorkerReport(.running), of: next, named: "w", at: moment(1))
        #expect(ledger.word?.state.reason == .running)
        let refused = refusal(&ledger, WorkerReport(.running), life, at: moment(2))
        #expect(refused?.code == 409)
        ledger.refuse("a lie", of: life, at: Timestamp(seconds: 5))
        #expect(ledger.word?.life == next)
    }

    @Test func `what was kept is what the next agent knows`() throws {
        var ledger = WorkerLedger()
        var done = WorkerReport(.completed, kind: "train", results: [file("/out/model.onnx")])
        done.results[0].metrics = ["accuracy": .decimal("0.61")]
        _ = try ledger.take(done, of: life, named: "w", at: moment(0))
        ledger.found([0: "sha256:found"], of: life)
        var next = WorkerLedger()
        next.restore(ledger.bytes, of: life)
        #expect(next.word == ledger.word)
        next.restore(Array("{".utf8), of: life)
        #expect(next.word == ledger.word)
        #expect(try next.take(done, of: life, named: "w", at: moment(1)) == .same)
    }

    // MARK: Bodies

    private func fault(_ body: String) -> String? {
        if case .failure(let fault) = WorkerClaim(Array(body.utf8)).report { return fault.message }
        return nil
    }

    @Test func `figures that are none are named`() {
        let nan = #"{"status":"completed","results":[{"format":"onnx","url":"/m \" NaN","metrics":{"accuracy":NaN}}]}"#
        #expect(fault(nan)?.contains("results[0].metrics.accuracy") == true)
        #expect(fault(nan)?.contains("NaN") == true)
        #expect(WorkerClaim(Array(nan.utf8)).isCompletion)
        for text in ["-Infinity", "Infinity", "1e999", "\"nan\"", "[0.5,NaN]"] {
            let body = #"{"status":"completed","results":[{"format":"onnx","metrics":{"loss":\#(text)}}]}"#
            #expect(fault(body)?.contains("results[0].metrics.loss") == true, "\(text)")
        }
        #expect(fault(#"{"status":"completed","results":[{"format":"onnx","metrics":{"loss":0.5,"precision":[0.1,1]}}]}"#) == nil)
    }

    @Test func `a body that is no report says where it goes wrong`() {
        #expect(fault("")?.contains("no JSON") == true)
        #expect(fault("{\"status\":\"completed\"")?.contains("no JSON") == true)
        #expect(fault("[]")?.contains("expected an object") == true)
        #expect(fault("{\"status\":\"winning\"}")?.contains("winning") == true)
        #expect(fault(String(repeating: "[", count: 10_000))?.contains("no JSON") == true)
    }
}

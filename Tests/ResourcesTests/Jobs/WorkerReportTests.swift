import Resources
import Testing

@Suite struct WorkerReportTests {
    @Test func `Sedna's report is read, and written as it was`() throws {
        let text =
            #"{"name":"w","namespace":"default","ownerName":"comfort","ownerKind":"lifelonglearningjob","kind":"train","status":"completed","results":[{"format":"onnx","url":"/home/data/output/model.onnx","metrics":{"accuracy":0.61,"precision":[0.5,0.75],"tasks":{"summer":1}}}],"ownerInfo":{"currentRound":1}}"#
        let report = try WorkerReport(try JSON(parsing: text))
        #expect(report.status == .completed && report.kind == "train")
        #expect(report.results[0].name == "model.onnx")
        #expect(report.results[0].metrics["tasks"]?["summer"] == 1)
        #expect(try WorkerReport(report.json) == report)
    }

    @Test(arguments: [
        (#"[]"#, "report"), (#"{}"#, "status"), (#"{"status":"fine"}"#, "status"),
        (#"{"status":"running","progress":{"done":-1}}"#, "progress.done"),
        (#"{"status":"running","progress":{"done":5,"total":4}}"#, "progress.total"), (#"{"status":"completed","results":{}}"#, "results"),
        (#"{"status":"completed","results":[{"url":"/a"}]}"#, "results[0].format"),
        (#"{"status":"completed","results":[{"format":"onnx","metrics":{"accuracy":1e999}}]}"#, "results[0].metrics.accuracy"),
        (#"{"status":"completed","results":[{"format":"onnx","metrics":{"accuracy":"NaN"}}]}"#, "results[0].metrics.accuracy"),
        (#"{"status":"completed","results":[{"format":"onnx","metrics":{"a":[[[1]]]}}]}"#, "results[0].metrics.a[0][0]"),
        (#"{"status":"running","ownerInfo":{"a":[1]}}"#, "ownerInfo.a"),
    ]) func `what a worker may not say is refused by its field`(_ text: String, _ field: String) throws {
        let json = try JSON(parsing: text)
        let error = #expect(throws: WorkerReportError.self) { try WorkerReport(json) }
        #expect(error?.description.hasPrefix("\(field): ") ?? false, "\(error?.description ?? "")")
    }

    @Test func `bounds hold before anything is kept`() throws {
        let many = JSON.array((0...WorkerReport.Limits.resultsMax).map { _ in ["format": "csv"] })
        #expect(throws: WorkerReportError.self) { try WorkerReport(["status": "completed", "results": many]) }
        let figures = JSON.array((0...WorkerReport.Limits.figuresMax).map { _ in 1 })
        #expect(throws: WorkerReportError.self) {
            try WorkerReport(["status": "completed", "results": [["format": "csv", "metrics": ["a": figures]]]])
        }
        let long = JSON.string(String(repeating: "a", count: WorkerReport.Limits.wordBytesMax + 1))
        #expect(throws: WorkerReportError.self) { try WorkerReport(["status": "failed", "message": long]) }
    }

    @Test func `a Pod's condition carries the state there and back`() throws {
        let state = WorkerState(
            .publishing, WorkerReport(.completed, results: [.init(name: "m.onnx", format: "onnx", digest: "sha256:ab")]))
        let pod: JSON = ["status": ["conditions": [state.condition(since: Timestamp(seconds: 0))]]]
        #expect(WorkerState(pod) == state)
        #expect(pod["status"]?["conditions"]?.array?.first?["status"] == "Unknown")
        #expect(
            WorkerState(["status": ["conditions": [["type": "jobs.skerry.io/Worker", "reason": "Completed", "message": "nonsense"]]]])
                == nil)
    }
}

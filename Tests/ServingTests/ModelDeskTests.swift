import Inference
import Resources
import Serving
import Synchronization
import TestKit
import Testing

/// One model's requests, versions and trials, with ONNX Runtime.
@Suite(.offThePool) struct ModelDeskTests {
    static let runtime = Result { try ONNXRuntime(candidates: ONNXRuntime.candidates(chosen: nil)) }

    static func engine(_ file: [UInt8]) throws -> sending TensorEngine {
        let model = try TensorModel(try runtime.get(), try ModelFile(file))
        let engine = TensorEngine(model, version: model.signature.metadata["version"] ?? "1")
        _ = try engine.warmUp { 0 }
        return engine
    }

    static func desk(_ clock: @escaping @Sendable () -> UInt64 = { 0 }) -> ModelDesk {
        ModelDesk(name: "m", nanoseconds: clock) { head, body in LoopResponse(404, Array("\(head.path) \(body.count)".utf8)) }
    }

    static func request(_ method: String, _ path: String, _ body: String = "") -> (LoopHead, [UInt8]) {
        var head = LoopHead()
        (head.method, head.path) = (method, path)
        return (head, Array(body.utf8))
    }

    /// Requests that arrive together.
    static func ask(_ desk: ModelDesk, _ requests: [(LoopHead, [UInt8])]) async throws -> [(status: Int, json: JSON)] {
        let answers = answers(desk, requests)
        var found: [(Int, JSON)] = []
        for answer in answers {
            let response: LoopResponse
            switch answer {
            case .now(let now): response = now
            case .later(let work): response = await work()
            }
            found.append(
                (response.status, (try? JSONParser.parse(response.body)) ?? .string(String(decoding: response.body, as: UTF8.self))))
        }
        return found
    }

    private static func answers(_ desk: ModelDesk, _ requests: [(LoopHead, [UInt8])]) -> [LoopAnswer] {
        let memories = requests.map { _, body in
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(body.count, 1), alignment: 1)
            memory.copyBytes(from: body)
            return memory
        }
        defer { for memory in memories { memory.deallocate() } }
        return desk.answers(
            to: zip(requests, memories).map { request, memory in
                LoopRequest(head: request.0, body: UnsafeRawBufferPointer(rebasing: memory[..<request.1.count]))
            })
    }

    static func infer(_ values: String, rows: Int = 1) -> (LoopHead, [UInt8]) {
        request(
            "POST", "/v2/models/m/infer",
            "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[\(rows),2],\"data\":\(values)}]}")
    }

    static func values(_ json: JSON) -> [Double] { (json["outputs"]?.array?.first?["data"]?.array ?? []).compactMap(\.number) }

    @Test func `a model is described, asked, and refuses what does not fit`() async throws {
        let desk = Self.desk()
        let before = try await Self.ask(
            desk, [Self.infer("[1,2]"), Self.request("GET", "/v2/health/ready"), Self.request("GET", "/v2/health/live")])
        #expect(before.map(\.status) == [503, 503, 200])
        desk.offer(try Self.engine(TinyModel.adding(0.5, version: "7")))
        let about = try await Self.ask(
            desk,
            ["/v2", "/v2/models/m", "/v2/models/m/versions/7", "/v2/models/m/ready", "/v2/models/m/versions/8", "/v2/models/n"].map {
                Self.request("GET", $0)
            })
        #expect(about.map(\.status) == [200, 200, 200, 200, 404, 404])
        #expect(about[0].json["extensions"]?.array?.first == "binary_tensor_data")
        #expect(about[1].json["inputs"]?.array?[0] == ["name": "x", "datatype": "FP32", "shape": [-1, 2]])
        #expect(about[4].json["error"]?.string?.contains("no version \"8\"") == true)
        let answers = try await Self.ask(desk, [Self.infer("[1,2]"), Self.infer("[[1,2],[3,4]]", rows: 2)])
        #expect(answers.map { Self.values($0.json) } == [[1.5, 2.5], [1.5, 2.5, 3.5, 4.5]])
        #expect(answers[0].json["model_version"] == "7")
        let wrong = try await Self.ask(
            desk,
            [
                ("x", "INT64", "[1,2]"), ("x", "FP32", "[2,1]"), ("y", "FP32", "[1,2]"),
            ].map { name, type, shape in
                Self.request(
                    "POST", "/v2/models/m/infer",
                    "{\"inputs\":[{\"name\":\"\(name)\",\"datatype\":\"\(type)\",\"shape\":\(shape),\"data\":[1,2]}]}")
            })
        // Inputs that no model of this name has are somebody else's.
        #expect(wrong.map(\.status) == [400, 400, 404])
        #expect(wrong[0].json["error"]?.string?.contains("the model takes FP32") == true)
        #expect(wrong[1].json["error"]?.string?.contains("takes [any, 2]") == true)
        #expect(desk.counts.answered == 2 && desk.counts.rows == 3 && desk.counts.failed == 0)
    }

    @Test func `requests that arrive together get what each would get alone`() async throws {
        let file = TinyModel.file(
            TinyModel.node("MatMul", ["x", "w"], ["h"]) + TinyModel.node("Relu", ["h"], ["y"])
                + TinyModel.tensor("w", (0..<128).map { Float($0 % 13) / 7 - 0.6 }, [2, 64]) + TinyModel.value(11, "x", [nil, 2])
                + TinyModel.value(12, "y", [nil, 64]))
        let (alone, both) = (Self.desk(), Self.desk())
        alone.offer(try Self.engine(file))
        both.offer(try Self.engine(file))
        let requests =
            (0..<40).map { Self.infer("[\(Double($0) / 3),\(-$0)]") } + [Self.infer("[[1,2],[3,4]]", rows: 2), Self.infer("[]", rows: 0)]
        var expected: [[Double]] = []
        for request in requests { expected.append(Self.values(try await Self.ask(alone, [request])[0].json)) }
        let found = try await Self.ask(both, requests).map { Self.values($0.json) }
        #expect(found == expected && found[0].count == 64 && found[40].count == 128)
    }

    @Test func `requests that somebody else is to answer go there, also those that arrive together`() async throws {
        let model = try TensorModel(try Self.runtime.get(), try ModelFile(TinyModel.adding(0.5, version: "1")))
        let engine = TensorEngine(model, version: "1", isDirect: false)
        let ticks = Mutex<UInt64>(0)
        _ = try engine.warmUp {
            ticks.withLock { ticks in
                ticks += 500
                return ticks
            }
        }
        let desk = Self.desk()
        desk.offer(engine)
        #expect(desk.patience(missing: 3) == 0)
        let found = try await Self.ask(desk, [Self.infer("[1,2]"), Self.infer("[3,4]")])
        #expect(found.map(\.status) == [404, 404])
    }

    /// Permits of a node that has none left, or counts those given.
    final class Permits: RunPermits {
        let secondsMax = 10
        let isFree: Bool
        let counts = Mutex((begun: 0, ended: 0))

        init(isFree: Bool) { self.isFree = isFree }

        func begin() -> RunPermit? {
            guard isFree else { return nil }
            return counts.withLock { counts in
                counts.begun += 1
                return RunPermit(counts.begun, 0, 1)
            }
        }
        func end(_ permit: RunPermit) { counts.withLock { $0.ended += 1 } }
    }

    static func desk(permits: Permits, runBytesMax: Int = 1 << 20) throws -> ModelDesk {
        let runtime = try ONNXRuntime(candidates: ONNXRuntime.candidates(chosen: nil), permits: permits)
        let model = try TensorModel(runtime, try ModelFile(TinyModel.adding(0.5, version: "1")))
        model.runBytesMax = runBytesMax
        let desk = desk()
        desk.offer(TensorEngine(model, version: "1"))
        return desk
    }

    @Test func `every run takes a permit and gives it back, and a node without any says so`() async throws {
        let permits = Permits(isFree: true)
        let answered = try await Self.ask(try Self.desk(permits: permits), [Self.infer("[1,2]"), Self.infer("[1,2,3,4]", rows: 2)])
        #expect(answered.map(\.status) == [200, 200])
        let counts = permits.counts.withLock { $0 }
        #expect(counts.begun == 2 && counts.ended == 2)
        let desk = try Self.desk(permits: Permits(isFree: false))
        let refused = try await Self.ask(desk, [Self.infer("[1,2]"), Self.infer("[1,2,3,4]", rows: 2)])
        #expect(refused.map(\.status) == [503, 503])
        let words = refused[0].json["error"]?.string ?? ""
        #expect(words.contains("10 seconds") && words.contains("--inference-threads"), "\(words)")
        // It is not the model that failed.
        #expect(desk.counts.failed == 0 && desk.counts.answered == 0)
    }

    @Test func `a request that would take more memory than there is for one is refused before it is taken`() async throws {
        let desk = try Self.desk(permits: Permits(isFree: true), runBytesMax: 64)
        let rows = { (count: Int) in Self.infer("[\(Array(repeating: "1", count: count * 2).joined(separator: ","))]", rows: count) }
        let found = try await Self.ask(desk, [rows(1), rows(4), rows(5)])
        #expect(found.map(\.status) == [200, 200, 413])
        #expect(found[2].json["error"]?.string?.contains("5 rows in one request; at most 4") ?? false, "\(found[2].json.text)")
    }

    @Test(arguments: [2, 3, 8, 64, 65]) func `rows that arrive together are answered as one by one, on the short way and on the long one`(
        count: Int
    ) async throws {
        let model = try TensorModel(try Self.runtime.get(), try ModelFile(TinyModel.adding(0.5, version: "1")))
        let engine = TensorEngine(model, version: "1")
        // A clock by which eight rows take no longer than one.
        let ticks = Mutex<UInt64>(0)
        _ = try engine.warmUp {
            ticks.withLock { ticks in
                ticks += 500; return ticks
            }
        }
        let (isBatching, saved) = (engine.isBatching, engine.savedNanoseconds)
        #expect(isBatching && saved == 438 && engine.directRows != nil)
        let desk = Self.desk()
        desk.offer(engine)
        #expect(desk.patience(missing: 2) == 438 && desk.patience(missing: 10_000) == 1_000_000)
        let requests = (0..<count).map { Self.infer("[\($0),\(Double($0) / 4)]") }
        let together = try await Self.ask(desk, requests)
        var alone: [JSON] = []
        for request in requests { alone.append(try await Self.ask(desk, [request])[0].json) }
        #expect(together.map(\.json) == alone && together.allSatisfy { $0.status == 200 })
        // One that asks for its outputs by an empty list is read as a whole, and the others with it; one that is wrong harms none.
        var mixed = requests
        mixed[0] = Self.request(
            "POST", "/v2/models/m/infer",
            "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[0,0]}],\"outputs\":[]}")
        mixed[1] = Self.infer("[1]")
        let found = try await Self.ask(desk, mixed)
        #expect(found[0].json == alone[0] && found[1].status == 400 && found.dropFirst(2).map(\.json) == Array(alone.dropFirst(2)))
        #expect(desk.counts.answered == 3 * count - 1)
    }

    @Test func `a version on trial gets its share, and takes over when it does as well`() async throws {
        let desk = Self.desk()
        desk.offer(try Self.engine(TinyModel.adding(1, version: "1")))
        desk.offer(try Self.engine(TinyModel.adding(1, version: "2")), trial: CanaryTrial(share: 0.25, requests: 20))
        var versions: [String] = []
        for _ in 0..<100 {
            let answer = try await Self.ask(desk, [Self.infer("[1,2]")])[0]
            #expect(answer.status == 200)
            versions.append(answer.json["model_version"]?.string ?? "")
        }
        #expect(versions[..<80].count { $0 == "2" } == 20 && versions[80...].allSatisfy { $0 == "2" })
        #expect(desk.reports.map(\.version) == ["2"] && desk.rolledBack.isEmpty)
    }

    @Test func `requests that are answered elsewhere have the same share`() async throws {
        func engine(_ version: String) throws -> sending TensorEngine {
            let file = try ModelFile(TinyModel.adding(1, version: version))
            return TensorEngine(try TensorModel(try Self.runtime.get(), file), version: version, isDirect: false)
        }
        let shared = Mutex<ModelDesk?>(nil)
        let desk = ModelDesk(name: "m", nanoseconds: { 0 }) { _, _ in
            let isNewer = shared.withLock { $0 }?.isTurnOfNewer() ?? false
            return LoopResponse(200, Array((isNewer ? "2" : "1").utf8))
        }
        shared.withLock { $0 = desk }
        defer { shared.withLock { $0 = nil } }
        desk.offer(try engine("1"))
        desk.offer(try engine("2"), trial: CanaryTrial(share: 0.5, requests: 1000))
        var turns: [JSON] = []
        for _ in 0..<8 { turns.append(try await Self.ask(desk, [Self.infer("[1,2]")])[0].json) }
        #expect(turns == [1, 2, 1, 2, 1, 2, 1, 2])
    }

    /// A sound version whose every answer is an error of the runtime: it looks for a place that a table has not.
    static func failing(version: String) -> [UInt8] {
        TinyModel.file(
            TinyModel.node(
                "Cast", ["x"], ["i"], attributes: TinyModel.bytes(5, TinyModel.text(1, "to") + TinyModel.int(3, 7) + TinyModel.int(20, 2)))
                + TinyModel.node("Gather", ["t", "i"], ["y"]) + TinyModel.tensor("t", [1], [1]) + TinyModel.value(11, "x", [nil, 2])
                + TinyModel.value(12, "y", [nil, 2]), version: version)
    }

    @Test func `a version on trial that fails is rolled back with the reason`() async throws {
        let desk = Self.desk()
        desk.offer(try Self.engine(TinyModel.adding(1, version: "1")))
        let model = try TensorModel(try Self.runtime.get(), try ModelFile(Self.failing(version: "2")))
        desk.offer(TensorEngine(model, version: "2"), trial: CanaryTrial(share: 0.5, requests: 1000))
        var statuses: [Int] = []
        for _ in 0..<60 { statuses.append(try await Self.ask(desk, [Self.infer("[100,2]")])[0].status) }
        #expect(statuses.count { $0 == 500 } == 5 && statuses[20...].allSatisfy { $0 == 200 })
        #expect(desk.reports.map(\.version) == ["1"])
        #expect(desk.rolledBack["2"]?.contains("failed at 5 of 5 requests") == true)
    }

    @Test func `a trial ends by its counts`() {
        let trial = CanaryTrial(share: 0.1, requests: 100)
        func counts(_ answered: Int, failed: Int = 0, nanoseconds: UInt64 = 1000, classes: [Int: Int] = [:]) -> VersionCounts {
            var counts = VersionCounts()
            (counts.answered, counts.failed, counts.classes) = (answered, failed, classes)
            for _ in 0..<answered { counts.latency.add(nanoseconds) }
            return counts
        }
        #expect(trial.verdict(old: counts(900), new: counts(99)) == .goesOn)
        #expect(trial.verdict(old: counts(900), new: counts(100)) == .takesOver)
        #expect(trial.verdict(old: counts(900, failed: 90), new: counts(91, failed: 9)) == .takesOver)
        guard case .rollsBack(let slow) = trial.verdict(old: counts(900), new: counts(100, nanoseconds: 10_000)) else {
            Issue.record("slow versions are rolled back")
            return
        }
        #expect(slow.hasPrefix("one in 20 of its requests takes more than 10 µs, of the version before 1; "), "\(slow)")
        // The machine held up a few.
        var held = counts(116)
        for _ in 0..<4 { held.latency.add(10_000_000) }
        held.answered = 120
        #expect(trial.verdict(old: counts(900), new: held) == .takesOver)
        guard case .rollsBack(let other) = trial.verdict(old: counts(900, classes: [0: 800, 1: 100]), new: counts(100, classes: [1: 100]))
        else {
            Issue.record("versions that answer other classes are rolled back")
            return
        }
        #expect(other.contains("other classes"))
        let taken = (0..<1000).count { trial.takes($0) }
        #expect(taken == 100)
    }

    @Test func `times are counted within an eighth`() {
        var counts = LatencyCounts()
        for value in 1...1000 { counts.add(UInt64(value) * 1000) }
        for share in [0.01, 0.5, 0.99, 1] {
            let (found, exact) = (Double(counts.quantile(share)!), share * 1_000_000)
            #expect(found >= exact && found <= exact * 1.13 + 1000, "\(share): \(found)")
        }
        #expect(LatencyCounts().quantile(0.5) == nil)
    }

    // MARK: - Streams

    /// Sends a body in pieces of a size through a stream.
    static func stream(_ desk: ModelDesk, _ type: String, _ text: String, piece: Int = 7) -> String {
        var head = LoopHead()
        (head.method, head.path, head.contentType, head.isChunked) = ("POST", "/v2/models/m/infer-stream", type, true)
        var output: [UInt8] = []
        do throws(ServingRefusal) {
            guard let stream = try desk.stream(for: head) else { return "no stream" }
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                var failure: ServingRefusal?
                Array(rest.prefix(piece)).withUnsafeBytes { bytes in
                    do throws(ServingRefusal) { try stream.consume(bytes, output: &output) } catch { failure = error }
                }
                if let failure { throw failure }
                rest = rest.dropFirst(piece)
            }
            try stream.finish(output: &output)
        } catch {
            return String(decoding: output, as: UTF8.self) + "\(error.status) \(error.reason)"
        }
        return String(decoding: output, as: UTF8.self)
    }

    @Test(arguments: [1, 7, 1 << 20]) func `rows of CSV are answered as CSV, however they arrive`(piece: Int) throws {
        let desk = Self.desk()
        desk.offer(try Self.engine(TinyModel.adding(0.5, version: "1")))
        let text = Self.stream(desk, "text/csv", "x.1,x.0\r\n2,1\n\"4\",3\n,+.5e1\n6,5", piece: piece)
        #expect(text == "y.0,y.1\n1.5,2.5\n3.5,4.5\n5.5,\n5.5,6.5\n")
    }

    @Test func `lines of JSON are answered as lines of JSON`() throws {
        let desk = Self.desk()
        desk.offer(try Self.engine(TinyModel.adding(0.5, version: "1")))
        #expect(
            Self.stream(desk, "application/x-ndjson", "{\"x\":[1,2]}\n\n{\"x\":[[3,null]]}\n") == "{\"y\":[1.5,2.5]}\n{\"y\":[3.5,null]}\n")
    }

    @Test(arguments: [
        ("text/csv", "x.0\n1\n", "\"x.1\" of input \"x\""), ("text/csv", "x.0,x.1,z\n1,2,3\n", "\"z\" is no input"),
        ("text/csv", "x.0,x.1\n1,2\n3\n", "line 3 has 1 fields"), ("text/csv", "x.0,x.1\n1,two\n", "line 2: \"two\" is no number"),
        ("text/csv", "x.0,x.1\n1,\"2", "ends within quotes"), ("text/csv", "x.0,x.0\n1,2\n", "occurs twice"),
        ("application/x-ndjson", "{\"x\":[1]}\n", "line 1: \"x\" has the shape [1]"),
        ("application/x-ndjson", "{\"z\":1}\n", "\"z\" is no input"),
        ("application/x-ndjson", "{}\n", "\"x\" (float[N, 2]) is missing"),
        ("application/x-ndjson", "[1]\n", "line 1: the request is no JSON"),
        ("image/png", "", "is no stream of rows"),
    ])
    func `lines that do not fit end a stream with their number`(type: String, body: String, words: String) throws {
        let desk = Self.desk()
        desk.offer(try Self.engine(TinyModel.adding(0.5, version: "1")))
        let text = Self.stream(desk, type, body)
        #expect(text.contains(words), "\(text)")
    }

    /// Shares of two classes: softmax of the two numbers of a row.
    static let classes = TinyModel.file(
        TinyModel.node("Softmax", ["x"], ["probabilities"]) + TinyModel.value(11, "x", [nil, 2])
            + TinyModel.value(12, "probabilities", [nil, 2]), version: "1")

    @Test func `how sure the model was is told of every row, whatever way it came`() async throws {
        let desk = Self.desk()
        desk.offer(try Self.engine(Self.classes))
        let one = try await Self.ask(desk, [Self.infer("[0,0]")])
        let many = try await Self.ask(desk, [Self.infer("[[0,0],[0,100]]", rows: 2), Self.infer("[100,0]")])
        #expect((one + many).allSatisfy { $0.status == 200 }, "\((one + many).map(\.json.text))")
        let shares = desk.takeShares()
        #expect(shares.sorted() == [0.5, 0.5, 1, 1], "\(shares)")
        #expect(desk.takeShares().isEmpty)
        // Numbers that are no shares say nothing.
        let other = Self.desk()
        other.offer(try Self.engine(TinyModel.adding(3, version: "1")))
        _ = try await Self.ask(other, [Self.infer("[1,2]")])
        #expect(other.takeShares().isEmpty)
    }

    @Test func `many rows are handed on before anybody asks`() async throws {
        let told = Mutex(0)
        let desk = ModelDesk(name: "m", nanoseconds: { 0 }, onShares: { shares in told.withLock { $0 += shares.count } }) { _, _ in
            LoopResponse(404, [])
        }
        desk.offer(try Self.engine(Self.classes))
        let rows = Array(repeating: "[0,1]", count: 5000).joined(separator: ",")
        _ = try await Self.ask(desk, [Self.infer("[\(rows)]", rows: 5000)])
        #expect(told.withLock { $0 } == 5000 && desk.takeShares().isEmpty)
    }
}

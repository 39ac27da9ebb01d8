import Inference
import Resources
import Synchronization

/// Answers the Open Inference Protocol for one model: the version that serves, and a newer one on trial.
///
/// Requests are answered on the loop's thread alone, which alone touches engines; versions come from elsewhere through `offer`, hence unchecked.
package final class ModelDesk: LoopHandler, @unchecked Sendable {
    /// Rows that are answered by one run.
    private static let rowsTogether = 256

    private struct State {
        var serving: Served?
        var newer: Served?
        var trial: CanaryTrial?
        var numbered = 0
        /// What became of trials, newest last.
        var refused: [String: String] = [:]
        var retired: [Served] = []
        var takenOver = 0
    }

    /// A version and what it has answered.
    final class Served: @unchecked Sendable {
        let engine: any ServedEngine
        let version: String
        let counts = Mutex(VersionCounts())
        /// Since it serves, or since its trial began; the older version's are counted anew for each trial.
        let onTrial = Mutex(VersionCounts())
        /// The output that says how likely each class is; nil without one.
        let sharesPlace: Int?

        init(_ engine: any ServedEngine) {
            (self.engine, version) = (engine, engine.version)
            sharesPlace = ClassShares.place(in: engine.outputs)
        }
    }

    /// What is told of a version.
    package struct Report: Sendable, Equatable {
        package var version: String
        package var counts: VersionCounts
        package var isOnTrial: Bool
    }

    private let name: String
    /// Where most requests go.
    private let inferPath: String
    private let state = Mutex(State())
    private let all = Mutex(VersionCounts())
    private let nanoseconds: @Sendable () -> UInt64
    /// Requests that bring no inputs of the model, and whatever else is asked.
    private let others: @Sendable (LoopHead, [UInt8]) async -> LoopResponse
    /// Rows of tables for streams; nil where only inputs of the model are understood.
    private let tables: (@Sendable (RowTable) throws -> RowTable)?
    /// Rows of streams where more than the model answers; nil where the model's answer is all.
    private let later: LaterRows?
    /// How likely the first class was of each row answered here, since somebody took them.
    private let shares = Mutex<[Float]>([])
    private static let sharesMax = 4096
    private let onShares: @Sendable ([Float]) -> Void
    private let onVerdict: @Sendable (String, CanaryTrial.Verdict) -> Void

    /// - Parameters:
    ///   - name: the model's.
    ///   - nanoseconds: a clock that never goes back.
    ///   - onVerdict: told of the end of each trial, on the thread of the request that ended it.
    ///   - onShares: is given what `takeShares` would give where it is not asked for often enough, on the loop's thread.
    ///   - later: answers rows of streams in place of the model and of `tables`.
    package init(
        name: String, nanoseconds: @escaping @Sendable () -> UInt64,
        onVerdict: @escaping @Sendable (String, CanaryTrial.Verdict) -> Void = { _, _ in },
        onShares: @escaping @Sendable ([Float]) -> Void = { _ in }, tables: (@Sendable (RowTable) throws -> RowTable)? = nil,
        later: LaterRows? = nil, others: @escaping @Sendable (LoopHead, [UInt8]) async -> LoopResponse
    ) {
        (self.name, self.nanoseconds, self.onVerdict, self.tables, self.others) = (name, nanoseconds, onVerdict, tables, others)
        (self.onShares, self.later) = (onShares, later)
        inferPath = "/v2/models/\(name)/infer"
    }

    // MARK: - Versions

    /// Takes a loaded and warm version in: at once, or for a trial beside the one that serves.
    ///
    /// - Parameter engine: not used by the caller any more.
    package func offer(_ engine: sending any ServedEngine, trial: CanaryTrial? = nil) {
        let served = Served(engine)
        let gone: [Served] = state.withLock { state in
            defer { state.retired = [] }
            if let trial, let old = state.serving {
                if let newer = state.newer { state.retired.append(newer) }
                (state.newer, state.trial, state.numbered) = (served, trial, 0)
                old.onTrial.withLock { $0 = VersionCounts() }
            } else {
                state.retired += [state.serving, state.newer].compactMap { $0 }
                if state.serving != nil { state.takenOver += 1 }
                (state.serving, state.newer, state.trial) = (served, nil, nil)
            }
            return state.retired
        }
        // Released here, and not between two requests.
        withExtendedLifetime(gone) {}
    }

    /// Releases versions that do not answer any more; not to be called between two requests, as it takes its time.
    package func releaseRetired() {
        let gone = state.withLock { state in
            defer { state.retired = [] }
            return state.retired
        }
        withExtendedLifetime(gone) {}
    }

    /// Each version that answers, the one that serves first.
    package var reports: [Report] {
        let (serving, newer) = state.withLock { ($0.serving, $0.newer) }
        return [(serving, false), (newer, true)].compactMap { served, isOnTrial in
            served.map { Report(version: $0.version, counts: $0.counts.withLock { $0 }, isOnTrial: isOnTrial) }
        }
    }

    /// What all versions have answered, those that are gone included.
    package var counts: VersionCounts { all.withLock { $0 } }

    /// How likely the first class was of each row that was answered here since the last call, where the model says so: for whoever watches how sure it
    /// is.
    package func takeShares() -> [Float] {
        shares.withLock { shares in
            defer { shares.removeAll(keepingCapacity: true) }
            return shares
        }
    }

    private func noteShares(_ served: Served, _ outputs: [NamedTensor]) {
        guard let place = served.sharesPlace, place < outputs.count else { return }
        let tensor = outputs[place].tensor
        let isMany = shares.withLock { shares in
            ClassShares.appendFirst(of: tensor, to: &shares)
            return shares.count >= Self.sharesMax
        }
        if isMany { onShares(takeShares()) }
    }

    /// What the newer version has answered since its trial began; nil while none is on trial.
    package var trialCounts: VersionCounts? { state.withLock { $0.trial == nil ? nil : $0.newer }?.onTrial.withLock { $0 } }

    /// Why versions were rolled back, by version.
    package var rolledBack: [String: String] { state.withLock { $0.refused } }

    /// Whether a version serves.
    package var isReady: Bool { state.withLock { $0.serving != nil } }

    /// The version for the next request, or the one asked for.
    private func served(_ version: String?) -> Served? {
        state.withLock { state in
            if let version { return [state.serving, state.newer].compactMap { $0 }.first { $0.version == version } }
            guard let newer = state.newer, let trial = state.trial else { return state.serving }
            defer { state.numbered += 1 }
            return trial.takes(state.numbered) ? newer : state.serving
        }
    }

    /// A request that has taken its turn is answered elsewhere, where it takes it again.
    private func giveTurnBack() {
        state.withLock { state in
            if state.newer != nil, state.trial != nil, state.numbered > 0 { state.numbered -= 1 }
        }
    }

    /// Whether a request that is answered elsewhere is the newer version's, while one is on trial. Each call counts as a request.
    package func isTurnOfNewer() -> Bool {
        state.withLock { state in
            guard state.newer != nil, let trial = state.trial else { return false }
            defer { state.numbered += 1 }
            return trial.takes(state.numbered)
        }
    }

    /// Tells of a request that was answered elsewhere while a version is on trial.
    ///
    /// - Parameters:
    ///   - nanoseconds: nil: the version failed.
    ///   - label: the class of a single row.
    package func answeredElsewhere(byNewer isNewer: Bool, nanoseconds: UInt64?, label: Int?) {
        guard let served = state.withLock({ $0.trial == nil ? nil : isNewer ? $0.newer : $0.serving }) else { return }
        served.onTrial.withLock { counts in
            guard let nanoseconds else {
                counts.failed += 1
                return
            }
            counts.answered += 1
            counts.latency.add(nanoseconds)
            if let label { counts.classes[label, default: 0] += 1 }
        }
        judgeTrial()
    }

    /// Ends a trial whose counts say so.
    private func judgeTrial() {
        let verdict: (String, CanaryTrial.Verdict)? = state.withLock { state in
            guard let newer = state.newer, let trial = state.trial, let old = state.serving else { return nil }
            let verdict = trial.verdict(old: old.onTrial.withLock { $0 }, new: newer.onTrial.withLock { $0 })
            switch verdict {
            case .goesOn: return nil
            case .takesOver:
                state.retired.append(old)
                (state.serving, state.newer, state.trial) = (newer, nil, nil)
                state.takenOver += 1
            case .rollsBack(let why):
                state.retired.append(newer)
                (state.newer, state.trial) = (nil, nil)
                if state.refused.count >= 16 { state.refused = [:] }
                state.refused[newer.version] = why
            }
            return (newer.version, verdict)
        }
        if let verdict { onVerdict(verdict.0, verdict.1) }
    }

    // MARK: - Requests

    /// What a request waits at most for others.
    private static let patienceMax: UInt64 = 1_000_000

    /// Half of what the missing would save. While a version is on trial nobody waits: what is compared there is the versions.
    package func patience(missing: Int) -> UInt64 {
        guard let engine = state.withLock({ $0.trial == nil ? $0.serving : nil })?.engine, engine.isBatching else { return 0 }
        return min(Self.patienceMax, UInt64(missing) * engine.savedNanoseconds / 2)
    }

    /// What is asked of which path.
    private enum Route {
        case answer(LoopResponse)
        case infer(version: String?)
        case other
    }

    /// A request on its way through the model.
    private struct Asked {
        var place: Int
        var call: InferCall
        var served: Served
        var tensors: [Tensor]
    }

    package func answers(to requests: [LoopRequest]) -> [LoopAnswer] {
        let start = nanoseconds()
        var answers: [LoopAnswer?] = requests.map { _ in nil }
        var asked: [Asked] = []
        let direct = state.withLock { $0.trial == nil ? $0.serving : nil }
        if let direct, requests.count > 1, let found = answerDirectly(requests, direct, start) { return found.map { .now($0) } }
        for (place, request) in requests.enumerated() {
            // Requests that can be answered together are.
            if let direct, requests.count == 1 || !direct.engine.isBatching, let response = answerDirectly(request, direct, start) {
                answers[place] = .now(response)
                continue
            }
            do throws(ServingRefusal) {
                switch try route(request.head) {
                case .answer(let response): answers[place] = .now(response)
                case .other: answers[place] = later(request)
                case .infer(let version):
                    if let found = try ask(request, version, place) { asked.append(found) } else { answers[place] = later(request) }
                }
            } catch {
                answers[place] = .now(LoopResponse(error))
            }
        }
        if asked.count == 1 {
            answers[asked[0].place] = .now(run(asked[0], start))
        } else if !asked.isEmpty {
            for (place, response) in run(asked, start) { answers[place] = .now(response) }
        }
        if !asked.isEmpty, state.withLock({ $0.trial != nil }) { judgeTrial() }
        return answers.map { $0! }
    }

    /// A row on the shortest way; nil for requests that are to be read as a whole.
    private func answerDirectly(_ request: LoopRequest, _ served: Served, _ start: UInt64) -> LoopResponse? {
        guard request.head.method == "POST", request.head.path == inferPath, let row = served.engine.directRow,
            let call = row.read(request.body, headerLength: request.head.inferenceHeaderLength)
        else { return nil }
        do throws(InferenceError) {
            return reply(served, call, rows: 1, try row.run(), start)
        } catch {
            return failure(served, error)
        }
    }

    /// Rows on the shortest way, together; nil where one of the requests is to be read as a whole, or the run fails.
    private func answerDirectly(_ requests: [LoopRequest], _ served: Served, _ start: UInt64) -> [LoopResponse]? {
        guard let rows = served.engine.directRows, requests.allSatisfy({ $0.head.method == "POST" && $0.head.path == inferPath }),
            let calls = rows.read(requests)
        else { return nil }
        do throws(InferenceError) {
            return zip(calls, try rows.run(calls.count)).map { reply(served, $0, rows: 1, $1, start) }
        } catch {
            // One request may be at fault for all: each alone. Where the node is busy, none is.
            guard case .busy = error else { return nil }
            return requests.map { _ in failure(served, error) }
        }
    }

    private func later(_ request: LoopRequest) -> LoopAnswer {
        let (head, body, others) = (request.head, Array(request.body), self.others)
        return .later { await others(head, body) }
    }

    /// - Returns: nil where the request brings no inputs of the model.
    private func ask(_ request: LoopRequest, _ version: String?, _ place: Int) throws(ServingRefusal) -> Asked? {
        guard let served = served(version) else { throw missing(version) }
        let call = try InferCall(request.body, headerLength: request.head.inferenceHeaderLength)
        guard let tensors = try served.engine.tensors(for: call) else {
            // Whoever answers it takes its turn.
            if version == nil { giveTurnBack() }
            return nil
        }
        return Asked(place: place, call: call, served: served, tensors: tensors)
    }

    private func missing(_ version: String?) -> ServingRefusal {
        guard let version else { return ServingRefusal(503, "model \"\(name)\" is not there yet; ask again later") }
        let known = reports.map { "\"\($0.version)\"" }.joined(separator: ", ")
        return ServingRefusal(
            known.isEmpty ? 503 : 404,
            known.isEmpty
                ? "model \"\(name)\" is not there yet; ask again later"
                : "no version \"\(version.prefix(80))\" of model \"\(name)\"; version \(known) is served")
    }

    /// Several requests that have arrived together.
    private func run(_ asked: [Asked], _ start: UInt64) -> [(Int, LoopResponse)] {
        var answers: [(Int, LoopResponse)] = []
        var groups: [ObjectIdentifier: [Asked]] = [:]
        for one in asked {
            let isOfRows = one.tensors.first?.shape.first != nil
            guard one.served.engine.isBatching, isOfRows,
                one.tensors.allSatisfy({ $0.shape.first == one.tensors[0].shape[0] && $0.count > 0 })
            else {
                answers.append((one.place, run(one, start)))
                continue
            }
            groups[ObjectIdentifier(one.served), default: []].append(one)
        }
        for group in groups.values {
            var rest = group[...]
            while let first = rest.first {
                var (rows, count) = (first.tensors[0].shape[0], 1)
                while count < rest.count, rows + rest[rest.startIndex + count].tensors[0].shape[0] <= Self.rowsTogether {
                    rows += rest[rest.startIndex + count].tensors[0].shape[0]
                    count += 1
                }
                answers += together(Array(rest.prefix(count)), start)
                rest = rest.dropFirst(count)
            }
        }
        return answers
    }

    private func together(_ asked: [Asked], _ start: UInt64) -> [(Int, LoopResponse)] {
        guard asked.count > 1 else { return asked.map { ($0.place, run($0, start)) } }
        do throws(InferenceError) {
            let found = try asked[0].served.engine.run(asked.map(\.tensors))
            return zip(asked, found).map { ($0.place, reply($0, $1, start)) }
        } catch {
            if case .busy = error { return asked.map { ($0.place, failure($0.served, error)) } }
            // One request may be at fault for all: each alone.
            return asked.map { ($0.place, run($0, start)) }
        }
    }

    private func run(_ asked: Asked, _ start: UInt64) -> LoopResponse {
        do throws(InferenceError) {
            return reply(asked, try asked.served.engine.run([asked.tensors])[0], start)
        } catch {
            return failure(asked.served, error)
        }
    }

    private func failure(_ served: Served, _ error: InferenceError) -> LoopResponse {
        if error.status == 500 { count(served) { $0.failed += 1 } }
        return LoopResponse(ServingRefusal(error.status, "model \"\(name)\": \(error)"))
    }

    private func reply(_ asked: Asked, _ outputs: [NamedTensor], _ start: UInt64) -> LoopResponse {
        reply(asked.served, asked.call, rows: asked.tensors.first?.shape.first ?? 1, outputs, start)
    }

    private func reply(_ served: Served, _ call: InferCall, rows: Int, _ outputs: [NamedTensor], _ start: UInt64) -> LoopResponse {
        var body: [UInt8] = []
        body.reserveCapacity(512)
        do throws(ServingRefusal) {
            let length = try InferReply.write(outputs, for: call, modelName: name, version: served.version, into: &body)
            let time = nanoseconds() - start
            let label = Self.label(outputs)
            noteShares(served, outputs)
            count(served) {
                $0.answered += 1
                $0.rows += rows
                $0.latency.add(time)
                if let label { $0.classes[label, default: 0] += 1 }
            }
            return LoopResponse(
                200, body, contentType: length == nil ? "application/json" : "application/octet-stream", inferenceHeaderLength: length)
        } catch {
            return LoopResponse(error)
        }
    }

    /// The class that a single row was given, where an output called `label` says so.
    private static func label(_ outputs: [NamedTensor]) -> Int? {
        guard let found = outputs.first(where: { $0.name == "label" || $0.name == "output_label" })?.tensor, found.type == .int64,
            found.count == 1
        else { return nil }
        let label = Int(found.values(as: Int64.self)[0])
        return 0..<4096 ~= label ? label : nil
    }

    private func count(_ served: Served, _ change: (inout VersionCounts) -> Void) {
        served.counts.withLock { change(&$0) }
        all.withLock { change(&$0) }
        if state.withLock({ $0.trial != nil }) { served.onTrial.withLock { change(&$0) } }
    }

    // MARK: - Paths

    private func route(_ head: LoopHead) throws(ServingRefusal) -> Route {
        let parts = head.path.split(separator: "/", omittingEmptySubsequences: true)
        let isRead = head.method == "GET" || head.method == "HEAD"
        if parts.count == 4, head.method == "POST", parts[0] == "v2", parts[1] == "models", parts[2] == name, parts[3] == "infer" {
            return .infer(version: nil)
        }
        guard parts.first == "v2" else {
            if parts == ["metrics"], isRead {
                return .answer(LoopResponse(200, Array(metrics.utf8), contentType: "text/plain; version=0.0.4"))
            }
            throw ServingRefusal(404, "\(head.path.prefix(200)): paths begin with /v2")
        }
        switch Array(parts.dropFirst()) {
        case [] where isRead:
            return Self.json(200, ["name": "skerry", "version": "1", "extensions": ["binary_tensor_data", "infer_stream"]])
        case ["health", "live"] where isRead: return Self.json(200, ["live": true])
        case ["health", "ready"] where isRead: return Self.json(isReady ? 200 : 503, ["ready": .bool(isReady)])
        case ["models"] where isRead, ["repository", "index"] where head.method == "POST":
            return Self.json(200, .array(reports.map { ["name": .string(name), "version": .string($0.version), "state": "READY"] }))
        case ["models", "stats"] where isRead: return Self.json(200, statistics)
        default: break
        }
        guard parts.count >= 3, parts[1] == "models" else {
            throw ServingRefusal(404, "\(head.method) \(head.path.prefix(200)) is nothing here")
        }
        guard parts[2] == name else {
            throw ServingRefusal(404, "no model \"\(parts[2].prefix(80))\"; this worker serves \"\(name)\"")
        }
        return try route(head, Array(parts.dropFirst(3)), isRead)
    }

    /// What stands behind the model's name.
    private func route(_ head: LoopHead, _ path: [Substring], _ isRead: Bool) throws(ServingRefusal) -> Route {
        var (rest, version): ([Substring], String?) = (path, nil)
        if rest.first == "versions", rest.count >= 2 {
            version = String(rest[1])
            guard reports.contains(where: { $0.version == version }) else { throw missing(version) }
            rest = Array(rest.dropFirst(2))
        }
        switch rest {
        case ["infer"] where head.method == "POST": return .infer(version: version)
        case ["ready"] where isRead: return Self.json(isReady ? 200 : 503, ["name": .string(name), "ready": .bool(isReady)])
        case ["stats"] where isRead: return Self.json(200, statistics)
        case [] where isRead:
            guard let served = version == nil ? state.withLock({ $0.serving }) : served(version) else { throw missing(version) }
            return Self.json(
                200,
                ModelMetadata.json(
                    name: name, versions: reports.map(\.version), inputs: served.engine.inputs, outputs: served.engine.outputs,
                    parameters: served.engine.parameters))
        default: return .other
        }
    }

    private static func json(_ status: Int, _ json: JSON) -> Route { .answer(LoopResponse(status, json.bytes())) }

    /// As Triton's statistics extension has it, as far as it is counted.
    private var statistics: JSON {
        func duration(_ count: Int, _ nanoseconds: UInt64) -> JSON {
            ["count": .integer(Int64(count)), "ns": .integer(Int64(clamping: nanoseconds))]
        }
        return [
            "model_stats": .array(
                reports.map { report in
                    [
                        "name": .string(name), "version": .string(report.version),
                        "inference_count": .integer(Int64(report.counts.answered)),
                        "execution_count": .integer(Int64(report.counts.answered)),
                        "inference_stats": [
                            "success": duration(report.counts.latency.count, report.counts.latency.total),
                            "fail": duration(report.counts.failed, 0),
                        ],
                    ]
                })
        ]
    }

    /// Prometheus' text format.
    private var metrics: String {
        var text = "# TYPE skerry_inference_requests_total counter\n# TYPE skerry_inference_latency_seconds summary\n"
        for report in reports {
            let labels = "model=\"\(name)\",version=\"\(report.version)\""
            text += "skerry_inference_requests_total{\(labels),result=\"answered\"} \(report.counts.answered)\n"
            text += "skerry_inference_requests_total{\(labels),result=\"failed\"} \(report.counts.failed)\n"
            for share in [0.5, 0.99] {
                guard let value = report.counts.latency.quantile(share) else { continue }
                text += "skerry_inference_latency_seconds{\(labels),quantile=\"\(share)\"} \(Double(value) / 1e9)\n"
            }
            text += "skerry_inference_latency_seconds_sum{\(labels)} \(Double(report.counts.latency.total) / 1e9)\n"
            text += "skerry_inference_latency_seconds_count{\(labels)} \(report.counts.latency.count)\n"
        }
        return text
    }

    // MARK: - Streams

    package func stream(for head: LoopHead) throws(ServingRefusal) -> (any LoopStream)? {
        guard head.path.hasSuffix("/infer-stream"), head.method == "POST" else { return nil }
        guard head.path == "/v2/models/\(name)/infer-stream" else {
            throw ServingRefusal(404, "\(head.path.prefix(200)) is nothing here; this worker serves \"\(name)\"")
        }
        guard isReady else { throw missing(nil) }
        guard head.contentLength != nil || head.isChunked else {
            throw ServingRefusal(400, "a stream needs a body: Content-Length, or Transfer-Encoding: chunked")
        }
        return try RowStream(contentType: head.contentType, ask: askRows, tables: tables, later: later)
    }

    /// Answers a block of a stream's rows by the version of the moment.
    private func askRows(_ make: (any ServedEngine) throws(ServingRefusal) -> [[Tensor]]) throws(ServingRefusal) -> [[NamedTensor]] {
        let start = nanoseconds()
        guard let served = served(nil) else { throw missing(nil) }
        let requests = try make(served.engine)
        if requests.isEmpty { return [] }
        var answers: [[NamedTensor]] = []
        for request in requests {
            let call = InferCall(inputs: zip(served.engine.inputs, request).map { NamedTensor($0.name, $1) })
            guard let tensors = try served.engine.tensors(for: call) else {
                throw ServingRefusal(409, "this worker takes rows by the names of a table's columns; give those")
            }
            do throws(InferenceError) {
                answers += try served.engine.run([tensors]).map { $0.map { NamedTensor($0.name, $0.tensor.copied) } }
            } catch {
                if error.status == 500 { count(served) { $0.failed += 1 } }
                throw ServingRefusal(error.status, "model \"\(name)\": \(error)")
            }
        }
        let time = nanoseconds() - start
        for answer in answers { noteShares(served, answer) }
        count(served) {
            $0.answered += 1
            $0.rows += requests.reduce(0) { $0 + ($1.first?.shape.first ?? 1) }
            $0.latency.add(time)
        }
        return answers
    }
}

import ArgumentParser
import Inference
import Learning
import Serving
import Workers

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct BenchInferCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "infer",
        abstract:
            "A serving worker: time and processor time of a request, memory, requests together, swaps under load, against ONNX Runtime and FastAPI.",
        discussion: """
            Starts `skerry worker infer` as a process and asks it over the loopback with keep-alive, one row a request. Bare figures are ONNX Runtime's C API in \
            this process, in memory bound once; what is compared takes turns. Load and worker share the machine. The peer is FastAPI with ONNX Runtime under \
            uvicorn, if scripts/unpack-inference-peer has put it into .deps. Triton's own client for Python loads both, if scripts/bootstrap has found it. What joint inference gains is measured by `skerry bench joint`.
            """)

    @Option(help: "An ONNX file written by skerry.") var model = "models/thermal-comfort/comfort.onnx"
    @Option(help: "Timed requests of each kind.") var requests = 20_000
    @Option(help: "Clients that ask at once.") var clients = 8
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table

    func validate() throws {
        if !(100...10_000_000).contains(requests) { throw ValidationError("--requests must be 100 to 10000000, found \(requests)") }
        if !(1...64).contains(clients) { throw ValidationError("--clients must be 1 to 64, found \(clients)") }
    }

    func run() async throws {
        let file = try ModelFile(try InferenceWorker.read(model, limit: ModelLimits.edge.bytes))
        let names = try TabularPredictor.names(file.signature)
        var figures = InferFigures()
        let machine = BenchMachine()
        let wire = InferWire(model: "bench", input: "features", width: names.features.count)
        let calls = try InferCalls(file, try ONNXRuntime(candidates: onnxRuntimeCandidates()))
        for turn in 0..<requests + 1000 { try calls.turn(isCounted: turn >= 1000) }
        figures.add(calls)
        try serve(wire, &figures)
        try swap(wire, &figures)
        try together(&figures)
        try triton(wire, &figures)
        try peer(wire, &figures)
        figures.notes.append(machine.words)
        writeError("\(model), \(file.bytes.count) bytes; \(requests) requests of one row each, keep-alive on 127.0.0.1; \(calls.evaluator)")
        for note in figures.notes { writeError(note) }
        try say(figures.table.text(output))
    }

    private func serve(_ wire: InferWire, _ figures: inout InferFigures) throws {
        let worker = try ServingProcess(model: model)
        defer { worker.end() }
        let load = InferLoad(wire: wire, requests: requests)
        let text = try load.measure(worker, isBinary: false, clients: 1)
        let bytes = try load.measure(worker, isBinary: true, clients: 1)
        let many = try load.measure(worker, isBinary: false, clients: clients)
        for (label, found) in [("JSON", text), ("bytes", bytes)] {
            figures.add("HTTP \(label), one client: p50", microseconds(found.middle), "<= 120 µs", "<= 60 µs", found.middle <= 120_000)
            figures.add("HTTP \(label), one client: p99", microseconds(found.tail), "<= 1000 µs", "<= 300 µs", found.tail <= 1_000_000)
            figures.add(perSecond("HTTP \(label), one client", found.perProcessorSecond))
        }
        figures.add("HTTP JSON, \(clients) clients: p50", microseconds(many.middle))
        figures.add(perSecond("HTTP JSON, \(clients) clients", many.perProcessorSecond))
        let resident = Double(worker.residentBytes) / 1_048_576
        figures.add("worker's resident memory", "\(fixed(resident, decimals: 1)) MiB", "<= 45 MB", "<= 30 MB", resident * 1.048_576 <= 45)
        figures.ownPerSecond = text.perProcessorSecond
    }

    private func perSecond(_ what: String, _ found: Double) -> InferFigures.Row {
        InferFigures.Row(
            what: "\(what): requests a CPU-second", found: "\(Int(found))", must: ">= 14000", aim: ">= 35000", holds: found >= 14_000)
    }

    private func microseconds(_ nanoseconds: Double) -> String { "\(fixed(nanoseconds / 1000, decimals: 1)) µs" }

    /// One client asks while versions change, and before that while none does.
    private func swap(_ wire: InferWire, _ figures: inout InferFigures) throws {
        let volume = try BenchVolume(model: model)
        defer { volume.remove() }
        try volume.put(1)
        let worker = try ServingProcess(model: volume.path, ["MODEL_HOT_UPDATE_CONFIG": volume.path + "/model_config.json"])
        defer { worker.end() }
        let load = InferLoad(wire: wire, requests: requests)
        let before = try load.measure(worker, isBinary: false, clients: 1)
        var (versions, failed): (Int, Int) = (1, 0)
        let during = try load.measure(worker, isBinary: false, clients: 1, failed: &failed) { turn in
            guard turn % max(requests / 5, 1) == 0 else { return }
            versions += 1
            try volume.put(versions)
        }
        figures.add("swap under load: failed of \(requests), \(versions - 1) versions", "\(failed)", "0", "", failed == 0)
        let ratio = during.tail / before.tail
        figures.add("swap under load: p99 against none", fixed(ratio, decimals: 2), "<= 2", "", ratio <= 2)
    }

    /// A network whose rows share their weights' way through the memory.
    private func together(_ figures: inout InferFigures) throws {
        let network = BenchNetwork(width: 256, hidden: 768, outputs: 16)
        let path = "\(BenchVolume.temporaryFolder())/skerry-bench-\(getpid()).onnx"
        try BenchVolume.write(network.onnx(), to: path)
        defer { unlink(path) }
        let wire = InferWire(model: "bench", input: "x", width: network.width)
        var found: [InferLoad.Found] = []
        for batching in ["off", "auto"] {
            let worker = try ServingProcess(model: path, ["INFERENCE_BATCHING": batching])
            defer { worker.end() }
            found.append(try InferLoad(wire: wire, requests: requests / 4).measure(worker, isBinary: true, clients: clients))
        }
        let (ratio, late) = (found[1].perSecond / found[0].perSecond, found[1].late / found[0].late)
        figures.add(
            "together, \(clients) clients: requests a second against one by one", fixed(ratio, decimals: 2), ">= 2", ">= 3.7", ratio >= 2)
        figures.add("together, \(clients) clients: p95 against one by one", fixed(late, decimals: 2), "<= 1", "", late <= 1)
        figures.notes.append(
            "together: a network of \(network.width), \(network.hidden), \(network.hidden) and \(network.outputs); \(Int(found[0].perSecond)) and \(Int(found[1].perSecond)) requests a second"
        )
    }

    /// The worker under Triton's own client, whose time is most of each request's.
    private func triton(_ wire: InferWire, _ figures: inout InferFigures) throws {
        let worker = try ServingProcess(model: model)
        defer { worker.end() }
        for isBinary in [false, true] {
            guard let found = try TritonLoad(width: wire.width, requests: requests / 4).measure(worker, isBinary: isBinary) else {
                figures.notes.append("tritonclient is missing: run scripts/bootstrap")
                return figures.add("tritonclient, one client: p50", "missing")
            }
            let label = "tritonclient, \(isBinary ? "bytes" : "JSON"), one client"
            figures.add("\(label): p50, its own time included", microseconds(found.middle))
            figures.add("\(label): p99, its own time included", microseconds(found.tail))
            figures.add("\(label): requests a CPU-second", "\(Int(found.perProcessorSecond))")
        }
    }

    private func peer(_ wire: InferWire, _ figures: inout InferFigures) throws {
        guard let peer = try PeerProcess(model: model) else {
            figures.notes.append("FastAPI is missing: run scripts/unpack-inference-peer")
            return figures.add("FastAPI with ONNX Runtime: requests a CPU-second", "missing")
        }
        defer { peer.end() }
        let found = try InferLoad(wire: wire, requests: requests / 4).measure(peer, isBinary: false, clients: 1)
        figures.add("FastAPI with ONNX Runtime, one client: p50", microseconds(found.middle))
        figures.add("FastAPI with ONNX Runtime, one client: requests a CPU-second", "\(Int(found.perProcessorSecond))")
        if let asked = try TritonLoad(width: wire.width, requests: requests / 4).measure(peer, isBinary: false) {
            figures.add("FastAPI with ONNX Runtime, tritonclient, JSON: p50", microseconds(asked.middle))
            figures.add("FastAPI with ONNX Runtime, tritonclient, JSON: requests a CPU-second", "\(Int(asked.perProcessorSecond))")
        }
        let ratio = figures.ownPerSecond / max(found.perProcessorSecond, 1)
        figures.add("requests a CPU-second against FastAPI", fixed(ratio, decimals: 1), ">= 10", ">= 25", ratio >= 10)
    }
}

/// What was found, beside what is wanted.
struct InferFigures {
    struct Row {
        var what: String
        var found: String
        var must = ""
        var aim = ""
        var holds: Bool?
    }

    private(set) var rows: [Row] = []
    var notes: [String] = []
    var ownPerSecond = 0.0

    mutating func add(_ row: Row) { rows.append(row) }

    mutating func add(_ what: String, _ found: String, _ must: String = "", _ aim: String = "", _ holds: Bool? = nil) {
        rows.append(Row(what: what, found: found, must: must, aim: aim, holds: holds))
    }

    mutating func add(_ calls: InferCalls) {
        let (bare, around) = (calls.middle(calls.bare), calls.middle(calls.around))
        add("bare ONNX Runtime call: p50", "\(fixed(bare / 1000, decimals: 2)) µs")
        let added = around / bare - 1
        add("added to it inside the worker", "\(fixed(added * 100, decimals: 1)) %", "<= 10 %", "<= 3 %", added <= 0.1)
        let own = calls.middle(calls.own)
        guard !calls.own.isEmpty else {
            return add("compiled against ONNX Runtime, single row", "not compiled", "<= 0.5", "<= 0.2", false)
        }
        add("compiled: p50", "\(fixed(own / 1000, decimals: 2)) µs")
        add("compiled against ONNX Runtime, single row", fixed(own / bare, decimals: 3), "<= 0.5", "<= 0.2", own / bare <= 0.5)
    }

    var table: AlignedTable {
        var table = AlignedTable(["FIGURE", "FOUND", "MUST", "AIM", "HOLDS"])
        for row in rows { table.rows.append([row.what, row.found, row.must, row.aim, row.holds.map { $0 ? "yes" : "no" } ?? ""]) }
        return table
    }
}

/// One row through ONNX Runtime's C API, through the worker's engine around it, and through the compiled model, in turns within one process.
final class InferCalls {
    private(set) var bare: [UInt64] = []
    private(set) var around: [UInt64] = []
    private(set) var own: [UInt64] = []
    let evaluator: ModelEvaluator
    private let plain: InferenceSession
    private let bound: BoundTensors
    private let row: BoundRow
    private let compiled: BoundRow?
    private let input: Int
    private let rows: [[Float]]
    private var turns = 0

    init(_ file: ModelFile, _ runtime: ONNXRuntime) throws {
        let options = SessionOptions(isCompiling: false)
        plain = try InferenceSession(runtime, file, options: options)
        bound = try plain.tensors(rows: 1)
        row = try BoundRow(try TensorModel(runtime, file, options: options))
        let model = try TensorModel(runtime, file)
        evaluator = model.evaluator
        compiled = if case .compiled = evaluator { try BoundRow(model) } else { nil }
        input = file.signature.inputs.firstIndex { $0.name == "features" } ?? 0
        var generator = SeededGenerator(seed: 27)
        let width = file.signature.inputs[input].width
        rows = (0..<512).map { _ in
            (0..<width).map { _ in Int.random(in: 0..<10, using: &generator) == 0 ? .nan : .random(in: -5..<60, using: &generator) }
        }
    }

    /// Whoever comes second finds warmer caches: they take turns.
    func turn(isCounted: Bool) throws {
        turns += 1
        let values = rows[turns % rows.count]
        let memory = bound.bytes(at: input).bindMemory(to: Float.self)
        for (index, value) in values.enumerated() { memory[index] = value }
        var times: [UInt64] = [0, 0, 0]
        for place in 0..<3 {
            let kind = (place + turns) % 3
            let start = monotonicNanoseconds()
            switch kind {
            case 0: try plain.run(bound)
            case 1: try through(row, values)
            default: if let compiled { try through(compiled, values) }
            }
            times[kind] = monotonicNanoseconds() - start
        }
        guard isCounted else { return }
        bare.append(times[0])
        around.append(times[1])
        if compiled != nil { own.append(times[2]) }
    }

    private func through(_ row: BoundRow, _ values: [Float]) throws {
        let memory = row.floats(input)
        values.withUnsafeBufferPointer { memory.baseAddress!.update(from: $0.baseAddress!, count: $0.count) }
        try row.run()
    }

    func middle(_ times: [UInt64]) -> Double { times.isEmpty ? 0 : Double(times.sorted()[times.count / 2]) }
}

/// Clients that ask a process again and again.
struct InferLoad {
    struct Found {
        /// Nanoseconds: median, 95th and 99th percentile.
        var middle: Double
        var late: Double
        var tail: Double
        var perProcessorSecond: Double
        var perSecond: Double
    }

    let wire: InferWire
    let requests: Int

    func measure(_ worker: any BenchServer, isBinary: Bool, clients: Int) throws -> Found {
        var failed = 0
        let found = try measure(worker, isBinary: isBinary, clients: clients, failed: &failed) { _ in }
        guard failed == 0 else { throw ValidationError("\(failed) of \(requests) requests failed") }
        return found
    }

    func measure(
        _ worker: any BenchServer, isBinary: Bool, clients: Int, failed: inout Int, before: (Int) throws -> Void
    ) throws -> Found {
        var sockets: [BenchConnection] = []
        for _ in 0..<clients { sockets.append(try BenchConnection(port: worker.port)) }
        let bodies = (0..<64).map { wire.request(seed: UInt64($0), isBinary: isBinary) }
        for turn in 0..<500 { _ = try sockets[turn % clients].ask(bodies[turn % 64]) }
        let (spentBefore, begun) = (worker.processorSeconds, monotonicNanoseconds())
        var times: [UInt64] = []
        times.reserveCapacity(requests)
        // All clients' requests are under way before the first answer is read.
        for turn in 0..<requests / clients {
            try before(turn)
            let start = monotonicNanoseconds()
            for (place, socket) in sockets.enumerated() { try socket.send(bodies[(turn + place) % 64]) }
            for place in sockets.indices {
                do {
                    try sockets[place].receive()
                } catch {
                    failed += 1
                    sockets[place] = try BenchConnection(port: worker.port)
                }
                times.append(monotonicNanoseconds() - start)
            }
        }
        let (spent, elapsed) = (worker.processorSeconds - spentBefore, monotonicNanoseconds() - begun)
        times.sort()
        return Found(
            middle: Double(times[times.count / 2]), late: Double(times[times.count * 95 / 100]),
            tail: Double(times[times.count * 99 / 100]),
            perProcessorSecond: Double(times.count) / max(spent, 0.01), perSecond: Double(times.count) * 1e9 / Double(elapsed))
    }
}

/// Requests of one row as they go over the wire.
struct InferWire {
    let model: String
    let input: String
    let width: Int

    func request(seed: UInt64, isBinary: Bool) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<width).map { _ in (Float.random(in: -5..<60, using: &generator) * 10).rounded() / 10 }
        var json = "{\"inputs\":[{\"name\":\"\(input)\",\"shape\":[1,\(width)],\"datatype\":\"FP32\""
        var behind: [UInt8] = []
        if isBinary {
            behind = values.flatMap { value in withUnsafeBytes(of: value) { Array($0) } }
            json += ",\"parameters\":{\"binary_data_size\":\(behind.count)}}],\"parameters\":{\"binary_data_output\":true}}"
        } else {
            json += ",\"data\":[\(values.map { "\($0)" }.joined(separator: ","))]}]}"
        }
        var head = "POST /v2/models/\(model)/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        if isBinary { head += "Inference-Header-Content-Length: \(json.utf8.count)\r\n" }
        head += "Content-Length: \(json.utf8.count + behind.count)\r\n\r\n"
        return Array(head.utf8) + Array(json.utf8) + behind
    }
}

/// A client's connection that does no more than it must: the time of a client that reads heads as texts would be measured as the server's.
final class BenchConnection {
    private let socket: Int32
    private let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)
    private static let bufferBytes = 1 << 16
    /// The head of the answer before, and the bytes of its body: most answers have the same.
    private var lastHead: [UInt8] = []
    private var lastLength = 0

    init(port: Int) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else { throw ValidationError("127.0.0.1:\(port) does not answer: \(String(cString: strerror(errno)))") }
        var one: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit {
        close(socket)
        buffer.deallocate()
    }

    func ask(_ request: [UInt8]) throws {
        try send(request)
        try receive()
    }

    func send(_ request: [UInt8]) throws {
        let count = request.withUnsafeBytes { Glibc.send(socket, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL)) }
        guard count == request.count else { throw ValidationError("a request was not taken: \(String(cString: strerror(errno)))") }
    }

    /// Reads one answer; its status must be 200.
    func receive() throws {
        var filled = 0
        while true {
            let count = recv(socket, buffer + filled, Self.bufferBytes - filled, 0)
            guard count > 0 else { throw ValidationError("the worker ended a connection") }
            filled += count
            if let whole = try wholeCount(filled), filled >= whole { return }
            // A server that sends head and body apart would wait for the first's acknowledgement, 40 ms late, and be measured by that.
            var now: Int32 = 1
            setsockopt(socket, Int32(IPPROTO_TCP), Int32(TCP_QUICKACK), &now, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    /// Bytes of the answer that has begun to arrive; nil before its head is there.
    private func wholeCount(_ filled: Int) throws -> Int? {
        let isKnown = !lastHead.isEmpty && filled >= lastHead.count && memcmp(buffer, lastHead, lastHead.count) == 0
        if isKnown { return lastHead.count + lastLength }
        guard let end = headEnd(filled) else { return nil }
        let head = String(decoding: UnsafeBufferPointer(start: buffer, count: end), as: UTF8.self)
        guard head.hasPrefix("HTTP/1.1 200"),
            let mark = head.firstRange(of: "Content-Length: ") ?? head.firstRange(of: "content-length: "),
            let length = Int(head[mark.upperBound...].prefix { $0.isNumber })
        else {
            let text = String(decoding: UnsafeBufferPointer(start: buffer, count: min(filled, 300)), as: UTF8.self)
            throw ValidationError("the worker answered \(text)")
        }
        (lastHead, lastLength) = (Array(UnsafeBufferPointer(start: buffer, count: end)), length)
        return end + length
    }

    private func headEnd(_ count: Int) -> Int? {
        var place = 0
        while place + 3 < count {
            if buffer[place] == 13, buffer[place + 1] == 10, buffer[place + 2] == 13, buffer[place + 3] == 10 { return place + 4 }
            place += 1
        }
        return nil
    }
}

/// Triton's own client for Python as the load: one, with keep-alive.
struct TritonLoad {
    private static let folder = ".deps/python-triton"
    let width: Int
    let requests: Int

    /// - Returns: nil where it is not installed.
    func measure(_ server: any BenchServer, isBinary: Bool) throws -> InferLoad.Found? {
        guard access(Self.folder + "/tritonclient", F_OK) == 0 else { return nil }
        let (spentBefore, begun) = (server.processorSeconds, monotonicNanoseconds())
        let command =
            "PYTHONPATH=\(Self.folder) exec python3 scripts/triton-load.py \(server.port) \(width) \(requests) \(isBinary ? "bytes" : "json")"
        guard let pipe = popen(command, "r") else { throw ValidationError("python3: \(String(cString: strerror(errno)))") }
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = fread(&buffer, 1, buffer.count, pipe)
        let status = pclose(pipe)
        let numbers = String(decoding: buffer.prefix(count), as: UTF8.self).split { $0.isWhitespace }.compactMap { Double($0) }
        guard status == 0, numbers.count == 2 else {
            throw ValidationError("scripts/triton-load.py ended with \(status): run scripts/bootstrap again, or remove \(Self.folder)")
        }
        let spent = max(server.processorSeconds - spentBefore, 0.01), elapsed = Double(monotonicNanoseconds() - begun)
        return InferLoad.Found(
            middle: numbers[0], late: .nan, tail: numbers[1], perProcessorSecond: Double(requests + 200) / spent,
            perSecond: Double(requests) * 1e9 / elapsed)
    }
}

/// A process that answers requests.
protocol BenchServer {
    var port: Int { get }
    var processID: pid_t { get }
}

extension BenchServer {
    /// Spent by the process so far, within it and for it.
    var processorSeconds: Double {
        // utime and stime stand 11 and 12 fields behind the name in brackets.
        let text = (try? ProcessFiles.read("/proc/\(processID)/stat")) ?? ""
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    var residentBytes: Int {
        ((try? ProcessFiles.read("/proc/\(processID)/statm")) ?? "").split(separator: " ").dropFirst().first.flatMap { Int($0) }.map {
            $0 * Int(getpagesize())
        } ?? 0
    }

    func end() {
        kill(processID, SIGTERM)
        var status: Int32 = 0
        for _ in 0..<500 {
            if waitpid(processID, &status, WNOHANG) != 0 { return }
            usleep(10_000)
        }
        kill(processID, SIGKILL)
        waitpid(processID, &status, 0)
    }

    /// Starts a program and waits until it answers.
    static func start(_ words: [String], _ variables: [String: String], port: Int, path: String) throws -> pid_t {
        let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        let values: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        var child: pid_t = 0
        let failure = posix_spawnp(&child, words[0], nil, nil, arguments, values)
        for pointer in arguments + values { free(pointer) }
        guard failure == 0 else { throw ValidationError("\(words[0]): \(String(cString: strerror(failure)))") }
        for _ in 0..<6000 {
            if (try? BenchConnection(port: port).ask(Array("GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".utf8))) != nil { return child }
            var status: Int32 = 0
            guard waitpid(child, &status, WNOHANG) == 0 else { throw ValidationError("\(words.joined(separator: " ").prefix(80)) ended") }
            usleep(10_000)
        }
        kill(child, SIGKILL)
        throw ValidationError("\(words.joined(separator: " ").prefix(80)) did not get ready within 60 seconds")
    }

    /// A port that was free a moment ago.
    static func freePort() throws -> Int {
        let probe = try LoopServer(host: "127.0.0.1", port: 0, handler: Nobody())
        defer {
            probe.end()
            probe.run()
        }
        return probe.port
    }
}

private final class Nobody: LoopHandler {
    func answers(to requests: [LoopRequest]) -> [LoopAnswer] { requests.map { _ in .now(LoopResponse(404, [])) } }
    func stream(for head: LoopHead) throws(ServingRefusal) -> (any LoopStream)? { nil }
}

/// `skerry worker infer` as a child.
final class ServingProcess: BenchServer {
    let port: Int
    let processID: pid_t

    init(model: String, _ more: [String: String] = [:]) throws {
        port = try Self.freePort()
        var variables = environment().merging(more) { $1 }
        for (name, value) in ["MODEL_URL": model, "MODEL_NAME": "bench", "INFERENCE_PORT": "\(port)"] { variables[name] = value }
        variables["LC_SERVER"] = nil
        processID = try Self.start([programPath(), "worker", "infer"], variables, port: port, path: "/v2/health/ready")
    }
}

/// FastAPI with ONNX Runtime, one process of one thread, as its documentation has it.
final class PeerProcess: BenchServer {
    let port: Int
    let processID: pid_t
    private static let folder = ".deps/python-inference-peer"

    /// - Returns: nil where it is not installed.
    init?(model: String) throws {
        guard access(Self.folder + "/fastapi", F_OK) == 0 else { return nil }
        port = try Self.freePort()
        var variables = environment()
        variables["PYTHONPATH"] = Self.folder
        processID = try Self.start(["python3", "scripts/inference-peer.py", model, "\(port)"], variables, port: port, path: "/ready")
    }
}

/// Files of /proc, which say no size.
enum ProcessFiles {
    static func read(_ path: String) throws -> String {
        guard let file = fopen(path, "r") else { throw ValidationError("\(path): \(String(cString: strerror(errno)))") }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    static func bytes(_ path: String) throws -> [UInt8] { try InferenceWorker.read(path, limit: ModelLimits.edge.bytes) }
}

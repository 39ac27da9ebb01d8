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
        abstract: "A serving worker over HTTP: time and processor time of a request, memory, requests together, a swap under load.",
        discussion: """
            Starts `skerry worker infer` as a process and asks it over the loopback with keep-alive, one row a request. The bare figure is ONNX Runtime's C API in \
            this process, in memory bound once. Load and worker share the machine.
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
        var table = AlignedTable(["WHAT", "P50 µS", "P99 µS", "PER CPU-SECOND", "RSS MIB"])
        try bare(file, &table)
        let worker = try ServingProcess(model: model)
        defer { worker.end() }
        let wire = InferWire(model: "bench", featureCount: names.features.count)
        for (label, isBinary, count) in [
            ("JSON, one client", false, 1), ("bytes, one client", true, 1), ("JSON, \(clients) clients", false, clients),
        ] {
            let found = try measure(worker, wire, isBinary: isBinary, clients: count)
            table.rows.append([
                "HTTP \(label)", fixed(found.middle / 1000, decimals: 1), fixed(found.tail / 1000, decimals: 1),
                "\(Int(found.perProcessorSecond))",
                fixed(Double(worker.residentBytes) / 1_048_576, decimals: 1),
            ])
        }
        writeError("\(model), \(file.bytes.count) bytes; \(requests) requests of one row each, keep-alive on 127.0.0.1")
        try say(table.text(output))
    }

    private func bare(_ file: ModelFile, _ table: inout AlignedTable) throws {
        let session = try InferenceSession(try ONNXRuntime(candidates: onnxRuntimeCandidates()), file)
        let tensors = try session.tensors(rows: 1)
        var times: [UInt64] = []
        for turn in 0..<requests + 1000 {
            let start = monotonicNanoseconds()
            try session.run(tensors)
            if turn >= 1000 { times.append(monotonicNanoseconds() - start) }
        }
        times.sort()
        table.rows.append([
            "bare ONNX Runtime call", fixed(Double(times[times.count / 2]) / 1000, decimals: 1),
            fixed(Double(times[times.count * 99 / 100]) / 1000, decimals: 1), "", "",
        ])
    }

    private struct Found {
        var middle: Double
        var tail: Double
        var perProcessorSecond: Double
    }

    private func measure(_ worker: ServingProcess, _ wire: InferWire, isBinary: Bool, clients: Int) throws -> Found {
        var sockets: [BenchConnection] = []
        for _ in 0..<clients { sockets.append(try BenchConnection(port: worker.port)) }
        let bodies = (0..<64).map { wire.request(seed: UInt64($0), isBinary: isBinary) }
        for turn in 0..<500 { _ = try sockets[turn % clients].ask(bodies[turn % 64]) }
        let before = worker.processorSeconds
        var times: [UInt64] = []
        times.reserveCapacity(requests)
        // All clients' requests are under way before the first answer is read.
        for turn in 0..<requests / clients {
            let start = monotonicNanoseconds()
            for (place, socket) in sockets.enumerated() { try socket.send(bodies[(turn + place) % 64]) }
            for socket in sockets {
                try socket.receive()
                times.append(monotonicNanoseconds() - start)
            }
        }
        let spent = worker.processorSeconds - before
        times.sort()
        return Found(
            middle: Double(times[times.count / 2]), tail: Double(times[times.count * 99 / 100]),
            perProcessorSecond: Double(times.count) / max(spent, 0.01))
    }
}

/// Requests of one row as they go over the wire.
struct InferWire {
    let model: String
    let featureCount: Int

    func request(seed: UInt64, isBinary: Bool) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<featureCount).map { _ in (Float.random(in: -5..<60, using: &generator) * 10).rounded() / 10 }
        var json = "{\"inputs\":[{\"name\":\"features\",\"shape\":[1,\(featureCount)],\"datatype\":\"FP32\""
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

/// A client's connection that does no more than it must.
final class BenchConnection {
    private let socket: Int32
    private var buffer = [UInt8](repeating: 0, count: 1 << 16)

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

    deinit { close(socket) }

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
            let count = buffer.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + filled, $0.count - filled, 0) }
            guard count > 0 else { throw ValidationError("the worker ended a connection") }
            filled += count
            let text = buffer[..<filled]
            guard let end = Self.headEnd(text) else { continue }
            let head = String(decoding: text[..<end], as: UTF8.self)
            guard head.hasPrefix("HTTP/1.1 200"), let mark = head.firstRange(of: "Content-Length: "),
                let length = Int(head[mark.upperBound...].prefix { $0.isNumber })
            else { throw ValidationError("the worker answered \(String(decoding: text, as: UTF8.self).prefix(300))") }
            if filled >= end + length { return }
        }
    }

    private static func headEnd(_ bytes: ArraySlice<UInt8>) -> Int? {
        var place = 0
        while place + 3 < bytes.count {
            if bytes[place] == 13, bytes[place + 1] == 10, bytes[place + 2] == 13, bytes[place + 3] == 10 { return place + 4 }
            place += 1
        }
        return nil
    }
}

/// `skerry worker infer` as a child.
final class ServingProcess {
    let port: Int
    private let processID: pid_t

    init(model: String) throws {
        // A port that was free a moment ago.
        let probe = try LoopServer(host: "127.0.0.1", port: 0, handler: Nobody())
        port = probe.port
        probe.end()
        probe.run()
        var variables = environment()
        for (name, value) in ["MODEL_URL": model, "MODEL_NAME": "bench", "INFERENCE_PORT": "\(port)"] { variables[name] = value }
        variables["LC_SERVER"] = nil
        let arguments = [programPath(), "worker", "infer"].map { strdup($0) } + [nil]
        let values = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        var child: pid_t = 0
        let failure = posix_spawn(&child, programPath(), nil, nil, arguments, values)
        for pointer in arguments + values { free(pointer) }
        guard failure == 0 else { throw ValidationError("\(programPath()): \(String(cString: strerror(failure)))") }
        processID = child
        for _ in 0..<3000 {
            if (try? BenchConnection(port: port).ask(Array("GET /v2/health/ready HTTP/1.1\r\n\r\n".utf8))) != nil { return }
            usleep(10_000)
        }
        throw ValidationError("the worker did not get ready within 30 seconds")
    }

    func end() {
        kill(processID, SIGTERM)
        var status: Int32 = 0
        waitpid(processID, &status, 0)
    }

    /// Spent by the worker so far, within it and for it.
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

    private final class Nobody: LoopHandler {
        func answers(to requests: [LoopRequest]) -> [LoopAnswer] { requests.map { _ in .now(LoopResponse(404, [])) } }
        func stream(for head: LoopHead) throws(ServingRefusal) -> (any LoopStream)? { nil }
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
}

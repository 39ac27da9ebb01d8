import Identity
import Network
import Resources
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `skerry cloud` in a process of its own, spoken to over TLS as clients do.
final class CloudBench {
    private static let pods = "/api/v1/namespaces/default/pods"
    private static let nodeCount = 100
    let process: BenchProcess
    /// As its administrator; a connection for each request under way.
    let client: PooledHTTPClient
    /// Of its administrator.
    private let kubeconfig: String
    private let names = BenchNumbers()
    /// From the program's start to its first answer, in seconds.
    let startSeconds: Double

    private init(_ process: BenchProcess, _ client: PooledHTTPClient, kubeconfig: String, startSeconds: Double) {
        self.process = process
        self.client = client
        self.kubeconfig = kubeconfig
        self.startSeconds = startSeconds
    }

    /// Starts one and waits until it is ready.
    ///
    /// - Parameters:
    ///   - program: path of this program.
    ///   - folder: data directory, new or with a store from before.
    static func start(program: String, folder: String) async throws -> CloudBench {
        let start = ContinuousClock.now
        let log = folder + ".log"
        // Its nodes have no agents: they must not fall silent while it is measured.
        let settings = folder + ".yaml"
        try "nodes: {grace: 1h}\n".write(to: URL(filePath: settings), atomically: true, encoding: .utf8)
        let process = try BenchProcess(
            [program, "cloud", "serve", "--data-dir", folder, "--listen", "127.0.0.1:0", "--no-node", "--config", settings], output: log)
        try await waitUntilServing(process, log)
        let kubeconfig = folder + "/admin.kubeconfig"
        let client = try administrator(kubeconfig: kubeconfig, BenchConnections.limits)
        let answer = try await client.send(HTTPRequest(method: "GET", path: "/readyz"))
        guard answer.status == 200 else { throw CloudError("the cloud under measurement is not ready: \(answer.status)") }
        return CloudBench(process, client, kubeconfig: kubeconfig, startSeconds: (ContinuousClock.now - start) / .seconds(1))
    }

    private static func waitUntilServing(_ process: BenchProcess, _ log: String) async throws {
        while true {
            let text = (try? String(contentsOf: URL(filePath: log), encoding: .utf8)) ?? ""
            if text.contains("export KUBECONFIG") { return }
            guard process.isRunning else { throw CloudError("the cloud under measurement ended: \(text)") }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    /// A client with all rights, of a kubeconfig that a cloud has written.
    static func administrator(kubeconfig path: String, _ limits: HTTPClientLimits) throws -> PooledHTTPClient {
        let (port, trust) = try access(kubeconfig: path)
        return try PooledHTTPClient(host: "127.0.0.1", port: port, trust: trust, limits: limits)
    }

    fileprivate static func access(kubeconfig path: String) throws -> (port: Int, trust: TLSTrust) {
        let kubeconfig = try String(contentsOf: URL(filePath: path), encoding: .utf8)
        func value(_ key: String) -> String {
            let line = kubeconfig.split(separator: "\n").first { $0.contains("\(key): ") } ?? ""
            return line.firstIndex(of: ":").map { String(line[$0...].dropFirst(2)) } ?? ""
        }
        func pem(_ key: String) -> String { String(decoding: Base64.decode(value(key)) ?? [], as: UTF8.self) }
        var trust = TLSTrust()
        trust.chainPEM = pem("client-certificate-data")
        trust.keyPEM = pem("client-key-data")
        trust.trustedPEM = pem("certificate-authority-data")
        return (value("server").split(separator: ":").last.flatMap { Int($0) } ?? 0, trust)
    }

    /// Ends it and its connections.
    func stop() async {
        await client.close()
        process.stop()
    }

    /// Nodes that are ready and stay so, for the Pods to be on.
    func addNodes() async throws {
        for number in 0..<Self.nodeCount {
            let name = JSON.string("edge-\(number)")
            let lease: JSON = [
                "metadata": ["name": name],
                "spec": ["holderIdentity": name, "renewTime": "2100-01-01T00:00:00.000000Z", "leaseDurationSeconds": 40],
            ]
            let node: JSON = [
                "metadata": ["name": name],
                "status": [
                    "allocatable": ["cpu": "64", "memory": "64Gi", "pods": 1000],
                    "conditions": [["type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"]],
                ],
            ]
            for (path, object) in [
                ("/api/v1/nodes", node), ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease),
            ] {
                let answer = try await client.send(
                    HTTPRequest(method: "POST", path: path, headers: ["Content-Type": "application/json"], body: object.bytes()))
                guard answer.status == 201 else { throw CloudError("\(path) was answered \(answer.status)") }
            }
        }
    }

    /// A request that makes a new Pod, with the time in it.
    private func create() -> @Sendable () -> HTTPRequest {
        { [names] in
            let number = names.next()
            let pod: JSON = [
                "apiVersion": "v1", "kind": "Pod",
                "metadata": [
                    "name": .string("pod-\(names.prefix)-\(number)"), "labels": ["app": "bench"],
                    "annotations": ["sent": .string(String(BenchWatcher.nanoseconds()))],
                ],
                "spec": [
                    "nodeName": .string("edge-\(number % Self.nodeCount)"),
                    "containers": [["name": "c", "image": "example/image:1", "env": [["name": "A", "value": "1"]]]],
                ],
            ]
            return HTTPRequest(method: "POST", path: Self.pods, headers: ["Content-Type": "application/json"], body: pod.bytes())
        }
    }

    func creates(_ writers: Int, seconds: Double) async -> BenchConnections.Rate {
        await BenchConnections.connect(client, writers)
        return await BenchConnections.rate(client, writers: writers, process, seconds: seconds, create())
    }

    func createLatencies(rate: Double, seconds: Double) async -> [Double] {
        // A request that finds no connection makes one, and handshakes are not what is measured.
        await BenchConnections.connect(client, 64)
        return await BenchConnections.latencies(client, rate: rate, seconds: seconds, create())
    }

    /// Makes so many Pods.
    func fill(_ count: Int) async throws {
        let left = BenchNumbers()
        let request = create()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<32 {
                group.addTask { [client] in
                    while left.next() <= count {
                        let answer = try await client.send(request())
                        guard answer.status == 201 else { throw CloudError("a Pod was answered \(answer.status)") }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    struct Watched {
        var lagP50 = 0.0
        var lagP99 = 0.0
        var lost = 0
        var outOfOrder = 0
        /// Of the server, with those who write connected.
        var memoryBeforeMB = 0.0
        var memoryMB = 0.0
        var cpuSeconds = 0.0
        /// Of this process: of those who watch and write.
        var clientCPUSeconds = 0.0
        var perSecond = 0.0
        /// From sending a Pod to the answer, while all of them watch.
        var createP50 = 0.0
        var createP99 = 0.0
    }

    /// Watches while Pods are made at a rate; lags count from before each Pod was sent.
    ///
    /// - Parameters:
    ///   - perConnection: watches on one connection, of HTTP/2 if there is more than one.
    ///   - settling: seconds between the last connection or watch and the server's memory being looked at.
    func watch(_ count: Int, perConnection: Int, rate: Double, seconds: Double, settling: Int) async throws -> Watched {
        let watching = try BenchWatching(kubeconfig: kubeconfig, perConnection: perConnection)
        let watched: Watched
        do { watched = try await watch(count, over: watching, rate: rate, seconds: seconds, settling: settling) } catch {
            await watching.close()
            throw error
        }
        await watching.close()
        // Their connections take a while to close, which is not to be part of what is measured next.
        try await Task.sleep(for: .seconds(1))
        return watched
    }

    private func watch(_ count: Int, over watching: BenchWatching, rate: Double, seconds: Double, settling: Int) async throws -> Watched {
        let writers = 8
        await BenchConnections.connect(client, writers)
        let list = try await client.send(HTTPRequest(method: "GET", path: Self.pods, query: "limit=1"))
        guard let revision = (try? JSONParser.parse(list.body))?["metadata"]?["resourceVersion"]?.string else {
            throw CloudError("the list was answered \(list.status)")
        }
        try await Task.sleep(for: .seconds(settling))
        var result = Watched()
        result.memoryBeforeMB = process.memoryMB
        let watchers = (0..<count).map { _ in BenchWatcher() }
        let watch = HTTPRequest(method: "GET", path: Self.pods, query: "watch=true&resourceVersion=\(revision)")
        try await watching.begin(watchers, watch)
        try await Task.sleep(for: .seconds(settling))
        result.memoryMB = process.memoryMB
        let cpu = process.cpuSeconds
        let clientCPU = APIBench.cpuSeconds()
        let start = ContinuousClock.now
        let total = Int(rate * seconds)
        let request = create()
        let done = BenchNumbers()
        let latencies = await withTaskGroup(of: [Double].self) { group in
            for number in 0..<writers {
                group.addTask { [client] in
                    var latencies: [Double] = []
                    for index in stride(from: number, to: total, by: writers) {
                        try? await Task.sleep(until: start + .seconds(Double(index) / rate))
                        let begin = ContinuousClock.now
                        guard let status = (try? await client.send(request()))?.status, status == 201 else { continue }
                        latencies.append((ContinuousClock.now - begin) / .seconds(1))
                        _ = done.next()
                    }
                    return latencies
                }
            }
            return await group.reduce(into: []) { $0 += $1 }.sorted()
        }
        if !latencies.isEmpty {
            (result.createP50, result.createP99) = (latencies[latencies.count / 2], latencies[latencies.count * 99 / 100])
        }
        let time = (ContinuousClock.now - start) / .seconds(1)
        let made = done.count.load(ordering: .relaxed)
        // What is late is lag; what has not come after half a minute is lost.
        for _ in 0..<300 {
            if watchers.allSatisfy({ $0.result().lagsSeconds.count >= made || $0.result().hasEnded }) { break }
            try await Task.sleep(for: .milliseconds(100))
        }
        result.cpuSeconds = process.cpuSeconds - cpu
        result.clientCPUSeconds = APIBench.cpuSeconds() - clientCPU
        result.perSecond = Double(made) / time
        var lags: [Double] = []
        for watcher in watchers {
            let seen = watcher.result()
            lags += seen.lagsSeconds
            result.lost += max(0, made - seen.lagsSeconds.count)
            result.outOfOrder += seen.outOfOrder
        }
        lags.sort()
        if !lags.isEmpty { (result.lagP50, result.lagP99) = (lags[lags.count / 2], lags[lags.count * 99 / 100]) }
        return result
    }
}

/// How a measurement's watchers are connected: with a connection each, as browsers and scripts are, or many on one of HTTP/2, as the informers of a
/// controller are.
private final class BenchWatching: Sendable {
    private let perConnection: Int
    private let single: PooledHTTPClient
    private let shared: AnswerFollower

    init(kubeconfig: String, perConnection: Int) throws {
        self.perConnection = perConnection
        let (port, trust) = try CloudBench.access(kubeconfig: kubeconfig)
        single = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: trust, limits: BenchConnections.limits)
        shared = try AnswerFollower(host: "127.0.0.1", port: port, trust: trust)
    }

    /// Returns once all watches are open.
    func begin(_ watchers: [BenchWatcher], _ request: HTTPRequest) async throws {
        // Not all handshakes at once: each is given its time.
        let atOnce = 32 * perConnection
        for start in stride(from: 0, to: watchers.count, by: atOnce) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                let end = min(start + atOnce, watchers.count)
                for first in stride(from: start, to: end, by: perConnection) {
                    let together = Array(watchers[first..<min(first + perConnection, end)])
                    group.addTask { [self] in try await connect(together, request) }
                }
                try await group.waitForAll()
            }
        }
    }

    private func connect(_ watchers: [BenchWatcher], _ request: HTTPRequest) async throws {
        if perConnection == 1 { return try await watchers[0].begin(single, request) }
        try await shared.follow(watchers.map { _ in request }) { number, bytes in watchers[number].take(bytes) }
    }

    func close() async {
        await single.close()
        await shared.close()
    }
}

/// Numbers that are each given once.
final class BenchNumbers: Sendable {
    let count = Atomic(0)
    /// Not that of another run over the same store.
    let prefix = String(UInt32.random(in: 0 ... .max), radix: 36)
    func next() -> Int { count.add(1, ordering: .relaxed).newValue }
}

/// Debian's etcd beside it: durable puts over its JSON gateway, without TLS.
final class EtcdBench {
    let process: BenchProcess
    private let client: PooledHTTPClient
    private let names = BenchNumbers()

    /// Where `scripts/unpack-etcd` puts it, or PATH; nil without one.
    static var program: String? {
        let folders = getenv("PATH").map { String(cString: $0).split(separator: ":").map(String.init) } ?? []
        return ([".deps/etcd"] + folders).map { "\($0)/etcd" }.first { access($0, X_OK) == 0 }
    }

    init(program: String, folder: String) async throws {
        let free = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: Nobody())
        let peers = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: Nobody())
        let port = free.port
        client = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil, limits: BenchConnections.limits)
        await free.stop()
        await peers.stop()
        process = try BenchProcess(
            [
                program, "--data-dir", folder, "--listen-client-urls", "http://127.0.0.1:\(port)", "--advertise-client-urls",
                "http://127.0.0.1:\(port)", "--listen-peer-urls", "http://127.0.0.1:\(peers.port)", "--initial-advertise-peer-urls",
                "http://127.0.0.1:\(peers.port)", "--initial-cluster", "default=http://127.0.0.1:\(peers.port)",
            ], output: folder + ".log")
        for _ in 0..<500 {
            if (try? await client.send(HTTPRequest(method: "GET", path: "/health")))?.status == 200 { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw CloudError("etcd does not answer; see \(folder).log")
    }

    private struct Nobody: HTTPResponder {
        func respond(to request: HTTPRequest) async -> HTTPResponse { HTTPResponse(status: 404) }
    }

    /// Ends it and its connections.
    func stop() async {
        await client.close()
        process.stop()
    }

    /// Puts of values as large as a Pod is.
    func puts(_ writers: Int, seconds: Double) async -> BenchConnections.Rate {
        let value = Base64.encode([UInt8](repeating: 0x61, count: 900))
        return await BenchConnections.rate(client, writers: writers, process, seconds: seconds) { [names] in
            let key = Base64.encode(Array("/registry/pods/default/pod-\(names.next())".utf8))
            return HTTPRequest(
                method: "POST", path: "/v3/kv/put", headers: ["Content-Type": "application/json"],
                body: Array("{\"key\":\"\(key)\",\"value\":\"\(value)\"}".utf8))
        }
    }
}

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
    let process: BenchProcess
    private let identity: TLSIdentity
    private let port: Int
    private let names = BenchNumbers()
    /// From the program's start to its first answer, in seconds.
    let startSeconds: Double

    /// - Parameters:
    ///   - program: path of this program.
    ///   - folder: data directory, new or with a store from before.
    init(program: String, folder: String) async throws {
        let start = ContinuousClock.now
        let log = folder + ".log"
        process = try BenchProcess([program, "cloud", "serve", "--data-dir", folder, "--listen", "127.0.0.1:0", "--no-node"], output: log)
        var text = ""
        while !text.contains("export KUBECONFIG") {
            guard process.isRunning else { throw CloudError("the cloud under measurement ended: \(text)") }
            try await Task.sleep(for: .milliseconds(1))
            text = (try? String(contentsOf: URL(filePath: log), encoding: .utf8)) ?? ""
        }
        let kubeconfig = try String(contentsOf: URL(filePath: folder + "/admin.kubeconfig"), encoding: .utf8)
        func value(_ key: String) -> String {
            let line = kubeconfig.split(separator: "\n").first { $0.contains("\(key): ") } ?? ""
            return line.firstIndex(of: ":").map { String(line[$0...].dropFirst(2)) } ?? ""
        }
        func pem(_ key: String) -> String { String(decoding: Base64.decode(value(key)) ?? [], as: UTF8.self) }
        port = value("server").split(separator: ":").last.flatMap { Int($0) } ?? 0
        identity = TLSIdentity(
            chainPEM: pem("client-certificate-data"), keyPEM: pem("client-key-data"), trustedPEM: pem("certificate-authority-data"))
        let client = try await HTTPClient.connect(host: "127.0.0.1", port: port, tls: identity)
        _ = try await client.send(HTTPRequest(method: "GET", path: "/readyz"))
        startSeconds = (ContinuousClock.now - start) / .seconds(1)
    }

    func clients(_ count: Int) async throws -> [HTTPClient] {
        var clients: [HTTPClient] = []
        for _ in 0..<count {
            let client = try await HTTPClient.connect(host: "127.0.0.1", port: port, tls: identity)
            // Its handshake is not part of what is measured.
            _ = try await client.send(HTTPRequest(method: "GET", path: "/livez"))
            clients.append(client)
        }
        return clients
    }

    /// A request that makes a new Pod, with the time in it.
    private func create() -> @Sendable () -> HTTPRequest {
        { [names] in
            let pod: JSON = [
                "apiVersion": "v1", "kind": "Pod",
                "metadata": [
                    "name": .string("pod-\(names.next())"), "labels": ["app": "bench"],
                    "annotations": ["sent": .string(String(BenchWatcher.nanoseconds()))],
                ],
                "spec": [
                    "nodeName": "edge-1", "containers": [["name": "c", "image": "example/image:1", "env": [["name": "A", "value": "1"]]]],
                ],
            ]
            return HTTPRequest(method: "POST", path: Self.pods, headers: ["Content-Type": "application/json"], body: pod.bytes())
        }
    }

    func creates(_ clients: [HTTPClient], seconds: Double) async -> BenchConnections.Rate {
        await BenchConnections.rate(clients, process, seconds: seconds, create())
    }

    /// Makes so many Pods.
    func fill(_ count: Int) async throws {
        let left = BenchNumbers()
        let clients = try await clients(32)
        let request = create()
        await withTaskGroup(of: Void.self) { group in
            for client in clients { group.addTask { while left.next() <= count { _ = try? await client.send(request()) } } }
        }
    }

    struct Watched {
        var lagP50 = 0.0
        var lagP99 = 0.0
        var lost = 0
        var outOfOrder = 0
        var memoryMB = 0.0
        var cpuSeconds = 0.0
        var perSecond = 0.0
    }

    /// Watches over connections of their own while Pods are made at a rate; lags count from before each Pod was sent.
    func watch(_ count: Int, rate: Double, seconds: Double) async throws -> Watched {
        let writers = try await clients(8)
        let list = try await writers[0].send(HTTPRequest(method: "GET", path: Self.pods, query: "limit=1"))
        guard case .bytes(let bytes) = list.body, let revision = (try? JSONParser.parse(bytes))?["metadata"]?["resourceVersion"]?.string
        else {
            throw CloudError("the list was answered \(list.status)")
        }
        let watchers = try await clients(count).map { BenchWatcher($0) }
        for watcher in watchers {
            watcher.begin(HTTPRequest(method: "GET", path: Self.pods, query: "watch=true&resourceVersion=\(revision)"))
        }
        for watcher in watchers { while !watcher.isOpen { try await Task.sleep(for: .milliseconds(2)) } }
        var result = Watched()
        result.memoryMB = process.memoryMB
        let cpu = process.cpuSeconds
        let start = ContinuousClock.now
        let total = Int(rate * seconds)
        let request = create()
        let done = BenchNumbers()
        await withTaskGroup(of: Void.self) { group in
            for (number, writer) in writers.enumerated() {
                group.addTask {
                    for index in stride(from: number, to: total, by: writers.count) {
                        try? await Task.sleep(until: start + .seconds(Double(index) / rate))
                        if let status = (try? await writer.send(request()))?.status, status == 201 { _ = done.next() }
                    }
                }
            }
        }
        let time = (ContinuousClock.now - start) / .seconds(1)
        let made = done.count.load(ordering: .relaxed)
        // What is late is lag; what has not come after half a minute is lost.
        for _ in 0..<300 {
            if watchers.allSatisfy({ $0.result().lagsSeconds.count >= made || $0.result().hasEnded }) { break }
            try await Task.sleep(for: .milliseconds(100))
        }
        result.cpuSeconds = process.cpuSeconds - cpu
        result.perSecond = Double(made) / time
        var lags: [Double] = []
        for watcher in watchers {
            let seen = watcher.result()
            lags += seen.lagsSeconds
            result.lost += max(0, made - seen.lagsSeconds.count)
            result.outOfOrder += seen.outOfOrder
            watcher.end()
        }
        lags.sort()
        if !lags.isEmpty { (result.lagP50, result.lagP99) = (lags[lags.count / 2], lags[lags.count * 99 / 100]) }
        return result
    }
}

/// Numbers that are each given once.
final class BenchNumbers: Sendable {
    let count = Atomic(0)
    func next() -> Int { count.add(1, ordering: .relaxed).newValue }
}

/// Debian's etcd beside it: durable puts over its JSON gateway, without TLS.
final class EtcdBench {
    let process: BenchProcess
    private let port: Int
    private let names = BenchNumbers()

    /// Where `scripts/unpack-etcd` puts it, or PATH; nil without one.
    static var program: String? {
        let folders = getenv("PATH").map { String(cString: $0).split(separator: ":").map(String.init) } ?? []
        return ([".deps/etcd"] + folders).map { "\($0)/etcd" }.first { access($0, X_OK) == 0 }
    }

    init(program: String, folder: String) async throws {
        let free = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: Nobody())
        let peers = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: Nobody())
        port = free.port
        await free.stop()
        await peers.stop()
        process = try BenchProcess(
            [
                program, "--data-dir", folder, "--listen-client-urls", "http://127.0.0.1:\(port)", "--advertise-client-urls",
                "http://127.0.0.1:\(port)", "--listen-peer-urls", "http://127.0.0.1:\(peers.port)", "--initial-advertise-peer-urls",
                "http://127.0.0.1:\(peers.port)", "--initial-cluster", "default=http://127.0.0.1:\(peers.port)",
            ], output: folder + ".log")
        for _ in 0..<500 {
            if let client = try? await HTTPClient.connect(host: "127.0.0.1", port: port, tls: nil),
                let response = try? await client.send(HTTPRequest(method: "GET", path: "/health")), response.status == 200
            {
                return
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw CloudError("etcd does not answer; see \(folder).log")
    }

    private struct Nobody: HTTPResponder {
        func respond(to request: HTTPRequest) async -> HTTPResponse { HTTPResponse(status: 404) }
    }

    /// Puts of values as large as a Pod is.
    func puts(_ count: Int, seconds: Double) async throws -> BenchConnections.Rate {
        var clients: [HTTPClient] = []
        for _ in 0..<count { clients.append(try await HTTPClient.connect(host: "127.0.0.1", port: port, tls: nil)) }
        let value = Base64.encode([UInt8](repeating: 0x61, count: 900))
        return await BenchConnections.rate(clients, process, seconds: seconds) { [names] in
            let key = Base64.encode(Array("/registry/pods/default/pod-\(names.next())".utf8))
            return HTTPRequest(
                method: "POST", path: "/v3/kv/put", headers: ["Content-Type": "application/json"],
                body: Array("{\"key\":\"\(key)\",\"value\":\"\(value)\"}".utf8))
        }
    }
}

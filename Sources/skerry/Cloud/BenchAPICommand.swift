import APIServer
import ArgumentParser
import Identity
import Network
import Resources
import Storage
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

/// `skerry bench api`: durable writes by many writers, latency beside the disk's own, lists, watchers, memory, the time to start.
///
/// First in this process, without a network: admission, group commit, the disk, lists. Then a `skerry cloud` of its own over TLS, whose
/// processor time and memory are its own, and etcd beside it where there is one (scripts/unpack-etcd).
struct BenchAPICommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "api", abstract: "Measure the embedded Kubernetes API on this disk.")

    @Option(help: "Folder on the disk to measure; a new folder is made in it and removed.") var dataDir = FileManager.default
        .temporaryDirectory.path
    @Option(help: "Seconds for each number of writers.") var seconds = 2
    @Option(help: "Objects in the list.") var objects = 10_000
    @Option(help: "Watchers.") var watchers = 1000
    @Option(help: "Milliseconds that a sync takes on the slow disk on which writers are measured too; 0 for none.") var syncTakes = 2
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table

    func validate() throws {
        if seconds < 1 || objects < 1 || watchers < 1 { throw ValidationError("--seconds, --objects and --watchers need at least 1") }
        if !(0...1000).contains(syncTakes) { throw ValidationError("--sync-takes is 0 to 1000 milliseconds, found \(syncTakes)") }
    }

    func run() async throws {
        let folder = "\(dataDir)/skerry-bench-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var table = AlignedTable(["figure", "value", "unit"])
        try await measure(folder, &table)
        // The first store is gone, and with it its lock on the file.
        let start = ContinuousClock.now
        let opened = try await APIBench(store: "\(folder)/objects.db")
        table.rows.append(["open a store of \(objects) Pods", fixed((ContinuousClock.now - start) / .milliseconds(1), decimals: 1), "ms"])
        opened.close()
        try await measureServer(folder, &table)
        try await measureEtcd(folder, &table)
        try say(table.text(output))
    }

    private static let writerCounts = [1, 16, 64, 256]

    private func measureServer(_ folder: String, _ table: inout AlignedTable) async throws {
        func add(_ figure: String, _ value: Double, _ unit: String, decimals: Int = 1) {
            table.rows.append([figure, fixed(value, decimals: decimals), unit])
        }
        let program = "/proc/self/exe"
        let idle = try await CloudBench.start(program: program, folder: "\(folder)/cloud")
        add("skerry cloud, start to ready on an empty folder", idle.startSeconds * 1000, "ms")
        try await Task.sleep(for: .seconds(1))
        add("  memory idle, resident", idle.process.memoryMB, "MB")
        add("    proportional", idle.process.proportionalMemoryMB, "MB")
        add("    private", idle.process.privateMemoryMB, "MB")
        try await idle.addNodes()
        try await idle.fill(objects)
        await idle.stop()
        var cloud = try await CloudBench.start(program: program, folder: "\(folder)/cloud")
        add("  start to ready with \(objects) Pods", cloud.startSeconds * 1000, "ms")
        try await Task.sleep(for: .seconds(Self.settlingSeconds))
        add("  memory with \(objects) Pods, resident", cloud.process.memoryMB, "MB")
        add("    private", cloud.process.privateMemoryMB, "MB")
        try await measureWatches(cloud, perConnection: 1, &table)
        await cloud.stop()
        // Anew: what the first watches left of the heap would serve the others.
        cloud = try await CloudBench.start(program: program, folder: "\(folder)/cloud")
        try await measureWatches(cloud, perConnection: Self.watchesOfInformers, &table)
        let paced = await cloud.createLatencies(rate: 200, seconds: Double(seconds) * 2)
        if !paced.isEmpty {
            add("  create over TLS at 200/s, p50", paced[paced.count / 2] * 1000, "ms", decimals: 2)
            add("    p99", paced[paced.count * 99 / 100] * 1000, "ms", decimals: 2)
        }
        for count in Self.writerCounts {
            let rate = await cloud.creates(count, seconds: Double(seconds))
            add("  durable creates over TLS, \(count) writers", rate.perSecond, "1/s", decimals: 0)
            add("    a CPU second of the server", rate.perCPUSecond, "", decimals: 0)
            add("    errors", Double(rate.errors), "", decimals: 0)
        }
        await cloud.stop()
    }

    /// Watches of one client, as client-go has them: on one connection of HTTP/2.
    private static let watchesOfInformers = 10

    private func measureWatches(_ cloud: CloudBench, perConnection: Int, _ table: inout AlignedTable) async throws {
        func add(_ figure: String, _ value: Double, _ unit: String, decimals: Int = 1) {
            table.rows.append([figure, fixed(value, decimals: decimals), unit])
        }
        let watched = try await cloud.watch(
            watchers, perConnection: perConnection, rate: 200, seconds: Double(seconds) * 2, settling: Self.settlingSeconds)
        let connections = perConnection == 1 ? "a connection each" : "\(perConnection) on a connection of HTTP/2"
        let pace = fixed(watched.perSecond, decimals: 0)
        add("  \(watchers) watchers over TLS, \(connections), at \(pace)/s, lag p50", watched.lagP50 * 1000, "ms")
        add("    lag p99", watched.lagP99 * 1000, "ms")
        add("    lost", Double(watched.lost), "", decimals: 0)
        add("    out of order", Double(watched.outOfOrder), "", decimals: 0)
        add("    memory a watcher", (watched.memoryMB - watched.memoryBeforeMB) * 1000 / Double(watchers), "kB")
        add("    CPU of the server", watched.cpuSeconds, "s")
        add("    CPU of the clients", watched.clientCPUSeconds, "s")
        add("    create meanwhile, p50", watched.createP50 * 1000, "ms", decimals: 2)
        add("    create meanwhile, p99", watched.createP99 * 1000, "ms", decimals: 2)
    }

    /// After a start, until what the start took is given back (`HeapKeeper`).
    private static let settlingSeconds = 25

    private func measureEtcd(_ folder: String, _ table: inout AlignedTable) async throws {
        guard let program = EtcdBench.program else {
            table.rows.append(["etcd", "not there: scripts/unpack-etcd", ""])
            return
        }
        let etcd: EtcdBench
        // What was measured before is printed whatever becomes of the other server.
        do { etcd = try await EtcdBench(program: program, folder: "\(folder)/etcd") } catch {
            table.rows.append(["etcd", "\(error)", ""])
            return
        }
        try await Task.sleep(for: .seconds(1))
        table.rows.append(["etcd, memory idle", fixed(etcd.process.memoryMB, decimals: 1), "MB"])
        for count in Self.writerCounts {
            let rate = await etcd.puts(count, seconds: Double(seconds))
            table.rows.append(["  durable puts without TLS, \(count) writers", fixed(rate.perSecond, decimals: 0), "1/s"])
            table.rows.append(["    a CPU second of etcd", fixed(rate.perCPUSecond, decimals: 0), ""])
            table.rows.append(["    errors", String(rate.errors), ""])
        }
        await etcd.stop()
    }

    private func measure(_ folder: String, _ table: inout AlignedTable) async throws {
        func add(_ figure: String, _ value: Double, _ unit: String, decimals: Int = 1) {
            table.rows.append([figure, fixed(value, decimals: decimals), unit])
        }
        let sync = try Self.syncLatencies("\(folder)/sync")
        add("fsync of 4 KiB, p50", sync[sync.count / 2] * 1000, "ms", decimals: 2)
        add("fsync of 4 KiB, p99", sync[sync.count * 99 / 100] * 1000, "ms", decimals: 2)
        let bench = try await APIBench(store: "\(folder)/objects.db")
        await measureWriters(bench, "", &table)
        let paced = await bench.pacedLatencies(rate: 200, seconds: Double(seconds) * 2)
        add("create at 200/s, p50", paced[paced.count / 2] * 1000, "ms", decimals: 2)
        add("create at 200/s, p99", paced[paced.count * 99 / 100] * 1000, "ms", decimals: 2)
        // A disk, and a processor, that rest between writes take longer than those that do not.
        let cold = try await Self.syncLatencies("\(folder)/sync", rate: 200, count: Int(seconds) * 400)
        add("  fsync of 4 KiB at 200/s, p50", cold[cold.count / 2] * 1000, "ms", decimals: 2)
        add("  fsync of 4 KiB at 200/s, p99", cold[cold.count * 99 / 100] * 1000, "ms", decimals: 2)
        add("  p99 of a create in those of such an fsync", paced[paced.count * 99 / 100] / max(1e-9, cold[cold.count * 99 / 100]), "×")
        try await bench.clear()
        try await bench.fill(objects)
        for (name, accept) in [("JSON", "application/json"), ("Table", "application/json;as=Table;v=v1;g=meta.k8s.io")] {
            let (time, bytes) = try await bench.list(accept: accept)
            add("list of \(objects) Pods, \(name)", time * 1000, "ms")
            add("  size", Double(bytes) / 1e6, "MB")
        }
        add("memory of a watch by itself, its connection not counted", try await bench.watchBytes(20_000) / 1000, "kB", decimals: 2)
        bench.close()
        if syncTakes > 0 {
            let slow = try await APIBench(
                store: "\(folder)/slow.db", fileSystem: SlowFileSystem.register(syncTakes: .milliseconds(syncTakes)))
            await measureWriters(slow, ", a sync takes \(syncTakes) ms more", &table)
            slow.close()
        }
    }

    private func measureWriters(_ bench: APIBench, _ disk: String, _ table: inout AlignedTable) async {
        func add(_ figure: String, _ value: Double, _ unit: String, decimals: Int = 1) {
            table.rows.append([figure, fixed(value, decimals: decimals), unit])
        }
        var serial = 0.0
        for count in Self.writerCounts {
            let result = await bench.write(writers: count, seconds: Double(seconds))
            if count == 1 { serial = result.rate }
            add("durable creates\(disk), \(count) writers", result.rate, "1/s", decimals: 0)
            add("  times one writer", result.rate / max(1e-9, serial), "×")
            add("  errors", Double(result.errors), "", decimals: 0)
            add("  CPU a create", result.cpuSeconds / max(1, result.rate * Double(seconds)) * 1e6, "µs")
        }
    }

    /// Times of writing and syncing 4 KiB at a steady rate, sorted, in seconds.
    private static func syncLatencies(_ path: String, rate: Double, count: Int) async throws -> [Double] {
        let start = ContinuousClock.now
        var latencies: [Double] = []
        for index in 0..<count {
            try await Task.sleep(until: start + .seconds(Double(index) / rate))
            latencies += try syncLatencies(path, count: 1)
        }
        return latencies.sorted()
    }

    /// Times of writing and syncing 4 KiB, sorted, in seconds.
    private static func syncLatencies(_ path: String, count: Int = 200) throws -> [Double] {
        let descriptor = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CloudError("cannot write \(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        let page = [UInt8](repeating: 1, count: 4096)
        return (0..<count).map { _ in
            let start = ContinuousClock.now
            _ = Glibc.write(descriptor, page, page.count)
            fsync(descriptor)
            return (ContinuousClock.now - start) / .seconds(1)
        }.sorted()
    }
}

/// A server without a network, and loads for it.
final class APIBench: Sendable {
    private let store: RevisionStore
    private let service: ObjectService
    private let server: APIServer
    private let token: String
    private static let pods = BuiltInKinds.all.first { $0.kind == "Pod" }!
    private let options: WriteOptions
    private let names = Atomic(0)

    /// - Parameter fileSystem: of those registered with SQLite, the one that holds the store; nil for the platform's own.
    init(store path: String, fileSystem: String? = nil) async throws {
        var settings = RevisionStore.Options()
        settings.fileSystem = fileSystem
        store = try RevisionStore(.file(path), settings)
        let random = SystemRandom()
        service = try ObjectService(
            store: store,
            environment: APIEnvironment(now: { Timestamp(seconds: Int64(time(nil))) }, random: { random.next() }))
        try await InitialObjects.make(in: service)
        let tokens = try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM())
        server = APIServer(service: service, tokens: tokens, programVersion: "bench")
        var options = WriteOptions(user: User(name: "bench", groups: ["system:masters"]))
        options.fieldManager = "bench"
        self.options = options
        token = try await Self.makeToken(service, tokens, options)
    }

    /// A token of an account that may do everything.
    private static func makeToken(_ service: ObjectService, _ tokens: ServiceTokens, _ options: WriteOptions) async throws -> String {
        let accounts = BuiltInKinds.all.first { $0.kind == "ServiceAccount" }!
        let bindings = BuiltInKinds.all.first { $0.kind == "ClusterRoleBinding" }!
        var account = try? service.get(accounts, namespace: "default", name: "bench")
        if account == nil {
            account = try await service.create(accounts, namespace: "default", ["metadata": ["name": "bench"]], options).object
            _ = try await service.create(
                bindings, namespace: "",
                [
                    "metadata": ["name": "bench"],
                    "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"],
                    "subjects": [["kind": "ServiceAccount", "name": "bench", "namespace": "default"]],
                ], options)
        }
        let now = Int64(time(nil))
        return try tokens.sign(
            .init(
                namespace: "default", account: "bench", accountUID: account?["metadata"]?["uid"]?.string ?? "",
                audiences: [ServiceTokens.issuer],
                issuedAt: now,
                expiresAt: now + 3600, id: "bench"))
    }

    func close() { store.close() }

    private func newPod() -> JSON {
        let number = names.add(1, ordering: .relaxed).newValue
        return [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string("pod-\(number)"), "labels": ["app": "bench"]],
            "spec": [
                "containers": [["name": "c", "image": "example/image:1", "env": [["name": "A", "value": "1"]]]], "nodeName": "edge-1",
            ],
        ]
    }

    /// Processor time of this process.
    static func cpuSeconds() -> Double {
        var usage = rusage()
        getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    /// Creates by several writers, each waiting for its own.
    func write(writers: Int, seconds: Double) async -> (rate: Double, errors: Int, cpuSeconds: Double) {
        let cpu = Self.cpuSeconds()
        let end = ContinuousClock.now + .seconds(seconds)
        let (done, errors) = await withTaskGroup(of: (Int, Int).self) { group in
            for _ in 0..<writers {
                group.addTask { [self] in
                    var done = 0
                    var errors = 0
                    while ContinuousClock.now < end {
                        do {
                            _ = try await service.create(Self.pods, namespace: "default", newPod(), options)
                            done += 1
                        } catch {
                            errors += 1
                        }
                    }
                    return (done, errors)
                }
            }
            return await group.reduce((0, 0)) { ($0.0 + $1.0, $0.1 + $1.1) }
        }
        return (Double(done) / seconds, errors, Self.cpuSeconds() - cpu)
    }

    /// Latencies of creates that begin at a steady rate whether the last has ended or not; sorted, in seconds.
    func pacedLatencies(rate: Double, seconds: Double) async -> [Double] {
        await withTaskGroup(of: Double.self) { group in
            let start = ContinuousClock.now
            for index in 0..<Int(rate * seconds) {
                let due = start + .seconds(Double(index) / rate)
                group.addTask { [self] in
                    try? await Task.sleep(until: due)
                    let begin = ContinuousClock.now
                    _ = try? await service.create(Self.pods, namespace: "default", newPod(), options)
                    return (ContinuousClock.now - begin) / .seconds(1)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted()
        }
    }

    func clear() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for pod in try store.list(Self.pods.collection).values {
                group.addTask { [store] in _ = try await store.write(.delete(Self.pods.collection, pod.name, from: pod.revision)) }
            }
            try await group.waitForAll()
        }
        try await store.compact(to: store.revision)
    }

    func fill(_ count: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<count {
                group.addTask { [self] in _ = try await service.create(Self.pods, namespace: "default", newPod(), options) }
            }
            try await group.waitForAll()
        }
        try await store.compact(to: store.revision)
    }

    private func request(_ method: String, _ path: String, _ query: String, accept: String) -> HTTPRequest {
        HTTPRequest(method: method, path: path, query: query, headers: ["Authorization": "Bearer \(token)", "Accept": accept])
    }

    /// Memory of a watch without a connection, in bytes.
    func watchBytes(_ count: Int) async throws -> Double {
        // What is free must not be taken for them.
        HeapKeeper.giveBack()
        let before = HeapKeeper.heapBytes ?? 0
        var streams: [any HTTPBodyStream] = []
        defer { for stream in streams { stream.stop() } }
        for _ in 0..<count {
            let response = await server.respond(
                to: request("GET", "/api/v1/pods", "watch=true&resourceVersion=\(store.revision)", accept: "application/json"))
            guard case .stream(let stream) = response.body else { throw CloudError("a watch was answered \(response.status)") }
            stream.start {}
            streams.append(stream)
        }
        return Double((HeapKeeper.heapBytes ?? 0) - before) / Double(count)
    }

    func list(accept: String) async throws -> (seconds: Double, bytes: Int) {
        let start = ContinuousClock.now
        let response = await server.respond(to: request("GET", "/api/v1/pods", "", accept: accept))
        guard case .bytes(let bytes) = response.body, response.status == 200 else {
            throw CloudError("the list was answered \(response.status)")
        }
        return ((ContinuousClock.now - start) / .seconds(1), bytes.count)
    }
}

import ArgumentParser
import KubernetesClient
import Resources

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

/// `skerry bench edge`: an agent beside a cloud on this machine, as a process of its own.
struct BenchEdgeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "edge", abstract: "Measure the agent of a node: its memory, its rest, its start, and Pods from kubectl to process.")

    @Option(help: "Seconds of churn: Pods, ConfigMaps and statuses that change all the time.") var seconds = 60
    @Option(help: "Seconds of rest.") var rest = 30
    @Option(help: "Starts, and Pods from the API to their process.") var starts = 10
    @Option(help: "Folder on the disk to use; a new folder is made in it and removed.") var dataDir = FileManager.default
        .temporaryDirectory.path
    @OptionGroup var table: TableOptions

    func validate() throws {
        if seconds < 1 || rest < 1 || starts < 1 { throw ValidationError("--seconds, --rest and --starts need at least 1") }
    }

    func run() async throws {
        let folder = "\(dataDir)/skerry-bench-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var rows = AlignedTable(["figure", "value", "unit"])
        try await EdgeBench(folder: folder, seconds: seconds, rest: rest, starts: starts).measure(&rows)
        try say(rows.text(table.format))
    }
}

private struct EdgeBench {
    private static let node = "e1"
    private static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")

    let folder: String
    let seconds: Int
    let rest: Int
    let starts: Int

    func measure(_ rows: inout AlignedTable) async throws {
        let cloud = try BenchProcess(
            [programPath(), "cloud", "--data-dir", folder, "--listen", "127.0.0.1:0", "--no-node"], output: "\(folder)/cloud.log")
        defer { cloud.stop() }
        try await until("the cloud serves") { try text("cloud.log").contains("export KUBECONFIG") }
        let token = try await self.token()
        var edge = try self.edge(["--join", token])
        do {
            let client = try self.client()
            try await until("the node is ready") { try await isReady(client) }
            try await measureRest(edge, &rows)
            try await measurePods(client, &rows)
            try await measureChurn(client, edge, &rows)
            try await measureStarts(client, &edge, &rows)
            await client.close()
        } catch {
            edge.stop()
            throw error
        }
        edge.stop()
        let program = open(programPath(), O_RDONLY | O_CLOEXEC)
        defer { close(program) }
        let size = lseek(program, 0, SEEK_END)
        rows.rows.append(["this program on disk", fixed(Double(size) / 1e6, decimals: 1), "MB"])
    }

    // MARK: What is measured

    private func measureRest(_ edge: BenchProcess, _ rows: inout AlignedTable) async throws {
        // What the start took is given back once it is over.
        try await Task.sleep(for: .seconds(3))
        let before = edge.cpuSeconds
        try await Task.sleep(for: .seconds(rest))
        let share = (edge.cpuSeconds - before) / Double(rest) * 100
        rows.rows += [
            ["agent at rest, resident", fixed(edge.memoryMB, decimals: 1), "MB"],
            ["agent at rest, its own", fixed(edge.privateMemoryMB, decimals: 1), "MB"],
            ["agent at rest, \(rest) s", fixed(share, decimals: 2), "% of a core"],
        ]
    }

    /// From the API's answer to a process that runs.
    private func measurePods(_ client: RESTClient, _ rows: inout AlignedTable) async throws {
        var waits: [Double] = []
        for number in 0..<starts {
            let mark = "\(folder)/pod-\(number)"
            let begin = ContinuousClock.now
            try await client.create(.pod, pod("pod-\(number)", script: ": > \(mark); exec sleep 10000"))
            try await until("pod-\(number) runs", every: .milliseconds(1)) { access(mark, F_OK) == 0 }
            waits.append(Self.milliseconds(begin.duration(to: .now)))
            try await remove(client, "pod-\(number)")
        }
        rows.rows += Self.quantiles("from create to process", waits)
    }

    private func measureChurn(_ client: RESTClient, _ edge: BenchProcess, _ rows: inout AlignedTable) async throws {
        try await client.create(Self.configMap, ["metadata": ["namespace": "default", "name": "churn"], "data": ["n": "0"]])
        try await client.create(.pod, pod("steady", script: "exec sleep 10000", config: "churn"))
        try await client.create(.pod, pod("crashing", script: "exit 1", config: "churn"))
        // A little churn first: what any of it takes once is not growth.
        var count = try await churn(client, seconds: min(10, seconds), from: 0)
        try await Task.sleep(for: .seconds(21))
        let before = edge.privateMemoryMB
        let cpu = edge.cpuSeconds
        let changed = try await churn(client, seconds: seconds, from: count)
        let used = edge.cpuSeconds - cpu
        count += changed
        // Freed memory is given back every 20 s.
        try await Task.sleep(for: .seconds(21))
        rows.rows += [
            ["churn", "\(changed)", "changes"], ["agent for a change", fixed(used / Double(changed) * 1000, decimals: 2), "CPU ms"],
            ["growth by \(seconds) s of churn", fixed(edge.privateMemoryMB - before, decimals: 2, sign: true), "MB"],
            ["agent after churn, resident", fixed(edge.memoryMB, decimals: 1), "MB"],
        ]
        for name in ["steady", "crashing"] { try await remove(client, name) }
    }

    /// Changes a ConfigMap that Pods name, and makes and removes Pods.
    private func churn(_ client: RESTClient, seconds: Int, from first: Int) async throws -> Int {
        let end = ContinuousClock.now + .seconds(seconds)
        var count = 0
        while .now < end {
            let key = ObjectKey(namespace: "default", name: "churn")
            let data: JSON = ["data": ["n": .string("\(first + count)"), "text": .string(String(repeating: "x", count: count % 2000))]]
            _ = try await client.patch(Self.configMap, key, ObjectPatch(.merge, data), part: .whole)
            count += 1
            if count % 20 == 0 {
                let name = "churn-\(first + count)"
                try await client.create(.pod, pod(name, script: "exec sleep 10000", config: "churn"))
                try await client.delete(.pod, ObjectKey(namespace: "default", name: name), Deletion(gracePeriodSeconds: 0))
                count += 2
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        return count
    }

    /// Ends agent and Pods as a power cut would, and starts the agent again.
    private func measureStarts(_ client: RESTClient, _ edge: inout BenchProcess, _ rows: inout AlignedTable) async throws {
        var (ready, running): ([Double], [Double]) = ([], [])
        for number in 0..<starts {
            // A Pod that has not ended before waits for nothing when it is begun again.
            let (name, mark) = ("again-\(number)", "\(folder)/life-\(number)")
            let script = "echo $$$$ $PPID > \(mark).new; mv \(mark).new \(mark); exec sleep 10000"
            try await client.create(.pod, pod(name, script: script))
            try await until("\(name) runs") { access(mark, F_OK) == 0 }
            // The shim first: nobody is left to write down how the Pod ended.
            let processes = try text("life-\(number)").split { $0 == " " || $0 == "\n" }.compactMap { pid_t($0) }
            kill(edge.pid, SIGKILL)
            for process in processes.reversed() { kill(process, SIGKILL) }
            edge.stop()
            unlink(mark)
            let begin = ContinuousClock.now
            edge = try self.edge()
            try await until("the agent is ready", every: .milliseconds(1)) { try text("edge.log").contains("--server=") }
            ready.append(Self.milliseconds(begin.duration(to: .now)))
            try await until("\(name) runs again", every: .milliseconds(1)) { access(mark, F_OK) == 0 }
            running.append(Self.milliseconds(begin.duration(to: .now)))
            try await remove(client, name)
        }
        rows.rows += Self.quantiles("ready after exec", ready) + Self.quantiles("Pod of the last life running after exec", running)
    }

    // MARK: Around it

    private func pod(_ name: String, script: String, config: String? = nil) -> JSON {
        var container: JSON = ["name": "c", "image": "none", "command": ["/bin/sh", "-c", .string(script)]]
        var spec: JSON = ["nodeName": .string(Self.node), "terminationGracePeriodSeconds": 0]
        if let config {
            container["envFrom"] = [["configMapRef": ["name": .string(config)]]]
            spec["volumes"] = [["name": "v", "configMap": ["name": .string(config)]]]
        }
        spec["containers"] = [container]
        return ["metadata": ["namespace": "default", "name": .string(name)], "spec": spec]
    }

    private func remove(_ client: RESTClient, _ name: String) async throws {
        let key = ObjectKey(namespace: "default", name: name)
        try await client.delete(.pod, key, Deletion())
        try await until("pod \(name) is gone") { (try? await client.get(.pod, key)) == nil }
    }

    private func isReady(_ client: RESTClient) async throws -> Bool {
        guard let node = try? await client.get(.node, ObjectKey(name: Self.node)) else { return false }
        return node["status"]?["conditions"]?.array?.contains { $0["type"] == "Ready" && $0["status"] == "True" } ?? false
    }

    private func token() async throws -> String {
        let made = try BenchProcess(
            [programPath(), "token", "create", "--node", Self.node, "--kubeconfig", "\(folder)/admin.kubeconfig"], output: "\(folder)/token"
        )
        try await until("a token") { try text("token").hasPrefix("K1.") && text("token").hasSuffix("\n") }
        made.stop()
        return String(try text("token").prefix { $0 != "\n" })
    }

    private func edge(_ more: [String] = []) throws -> BenchProcess {
        try BenchProcess(
            [programPath(), "edge", "--data-dir", "\(folder)/edge", "--listen", "127.0.0.1:0"] + more, output: "\(folder)/edge.log")
    }

    private func client() throws -> RESTClient {
        try RESTClient(
            try Kubeconfig(path: "\(folder)/admin.kubeconfig", read: ForeignCluster.read).access(context: nil), userAgent: "skerry-bench",
            read: ForeignCluster.read)
    }

    private func text(_ name: String) throws -> String {
        guard access("\(folder)/\(name)", F_OK) == 0 else { return "" }
        return String(decoding: try SmallFile.read("\(folder)/\(name)", bytesMax: 1 << 20), as: UTF8.self)
    }

    private func until(_ what: String, every wait: Duration = .milliseconds(20), _ isSo: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while try await !isSo() {
            guard .now < end else { throw CloudError("waited a minute in vain: \(what); see \(folder)") }
            try await Task.sleep(for: wait)
        }
    }

    private static func milliseconds(_ time: Duration) -> Double {
        Double(time.components.seconds) * 1000 + Double(time.components.attoseconds) / 1e15
    }

    private static func quantiles(_ name: String, _ values: [Double]) -> [[String]] {
        let sorted = values.sorted()
        return [
            ["\(name), p50", fixed(sorted[sorted.count / 2], decimals: 0), "ms"], ["\(name), most", fixed(sorted.last, decimals: 0), "ms"],
        ]
    }
}

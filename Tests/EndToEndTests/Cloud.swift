import Network
import Testing

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

/// A real `skerry cloud` on loopback in a folder of its own, and kubectl pointed at it.
final class Cloud: Sendable {
    let folder: String
    let program: ServingProgram
    static let kubectl = ServingProgram.find("kubectl")
    /// Other versions of kubectl that are installed beside it, as `kubectl.1.27`: the oldest first.
    static let otherKubectls: [String] = {
        guard let kubectl, let real = realpath(kubectl, nil) else { return [] }
        defer { free(real) }
        let folder = String(cString: real).split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        return (20..<60).map { "\(folder)/kubectl.1.\($0)" }.filter { access($0, X_OK) == 0 }
    }()

    private init(folder: String, program: ServingProgram) {
        self.folder = folder
        self.program = program
    }

    static func newFolder() throws -> String {
        let folder = FileManager.default.temporaryDirectory.path + "/skerry-cloud-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        return folder
    }

    /// Starts a cloud and waits until it serves.
    ///
    /// - Parameters:
    ///   - node: whether it runs Pods itself.
    ///   - port: nil for any that is free and that no connection is given while the cloud is away.
    static func start(in folder: String, node: Bool = false, port: Int? = nil) async throws -> Cloud {
        guard let port else {
            for port in KeptPort.choices() {
                do { return try await start(in: folder, node: node, port: port) } catch let failure as Failed where failure.isTaken {}
            }
            throw Failed(text: "no port is free")
        }
        let program = ServingProgram(
            "\(ServingProgram.builtFolder)/skerry",
            ["cloud", "--data-dir", folder, "--listen", "127.0.0.1:\(port)", node ? "--node" : "--no-node"], folder: folder)
        while !program.error.contains("export KUBECONFIG") {
            guard kill(program.pid, 0) == 0, waitpid(program.pid, nil, WNOHANG) == 0 else { throw Failed(text: program.error) }
            try await Task.sleep(for: .milliseconds(10))
        }
        return Cloud(folder: folder, program: program)
    }

    struct Failed: Error {
        let text: String
        /// Whether another server has the port.
        var isTaken: Bool { text.contains("cannot listen") && text.contains("Address already in use") }
    }

    /// - Parameters:
    ///   - client: the program; nil for the first kubectl of PATH.
    ///   - environment: more than what it needs.
    func kubectl(_ arguments: [String], by client: String? = nil, environment: [String: String] = [:]) async -> ServingProgram.Result {
        var needed = ["KUBECONFIG": "\(folder)/admin.kubeconfig", "HOME": folder, "KUBE_EDITOR": "\(folder)/edit"]
        // A third of what a kubectl computes is collecting garbage that its end collects anyway.
        (needed["GOGC"], needed["GOMEMLIMIT"]) = ("off", "256MiB")
        return await ServingProgram(
            client ?? Self.kubectl!, arguments, environment: needed.merging(environment) { $1 }, folder: folder
        ).wait()
    }

    func kubectl(_ line: String) async -> ServingProgram.Result { await kubectl(line.split(separator: " ").map(String.init)) }

    func write(_ name: String, _ text: String, isExecutable: Bool = false) throws {
        try text.write(to: URL(filePath: "\(folder)/\(name)"), atomically: true, encoding: .utf8)
        if isExecutable { chmod("\(folder)/\(name)", 0o700) }
    }

    /// Deletes all jobs and waits until the nodes have ended their workers: processes outlive an agent that stops.
    func removeJobs() async throws {
        let gone = await kubectl("delete lifelonglearningjobs,incrementallearningjobs --all --timeout=60s")
        #expect(gone.status == 0, "\(gone.error)")
        for _ in 0..<1800 {
            let pods = await kubectl("get pods -o name")
            if pods.status == 0, pods.output.isEmpty { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Failed(text: "within three minutes these did not end: \(await kubectl("get pods").output)")
    }

    /// Asks the cloud to end and expects that it does so in order.
    func stop() async {
        program.signal(SIGTERM)
        let result = await program.wait()
        #expect(result.status == 0, "\(result.error)")
    }

    static func with(node: Bool = false, _ body: (Cloud) async throws -> Void) async throws {
        let folder = try newFolder()
        let cloud = try await start(in: folder, node: node)
        try await body(cloud)
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}

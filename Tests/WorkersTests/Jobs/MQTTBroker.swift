import Network
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Debian's mosquitto as a process on a port of the loopback, which it keeps over restarts, as it keeps what nobody has acknowledged.
final class MQTTBroker {
    static let folder = "\(FileManager.default.currentDirectoryPath)/.deps/mosquitto"
    static var isThere: Bool { FileManager.default.fileExists(atPath: folder + "/bin/mosquitto") }
    static let environment = ["LD_LIBRARY_PATH": folder + "/lib"]

    let port: Int
    private let configuration: String
    private let folder: TemporaryFolder
    private var program: Program

    /// - Parameter settings: more lines of its configuration.
    init(in folder: TemporaryFolder, settings: [String] = ["allow_anonymous true"]) async throws {
        let data = folder.path + "/broker"
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        for port in KeptPort.choices() {
            let lines = [
                "listener \(port) 127.0.0.1", "persistence true", "persistence_location \(data)/", "autosave_on_changes true",
                "autosave_interval 1", "max_queued_messages 0", "log_dest stderr", "connection_messages true",
                geteuid() == 0 ? "user root" : "",
            ]
            let path = data + "/broker.conf"
            try Data((lines + settings + [""]).joined(separator: "\n").utf8).write(to: URL(filePath: path))
            let program = try Self.start(path, folder)
            if try await Self.isRunning(program) {
                (self.port, self.configuration, self.folder, self.program) = (port, path, folder, program)
                return
            }
        }
        throw BrokerError(text: "no port was free for a broker")
    }

    struct BrokerError: Error { var text: String }

    private static func start(_ configuration: String, _ folder: TemporaryFolder) throws -> Program {
        try Program(["-c", configuration], executable: Self.folder + "/bin/mosquitto", in: folder, environment: Self.environment)
    }

    private static func isRunning(_ program: Program) async throws -> Bool {
        try program.waitForError(containing: "running")
        if try program.errorsSoFar().contains("running") { return true }
        _ = try program.wait()
        return false
    }

    func stop() throws {
        program.send(SIGTERM)
        _ = try program.wait()
    }

    /// Starts it again where it was.
    func start() async throws {
        program = try Self.start(configuration, folder)
        guard try await Self.isRunning(program) else { throw BrokerError(text: "the broker did not come back to port \(port)") }
    }

    /// What the broker has said.
    func words() throws -> String { try program.errorsSoFar() }

    /// Publishes lines, a message each, with quality of service 1.
    func publish(_ lines: [String], to topic: String, _ more: [String] = [], user: [String] = []) throws {
        let path = folder.path + "/messages"
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: path))
        let command = "exec \(Self.folder)/bin/mosquitto_pub \"$@\" < \(path)"
        let ending = try Program.run(
            ["-c", command, "sh", "-h", "127.0.0.1", "-p", "\(port)", "-q", "1", "-t", topic, "-l"] + more, executable: "/bin/sh",
            in: folder,
            environment: Self.environment)
        #expect(ending.status == 0, "\(ending.errors)")
    }

    /// Writes what comes to a topic into a file, a line a message, from now on; the session is kept while it is away.
    func subscribe(_ topic: String, into path: String, name: String) async throws -> Program {
        let command = "exec \(Self.folder)/bin/mosquitto_sub \"$@\" >> \(path)"
        let subscriber = try Program(
            ["-c", command, "sh", "-h", "127.0.0.1", "-p", "\(port)", "-q", "1", "-t", topic, "-c", "-i", name], executable: "/bin/sh",
            in: folder, environment: Self.environment)
        try program.waitForError(containing: "as \(name) ")
        return subscriber
    }
}

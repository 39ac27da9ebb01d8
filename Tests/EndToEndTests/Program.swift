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

/// The built program, run as a person would.
struct Program {
    /// What one run left.
    struct Result {
        /// Exit status; nil when a signal ended it.
        var status: Int32?
        var output: String
        var errors: String
    }

    struct SpawnError: Error {
        var code: Int32
    }

    /// Beside the test bundle: `swift build` puts both into one folder.
    static let path: String = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/skerry"
    }()

    /// Runs `arguments` to the end.
    ///
    /// - Parameters:
    ///   - executable: another program to run instead.
    ///   - folder: where its output is kept while it runs.
    static func run(
        _ arguments: [String], executable: String = path, in folder: TemporaryFolder, environment: [String: String] = [:]
    ) throws -> Result {
        let child = try Running(arguments, executable: executable, in: folder, environment: environment)
        return try child.result()
    }

    /// A program that is running.
    final class Running {
        let id: pid_t
        private let outputPath: String
        private let errorsPath: String

        init(_ arguments: [String], executable: String = Program.path, in folder: TemporaryFolder, environment: [String: String] = [:])
            throws
        {
            let name = UUID().uuidString
            (outputPath, errorsPath) = ("\(folder.path)/\(name).out", "\(folder.path)/\(name).err")
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            defer { posix_spawn_file_actions_destroy(&actions) }
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
            posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outputPath, O_CREAT | O_WRONLY, 0o600)
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errorsPath, O_CREAT | O_WRONLY, 0o600)
            let inherited = [
                "PATH": getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin", "HOME": folder.path, "LC_ALL": "C.UTF-8",
            ]
            var argumentPointers = ([executable] + arguments).map { strdup($0) } + [nil]
            var environmentPointers = inherited.merging(environment) { $1 }.map { strdup("\($0.key)=\($0.value)") } + [nil]
            defer { for pointer in argumentPointers + environmentPointers { free(pointer) } }
            var child: pid_t = 0
            let failure = posix_spawnp(&child, executable, &actions, nil, &argumentPointers, &environmentPointers)
            guard failure == 0 else { throw SpawnError(code: failure) }
            id = child
        }

        /// Ends it as a power failure would: no handler of its own runs.
        func kill() { Glibc.kill(id, SIGKILL) }

        /// Waits for the end.
        func result() throws -> Result {
            var status: Int32 = 0
            while waitpid(id, &status, 0) < 0, errno == EINTR {}
            let text = { (path: String) in String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self) }
            return Result(
                status: status & 0x7f == 0 ? (status >> 8) & 0xff : nil, output: try text(outputPath), errors: try text(errorsPath))
        }
    }
}

/// A new empty folder that goes with its value.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/skerry-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    package import Glibc
#else
    package import Darwin
#endif

/// A program that runs as a person would run it: the built `skerry`, unless another one is named.
package final class Program {
    /// What a run left.
    package struct Ending: Sendable {
        /// Exit status; nil when a signal ended it.
        package var status: Int32?
        package var output: String
        package var errors: String
    }

    /// Why a program could not be started; `code` is the system's.
    package struct StartError: Error {
        package var executable: String
        package var code: Int32
    }

    /// Beside the test bundle: `swift build` puts both into one folder.
    package static let path: String = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/skerry"
    }()

    package let id: pid_t
    private let outputPath: String
    private let errorsPath: String

    /// Starts it with no signal blocked, and no more of this environment than PATH.
    ///
    /// - Parameters:
    ///   - executable: found on PATH where it has no slash.
    ///   - folder: its home and current folder's parent; what it prints is kept there while it runs.
    ///   - current: its current folder; this program's where nil.
    package init(
        _ arguments: [String], executable: String = Program.path, in folder: TemporaryFolder, current: String? = nil,
        environment: [String: String] = [:]
    ) throws {
        let name = UUID().uuidString
        (outputPath, errorsPath) = ("\(folder.path)/.\(name).out", "\(folder.path)/.\(name).err")
        let own = [
            "PATH": getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin", "HOME": folder.path, "LC_ALL": "C.UTF-8",
        ]
        // The shell changes the folder and becomes the program: its process id and signals stay.
        let command = current.map { ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", $0, executable] } ?? [executable]
        id = try Self.start(
            command + arguments, environment: own.merging(environment) { $1 }, output: outputPath, errors: errorsPath)
    }

    /// Starts a program, found on PATH where its name has no slash, with no input and no signal blocked.
    ///
    /// - Parameters:
    ///   - words: its name and arguments.
    ///   - environment: the whole of it.
    ///   - output: a file for what it prints; `errors` for standard error.
    /// - Throws: `StartError`.
    package static func start(
        _ words: [String], environment: [String: String], output: String, errors: String
    ) throws(StartError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_CREAT | O_WRONLY | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, O_CREAT | O_WRONLY | O_APPEND, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Threads of a pool hold signals back, and programs started by them would do so too.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var pointers = words.map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in pointers + variables { free(pointer) } }
        var child: pid_t = 0
        let failure = posix_spawnp(&child, words[0], &actions, &attributes, &pointers, &variables)
        guard failure == 0 else { throw StartError(executable: words[0], code: failure) }
        return child
    }

    /// Runs a program to its end.
    package static func run(
        _ arguments: [String], executable: String = Program.path, in folder: TemporaryFolder, current: String? = nil,
        environment: [String: String] = [:]
    ) throws -> Ending {
        try Program(arguments, executable: executable, in: folder, current: current, environment: environment).wait()
    }

    /// Ends it as a power failure would: no handler of its own runs.
    package func kill() { send(SIGKILL) }

    package func send(_ signal: Int32) { _ = systemKill(id, signal) }

    /// Returns once it has said the words on standard error, or has ended.
    package func waitForError(containing words: String) throws {
        while try !Self.text(errorsPath).contains(words) {
            // Not waited for: its status stays to be had.
            var information = siginfo_t()
            guard waitid(P_PID, id_t(id), &information, WEXITED | WNOHANG | WNOWAIT) == 0, information.si_signo == 0 else { return }
            usleep(2000)
        }
    }

    /// What it has said on standard error so far.
    package func errorsSoFar() throws -> String { try Self.text(errorsPath) }

    /// Waits for the end; once only.
    package func wait() throws -> Ending {
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0, errno == EINTR {}
        return Ending(
            status: status & 0x7f == 0 ? (status >> 8) & 0xff : nil, output: try Self.text(outputPath), errors: try Self.text(errorsPath))
    }

    private static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }
}

/// `kill` of the C library; inside `Program` that name is taken.
private func systemKill(_ id: pid_t, _ signal: Int32) -> Int32 { kill(id, signal) }

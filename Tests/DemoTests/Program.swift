import Synchronization
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

/// The built program `skerry`, running.
final class Program {
    struct Ending {
        var code: Int32
        var output: String
        var error: String
    }

    private let id: pid_t
    private let output: Int32
    private let errors: Int32
    private var error = ""

    /// - Parameter folder: the current one of the program, and its home.
    init(_ arguments: [String], in folder: String) throws {
        // Tests are built beside the program.
        let tests = try #require(CommandLine.arguments.first { $0.contains(".xctest") } ?? CommandLine.arguments.first)
        let place = tests.split(separator: "/", omittingEmptySubsequences: false)
        let bundle = place.firstIndex { $0.hasSuffix(".xctest") } ?? place.count - 1
        let program = (place[..<bundle] + ["skerry"]).joined(separator: "/")
        try #require(access(program, X_OK) == 0, "\(program) is not built")
        var (out, err): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
        try #require(pipe(&out) == 0 && pipe(&err) == 0)
        for end in out + err { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        // The shell changes the folder and becomes the program: its process id and signals stay.
        let shell = ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", folder, program]
        var words: [UnsafeMutablePointer<CChar>?] = (shell + arguments).map { strdup($0) } + [nil]
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        let pairs: [String] = ["HOME=\(folder)", "PATH=\(path)"]
        var variables: [UnsafeMutablePointer<CChar>?] = pairs.map { strdup($0) } + [nil]
        var child: pid_t = 0
        let status = posix_spawn(&child, shell[0], &actions, &attributes, &words, &variables)
        for word in words + variables { free(word) }
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
        close(out[1])
        close(err[1])
        (id, output, errors) = (child, out[0], err[0])
        try #require(status == 0, "\(program): \(String(cString: strerror(status)))")
    }

    deinit {
        close(output)
        close(errors)
    }

    func waitForError(containing words: String) {
        while !error.contains(words) {
            guard let more = Self.some(errors) else { return }
            error += more
        }
    }

    func send(_ signal: Int32) { kill(id, signal) }

    /// Standard output is read after standard error: ours is far below what a pipe holds.
    func wait() -> Ending {
        while let more = Self.some(errors) { error += more }
        var out = ""
        while let more = Self.some(output) { out += more }
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0 && errno == EINTR {}
        let signal = status & 0x7f
        return Ending(code: signal == 0 ? (status >> 8) & 0xff : 256 + signal, output: out, error: error)
    }

    private static func some(_ descriptor: Int32) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
        }
    }
}

import Dispatch

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A child process that is waited for without blocking a thread of the test; its output goes to files.
final class ServingProgram: @unchecked Sendable {
    struct Result: Sendable {
        let status: Int32
        let output: String
        let error: String
    }

    let pid: pid_t
    private let outputPath: String
    private let errorPath: String

    /// The folder that the test program and `skerry` were built into.
    static let builtFolder: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let path = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    }()

    /// Where a program of a name is found on PATH; nil if it is not.
    static func find(_ name: String) -> String? {
        let folders = getenv("PATH").map { String(cString: $0) } ?? ""
        return folders.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// Starts a program; its output is kept in files in `folder`.
    init(_ path: String, _ arguments: [String], environment: [String: String] = [:], folder: String) {
        let name = "\(folder)/out-\(UInt64.random(in: 0 ... .max))"
        outputPath = name + ".stdout"
        errorPath = name + ".stderr"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Threads of a pool hold signals back, and programs started by them would do so too.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var all = environment
        for key in ["PATH", "LANG"] where all[key] == nil { all[key] = getenv(key).map { String(cString: $0) } }
        let words = ([path] + arguments).map { strdup($0) } + [nil]
        let variables = all.map { strdup("\($0)=\($1)") } + [nil]
        defer { for word in words + variables { free(word) } }
        var started = pid_t()
        let result = posix_spawn(&started, path, &actions, &attributes, words, variables)
        precondition(result == 0, "cannot start \(path): \(String(cString: strerror(result)))")
        pid = started
    }

    private static func text(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer.prefix(count) }
        return String(decoding: bytes, as: UTF8.self)
    }

    var output: String { Self.text(outputPath) }
    var error: String { Self.text(errorPath) }

    func signal(_ number: Int32) { kill(pid, number) }

    /// Waits for the end; a signal's number is the status below zero.
    func wait() async -> Result {
        let pid = pid
        let status: Int32 = await withCheckedContinuation { continuation in
            DispatchQueue(label: "waits for a program").async {
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0, errno == EINTR {}
                continuation.resume(returning: status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f))
            }
        }
        return Result(status: status, output: output, error: error)
    }
}

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

/// A server of its own that is measured from outside: its processor time and its memory, apart from those of its clients.
final class BenchProcess {
    let pid: pid_t

    /// Starts a program; its output goes to a file.
    ///
    /// - Parameter input: what it reads as its standard input; nil for what this process reads.
    init(_ arguments: [String], output: String, input: Int32? = nil) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        if let input { posix_spawn_file_actions_adddup2(&actions, input, 0) }
        let words = arguments.map { strdup($0) } + [nil]
        let inherited = ["PATH", "HOME", "LANG"].compactMap { (key: String) in getenv(key).map { "\(key)=\(String(cString: $0))" } }
        let variables = inherited.map { strdup($0) } + [nil]
        defer { for word in words + variables { free(word) } }
        var started = pid_t()
        let result = posix_spawn(&started, arguments[0], &actions, nil, words, variables)
        guard result == 0 else { throw CloudError("cannot start \(arguments[0]): \(String(cString: strerror(result)))") }
        pid = started
    }

    /// Seconds of processor time so far.
    var cpuSeconds: Double {
        guard let text = try? String(contentsOf: URL(filePath: "/proc/\(pid)/stat"), encoding: .utf8), let end = text.lastIndex(of: ")")
        else { return .nan }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else { return .nan }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Resident memory, in MB.
    var memoryMB: Double {
        guard let text = try? String(contentsOf: URL(filePath: "/proc/\(pid)/statm"), encoding: .utf8) else { return .nan }
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Double($0) } ?? .nan
        return pages * Double(sysconf(Int32(_SC_PAGESIZE))) / 1e6
    }

    /// Its share of what it has in memory: pages of the program count by how many processes hold them, in MB.
    var proportionalMemoryMB: Double { rollup("Pss:") }

    /// What goes when it ends: its heap and what it has changed of other pages, in MB.
    var privateMemoryMB: Double { rollup("Private_Dirty:") }

    private func rollup(_ field: String) -> Double {
        let text = (try? String(contentsOf: URL(filePath: "/proc/\(pid)/smaps_rollup"), encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix(field) }
        return line?.split(separator: " ").dropFirst().first.flatMap { Double($0) }.map { $0 * 1024 / 1e6 } ?? .nan
    }

    var isRunning: Bool { waitpid(pid, nil, WNOHANG) == 0 }

    /// Asks it to end and waits.
    func stop() {
        kill(pid, SIGTERM)
        wait()
    }

    /// Waits until it ends by itself.
    func wait() {
        while waitpid(pid, nil, 0) < 0, errno == EINTR {}
    }
}

import Synchronization

#if os(Linux)
    import CProcess
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A server of the demo's cluster, with its output in a file.
final class ClusterProcess: Sendable {
    /// For messages, as `edge-1`.
    let name: String
    let id: pid_t
    /// What it has said.
    let log: String
    /// How it ended; nil while it runs, as far as is known.
    private let ending = Mutex<Int32?>(nil)

    /// - Parameters:
    ///   - arguments: the program's path first.
    ///   - log: written anew; only its owner may read it, since logs name addresses and users.
    /// - Throws: `ClusterError`.
    init(_ name: String, _ arguments: [String], environment: [String: String], log: String) throws(ClusterError) {
        (self.name, self.log) = (name, log)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        // The demo's own way with signals is not its servers': they are to hear SIGTERM, and Ctrl-C is for the demo alone.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        let words = arguments.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for word in words + variables { free(word) } }
        var child = pid_t()
        let status = posix_spawn(&child, arguments[0], &actions, &attributes, words, variables)
        guard status == 0 else {
            throw ClusterError("cannot start \(name) (\(arguments[0]), log \(log)): \(String(cString: strerror(status)))")
        }
        id = child
    }

    /// Whether it has not ended yet; reaps it when it has.
    var isRunning: Bool {
        ending.withLock { ending in
            if ending != nil { return false }
            var status: Int32 = 0
            let found = waitpid(id, &status, WNOHANG)
            if found == 0 || found < 0 && errno == EINTR { return true }
            ending = status
            return false
        }
    }

    /// Nothing happens to one that has ended: its number may be another's by now.
    func send(_ signal: Int32) {
        ending.withLock { if $0 == nil { kill(id, signal) } }
    }

    /// The last lines of what it has said.
    var lastWords: String {
        guard let file = fopen(log, "r") else { return "" }
        defer { fclose(file) }
        fseek(file, 0, SEEK_END)
        fseek(file, max(0, ftell(file) - 2000), SEEK_SET)
        var bytes = [UInt8](repeating: 0, count: 2000)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "\n").suffix(8).joined(separator: "\n")
    }
}

/// Processes that this one has brought about, however far down.
enum Descendants {
    /// From now on those whose parent ends become children of this process, so that none is lost sight of: an agent leaves its Pods running.
    static func adopt() {
        #if os(Linux)
            _ = skerry_become_reaper()
        #endif
    }

    struct Process: Hashable {
        let id: pid_t
        let parent: pid_t
        /// The kernel's name of it, at most 15 bytes.
        let name: String
    }

    /// Those that run now, parents before children.
    static func all() -> [Process] {
        #if os(Linux)
            var children: [pid_t: [Process]] = [:]
            guard let folder = opendir("/proc") else { return [] }
            defer { closedir(folder) }
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                guard let id = pid_t(name), let process = process(id) else { continue }
                children[process.parent, default: []].append(process)
            }
            var found: [Process] = []
            var next = children[getpid()] ?? []
            while !next.isEmpty {
                found += next
                next = next.flatMap { children[$0.id] ?? [] }
            }
            return found
        #else
            return []
        #endif
    }

    /// The fourth word of `stat`; the second is a name in parentheses that may hold any character.
    private static func process(_ id: pid_t) -> Process? {
        guard let file = fopen("/proc/\(id)/stat", "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = fread(&bytes, 1, bytes.count, file)
        guard let start = bytes[..<count].firstIndex(of: UInt8(ascii: "(")), let end = bytes[..<count].lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        let words = bytes[(end + 1)..<count].split(separator: UInt8(ascii: " "))
        guard words.count > 1, let parent = pid_t(String(decoding: words[1], as: UTF8.self)) else { return nil }
        return Process(id: id, parent: parent, name: String(decoding: bytes[(start + 1)..<end], as: UTF8.self))
    }
}

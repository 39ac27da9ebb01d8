#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A program that runs beside this one, with what it says on standard error.
struct ChildProcess: ~Copyable {
    /// Bytes of standard error that are kept; the rest is read and dropped.
    private static let messageBytesMax = 4 << 10
    private let id: pid_t
    private let errors: Int32
    private var message: [UInt8] = []

    enum StartError: Error {
        /// The C library's error number.
        case failed(Int32)
    }

    /// How a program ended.
    struct Ending {
        /// The exit code; 128 + the signal's number when a signal ended it.
        var code: Int32
        var message: String
    }

    /// Starts a program found by PATH, without standard input and output.
    init(_ arguments: [String]) throws(StartError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .failed(errno) }
        // No other child may inherit them: the end of this one's errors is how its own end is noticed.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO)
        // Threads of a pool block signals and children inherit that: without this `terminate()` would never reach them.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let status = posix_spawnp(&child, words[0]!, &actions, &attributes, &words, environ)
        close(ends[1])
        guard status == 0 else {
            close(ends[0])
            throw .failed(status)
        }
        id = child
        errors = ends[0]
    }

    deinit { close(errors) }

    /// Waits a moment for something to happen.
    ///
    /// - Returns: false once the program has closed its standard error, which for ours means that it has ended.
    mutating func isRunning(afterMilliseconds wait: Int32) -> Bool {
        var event = pollfd(fd: errors, events: Int16(POLLIN), revents: 0)
        guard poll(&event, 1, wait) > 0 else { return true }
        var buffer = [UInt8](repeating: 0, count: 1024)
        let count = read(errors, &buffer, buffer.count)
        if count < 0 && errno == EINTR { return true }
        guard count > 0 else { return false }
        message += buffer.prefix(min(count, Self.messageBytesMax - message.count))
        return true
    }

    /// Asks the program to end; `wait()` is still needed.
    func terminate() { kill(id, SIGTERM) }

    /// Blocks until the program has ended.
    func wait() -> Ending {
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0 && errno == EINTR {}
        let signal = status & 0x7f
        let code = signal == 0 ? (status >> 8) & 0xff : 128 + signal
        let text = String(decoding: message, as: UTF8.self)
        let line = text.split(separator: "\n").last.map(String.init) ?? "exit code \(code)"
        return Ending(code: code, message: line)
    }
}

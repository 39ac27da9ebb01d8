#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A process of ours, joined by one socket that is its standard input and output. Its standard error is ours.
final class ChildProcess {
    let processID: pid_t
    let socket: Descriptor
    private var ending: String?

    /// - Throws: `.cannotStart`.
    init(program: String, arguments: [String], environment: [String: String]) throws(WorkersError) {
        var ends: [Int32] = [-1, -1]
        #if canImport(Glibc)
            let made = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends)
        #else
            let made = socketpair(AF_UNIX, SOCK_STREAM, 0, &ends)
        #endif
        guard made == 0 else { throw .cannotStart(program: program, reason: String(cString: strerror(errno))) }
        #if canImport(Darwin)
            var on: Int32 = 1
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            setsockopt(ends[0], SOL_SOCKET, SO_NOSIGPIPE, &on, socklen_t(MemoryLayout<Int32>.size))
            var actions: posix_spawn_file_actions_t?
            var attributes: posix_spawnattr_t?
        #else
            var actions = posix_spawn_file_actions_t()
            var attributes = posix_spawnattr_t()
        #endif
        // Threads of a pool block signals, and a child inherits that: it would not hear SIGTERM.
        var signals = sigset_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for standard in [STDIN_FILENO, STDOUT_FILENO] { posix_spawn_file_actions_adddup2(&actions, ends[1], standard) }
        let words = CStrings([program] + arguments)
        let variables = CStrings(environment.map { "\($0.key)=\($0.value)" }.sorted())
        var processID: pid_t = 0
        let failure = posix_spawn(&processID, program, &actions, &attributes, words.pointers, variables.pointers)
        close(ends[1])
        guard failure == 0 else {
            close(ends[0])
            throw .cannotStart(program: program, reason: String(cString: strerror(failure)))
        }
        self.processID = processID
        socket = Descriptor(number: ends[0])
    }

    /// Ends the process by closing its socket, after two seconds by force. May be called again.
    ///
    /// - Returns: how it ended, for people.
    @discardableResult
    func end(byForce: Bool = false) -> String {
        if let ending { return ending }
        close(socket.number)
        if byForce { kill(processID, SIGKILL) }
        var status: Int32 = 0
        for _ in 0..<200 {
            if waitpid(processID, &status, WNOHANG) != 0 { return finish(status) }
            usleep(10_000)
        }
        kill(processID, SIGKILL)
        while waitpid(processID, &status, 0) < 0, errno == EINTR {}
        return finish(status)
    }

    private func finish(_ status: Int32) -> String {
        let signal = status & 0x7f
        let text =
            signal == 0
            ? "ended with status \(status >> 8 & 0xff)" : "was ended by signal \(signal) (\(String(cString: strsignal(signal))))"
        ending = text
        return text
    }

    deinit { end() }
}

/// A list of C strings that ends with nil.
private final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ texts: [String]) {
        count = texts.count
        pointers = .allocate(capacity: count + 1)
        for (index, text) in texts.enumerated() { (pointers + index).initialize(to: strdup(text)) }
        (pointers + count).initialize(to: nil)
    }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }
}

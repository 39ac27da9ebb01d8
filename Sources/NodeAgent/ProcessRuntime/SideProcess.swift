import CProcess
import Resources
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A command that runs where a container runs: with its user, variables, folder, mounts and control groups.
final class SideProcess: RuntimeProcess {
    private struct State {
        /// What it prints; -1 when closed.
        var outputs: [Int32]
        /// To it; -1 when closed. Of a terminal the same as the first output.
        var input: Int32
        var exit: Int32?
        var isWaitedFor = false
    }

    private let process: pid_t
    private let hasTerminal: Bool
    private let state: Mutex<State>

    /// - Parameters:
    ///   - program: the container's own process, whose surroundings are shared.
    /// - Throws: 500 with the reason for which it could not be started.
    init(_ command: [String], tty: Bool, beside program: pid_t, groups folders: [String]) throws(APIStatus) {
        hasTerminal = tty
        var ours: [Int32] = [-1, -1, -1]
        var theirs: [Int32] = [-1, -1, -1]
        if tty {
            guard skerry_open_terminal(&ours[0], &theirs[0]) == 0 else { throw Self.failure("cannot open a terminal", errno) }
            ours[1] = ours[0]
            (theirs[1], theirs[2]) = (theirs[0], theirs[0])
        } else {
            for stream in 0..<3 {
                let made = stream == 0 ? skerry_open_pipe(&theirs[0], &ours[0]) : skerry_open_pipe(&ours[stream], &theirs[stream])
                guard made == 0 else { throw Self.failure("cannot open a pipe", errno) }
            }
        }
        defer { for end in Set(theirs) where end >= 0 { close(end) } }
        var failure = skerry_failure()
        let started = Self.start(command, tty, program, folders, theirs, &failure)
        guard started > 0 else {
            for end in Set(ours) where end >= 0 { close(end) }
            let isMissing = failure.code == ENOENT && !(command.first ?? "").contains("/")
            throw Self.failure(
                isMissing
                    ? "exec: \"\(command.first ?? "")\": executable file not found in $PATH"
                    : "exec: \"\(command.first ?? "")\": \(String(cString: strerror(failure.code)))", 0)
        }
        process = started
        state = Mutex(State(outputs: tty ? [ours[0]] : [ours[1], ours[2]], input: ours[0]))
    }

    private static func failure(_ what: String, _ code: Int32) -> APIStatus {
        .internalError(code == 0 ? what : "\(what): \(String(cString: strerror(code)))")
    }

    private static func start(
        _ command: [String], _ tty: Bool, _ program: pid_t, _ folders: [String], _ streams: [Int32], _ failure: inout skerry_failure
    ) -> pid_t {
        var variables = Self.environment(program)
        if tty, !variables.contains(where: { $0.hasPrefix("TERM=") }) { variables.append("TERM=xterm") }
        let words = CWords(command), environment = CWords(variables)
        let folder = CWords([Self.folder(program)])
        var groups = folders.map { open("\($0)/cgroup.procs", O_WRONLY | O_CLOEXEC) }.filter { $0 >= 0 }
        let mounts = open("/proc/\(program)/ns/mnt", O_RDONLY | O_CLOEXEC)
        let users = isOwn("user", program) ? -1 : open("/proc/\(program)/ns/user", O_RDONLY | O_CLOEXEC)
        defer { for descriptor in groups + [mounts, users] where descriptor >= 0 { close(descriptor) } }
        var extraGroups = ids(program, "Groups:").map { UInt32(truncatingIfNeeded: $0) }
        let (user, group) = (ids(program, "Uid:").first, ids(program, "Gid:").first)
        return groups.withUnsafeMutableBufferPointer { groups in
            extraGroups.withUnsafeMutableBufferPointer { extraGroups in
                var start = skerry_start()
                start.program = UnsafePointer(words.pointers[0])
                start.arguments = UnsafePointer(words.pointers)
                start.environment = UnsafePointer(environment.pointers)
                start.folder = UnsafePointer(folder.pointers[0])
                start.descriptors = (streams[0], streams[1], streams[2])
                start.is_terminal = tty ? 1 : 0
                (start.groups, start.group_count) = (UnsafePointer(groups.baseAddress), groups.count)
                start.mount_namespace = isOwn("mnt", program) ? -1 : mounts
                start.user_namespace = users
                (start.user, start.group) = geteuid() == 0 ? (user ?? -1, group ?? -1) : (-1, -1)
                (start.extra_groups, start.extra_group_count) = (UnsafePointer(extraGroups.baseAddress), extraGroups.count)
                start.no_new_rights = word(program, "NoNewPrivs:") == "1" ? 1 : 0
                if let bound = word(program, "CapBnd:").flatMap({ UInt64($0, radix: 16) }) { start.dropped_capabilities = ~bound }
                return skerry_launch(&start, &failure)
            }
        }
    }

    /// The variables of a program. While it becomes another, the system shows none for a moment.
    private static func environment(_ program: pid_t) -> [String] {
        for _ in 0..<20 {
            let bytes = SystemFiles.read("/proc/\(program)/environ", bytesMax: 4 << 20) ?? []
            guard bytes.isEmpty else { return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) } }
            usleep(1000)
        }
        return []
    }

    private static func isOwn(_ namespace: String, _ program: pid_t) -> Bool {
        link("/proc/\(program)/ns/\(namespace)") == link("/proc/self/ns/\(namespace)")
    }

    private static func folder(_ program: pid_t) -> String { link("/proc/\(program)/cwd") ?? "/" }

    private static func link(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { readlink(path, $0.baseAddress!, $0.count) }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    private static func words(_ program: pid_t, _ line: String) -> [Substring] {
        let text = SystemFiles.text("/proc/\(program)/status") ?? ""
        let found = text.split(separator: "\n").first { $0.hasPrefix(line) }
        return found?.dropFirst(line.count).split { $0 == "\t" || $0 == " " } ?? []
    }

    private static func word(_ program: pid_t, _ line: String) -> String? { words(program, line).first.map(String.init) }
    private static func ids(_ program: pid_t, _ line: String) -> [Int64] { words(program, line).compactMap { Int64($0) } }

    func read() async -> (channel: CallChannel, bytes: [UInt8])? { await Threads.run { [self] in readNow() } }

    private func readNow() -> (channel: CallChannel, bytes: [UInt8])? {
        while true {
            let outputs = state.withLock { $0.outputs }
            var set = outputs.filter { $0 >= 0 }.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard !set.isEmpty else { return nil }
            guard poll(&set, nfds_t(set.count), -1) > 0 || errno == EINTR else { return nil }
            guard let ready = set.first(where: { $0.revents != 0 })?.fd, let index = outputs.firstIndex(of: ready) else { continue }
            var buffer = [UInt8](repeating: 0, count: CallFrame.bytesMax)
            let count = Glibc.read(ready, &buffer, buffer.count)
            if count > 0 { return (index == 0 ? .stdout : .stderr, Array(buffer[..<count])) }
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            // The end; a terminal says so by an error.
            state.withLock { state in
                state.outputs[index] = -1
                if state.input == ready { state.input = -1 }
            }
            close(ready)
        }
    }

    func write(_ bytes: [UInt8]) async -> Bool {
        let input = state.withLock { $0.input }
        guard input >= 0 else { return false }
        return await Threads.run { SystemFiles.write(bytes, to: input) }
    }

    func closeInput() {
        let input = state.withLock { state -> Int32 in
            defer { if !hasTerminal { state.input = -1 } }
            return state.input
        }
        guard input >= 0 else { return }
        if hasTerminal { _ = SystemFiles.write([4], to: input) } else { close(input) }
    }

    func resize(columns: UInt16, rows: UInt16) {
        state.withLock { if hasTerminal, $0.input >= 0 { _ = skerry_resize_terminal($0.input, columns, rows) } }
    }

    func exitCode() async -> Int64 {
        await Threads.run { [self] in
            if let known = state.withLock({ $0.exit }) { return Self.code(known) }
            var ended = siginfo_t()
            while waitid(P_PID, id_t(process), &ended, WEXITED | WNOWAIT) < 0 { if errno != EINTR { break } }
            // What it leaves in its group ends with it; until it is reaped the group cannot be another's.
            Glibc.kill(-process, SIGKILL)
            var status: Int32 = 0
            while waitpid(process, &status, 0) < 0 { if errno != EINTR { break } }
            state.withLock { $0.exit = status }
            return Self.code(status)
        }
    }

    private static func code(_ status: Int32) -> Int64 {
        let signal = Int64(status & 0x7f)
        return signal == 0 ? Int64(status >> 8 & 0xff) : 128 + signal
    }

    func kill() { if state.withLock({ $0.exit == nil }) { Glibc.kill(-process, SIGKILL) } }

    deinit {
        state.withLock { state in
            for end in Set(state.outputs + [state.input]) where end >= 0 { close(end) }
        }
    }
}

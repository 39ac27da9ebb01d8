import CProcess
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#endif

/// The small process between an agent and one life of a container: it starts the program, keeps its log, reaps what it leaves, and writes
/// down how it ended. It outlives the agent; each agent that comes finds it by its records.
package enum ContainerShim {
    /// The first argument of this program by which it becomes a shim, before any other is read.
    package static let word = "container-shim"

    /// Runs the program that the order on standard input describes to its end. Standard output is closed as soon as the folder of the life
    /// holds a record: of its start, or of why there was none.
    ///
    /// - Returns: the exit status of this process; 0 once the end of the program is written down.
    package static func run() -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        for number in [SIGHUP, SIGINT, SIGTERM] { signal(number, SIG_IGN) }
        guard let bytes = SystemFiles.read(descriptor: STDIN_FILENO, bytesMax: ShimOrder.bytesMax),
            let json = try? JSONParser.parse(bytes, limits: .init(depthMax: 8, bytesMax: ShimOrder.bytesMax)), let order = ShimOrder(json)
        else {
            _ = SystemFiles.write(
                Array("no order for a container on standard input; agents start this, people do not\n".utf8), to: STDERR_FILENO)
            return 2
        }
        close(STDIN_FILENO)
        skerry_set_name("skerry-shim")
        _ = skerry_become_reaper()
        // What keeps the records is not to be what the kernel ends when memory is short.
        let isSpared = SystemFiles.put("-998", "/proc/self/oom_score_adj")
        return ShimLife(order, isSpared: isSpared).run()
    }
}

/// One life of a container, from start to record. One thread.
private final class ShimLife {
    private static let (inputName, controlName) = ("input", "control")
    /// Time that processes have which the program leaves behind.
    private static let leftoverNanoseconds: Int64 = 1_000_000_000
    /// Time after which neither they nor their output are waited for.
    private static let tailNanoseconds: Int64 = 3_000_000_000

    private let order: ShimOrder
    private let isSpared: Bool
    private var log: RotatingFile?
    /// Leading ends: what the program prints; -1 when closed.
    private var outputs: [Int32] = [-1, -1]
    private var lines = [LogLines(stream: "stdout"), LogLines(stream: "stderr")]
    /// Where the program's input is written to; -1 when there is none.
    private var input: Int32 = -1
    private var inputPipe: Int32 = -1
    private var control: Int32 = -1
    private var pendingInput: [UInt8] = []
    private var closesInput = false
    private var controlText: [UInt8] = []
    private var startedAt = Timestamp(seconds: 0)

    init(_ order: ShimOrder, isSpared: Bool) {
        self.order = order
        self.isSpared = isSpared
    }

    private static func now() -> Timestamp { Timestamp(seconds: SystemFacts.nanoseconds() / 1_000_000_000) }

    func run() -> Int32 {
        startedAt = Self.now()
        log = try? RotatingFile(path: "\(order.folder)/log", bytesMax: order.logBytesMax, filesMax: order.logFilesMax)
        let program: pid_t
        do { program = try start() } catch {
            let failed = ContainerExit(
                code: 128, reason: "StartError", message: error.description, startedAt: startedAt, finishedAt: Self.now())
            let isWritten = write(ShimRecords.json(failed), ShimRecords.exitName)
            removeGroups()
            return isWritten ? 0 : 1
        }
        let start = ShimRecords.Start(
            shim: .init(getpid()), program: .init(program), startedAt: startedAt, hasInput: order.hasInput, hasTerminal: order.hasTerminal)
        guard write(start.json, ShimRecords.startName) else {
            // Nobody would ever find it again.
            kill(-program, SIGKILL)
            return 1
        }
        close(STDOUT_FILENO)
        let status = watch(program)
        clearUp(program)
        return record(status) ? 0 : 1
    }

    // MARK: Starting

    private struct StartFailure: Error { let description: String }

    private func start() throws(StartFailure) -> pid_t {
        var ends: [Int32] = [-1, -1, -1]
        var ours: [Int32] = []
        defer { for end in Set(ends) where end >= 0 { close(end) } }
        if order.hasTerminal {
            var (leader, follower): (Int32, Int32) = (-1, -1)
            guard skerry_open_terminal(&leader, &follower) == 0 else { throw failure("cannot open a terminal") }
            ends = [follower, follower, follower]
            outputs = [leader, -1]
            if order.hasInput { input = leader }
            ours = [leader]
        } else {
            for stream in 0..<2 {
                let (reading, writing) = try pipe()
                outputs[stream] = reading
                ends[stream + 1] = writing
            }
            if order.hasInput {
                let (reading, writing) = try pipe()
                ends[0] = reading
                input = writing
            } else {
                ends[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)
            }
            ours = outputs + (input >= 0 ? [input] : [])
        }
        for end in ours { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        openPipes()
        let program = try start(on: ends)
        if isSpared { _ = SystemFiles.put("0", "/proc/\(program)/oom_score_adj") }
        return program
    }

    private func failure(_ what: String) -> StartFailure { StartFailure(description: "\(what): \(String(cString: strerror(errno)))") }

    private func pipe() throws(StartFailure) -> (reading: Int32, writing: Int32) {
        var (reading, writing): (Int32, Int32) = (-1, -1)
        guard skerry_open_pipe(&reading, &writing) == 0 else { throw failure("cannot open a pipe") }
        return (reading, writing)
    }

    /// The ways in which an agent reaches the program; kept open at both ends, so that agents may come and go.
    private func openPipes() {
        func open(_ name: String) -> Int32 {
            let path = "\(order.folder)/\(name)"
            mkfifo(path, 0o600)
            return Glibc.open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        }
        if order.hasInput { inputPipe = open(Self.inputName) }
        if order.hasInput || order.hasTerminal { control = open(Self.controlName) }
    }

    private func start(on ends: [Int32]) throws(StartFailure) -> pid_t {
        let words = CWords(order.command), variables = CWords(order.environment), folder = strdup(order.workingFolder)
        let groups = order.controlGroups.map { open("\($0)/cgroup.procs", O_WRONLY | O_CLOEXEC) }
        let sources = CWords(order.mounts.map(\.source)), targets = CWords(order.mounts.map(\.target))
        let mounts = order.mounts.indices.map {
            skerry_mount(source: sources.pointers[$0], target: targets.pointers[$0], is_read_only: order.mounts[$0].isReadOnly ? 1 : 0)
        }
        let limits = order.limits.map { skerry_limit(resource: $0.resource, value: $0.value) }
        let extraGroups = order.extraGroups.map { UInt32(truncatingIfNeeded: $0) }
        defer {
            free(folder)
            for group in groups where group >= 0 { close(group) }
        }
        var failure = skerry_failure()
        let program = groups.withUnsafeBufferPointer { groups in
            mounts.withUnsafeBufferPointer { mounts in
                limits.withUnsafeBufferPointer { limits in
                    extraGroups.withUnsafeBufferPointer { extraGroups in
                        var start = skerry_start()
                        start.program = UnsafePointer(words.pointers[0])
                        start.arguments = UnsafePointer(words.pointers)
                        start.environment = UnsafePointer(variables.pointers)
                        start.folder = UnsafePointer(folder)
                        start.descriptors = (ends[0], ends[1], ends[2])
                        start.is_terminal = order.hasTerminal ? 1 : 0
                        (start.groups, start.group_count) = (groups.baseAddress, groups.count)
                        (start.limits, start.limit_count) = (limits.baseAddress, limits.count)
                        (start.mounts, start.mount_count) = (mounts.baseAddress, mounts.count)
                        (start.user_namespace, start.mount_namespace) = (-1, -1)
                        (start.user, start.group) = (order.user ?? -1, order.group ?? -1)
                        (start.extra_groups, start.extra_group_count) = (extraGroups.baseAddress, extraGroups.count)
                        start.dies_with_parent = 1
                        (start.no_new_rights, start.is_root_read_only) = (order.isEscalationBarred ? 1 : 0, order.hasReadOnlyRoot ? 1 : 0)
                        (start.dropped_capabilities, start.added_capabilities) = (order.droppedCapabilities, order.addedCapabilities)
                        return skerry_launch(&start, &failure)
                    }
                }
            }
        }
        guard program > 0 else { throw StartFailure(description: describe(failure)) }
        return program
    }

    private func describe(_ failure: skerry_failure) -> String {
        let reason = String(cString: strerror(failure.code))
        let index = Int(failure.index)
        switch skerry_step(UInt32(failure.step)) {
        case SKERRY_STEP_EXEC:
            return failure.code == ENOENT && !order.command[0].contains("/")
                ? "exec: \"\(order.command[0])\": executable file not found in $PATH" : "exec: \"\(order.command[0])\": \(reason)"
        case SKERRY_STEP_FOLDER: return "working folder \(order.workingFolder): \(reason)"
        case SKERRY_STEP_MOUNT:
            let mount = order.mounts.indices.contains(index) ? order.mounts[index].target : ""
            return "mounting \(mount): \(reason)"
        case SKERRY_STEP_NAMESPACE: return "a mount namespace is not to be had: \(reason); run the agent as root, or leave volumeMounts out"
        case SKERRY_STEP_CGROUP:
            return "joining control group \(order.controlGroups.indices.contains(index) ? order.controlGroups[index] : ""): \(reason)"
        case SKERRY_STEP_USER: return "becoming user \(order.user ?? -1), group \(order.group ?? -1): \(reason); run the agent as root"
        case SKERRY_STEP_RIGHTS:
            let what = [
                "making the root read-only (readOnlyRootFilesystem)", "dropping capabilities", "keeping capabilities as another user",
                "barring escalation (allowPrivilegeEscalation: false)",
            ]
            return
                "securityContext: \(what.indices.contains(index) ? what[index] : "rights"): \(reason); run the agent as root, or leave it out"
        case SKERRY_STEP_LIMIT: return "setting a resource limit: \(reason)"
        default: return "starting \(order.command[0]): \(reason)"
        }
    }

    // MARK: While it runs

    /// Carries output and input until the program has ended.
    ///
    /// - Returns: its status as `waitpid` has it.
    private func watch(_ program: pid_t) -> Int32 {
        let children = skerry_child_signals()
        let end = skerry_process_descriptor(program)
        while true {
            if let status = reap(program) { return status }
            poll([children, end], milliseconds: children < 0 && end < 0 ? 50 : 1000)
            if children >= 0 {
                var information = [UInt8](repeating: 0, count: 128 * 8)
                while read(children, &information, information.count) > 0 {}
            }
        }
    }

    /// Takes every child that has ended; the program's status if it is among them.
    private func reap(_ program: pid_t) -> Int32? {
        var found: Int32?
        while true {
            var status: Int32 = 0
            let child = waitpid(-1, &status, WNOHANG)
            if child < 0, errno == EINTR { continue }
            if child <= 0 { return found }
            if child == program { found = status }
        }
    }

    /// Waits for something to happen and carries what there is.
    private func poll(_ others: [Int32], milliseconds: Int32) {
        var set: [pollfd] = others.filter { $0 >= 0 }.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        for output in outputs where output >= 0 { set.append(pollfd(fd: output, events: Int16(POLLIN), revents: 0)) }
        // Nothing is taken from a sender before what came earlier is delivered.
        if inputPipe >= 0, pendingInput.isEmpty, input >= 0 { set.append(pollfd(fd: inputPipe, events: Int16(POLLIN), revents: 0)) }
        if control >= 0 { set.append(pollfd(fd: control, events: Int16(POLLIN), revents: 0)) }
        if input >= 0, !pendingInput.isEmpty { set.append(pollfd(fd: input, events: Int16(POLLOUT), revents: 0)) }
        guard Glibc.poll(&set, nfds_t(set.count), milliseconds) > 0 else { return }
        func isReady(_ descriptor: Int32) -> Bool { set.contains { $0.fd == descriptor && $0.revents != 0 } }
        for stream in outputs.indices where outputs[stream] >= 0 && isReady(outputs[stream]) { carryOutput(stream) }
        if control >= 0, isReady(control) { obey() }
        if inputPipe >= 0 { carryInput() }
    }

    private func carryOutput(_ stream: Int) {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = read(outputs[stream], &buffer, buffer.count)
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else {
            // The end; a terminal says so by an error.
            append(lines[stream].finish(nanoseconds: SystemFacts.nanoseconds()))
            if outputs[stream] != input { close(outputs[stream]) }
            outputs[stream] = -1
            return
        }
        append(lines[stream].take(buffer[..<count], nanoseconds: SystemFacts.nanoseconds()))
    }

    /// A line that can't be written, because the disk is full, is lost: the program is not held up for it.
    private func append(_ text: [UInt8]) { if !text.isEmpty { try? log?.append(text) } }

    private func carryInput() {
        if pendingInput.isEmpty, input >= 0 {
            var buffer = [UInt8](repeating: 0, count: 16 << 10)
            let count = read(inputPipe, &buffer, buffer.count)
            if count > 0 { pendingInput = Array(buffer[..<count]) }
        }
        if !pendingInput.isEmpty, input >= 0 {
            let count = write(input, pendingInput, pendingInput.count)
            if count > 0 { pendingInput.removeFirst(count) }
            if count < 0, errno != EAGAIN, errno != EINTR { closeInput() }
        }
        if closesInput, pendingInput.isEmpty { closeInput() }
    }

    private func closeInput() {
        pendingInput = []
        closesInput = false
        // A terminal's leader is where its output comes from too: its program is told by the character that ends a text.
        if order.hasTerminal {
            _ = SystemFiles.write([4], to: input)
        } else if input >= 0 {
            close(input)
            input = -1
        }
    }

    /// Reads what agents ask for: `resize COLUMNS ROWS` and `end-input`, a line each.
    private func obey() {
        var buffer = [UInt8](repeating: 0, count: 1024)
        let count = read(control, &buffer, buffer.count)
        guard count > 0 else { return }
        controlText += buffer[..<count]
        while let end = controlText.firstIndex(of: 0x0a) {
            let words = String(decoding: controlText[..<end], as: UTF8.self).split(separator: " ")
            controlText.removeFirst(end + 1)
            switch words.first {
            case "resize" where words.count == 3:
                if let columns = UInt16(words[1]), let rows = UInt16(words[2]), outputs[0] >= 0 {
                    _ = skerry_resize_terminal(outputs[0], columns, rows)
                }
            case "end-input": closesInput = true
            default: break
            }
        }
        if controlText.count > 4096 { controlText = [] }
    }

    // MARK: The end

    /// Ends what the program has left running, and takes the rest of its output. What it has left may still finish: it is told, and killed a
    /// second later.
    private func clearUp(_ program: pid_t) {
        let began = SystemFacts.nanoseconds()
        kill(-program, SIGTERM)
        while true {
            _ = reap(program)
            let elapsed = SystemFacts.nanoseconds() - began
            let left = ControlGroups.processes(order.controlGroups)
            let hasLeft = kill(-program, 0) == 0 || !left.isEmpty
            if elapsed >= Self.leftoverNanoseconds {
                kill(-program, SIGKILL)
                for process in left { kill(process, SIGKILL) }
            }
            // Output that nobody of ours holds any more is not waited for.
            if !hasLeft, outputs.allSatisfy({ $0 < 0 }) || elapsed >= Self.leftoverNanoseconds { break }
            if elapsed >= Self.tailNanoseconds { break }
            poll([], milliseconds: 10)
        }
        for stream in outputs.indices { append(lines[stream].finish(nanoseconds: SystemFacts.nanoseconds())) }
    }

    private func removeGroups() { for group in order.controlGroups { rmdir(group) } }

    private func record(_ status: Int32) -> Bool {
        let signal = Int64(status & 0x7f)
        let code = signal == 0 ? Int64(status >> 8 & 0xff) : 128 + signal
        var exit = ContainerExit(code: code, signal: signal == 0 ? nil : signal, startedAt: startedAt, finishedAt: Self.now())
        if ControlGroups.wereOutOfMemory(order.controlGroups) { exit.reason = "OOMKilled" }
        exit.message = lastWord(hasFailed: code != 0)
        if exit.message.isEmpty, let words = Self.memoryWords(signal, order.limits) { exit.message = words }
        removeGroups()
        // The disk may be full: the end of a container is worth waiting for room.
        for _ in 0..<60 {
            if write(ShimRecords.json(exit), ShimRecords.exitName) { return true }
            sleep(1)
        }
        return false
    }

    /// Without control groups the kernel does not say that memory was short: programs end themselves when they get none.
    static func memoryWords(_ signal: Int64, _ limits: [(resource: Int32, value: UInt64)]) -> String? {
        guard [SIGABRT, SIGILL, SIGTRAP, SIGSEGV].map(Int64.init).contains(signal),
            let limit = limits.first(where: { $0.resource == Int32(RLIMIT_DATA.rawValue) })
        else { return nil }
        return
            "ended by signal \(signal) under a limit of \(limit.value) bytes of data for each process; it may have got no memory, raise limits.memory"
    }

    /// Most bytes of what a container leaves to say, as Kubernetes has it.
    private static let lastWordBytesMax = 4096

    private func lastWord(hasFailed: Bool) -> String {
        if !order.terminationLog.isEmpty, let bytes = SystemFiles.read(order.terminationLog, bytesMax: 1 << 20), !bytes.isEmpty {
            return String(decoding: bytes.suffix(Self.lastWordBytesMax), as: UTF8.self)
        }
        guard order.usesLogForTermination, hasFailed, let log = SystemFiles.read("\(order.folder)/log", bytesMax: order.logBytesMax * 2)
        else {
            return ""
        }
        let texts = log.split(separator: 0x0a).suffix(80).compactMap { LogEntry($0)?.text }
        return String(decoding: Array(texts.joined(separator: [0x0a])).suffix(2048), as: UTF8.self)
    }

    private func write(_ json: JSON, _ name: String) -> Bool {
        do {
            let file = try WholeFile(path: "\(order.folder)/\(name)", isPrivate: true)
            try file.write(json.bytes())
            try file.commit()
            return true
        } catch { return false }
    }

    private func write(_ descriptor: Int32, _ bytes: [UInt8], _ count: Int) -> Int { Glibc.write(descriptor, bytes, count) }
}

/// A list of C strings that ends with nil.
final class CWords {
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

import CProcess
import Resources
import Storage
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Containers as processes of this machine: each in a session, folder and, where the kernel allows, control groups and mounts of its own,
/// under a shim (`ContainerShim`) that outlives the agent.
///
///     FOLDER/pods/UID/pod.json · volumes/NAME/ · containers/NAME/ATTEMPT/ container.json start.json exit.json log log.1 … work/
package final class ProcessRuntime: ContainerRuntime {
    /// What is the same for all containers.
    package struct Settings: Sendable {
        /// Where everything is kept; of this agent alone.
        package var folder: String
        /// Program that becomes a shim by `ContainerShim.word`: this one.
        package var shimProgram = "/proc/self/exe"
        /// What the image `skerry/worker:builtin` runs, its arguments after it.
        package var worker: [String]
        /// Where programs are looked for that are named without a folder.
        package var path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        /// Name of this agent's control groups; another for each agent of the machine.
        package var controlGroup: String
        /// Size at which a log file is full.
        package var logBytesMax = 10 << 20
        /// Files a log has at most, the current one among them.
        package var logFilesMax = 5
        /// Version of this program.
        package var programVersion: String
        /// File of the node's permits for runs of models, which built-in workers are told of; nil for none.
        package var permits: String?

        /// The rest has values that fit most machines.
        package init(folder: String, worker: [String], controlGroup: String, programVersion: String) {
            self.folder = folder
            self.worker = worker
            self.controlGroup = controlGroup
            self.programVersion = programVersion
        }
    }

    /// The image that means this program.
    package static let builtinImage = "skerry/worker:builtin"

    private struct State {
        var records: [ContainerID: ContainerRecord] = [:]
        var starts: [ContainerID: ShimRecords.Start] = [:]
        /// By process of a shim.
        var shims: [pid_t: ContainerID] = [:]
    }

    let settings: Settings
    let groups: ControlGroups
    private let canMount: Bool
    private let state = Mutex(State())
    private let watcher: Mutex<ProcessWatcher?> = Mutex(nil)
    private let stream: AsyncStream<ContainerID>
    private let continuation: AsyncStream<ContainerID>.Continuation

    /// Finds out what the kernel allows: control groups, mounts.
    ///
    /// - Throws: a sentence that names the folder if it can't be made.
    package init(_ settings: Settings) throws {
        self.settings = settings
        do { try SystemFiles.makeFolder("\(settings.folder)/pods", mode: 0o711) } catch {
            throw ContainerRefusal("CreateContainerError", "\(error); choose a folder that the agent may write")
        }
        groups = ControlGroups(name: settings.controlGroup)
        canMount = skerry_can_mount() == 1
        (stream, continuation) = AsyncStream.makeStream(of: ContainerID.self, bufferingPolicy: .unbounded)
        let watcher = ProcessWatcher(open: { skerry_process_descriptor($0) }, ended: { [weak self] in self?.shimEnded($0) })
        self.watcher.withLock { $0 = watcher }
        watcher.start()
    }

    deinit {
        watcher.withLock { $0?.stop() }
        groups.removeRoot()
    }

    /// See `ContainerRuntime.version`; what a node says it runs containers with.
    package var version: String { "process://\(settings.programVersion)" }

    func changes() -> AsyncStream<ContainerID> { stream }

    // MARK: Places

    func folder(pod: String) -> String { "\(settings.folder)/pods/\(pod)" }
    func folder(_ id: ContainerID) -> String { "\(folder(pod: id.pod))/containers/\(id.container)/\(id.attempt)" }
    func volumeFolder(_ pod: String, _ name: String) -> String { "\(folder(pod: pod))/volumes/\(name)" }

    /// A word for a life that is unique on the machine, short enough for a folder.
    static func word(_ id: ContainerID) -> String { "\(id.pod)-\(id.container)-\(id.attempt)" }

    // MARK: Finding again

    func recover() async throws -> [ContainerRecord] { await Threads.run { [self] in recoverNow() } }

    private func recoverNow() -> [ContainerRecord] {
        for pod in SystemFiles.names("\(settings.folder)/pods") {
            let containers = "\(folder(pod: pod))/containers"
            for name in SystemFiles.names(containers) {
                for attempt in SystemFiles.names("\(containers)/\(name)").compactMap({ Int($0) }) {
                    recover(ContainerID(pod: pod, container: name, attempt: attempt))
                }
            }
        }
        return state.withLock { $0.records.values.sorted { $0.id < $1.id } }
    }

    private func recover(_ id: ContainerID) {
        let folder = folder(id)
        let facts = ShimRecords.read("\(folder)/container.json")
        var record = ContainerRecord(
            id: id, image: facts?["image"]?.string ?? "", state: .running(since: Timestamp(seconds: facts?["createdAt"]?.integer ?? 0)),
            backoffSeconds: facts?["backoffSeconds"]?.integer ?? 0)
        record.workerName = facts?["worker"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        // An agent that was killed in the middle of a start may have left a shim that is about to write its record.
        for _ in 0..<20 where ShimRecords.start(in: folder) == nil && ShimRecords.exit(in: folder) == nil { usleep(25_000) }
        if let start = ShimRecords.start(in: folder), ShimRecords.exit(in: folder) == nil, start.shim.isAlive {
            record.state = .running(since: start.startedAt)
            let shim = pid_t(truncatingIfNeeded: start.shim.id)
            state.withLock { state in
                state.records[id] = record
                state.starts[id] = start
                state.shims[shim] = id
            }
            watcher.withLock { $0?.watch(shim) }
        } else {
            record.state = .exited(exit(of: id))
            state.withLock { $0.records[id] = record }
        }
    }

    /// How a life has ended whose shim is gone; what the shim could not clear up is.
    private func exit(of id: ContainerID) -> ContainerExit {
        let folder = folder(id)
        if let exit = ShimRecords.exit(in: folder) { return exit }
        let start = ShimRecords.start(in: folder)
        if let start, start.program.isAlive { Self.killAll(start, groups.folders(Self.word(id))) }
        groups.remove(Self.word(id))
        let now = Timestamp(seconds: SystemFacts.nanoseconds() / 1_000_000_000)
        let began = start?.startedAt ?? now
        let isOtherBoot = start.map { $0.shim.bootID != SystemFacts.bootID } ?? false
        let exit = ContainerExit(
            code: 255, reason: "Unknown",
            message: isOtherBoot
                ? "the machine was restarted while the container ran" : "the container's end was not recorded: its shim was killed",
            startedAt: began, finishedAt: now)
        _ = Self.write(ShimRecords.json(exit), "\(folder)/\(ShimRecords.exitName)")
        return exit
    }

    private func shimEnded(_ shim: pid_t) {
        guard let id = state.withLock({ $0.shims.removeValue(forKey: shim) }) else { return }
        let exit = exit(of: id)
        state.withLock { state in
            state.records[id]?.state = .exited(exit)
            state.starts[id] = nil
        }
        continuation.yield(id)
    }

    func record(_ id: ContainerID) -> ContainerRecord? { state.withLock { $0.records[id] } }

    // MARK: Preparing

    func prepare(_ pod: PodSpec, files: [VolumeFiles], fills: [VolumeFill]) async throws(ContainerRefusal) {
        let result = await Threads.run { [self] in Result { () throws(ContainerRefusal) in try prepareNow(pod, files, fills) } }
        try result.get()
    }

    private func prepareNow(_ pod: PodSpec, _ files: [VolumeFiles], _ fills: [VolumeFill]) throws(ContainerRefusal) {
        let folder = folder(pod: pod.uid)
        guard Self.isName(pod.uid) else {
            throw ContainerRefusal("CreateContainerError", "pod \(pod.description): uid \"\(pod.uid)\" is none")
        }
        do {
            // Passed through, not listed, by users that containers run as.
            try SystemFiles.makeFolder(folder, mode: 0o711)
            let saved = pod.object.bytes()
            if SystemFiles.read("\(folder)/pod.json", bytesMax: 4 << 20) != saved { _ = Self.write(saved, "\(folder)/pod.json") }
            for volume in pod.volumes {
                guard let name = volume["name"]?.string, Self.isName(name) else { continue }
                if volume["csi"] == nil { try prepare(volume, named: name, of: pod, files) }
            }
            try SystemFiles.makeFolder("\(folder)/volumes", mode: 0o755)
            for fill in fills where Self.isName(fill.volume) { try VolumeFiller.fill(fill, volumeFolder(pod.uid, fill.volume)) }
        } catch let failure as SystemFiles.Failure {
            throw ContainerRefusal("ContainerCreating", "\(failure)")
        } catch let refusal as ContainerRefusal {
            throw refusal
        } catch { throw ContainerRefusal("ContainerCreating", "\(error)") }
    }

    func isPrepared(_ pod: PodSpec) -> Bool {
        SystemFiles.mode("\(folder(pod: pod.uid))/pod.json") != nil
            && pod.volumes.allSatisfy { volume in
                volume["hostPath"] != nil || SystemFiles.isFolder(volumeFolder(pod.uid, volume["name"]?.string ?? ""))
            }
    }

    static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 253 && !text.hasPrefix(".") && !text.contains("/") && !text.contains("\0")
    }

    private func prepare(_ volume: JSON, named name: String, of pod: PodSpec, _ files: [VolumeFiles]) throws {
        let place = volumeFolder(pod.uid, name)
        if volume["emptyDir"]?["medium"]?.string == "Memory" {
            try prepareMemory(volume, named: name, of: pod)
        } else if volume["emptyDir"] != nil {
            guard !SystemFiles.isFolder(place) else { return }
            try SystemFiles.makeFolder(place)
            chmod(place, 0o777)
            if let group = pod.object["spec"]?["securityContext"]?["fsGroup"]?.integer {
                chown(place, uid_t.max, gid_t(truncatingIfNeeded: group))
            }
        } else if let host = volume["hostPath"] {
            try Self.checkHostPath(host, name)
        } else if let wanted = files.first(where: { $0.volume == name }) {
            let user =
                pod.object["spec"]?["securityContext"]?["runAsUser"]?.integer
                ?? pod.containers.compactMap {
                    $0.object["securityContext"]?["runAsUser"]?.integer
                }.first
            _ = try VolumeWriter.write(wanted.files, to: place, user: geteuid() == 0 ? user : nil, group: nil)
        } else if volume["projected"]?["isOptional"] == true {
            try SystemFiles.makeFolder(place)
        } else {
            let kind = volume.object?.keys.first { $0 != "name" } ?? "unknown"
            throw ContainerRefusal(
                "ContainerCreating",
                "volume \"\(name)\" is of kind \(kind), which a node with runtime process does not have; use emptyDir, hostPath, configMap, secret, projected or downwardAPI"
            )
        }
    }

    /// A file system in memory, as large as the volume may be, or half of the machine's. It stays when the agent ends, and goes with the machine.
    private func prepareMemory(_ volume: JSON, named name: String, of pod: PodSpec) throws {
        let place = volumeFolder(pod.uid, name)
        try SystemFiles.makeFolder(place)
        guard !SystemFiles.isMountPoint(place) else { return }
        let half = UInt64(max(0, sysconf(Int32(_SC_PHYS_PAGES)))) * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE)))) / 2
        let bytes = Quantity(volume["emptyDir"]?["sizeLimit"]).map { UInt64(max(4096, $0.value)) } ?? half
        guard skerry_mount_memory(place, bytes) == 0 else {
            throw ContainerRefusal(
                "ContainerCreating",
                "volume \"\(name)\": emptyDir.medium Memory cannot be had: \(String(cString: strerror(errno))); run this node's agent as root, or leave medium out"
            )
        }
        if let group = pod.object["spec"]?["securityContext"]?["fsGroup"]?.integer {
            chown(place, uid_t.max, gid_t(truncatingIfNeeded: group))
        }
    }

    func overfullVolume(_ pod: PodSpec) async -> String? {
        await Threads.run { [self] in
            for volume in pod.volumes {
                guard let name = volume["name"]?.string, Self.isName(name), volume["emptyDir"]?["medium"]?.string != "Memory",
                    let limit = volume["emptyDir"]?["sizeLimit"], let bytes = Quantity(limit)
                else { continue }
                if SystemFiles.usage(volumeFolder(pod.uid, name), upTo: Int64(bytes.value)) > Int64(bytes.value) {
                    return "Usage of EmptyDir volume \"\(name)\" exceeds the limit \"\(limit.string ?? limit.text)\"."
                }
            }
            return nil
        }
    }

    private static func checkHostPath(_ source: JSON, _ name: String) throws {
        let path = source["path"]?.string ?? ""
        let type = source["type"]?.string ?? ""
        guard path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
            throw ContainerRefusal(
                "ContainerCreating", "volume \"\(name)\": hostPath.path: found \"\(path)\"; must be absolute and without ..")
        }
        if type == "DirectoryOrCreate" { try SystemFiles.makeFolder(path) }
        if type == "FileOrCreate", SystemFiles.mode(path) == nil {
            let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
            if file >= 0 { close(file) }
        }
        let kinds: [String: mode_t] = [
            "Directory": S_IFDIR, "DirectoryOrCreate": S_IFDIR, "File": S_IFREG, "FileOrCreate": S_IFREG, "Socket": S_IFSOCK,
            "CharDevice": S_IFCHR, "BlockDevice": S_IFBLK,
        ]
        guard let mode = SystemFiles.mode(path) else {
            throw ContainerRefusal(
                "ContainerCreating",
                "volume \"\(name)\": hostPath \(path) does not exist on this node; make it, or use type DirectoryOrCreate")
        }
        if let kind = kinds[type], mode & S_IFMT != kind {
            throw ContainerRefusal("ContainerCreating", "volume \"\(name)\": hostPath type check failed: \(path) is not a \(type)")
        }
    }

    // MARK: Starting

    func admit(_ container: ContainerSpec, of pod: PodSpec) throws(ContainerRefusal) {
        if container.image == Self.builtinImage || !(container.object["command"]?.array ?? []).isEmpty { return }
        let isNever = container.object["imagePullPolicy"]?.string == "Never"
        throw ContainerRefusal(
            isNever ? "ErrImageNeverPull" : "ErrImagePull",
            "container \(container.name): image \"\(container.image)\" cannot be run: this node runs containers as processes and has no container engine; give the container a command, use \(Self.builtinImage), or choose a node with an engine"
        )
    }

    func start(_ setup: ContainerSetup) async throws(ContainerRefusal) -> ContainerRecord {
        let result = await Threads.run { [self] in Result { () throws(ContainerRefusal) in try startNow(setup) } }
        return try result.get()
    }

    private func startNow(_ setup: ContainerSetup) throws(ContainerRefusal) -> ContainerRecord {
        let id = setup.id
        guard Self.isName(id.container), Self.isName(id.pod) else {
            throw ContainerRefusal("CreateContainerConfigError", "container \"\(id.container)\": the name is none")
        }
        let folder = folder(id)
        SystemFiles.remove(folder)
        do { try SystemFiles.makeFolder(folder, mode: 0o711) } catch { throw ContainerRefusal("CreateContainerError", "\(error)") }
        let order = try order(setup, folder)
        let now = SystemFacts.nanoseconds() / 1_000_000_000
        let facts: JSON = [
            "image": .string(setup.spec.image), "backoffSeconds": .integer(setup.backoffSeconds), "createdAt": .integer(now),
            "command": .array(order.command.map { .string($0) }), "worker": .string(setup.workerName ?? ""),
        ]
        guard Self.write(facts.bytes(), "\(folder)/container.json") else {
            throw ContainerRefusal(
                "CreateContainerError", "container \(id.container): cannot write \(folder)/container.json; free space there")
        }
        let shim = try launch(order, folder)
        var record = ContainerRecord(
            id: id, image: setup.spec.image, state: .running(since: Timestamp(seconds: now)), backoffSeconds: setup.backoffSeconds)
        record.workerName = setup.workerName
        if let start = ShimRecords.start(in: folder) {
            record.state = .running(since: start.startedAt)
            state.withLock { state in
                state.records[id] = record
                state.starts[id] = start
                state.shims[shim] = id
            }
            watcher.withLock { $0?.watch(shim) }
        } else {
            waitpid(shim, nil, 0)
            record.state = .exited(exit(of: id))
            state.withLock { $0.records[id] = record }
        }
        return record
    }

    /// Starts a shim, hands it its order, and returns once it has a record.
    private func launch(_ order: ShimOrder, _ folder: String) throws(ContainerRefusal) -> pid_t {
        var (reading, writing): (Int32, Int32) = (-1, -1)
        var (report, reporting): (Int32, Int32) = (-1, -1)
        guard skerry_open_pipe(&reading, &writing) == 0, skerry_open_pipe(&report, &reporting) == 0 else {
            throw ContainerRefusal("CreateContainerError", "no descriptors are left for a container: \(String(cString: strerror(errno)))")
        }
        let errors = open("\(folder)/shim.err", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        defer { for end in [writing, report, errors] where end >= 0 { close(end) } }
        let words = CWords([settings.shimProgram, ContainerShim.word])
        // A program that is a shim needs nothing of ours.
        let variables = CWords(["PATH=\(settings.path)"])
        var start = skerry_start()
        var failure = skerry_failure()
        start.program = UnsafePointer(words.pointers[0])
        start.arguments = UnsafePointer(words.pointers)
        start.environment = UnsafePointer(variables.pointers)
        start.descriptors = (reading, reporting, errors >= 0 ? errors : reporting)
        (start.user_namespace, start.mount_namespace, start.user, start.group) = (-1, -1, -1, -1)
        let shim = skerry_launch(&start, &failure)
        close(reading)
        close(reporting)
        guard shim > 0 else {
            throw ContainerRefusal(
                "CreateContainerError", "cannot start \(settings.shimProgram): \(String(cString: strerror(failure.code)))")
        }
        _ = Glibc.signal(SIGPIPE, SIG_IGN)
        guard SystemFiles.write(order.json.bytes(), to: writing) else {
            kill(shim, SIGKILL)
            waitpid(shim, nil, 0)
            throw ContainerRefusal("CreateContainerError", "the container's shim did not take its order; see \(folder)/shim.err")
        }
        close(writing)
        writing = -1
        _ = SystemFiles.read(descriptor: report, bytesMax: 4096)
        return shim
    }

    /// Everything a shim has to know, resolved.
    private func order(_ setup: ContainerSetup, _ folder: String) throws(ContainerRefusal) -> ShimOrder {
        let container = setup.spec
        let work = "\(folder)/work"
        var known: [String: String] = ["PATH": settings.path, "HOME": work, "HOSTNAME": setup.pod.key.name]
        if container.image == Self.builtinImage, let program = settings.worker.first, let cut = program.lastIndex(of: "/") {
            known["PATH"] = "\(program[..<cut]):\(settings.path)"
        }
        if setup.pod.volumes.contains(where: { $0["name"]?.string == DefaultAccount.volume }) {
            known[DefaultAccount.variable] = volumeFolder(setup.id.pod, DefaultAccount.volume)
        }
        for variable in setup.environment { known[variable.name] = variable.value }
        if container.image == Self.builtinImage { tellBounds(setup, &known) }
        let command = try self.command(container, known)
        let workingFolder = container.object["workingDir"]?.string.flatMap { $0.isEmpty ? nil : $0 } ?? work
        var order = ShimOrder(
            folder: folder, command: command, environment: known.map { "\($0.key)=\($0.value)" }.sorted(), workingFolder: workingFolder)
        try setUser(setup, &order)
        do { try SystemFiles.makeFolder(work, mode: 0o755) } catch { throw ContainerRefusal("CreateContainerError", "\(error)") }
        if let user = order.user { chown(work, uid_t(truncatingIfNeeded: user), gid_t(truncatingIfNeeded: order.group ?? user)) }
        try setLimits(setup, &order)
        try setMounts(setup, folder, &order)
        try setRights(setup, work: work, &order)
        order.hasInput = container.object["stdin"]?.bool ?? false
        order.closesInputOnce = container.object["stdinOnce"]?.bool ?? false
        order.hasTerminal = container.object["tty"]?.bool ?? false
        // Shared with other workers, whatever else is read-only.
        if order.hasReadOnlyRoot, let permits = known["INFERENCE_PERMITS"], permits == settings.permits {
            order.mounts.append(.init(source: permits, target: permits, isReadOnly: false))
        }
        if order.hasTerminal, known["TERM"] == nil { order.environment.append("TERM=xterm") }
        (order.logBytesMax, order.logFilesMax) = (settings.logBytesMax, settings.logFilesMax)
        order.usesLogForTermination = container.object["terminationMessagePolicy"]?.string == "FallbackToLogsOnError"
        return order
    }

    /// What a built-in worker is to know of its node and its container; a Pod says nothing else of the node.
    private func tellBounds(_ setup: ContainerSetup, _ variables: inout [String: String]) {
        if let permits = settings.permits { variables["INFERENCE_PERMITS"] = permits }
        if let bytes = Quantity(setup.spec.object["resources"]?["limits"]?["memory"]), variables["MEMORY_LIMIT_BYTES"] == nil {
            variables["MEMORY_LIMIT_BYTES"] = "\(Int64(bytes.value))"
        }
    }

    private func command(_ container: ContainerSpec, _ variables: [String: String]) throws(ContainerRefusal) -> [String] {
        let command = (container.object["command"]?.array ?? []).compactMap(\.string).map { PodSources.expanded($0, variables) }
        let arguments = (container.object["args"]?.array ?? []).compactMap(\.string).map { PodSources.expanded($0, variables) }
        let whole = (command.isEmpty && container.image == Self.builtinImage ? settings.worker : command) + arguments
        guard !whole.isEmpty, !whole.contains(where: { $0.contains("\0") }) else {
            throw ContainerRefusal("CreateContainerConfigError", "container \(container.name): no command specified")
        }
        return whole
    }

    private func setUser(_ setup: ContainerSetup, _ order: inout ShimOrder) throws(ContainerRefusal) {
        let pod = setup.pod.object["spec"]?["securityContext"]
        let own = setup.spec.object["securityContext"]
        let user = own?["runAsUser"]?.integer ?? pod?["runAsUser"]?.integer
        let group = own?["runAsGroup"]?.integer ?? pod?["runAsGroup"]?.integer
        let mayNotBeRoot = own?["runAsNonRoot"]?.bool ?? pod?["runAsNonRoot"]?.bool ?? false
        if mayNotBeRoot, (user ?? Int64(geteuid())) == 0 {
            throw ContainerRefusal(
                "CreateContainerConfigError",
                "container \(setup.spec.name): runAsNonRoot is set and the process would run as root; set securityContext.runAsUser")
        }
        let isChange = user.map { $0 != Int64(geteuid()) } ?? false || group.map { $0 != Int64(getegid()) } ?? false
        guard isChange else { return }
        guard geteuid() == 0 else {
            throw ContainerRefusal(
                "CreateContainerConfigError",
                "container \(setup.spec.name): securityContext asks for user \(user ?? -1), group \(group ?? -1), and this node's agent runs as user \(geteuid()), which may become no other; run it as root, or leave the fields out"
            )
        }
        order.user = user
        // Without a group of its own, the user's: the agent's would be root's.
        order.group = group ?? user.map { user in getpwuid(uid_t(truncatingIfNeeded: user)).map { Int64($0.pointee.pw_gid) } ?? user }
        order.extraGroups = (pod?["supplementalGroups"]?.array ?? []).compactMap(\.integer)
        if let shared = pod?["fsGroup"]?.integer { order.extraGroups.append(shared) }
    }

    private func setLimits(_ setup: ContainerSetup, _ order: inout ShimOrder) throws(ContainerRefusal) {
        let resources = setup.spec.object["resources"]
        var limits = ControlGroups.Limits()
        limits.memoryBytes = Quantity(resources?["limits"]?["memory"]).map { Int64($0.value) }
        limits.milliCores = Quantity(resources?["limits"]?["cpu"]).map { max(1, Int64($0.value * 1000)) }
        limits.requestedMilliCores = Quantity(resources?["requests"]?["cpu"]).map { Int64($0.value * 1000) } ?? limits.milliCores
        if let folders = groups.make(Self.word(setup.id), limits) { return order.controlGroups = folders }
        // Without control groups: no process of it may have more data than the whole container should.
        if let bytes = limits.memoryBytes { order.limits.append((resource: Int32(RLIMIT_DATA.rawValue), value: UInt64(bytes))) }
    }

    private func setMounts(_ setup: ContainerSetup, _ folder: String, _ order: inout ShimOrder) throws(ContainerRefusal) {
        var known: [String: String] = [:]
        for variable in setup.environment { known[variable.name] = variable.value }
        for mount in setup.spec.object["volumeMounts"]?.array ?? [] {
            let name = mount["name"]?.string ?? ""
            let target = mount["mountPath"]?.string ?? ""
            guard let volume = setup.pod.volumes.first(where: { $0["name"]?.string == name }), target.hasPrefix("/") else {
                throw ContainerRefusal(
                    "CreateContainerConfigError", "volumeMounts: volume \"\(name)\" at \"\(target)\" is none of the Pod's")
            }
            if !canMount, mount["isOptional"] == true { continue }
            guard canMount else {
                throw ContainerRefusal(
                    "CreateContainerError",
                    "container \(setup.spec.name): volume \"\(name)\" cannot be mounted at \(target): this node's agent may not make mounts; run it as root, or allow user namespaces"
                )
            }
            var source = volume["hostPath"]?["path"]?.string ?? volumeFolder(setup.pod.uid, name)
            let part = mount["subPathExpr"]?.string.map { PodSources.expanded($0, known) } ?? mount["subPath"]?.string ?? ""
            if !part.isEmpty { source = try Self.part(part, of: source, volume: name, isMade: volume["emptyDir"] != nil) }
            let isReadOnly = mount["readOnly"]?.bool ?? false || volume["csi"] != nil
            order.mounts.append(.init(source: source, target: target, isReadOnly: isReadOnly))
        }
        order.mounts.sort { $0.target < $1.target }
        guard canMount, geteuid() == 0, let place = setup.spec.object["terminationMessagePath"]?.string, place.hasPrefix("/") else {
            return
        }
        let file = "\(folder)/termination-log"
        let descriptor = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { return }
        fchmod(descriptor, 0o666)
        close(descriptor)
        order.terminationLog = file
        order.mounts.append(.init(source: file, target: place, isReadOnly: false))
    }

    /// What the process may not do, and may for all that.
    private func setRights(_ setup: ContainerSetup, work: String, _ order: inout ShimOrder) throws(ContainerRefusal) {
        let wanted = setup.spec.object["securityContext"]
        order.isEscalationBarred = wanted?["allowPrivilegeEscalation"]?.bool == false
        if wanted?["readOnlyRootFilesystem"]?.bool == true {
            guard canMount else {
                throw ContainerRefusal(
                    "CreateContainerError",
                    "container \(setup.spec.name): readOnlyRootFilesystem cannot be had: this node's agent may not make mounts; run it as root, or leave the field out"
                )
            }
            order.hasReadOnlyRoot = true
            // Its own folder is not part of the machine's.
            order.mounts.append(.init(source: work, target: work, isReadOnly: false))
        }
        let (dropped, added) = (
            try Capabilities.bits(wanted?["capabilities"]?["drop"], field: "drop"),
            try Capabilities.bits(wanted?["capabilities"]?["add"], field: "add")
        )
        guard added == 0 || geteuid() == 0 else {
            throw ContainerRefusal(
                "CreateContainerConfigError",
                "container \(setup.spec.name): securityContext.capabilities.add cannot be had: this node's agent runs as user \(geteuid()); run it as root, or leave the field out"
            )
        }
        (order.droppedCapabilities, order.addedCapabilities) = (dropped & ~added, added)
    }

    /// A part of a volume, which must lie in it whatever links the volume holds.
    static func part(_ part: String, of volume: String, volume name: String, isMade: Bool) throws(ContainerRefusal) -> String {
        let path = "\(volume)/\(part)"
        guard !part.hasPrefix("/"), !part.split(separator: "/").contains("..") else {
            throw ContainerRefusal(
                "CreateContainerConfigError", "subPath \"\(part)\" of volume \"\(name)\": must be relative and without ..")
        }
        if SystemFiles.mode(path) == nil, isMade { try? SystemFiles.makeFolder(path, mode: 0o777) }
        guard let real = realpath(path, nil), let root = realpath(volume, nil) else {
            throw ContainerRefusal("CreateContainerConfigError", "subPath \"\(part)\" of volume \"\(name)\" does not exist")
        }
        defer {
            free(real)
            free(root)
        }
        guard (String(cString: real) + "/").hasPrefix(String(cString: root) + "/") else {
            throw ContainerRefusal("CreateContainerConfigError", "subPath \"\(part)\" of volume \"\(name)\" leads out of it")
        }
        return String(cString: real)
    }

    // MARK: Ending

    func signal(_ id: ContainerID, _ number: Int32) {
        guard let start = state.withLock({ $0.starts[id] }), start.program.isAlive else { return }
        if number == SIGKILL { return Self.killAll(start, groups.folders(Self.word(id))) }
        kill(-pid_t(truncatingIfNeeded: start.program.id), number)
    }

    private static func killAll(_ start: ShimRecords.Start, _ folders: [String]) {
        kill(-pid_t(truncatingIfNeeded: start.program.id), SIGKILL)
        for process in ControlGroups.processes(folders) { kill(process, SIGKILL) }
    }

    func forget(_ container: ContainerID, keeping: Int) {
        let old = container.attempt - max(0, keeping)
        let gone = state.withLock { state -> [ContainerID] in
            let gone = state.records.keys.filter { $0.pod == container.pod && $0.container == container.container && $0.attempt < old }
            for id in gone { state.records[id] = nil }
            return gone
        }
        for id in gone { SystemFiles.remove(folder(id)) }
    }

    func remove(pod: String) async {
        guard Self.isName(pod) else { return }
        let running = state.withLock { state -> [ShimRecords.Start] in
            for id in state.records.keys where id.pod == pod { state.records[id] = nil }
            return state.starts.filter { $0.key.pod == pod }.map(\.value)
        }
        for start in running where start.program.isAlive { Self.killAll(start, []) }
        let folder = folder(pod: pod)
        await Threads.run {
            for name in SystemFiles.names("\(folder)/volumes") where SystemFiles.isMountPoint("\(folder)/volumes/\(name)") {
                skerry_unmount("\(folder)/volumes/\(name)")
            }
            SystemFiles.remove(folder)
        }
    }

    func savedPods() -> [JSON] {
        SystemFiles.names("\(settings.folder)/pods").compactMap { uid in
            SystemFiles.read("\(folder(pod: uid))/pod.json", bytesMax: 4 << 20).flatMap { try? JSONParser.parse($0) }
        }
    }

    private static func write(_ json: JSON, _ path: String) -> Bool { write(json.bytes(), path) }

    static func write(_ bytes: [UInt8], _ path: String) -> Bool {
        do {
            let file = try WholeFile(path: path, isPrivate: true)
            try file.write(bytes)
            try file.commit()
            return true
        } catch { return false }
    }

    // MARK: Reaching in

    func logFiles(_ id: ContainerID) -> [String] {
        let folder = folder(id)
        return SystemFiles.names(folder).filter { $0 == "log" || $0.hasPrefix("log.") }
            .sorted { (Int($0.dropFirst(4)) ?? 0) > (Int($1.dropFirst(4)) ?? 0) }.map { "\(folder)/\($0)" }
    }

    func program(of id: ContainerID) -> ContainerProgram? {
        guard let start = state.withLock({ $0.starts[id] }), start.program.isAlive else { return nil }
        return ContainerProgram(
            process: pid_t(truncatingIfNeeded: start.program.id), group: ControlGroups.processes(groups.folders(Self.word(id))))
    }

    func execute(_ command: [String], tty: Bool, in id: ContainerID) throws(APIStatus) -> any RuntimeProcess {
        guard let start = state.withLock({ $0.starts[id] }), start.program.isAlive else {
            throw APIStatus(code: 409, reason: "Conflict", message: "container \(id.container) is not running")
        }
        return try SideProcess(
            command, tty: tty, beside: pid_t(truncatingIfNeeded: start.program.id), groups: groups.folders(Self.word(id)))
    }

    func write(_ bytes: [UInt8]?, to id: ContainerID) async -> Bool {
        guard let start = state.withLock({ $0.starts[id] }), start.hasInput else { return false }
        let path = "\(folder(id))/\(bytes == nil ? "control" : "input")"
        return await Threads.run {
            // Waits while the pipe is full, as long as the shim holds its other end.
            let pipe = open(path, O_WRONLY | O_CLOEXEC)
            guard pipe >= 0 else { return false }
            defer { close(pipe) }
            return SystemFiles.write(bytes ?? Array("end-input\n".utf8), to: pipe)
        }
    }

    func resize(_ id: ContainerID, columns: UInt16, rows: UInt16) {
        guard let start = state.withLock({ $0.starts[id] }), start.hasTerminal else { return }
        let pipe = open("\(folder(id))/control", O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        guard pipe >= 0 else { return }
        _ = SystemFiles.write(Array("resize \(columns) \(rows)\n".utf8), to: pipe)
        close(pipe)
    }
}

import Resources

#if canImport(Glibc)
    import Glibc
#endif

/// What a shim is told over its standard input: one JSON object. It holds the environment, secrets among it, and so is never written to a disk.
struct ShimOrder: Sendable, Equatable {
    struct Mount: Sendable, Equatable {
        var source: String
        var target: String
        var isReadOnly: Bool
    }

    /// Of the life: where the shim keeps its records, log and pipes.
    var folder: String
    var command: [String]
    /// `NAME=value`.
    var environment: [String]
    var workingFolder: String
    /// Nil for the agent's own.
    var user: Int64?
    var group: Int64?
    var extraGroups: [Int64] = []
    /// Folders of control groups that the program joins.
    var controlGroups: [String] = []
    /// Numbers and values as for `setrlimit`.
    var limits: [(resource: Int32, value: UInt64)] = []
    var mounts: [Mount] = []
    /// Neither the program nor what it starts gets rights by files that give them.
    var isEscalationBarred = false
    /// Everything but the mounts that are not read-only is.
    var hasReadOnlyRoot = false
    /// Bits by number that the program never has, and those it keeps as another user than root.
    var droppedCapabilities: UInt64 = 0
    var addedCapabilities: UInt64 = 0
    var hasInput = false
    /// Standard input ends when whoever wrote to it first has gone.
    var closesInputOnce = false
    var hasTerminal = false
    var logBytesMax = 10 << 20
    var logFilesMax = 5
    /// File in which the program may leave a last word; empty for none.
    var terminationLog = ""
    /// Without a last word, the end of the log is taken for it if the program has failed.
    var usesLogForTermination = false

    /// Most bytes of an order.
    static let bytesMax = 8 << 20

    static func == (left: ShimOrder, right: ShimOrder) -> Bool { left.json == right.json }

    var json: JSON {
        func texts(_ list: [String]) -> JSON { .array(list.map { .string($0) }) }
        var body: JSON = [
            "folder": .string(folder), "command": texts(command), "environment": texts(environment),
            "workingFolder": .string(workingFolder), "controlGroups": texts(controlGroups),
            "extraGroups": .array(extraGroups.map { .integer($0) }),
            "limits": .array(limits.map { [.integer(Int64($0.resource)), .integer(Int64(bitPattern: $0.value))] }),
            "mounts": .array(mounts.map { [.string($0.source), .string($0.target), .bool($0.isReadOnly)] }),
            "isEscalationBarred": .bool(isEscalationBarred), "hasReadOnlyRoot": .bool(hasReadOnlyRoot),
            "droppedCapabilities": .integer(Int64(bitPattern: droppedCapabilities)),
            "addedCapabilities": .integer(Int64(bitPattern: addedCapabilities)),
            "hasInput": .bool(hasInput), "closesInputOnce": .bool(closesInputOnce), "hasTerminal": .bool(hasTerminal),
            "logBytesMax": .integer(Int64(logBytesMax)), "logFilesMax": .integer(Int64(logFilesMax)),
            "terminationLog": .string(terminationLog), "usesLogForTermination": .bool(usesLogForTermination),
        ]
        if let user { body["user"] = .integer(user) }
        if let group { body["group"] = .integer(group) }
        return body
    }

    /// Nil for anything that an agent of this version would not have written.
    init?(_ json: JSON) {
        func texts(_ key: String) -> [String] { (json[key]?.array ?? []).compactMap(\.string) }
        guard let folder = json["folder"]?.string, let workingFolder = json["workingFolder"]?.string else { return nil }
        self.folder = folder
        self.workingFolder = workingFolder
        command = texts("command")
        environment = texts("environment")
        user = json["user"]?.integer
        group = json["group"]?.integer
        extraGroups = (json["extraGroups"]?.array ?? []).compactMap(\.integer)
        controlGroups = texts("controlGroups")
        for limit in json["limits"]?.array ?? [] {
            guard let pair = limit.array, pair.count == 2, let resource = pair[0].integer, let value = pair[1].integer else { return nil }
            limits.append((Int32(truncatingIfNeeded: resource), UInt64(bitPattern: value)))
        }
        for mount in json["mounts"]?.array ?? [] {
            guard let parts = mount.array, parts.count == 3, let source = parts[0].string, let target = parts[1].string else { return nil }
            mounts.append(Mount(source: source, target: target, isReadOnly: parts[2].bool ?? false))
        }
        isEscalationBarred = json["isEscalationBarred"]?.bool ?? false
        hasReadOnlyRoot = json["hasReadOnlyRoot"]?.bool ?? false
        droppedCapabilities = UInt64(bitPattern: json["droppedCapabilities"]?.integer ?? 0)
        addedCapabilities = UInt64(bitPattern: json["addedCapabilities"]?.integer ?? 0)
        hasInput = json["hasInput"]?.bool ?? false
        closesInputOnce = json["closesInputOnce"]?.bool ?? false
        hasTerminal = json["hasTerminal"]?.bool ?? false
        logBytesMax = max(4096, Int(json["logBytesMax"]?.integer ?? 10 << 20))
        logFilesMax = max(1, Int(json["logFilesMax"]?.integer ?? 5))
        terminationLog = json["terminationLog"]?.string ?? ""
        usesLogForTermination = json["usesLogForTermination"]?.bool ?? false
        guard !command.isEmpty else { return nil }
    }

    init(folder: String, command: [String], environment: [String], workingFolder: String) {
        self.folder = folder
        self.command = command
        self.environment = environment
        self.workingFolder = workingFolder
    }
}

/// What stands in the folder of a life, written by its shim.
struct ShimRecords: Sendable, Equatable {
    /// One process for ever: ids are used again, but not with the same beginning in the same run of the machine.
    struct Process: Sendable, Equatable {
        var id: Int64
        var startTicks: Int64
        var bootID: String

        /// Whether it is there still.
        var isAlive: Bool {
            bootID == SystemFacts.bootID && SystemFacts.startTicks(pid_t(truncatingIfNeeded: id)) == UInt64(bitPattern: startTicks)
        }

        init(_ id: pid_t) {
            self.id = Int64(id)
            startTicks = Int64(bitPattern: SystemFacts.startTicks(id) ?? 0)
            bootID = SystemFacts.bootID
        }

        init?(_ json: JSON?) {
            guard let id = json?["pid"]?.integer, let ticks = json?["startTicks"]?.integer, let boot = json?["bootID"]?.string else {
                return nil
            }
            (self.id, startTicks, bootID) = (id, ticks, boot)
        }

        var json: JSON { ["pid": .integer(id), "startTicks": .integer(startTicks), "bootID": .string(bootID)] }
    }

    /// What the shim writes once the program runs.
    struct Start: Sendable, Equatable {
        var shim: Process
        /// Also the id of its session and of its process group.
        var program: Process
        var startedAt: Timestamp
        var hasInput: Bool
        var hasTerminal: Bool

        init(shim: Process, program: Process, startedAt: Timestamp, hasInput: Bool, hasTerminal: Bool) {
            self.shim = shim
            self.program = program
            self.startedAt = startedAt
            self.hasInput = hasInput
            self.hasTerminal = hasTerminal
        }

        init?(_ json: JSON?) {
            guard let shim = Process(json?["shim"]), let program = Process(json?["program"]), let time = json?["startedAt"]?.integer else {
                return nil
            }
            (self.shim, self.program, startedAt) = (shim, program, Timestamp(seconds: time))
            hasInput = json?["hasInput"]?.bool ?? false
            hasTerminal = json?["hasTerminal"]?.bool ?? false
        }

        var json: JSON {
            [
                "shim": shim.json, "program": program.json, "startedAt": .integer(startedAt.seconds), "hasInput": .bool(hasInput),
                "hasTerminal": .bool(hasTerminal),
            ]
        }
    }

    static let (startName, exitName) = ("start.json", "exit.json")

    static func read(_ path: String) -> JSON? { SystemFiles.read(path).flatMap { try? JSONParser.parse($0) } }

    static func start(in folder: String) -> Start? { Start(read("\(folder)/\(startName)")) }

    static func exit(in folder: String) -> ContainerExit? {
        guard let json = read("\(folder)/\(exitName)"), let code = json["exitCode"]?.integer, let from = json["startedAt"]?.integer,
            let to = json["finishedAt"]?.integer
        else { return nil }
        return ContainerExit(
            code: code, signal: json["signal"]?.integer, reason: json["reason"]?.string, message: json["message"]?.string ?? "",
            startedAt: Timestamp(seconds: from), finishedAt: Timestamp(seconds: to))
    }

    static func json(_ exit: ContainerExit) -> JSON {
        var body: JSON = [
            "exitCode": .integer(exit.code), "reason": .string(exit.reason), "message": .string(exit.message),
            "startedAt": .integer(exit.startedAt.seconds), "finishedAt": .integer(exit.finishedAt.seconds),
        ]
        if let signal = exit.signal { body["signal"] = .integer(signal) }
        return body
    }
}

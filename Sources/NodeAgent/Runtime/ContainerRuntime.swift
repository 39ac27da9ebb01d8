import Resources

/// Which life of which container.
struct ContainerID: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Uid of the Pod.
    let pod: String
    /// Name of the container in its Pod.
    let container: String
    /// 0 for the first life, 1 after the first restart.
    let attempt: Int

    /// There need be no such container.
    init(pod: String, container: String, attempt: Int) {
        self.pod = pod
        self.container = container
        self.attempt = attempt
    }

    /// `UID/web/0`.
    var description: String { "\(pod)/\(container)/\(attempt)" }

    /// By Pod, container, then life.
    static func < (left: ContainerID, right: ContainerID) -> Bool {
        (left.pod, left.container, left.attempt) < (right.pod, right.container, right.attempt)
    }
}

/// How a container's life ended.
struct ContainerExit: Sendable, Hashable {
    /// 0 to 255; of a process that a signal ended 128 and the signal.
    var code: Int64
    /// That ended the process; nil if it ended by itself.
    var signal: Int64?
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown`.
    var reason: String
    /// What it left to say; empty for nothing.
    var message: String
    var startedAt: Timestamp
    var finishedAt: Timestamp

    init(
        code: Int64, signal: Int64? = nil, reason: String? = nil, message: String = "", startedAt: Timestamp, finishedAt: Timestamp
    ) {
        self.code = code
        self.signal = signal
        self.reason = reason ?? (code == 0 ? "Completed" : "Error")
        self.message = message
        self.startedAt = startedAt
        self.finishedAt = finishedAt
    }
}

/// What a runtime knows of one life of a container.
struct ContainerRecord: Sendable, Hashable {
    /// Where a life stands.
    enum State: Sendable, Hashable {
        case running(since: Timestamp)
        case exited(ContainerExit)
    }

    var id: ContainerID
    /// The image it was started from.
    var image: String
    var state: State
    /// Seconds to wait, after this life has ended, before the next begins; from 0.
    var backoffSeconds: Int64
    /// By which a worker's container reports; nil for one that does not.
    var workerName: String?

    init(id: ContainerID, image: String, state: State, backoffSeconds: Int64 = 0) {
        self.id = id
        self.image = image
        self.state = state
        self.backoffSeconds = backoffSeconds
    }

    /// Nil while it runs.
    var exit: ContainerExit? { if case .exited(let exit) = state { exit } else { nil } }
    var isRunning: Bool { exit == nil }
}

/// Everything a runtime needs to begin a container's life: nothing in it has to be looked up any more.
struct ContainerSetup: Sendable, Hashable {
    var id: ContainerID
    var spec: ContainerSpec
    /// Of the Pod: what concerns all its containers.
    var pod: PodSpec
    /// In their order; a name that comes twice has its last value.
    var environment: [Variable]
    /// See `ContainerRecord.backoffSeconds`.
    var backoffSeconds: Int64
    /// See `ContainerRecord.workerName`.
    var workerName: String?

    /// One variable of a process.
    struct Variable: Sendable, Hashable {
        var name: String
        var value: String

        init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    init(id: ContainerID, spec: ContainerSpec, pod: PodSpec, environment: [Variable], backoffSeconds: Int64) {
        self.id = id
        self.spec = spec
        self.pod = pod
        self.environment = environment
        self.backoffSeconds = backoffSeconds
    }
}

/// Why a container waits instead of running, in Kubernetes' words.
struct ContainerRefusal: Error, Sendable, Hashable {
    /// `ErrImageNeverPull`, `ImagePullBackOff`, `CreateContainerConfigError`, `CreateContainerError`, `RunContainerError`, `InvalidImageName`; ours: `ModelRefused`.
    var reason: String
    /// One sentence: the container, what was found, the remedy.
    var message: String

    init(_ reason: String, _ message: String) {
        self.reason = reason
        self.message = message
    }
}

/// A process that runs beside a container's own and belongs to whoever started it.
protocol RuntimeProcess: AnyObject, Sendable {
    /// What it prints, as it comes; nil once both streams have ended. Read by one task.
    func read() async -> (channel: CallChannel, bytes: [UInt8])?
    /// Waits until the process has taken the bytes. False once it reads no more.
    func write(_ bytes: [UInt8]) async -> Bool
    func closeInput()
    /// Nothing happens without a terminal.
    func resize(columns: UInt16, rows: UInt16)
    /// The exit status: of a process that a signal ended 128 and the signal. Waits for the end, at which what it
    /// left in its process group is ended too.
    func exitCode() async -> Int64
    /// Ends it with all it has started.
    func kill()
}

/// What runs containers: the door to processes of this machine, or to a container engine.
///
/// A container outlives whoever started it: after a restart of the agent `recover` finds it again. All methods may be called from any
/// task; those for one container are called one after the other.
protocol ContainerRuntime: Sendable {
    /// As a node's `containerRuntimeVersion` has it: `process://0.1.0`.
    var version: String { get }

    /// Every life of every container that is known from before, and begins to tell of ends. Called once, before anything else.
    func recover() async throws -> [ContainerRecord]

    /// The containers whose state has changed, as it happens; it may have changed by more than one step. Read by one task, once.
    func changes() -> AsyncStream<ContainerID>

    /// Makes what the Pod's containers share: its folder, its volumes. Harmless to repeat: contents that have changed are replaced.
    ///
    /// - Parameters:
    ///   - files: of the volumes whose content is made of objects.
    ///   - fills: of the volumes made of files of the node that have something new.
    /// - Throws: a sentence that names the volume; it may be possible later.
    func prepare(_ pod: PodSpec, files: [VolumeFiles], fills: [VolumeFill]) async throws(ContainerRefusal)

    /// Whether a volume made of files of the node is there.
    func isFilled(_ volume: String, of pod: PodSpec) -> Bool

    /// A small file of such a volume; nil if there is none.
    func volumeFile(_ name: String, in volume: String, of pod: PodSpec) -> [UInt8]?

    /// Where a container sees the Pod's volumes.
    ///
    /// - Throws: a sentence that names a mount that cannot be.
    func places(of container: ContainerSpec, in pod: PodSpec) throws(ContainerRefusal) -> [MountPlace]

    /// Keeps what a life has reported with it, on the disk before it returns. False if that is not possible.
    func keep(report: [UInt8], of id: ContainerID) -> Bool

    /// What was kept of a life's reports; nil for nothing.
    func keptReport(of id: ContainerID) -> [UInt8]?

    /// Why a volume of the Pod holds more than it may; nil if none does. May take a while.
    func overfullVolume(_ pod: PodSpec) async -> String?

    /// Whether the Pod was prepared before and all of its volumes are there, be their content old.
    func isPrepared(_ pod: PodSpec) -> Bool

    /// Whether a container's image can be run here.
    func admit(_ container: ContainerSpec, of pod: PodSpec) throws(ContainerRefusal)

    /// Begins a life. A program that could not be started is a life too, which has ended with `StartError`.
    func start(_ setup: ContainerSetup) async throws(ContainerRefusal) -> ContainerRecord

    /// What is known of a life now; nil of one that never was, or was forgotten.
    func record(_ id: ContainerID) -> ContainerRecord?

    /// Sends a signal to the container's process; SIGKILL to everything it has started. Nothing happens if it has ended.
    func signal(_ id: ContainerID, _ signal: Int32)

    /// Forgets lives of a container before this one and all but `keeping` of them, with their logs.
    func forget(_ container: ContainerID, keeping: Int)

    /// Forgets a Pod with all its files; its containers have ended. Harmless to repeat.
    func remove(pod: String) async

    /// Files of a life's log, the oldest first, in the form of the container runtime interface.
    func logFiles(_ id: ContainerID) -> [String]

    /// The process of a life; nil of one that has ended.
    func program(of id: ContainerID) -> ContainerProgram?

    /// Runs a command where the container runs.
    func execute(_ command: [String], tty: Bool, in id: ContainerID) throws(APIStatus) -> any RuntimeProcess

    /// Hands bytes to the standard input of a container that has one open; nil closes it. False if it reads none.
    func write(_ bytes: [UInt8]?, to id: ContainerID) async -> Bool

    /// Sets the size of a container's terminal; nothing happens without one.
    func resize(_ id: ContainerID, columns: UInt16, rows: UInt16)

    /// Pods known from before, as they were last prepared: what to run before a server has said anything.
    func savedPods() -> [JSON]
}

/// The content of a volume that is made of objects.
struct VolumeFiles: Sendable, Hashable {
    /// One file of a volume.
    struct File: Sendable, Hashable {
        /// Below the volume, without `..`.
        var path: String
        var bytes: [UInt8]
        /// Permission bits.
        var mode: UInt32

        init(path: String, bytes: [UInt8], mode: UInt32) {
            self.path = path
            self.bytes = bytes
            self.mode = mode
        }
    }

    /// Name of the volume.
    var volume: String
    var files: [File]

    init(volume: String, files: [File]) {
        self.volume = volume
        self.files = files
    }
}

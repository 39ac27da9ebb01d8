package import Resources

#if canImport(Glibc)
    import Glibc
#endif

/// This machine.
package struct MachineFacts: NodeFacts {
    /// Memory that Pods may not have: this program's and the system's.
    static let reservedBytes: Int64 = 100 << 20
    /// Less memory than this makes memory short.
    static let memoryBytesMin: Int64 = 100 << 20
    /// Pods at most.
    static let podsMax = 110

    /// Cores, memory, room of the folder's disk, and 110 Pods.
    package let capacity: JSON
    /// The capacity without 100 MiB of memory and a tenth of the disk.
    package let allocatable: JSON
    /// As the kernel and the system's files say it; empty words where they do not.
    package let nodeInfo: JSON
    private let folder: String
    private let more: @Sendable () -> [NodeCondition]

    /// - Parameters:
    ///   - folder: on the disk whose room counts.
    ///   - runtimeVersion: see `ContainerRuntime.version`.
    ///   - more: conditions beside the machine's own; may read files.
    package init(folder: String, runtimeVersion: String, programVersion: String, more: @escaping @Sendable () -> [NodeCondition] = { [] }) {
        self.folder = folder
        self.more = more
        let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let memory = Self.memory("MemTotal:")
        var disk = statvfs()
        let bytes = statvfs(folder, &disk) == 0 ? Int64(disk.f_blocks) * Int64(disk.f_frsize) : 0
        func amounts(_ memory: Int64, _ disk: Int64) -> JSON {
            [
                "cpu": .string(String(cores)), "memory": .string("\(memory / 1024)Ki"), "ephemeral-storage": .string("\(disk / 1024)Ki"),
                "pods": .string(String(Self.podsMax)),
            ]
        }
        capacity = amounts(memory, bytes)
        allocatable = amounts(max(0, memory - Self.reservedBytes), bytes / 10 * 9)
        nodeInfo = Self.info(runtimeVersion, programVersion)
    }

    private static func info(_ runtime: String, _ program: String) -> JSON {
        func line(_ path: String) -> String { (SystemFiles.text(path) ?? "").filter { !$0.isNewline && $0 != "\0" } }
        var names = utsname()
        uname(&names)
        let release = withUnsafeBytes(of: &names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let image = (SystemFiles.text("/etc/os-release") ?? "").split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }
        return [
            "machineID": .string(line("/etc/machine-id")), "systemUUID": .string(line("/sys/class/dmi/id/product_uuid")),
            "bootID": .string(SystemFacts.bootID), "kernelVersion": .string(release),
            "osImage": .string((image?.dropFirst("PRETTY_NAME=".count) ?? "Linux").filter { $0 != "\"" }),
            "containerRuntimeVersion": .string(runtime), "kubeletVersion": .string("v1.32.4-skerry-\(program)"), "kubeProxyVersion": "",
            "operatingSystem": "linux", "architecture": .string(architecture),
        ]
    }

    /// As Kubernetes names processors.
    package static var architecture: String {
        #if arch(arm64)
            "arm64"
        #elseif arch(arm)
            "arm"
        #else
            "amd64"
        #endif
    }

    /// A line of what the kernel says of memory, in bytes.
    private static func memory(_ name: String) -> Int64 {
        let line = (SystemFiles.text("/proc/meminfo") ?? "").split(separator: "\n").first { $0.hasPrefix(name) }
        return (line?.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0) * 1024
    }

    /// Pressure on memory, disk and process ids, that the agent lives, and the caller's own.
    package func conditions() -> [NodeCondition] {
        [
            Self.memoryPressure(availableBytes: Self.memory("MemAvailable:")), diskPressure(), Self.processPressure(),
            NodeCondition("Ready", true, reason: "KubeletReady", message: "kubelet is posting ready status"),
        ] + more()
    }

    static func memoryPressure(availableBytes: Int64) -> NodeCondition {
        availableBytes < memoryBytesMin
            ? NodeCondition(
                "MemoryPressure", true, reason: "KubeletHasInsufficientMemory",
                message: "kubelet has insufficient memory available: \(availableBytes >> 20) MiB, less than \(memoryBytesMin >> 20)")
            : NodeCondition(
                "MemoryPressure", false, reason: "KubeletHasSufficientMemory", message: "kubelet has sufficient memory available")
    }

    private func diskPressure() -> NodeCondition {
        var disk = statvfs()
        guard statvfs(folder, &disk) == 0 else {
            return NodeCondition("DiskPressure", true, reason: "KubeletHasDiskPressure", message: "the disk of \(folder) cannot be read")
        }
        return Self.diskPressure(
            freeShare: disk.f_blocks > 0 ? Double(disk.f_bavail) / Double(disk.f_blocks) : 1,
            freeFileShare: disk.f_files > 0 ? Double(disk.f_ffree) / Double(disk.f_files) : 1)
    }

    /// The kubelet's limits: a tenth of the room, a twentieth of the files.
    static func diskPressure(freeShare: Double, freeFileShare: Double) -> NodeCondition {
        freeShare < 0.1 || freeFileShare < 0.05
            ? NodeCondition(
                "DiskPressure", true, reason: "KubeletHasDiskPressure",
                message:
                    "kubelet has disk pressure: \(Int(freeShare * 100)) % of the room and \(Int(freeFileShare * 100)) % of the files are free"
            )
            : NodeCondition("DiskPressure", false, reason: "KubeletHasNoDiskPressure", message: "kubelet has no disk pressure")
    }

    private static func processPressure() -> NodeCondition {
        let most = Int((SystemFiles.text("/proc/sys/kernel/pid_max") ?? "").filter(\.isNumber)) ?? 32768
        // `0.00 0.01 0.05 2/345 6789`: threads that run, and all of them.
        let fields = (SystemFiles.text("/proc/loadavg") ?? "").split(separator: " ")
        let threads = fields.count > 3 ? fields[3].split(separator: "/").last.flatMap { Int($0) } ?? 0 : 0
        return threads > most / 10 * 9
            ? NodeCondition(
                "PIDPressure", true, reason: "KubeletHasInsufficientPID",
                message: "kubelet has insufficient PID available: \(threads) of \(most) are used")
            : NodeCondition("PIDPressure", false, reason: "KubeletHasSufficientPID", message: "kubelet has sufficient PID available")
    }
}

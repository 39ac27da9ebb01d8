#if canImport(Glibc)
    import Glibc
#endif

/// What this machine's processes have used, as the kernel tells it at one moment.
struct ProcessTable: Sendable {
    /// One process.
    struct Entry: Sendable, Equatable {
        var parent: pid_t
        var session: pid_t
        /// Of the processor, since it began.
        var ticks: UInt64
        /// In memory, what it shares with others included.
        var residentBytes: Int64
    }

    /// By process.
    var entries: [pid_t: Entry]

    init(_ entries: [pid_t: Entry]) { self.entries = entries }

    /// Looks at every process there is.
    static func look() -> ProcessTable {
        let page = Int64(sysconf(Int32(_SC_PAGESIZE)))
        var entries: [pid_t: Entry] = [:]
        for name in SystemFiles.names("/proc") {
            guard let process = pid_t(name), let text = SystemFiles.text("/proc/\(process)/stat") else { continue }
            entries[process] = Entry(stat: text, pageBytes: page)
        }
        return ProcessTable(entries)
    }

    /// A process with all it has started that is still there.
    ///
    /// - Parameter groups: further ones that are known to belong to it.
    func family(of root: pid_t, groups: Set<pid_t> = []) -> Set<pid_t> {
        var family = groups.union([root]).intersection(entries.keys)
        family.formUnion(entries.lazy.filter { $0.value.session == root }.map(\.key))
        var hasGrown = true
        while hasGrown {
            let children = entries.lazy.filter { family.contains($0.value.parent) && !family.contains($0.key) }.map(\.key)
            let found = Array(children)
            hasGrown = !found.isEmpty
            family.formUnion(found)
        }
        return family
    }

    /// Processor time that these processes have used since an earlier look, in ticks; of one that is new since its beginning.
    func ticks(of processes: Set<pid_t>, since before: ProcessTable) -> UInt64 {
        processes.reduce(0) { sum, process in
            guard let now = entries[process] else { return sum }
            let known = before.entries[process]?.ticks ?? 0
            return sum + (now.ticks >= known ? now.ticks - known : now.ticks)
        }
    }

    /// Bytes in memory of these processes; what they share counts for each.
    func residentBytes(of processes: Set<pid_t>) -> Int64 { processes.reduce(0) { $0 + (entries[$1]?.residentBytes ?? 0) } }
}

extension ProcessTable.Entry {
    /// A line of `/proc/PID/stat`; nil for none.
    init?(stat: String, pageBytes: Int64) {
        guard let end = stat.lastIndex(of: ")") else { return nil }
        // Behind the name, which may hold anything, fields are numbered from 3.
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        guard fields.count > 21, let parent = pid_t(fields[1]), let session = pid_t(fields[3]), let user = UInt64(fields[11]),
            let system = UInt64(fields[12]), let pages = Int64(fields[21])
        else { return nil }
        self.init(parent: parent, session: session, ticks: user &+ system, residentBytes: max(0, pages) * pageBytes)
    }
}

/// What a whole machine has used, at one moment.
struct MachineUse: Sendable, Equatable {
    /// Of all cores together, since the machine began, without those in which they had nothing to do.
    var busyTicks: UInt64
    var memoryBytes: Int64

    /// Nil where the kernel does not tell.
    static func look() -> MachineUse? {
        MachineUse(stat: SystemFiles.text("/proc/stat") ?? "", memory: SystemFiles.text("/proc/meminfo") ?? "")
    }

    init(busyTicks: UInt64, memoryBytes: Int64) { (self.busyTicks, self.memoryBytes) = (busyTicks, memoryBytes) }

    /// Texts of `/proc/stat` and `/proc/meminfo`.
    init?(stat: String, memory: String) {
        let times = (stat.split(separator: "\n").first { $0.hasPrefix("cpu ") } ?? "").split(separator: " ").dropFirst().compactMap {
            UInt64($0)
        }
        func bytes(_ name: String) -> Int64? {
            let line = memory.split(separator: "\n").first { $0.hasPrefix(name) }
            return line?.split(separator: " ").dropFirst().first.flatMap { Int64($0) }.map { $0 * 1024 }
        }
        guard times.count >= 8, let all = bytes("MemTotal:"), let free = bytes("MemAvailable:") else { return nil }
        // User, nice, system, interrupts and what a host has taken; idle and waiting for disks is no work. Guests are part of user.
        self.init(busyTicks: times[0] + times[1] + times[2] + times[5] + times[6], memoryBytes: max(0, all - free))
    }
}

#if canImport(Glibc)
    import Glibc
#endif

/// Control groups of this machine, version 1 or 2, as far as they may be written.
struct ControlGroups: Sendable {
    /// What a container may use; nil for no limit of its own.
    struct Limits: Sendable, Equatable {
        var memoryBytes: Int64?
        /// Thousandths of a core.
        var milliCores: Int64?
        /// Share of the processor when it is short: thousandths of a core asked for.
        var requestedMilliCores: Int64?
    }

    /// How controllers are found.
    enum Form: Sendable, Equatable {
        case none
        /// One tree for all.
        case unified(root: String)
        /// A tree for each controller.
        case separate(memory: String?, processor: String?)
    }

    let form: Form
    /// Name of this agent's groups below a root.
    let name: String

    /// - Parameter name: of a folder; another for each agent of the machine.
    init(name: String, root: String = "/sys/fs/cgroup") {
        self.name = name
        form = Self.find(name, root)
    }

    private static func find(_ name: String, _ root: String) -> Form {
        if SystemFiles.mode("\(root)/cgroup.controllers") != nil {
            let folder = "\(root)/\(name)"
            // The controllers have to be handed down level by level.
            for path in [root, folder] {
                guard mkdir(path, 0o755) == 0 || errno == EEXIST else { return .none }
                for controller in ["memory", "cpu"] { _ = SystemFiles.put("+\(controller)", "\(path)/cgroup.subtree_control") }
            }
            let given = SystemFiles.text("\(folder)/cgroup.subtree_control") ?? ""
            return given.contains("memory") ? .unified(root: folder) : .none
        }
        func tree(_ controller: String) -> String? {
            let folder = "\(root)/\(controller)/\(name)"
            guard SystemFiles.isFolder("\(root)/\(controller)"), mkdir(folder, 0o755) == 0 || errno == EEXIST else { return nil }
            return folder
        }
        let (memory, processor) = (tree("memory"), tree("cpu"))
        return memory == nil && processor == nil ? .none : .separate(memory: memory, processor: processor)
    }

    /// Folders of one container's groups, by its word.
    func folders(_ word: String) -> [String] {
        switch form {
        case .none: []
        case .unified(let root): ["\(root)/\(word)"]
        case .separate(let memory, let processor): [memory, processor].compactMap { $0.map { "\($0)/\(word)" } }
        }
    }

    /// Makes the groups of a container and sets its limits.
    ///
    /// - Returns: what is to be joined; nil if the limits can't be had.
    func make(_ word: String, _ limits: Limits) -> [String]? {
        let folders = folders(word)
        // An agent that ended just now may have taken the folder above along.
        for folder in folders { mkdir(String(folder.dropLast(word.utf8.count + 1)), 0o755) }
        for folder in folders where mkdir(folder, 0o755) != 0 && errno != EEXIST { return nil }
        switch form {
        case .none: return limits.memoryBytes == nil && limits.milliCores == nil ? [] : nil
        case .unified:
            let folder = folders[0]
            if let bytes = limits.memoryBytes {
                guard SystemFiles.put("\(bytes)", "\(folder)/memory.max") else { return nil }
                _ = SystemFiles.put("0", "\(folder)/memory.swap.max")
                // One process out of memory is the end of the container.
                _ = SystemFiles.put("1", "\(folder)/memory.oom.group")
            }
            if let cores = limits.milliCores { _ = SystemFiles.put("\(cores * 100) 100000", "\(folder)/cpu.max") }
            if let cores = limits.requestedMilliCores { _ = SystemFiles.put("\(max(1, min(10_000, cores / 10)))", "\(folder)/cpu.weight") }
        case .separate(let memory, let processor):
            if let bytes = limits.memoryBytes {
                guard let memory, SystemFiles.put("\(bytes)", "\(memory)/\(word)/memory.limit_in_bytes") else { return nil }
                _ = SystemFiles.put("\(bytes)", "\(memory)/\(word)/memory.memsw.limit_in_bytes")
            }
            if let processor {
                if let cores = limits.milliCores {
                    _ = SystemFiles.put("100000", "\(processor)/\(word)/cpu.cfs_period_us")
                    _ = SystemFiles.put("\(max(1000, cores * 100))", "\(processor)/\(word)/cpu.cfs_quota_us")
                }
                if let cores = limits.requestedMilliCores {
                    _ = SystemFiles.put("\(max(2, cores * 1024 / 1000))", "\(processor)/\(word)/cpu.shares")
                }
            }
        }
        return folders
    }

    /// Leaves no folder behind if no container's is in it.
    func removeRoot() {
        switch form {
        case .none: break
        case .unified(let root): rmdir(root)
        case .separate(let memory, let processor): for folder in [memory, processor] { if let folder { rmdir(folder) } }
        }
    }

    func remove(_ word: String) { for folder in folders(word) { rmdir(folder) } }

    /// Every process in the groups of these folders.
    static func processes(_ folders: [String]) -> Set<pid_t> {
        var found: Set<pid_t> = []
        for folder in folders {
            for line in (SystemFiles.text("\(folder)/cgroup.procs") ?? "").split(separator: "\n") {
                if let id = pid_t(line), id > 1 { found.insert(id) }
            }
        }
        return found
    }

    /// Whether the kernel has ended a process of the groups for want of memory.
    static func wereOutOfMemory(_ folders: [String]) -> Bool {
        folders.contains { folder in
            let text = SystemFiles.text("\(folder)/memory.events") ?? SystemFiles.text("\(folder)/memory.oom_control") ?? ""
            return text.split(separator: "\n").contains { line in
                let words = line.split(separator: " ")
                return words.count == 2 && words[0] == "oom_kill" && words[1] != "0"
            }
        }
    }
}

/// A disk that fails where it is told to: what a file system may do between a write and a sync, without one.
///
/// Files have what programs see (the page cache) and what a power cut leaves. A write reaches the platter with a sync; a cut keeps some of
/// what was not synced, in parts of a sector, in any order. A sync that failed has forgotten what was to be written, as Linux does: the
/// next one succeeds without it.
///
/// Unchecked: SQLite calls it from one thread at a time, the test between a store's end and the next one's beginning.
final class SimulatedDisk: @unchecked Sendable {
    enum Fault: Equatable {
        /// One call fails, the next ones succeed.
        case failsOnce
        /// Every call from there on fails.
        case failsFromThere
        /// One write finds no space.
        case fullOnce
        /// No write finds space from there on.
        case fullFromThere
        /// The power goes: nothing succeeds any more until `restart`.
        case powerCut
    }

    /// What SQLite asks of its files.
    enum Call { case open, read, write, sync, truncate, delete, size, share }

    enum Outcome: Equatable { case works, fails, full }

    private enum Change {
        case write(at: Int, [UInt8])
        case truncate(Int)
    }

    private struct File {
        /// What programs see.
        var bytes: [UInt8] = []
        /// What a power cut leaves of it at least; nil before the first sync.
        var durable: [UInt8]?
        var pending: [Change] = []
    }

    static let sectorBytes = 512
    private var files: [String: File] = [:]
    /// Files whose deletion was not synced: a cut may bring them back.
    private var deleted: [String: File] = [:]
    private var random: Generator
    private var plan: (fault: Fault, call: Int)?
    private(set) var callCount = 0
    /// Whether the planned fault has happened.
    private(set) var hasFailed = false

    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
            return value ^ (value >> 31)
        }
    }

    init(seed: UInt64) { random = Generator(state: seed) }

    /// Plans one fault at the `call`-th call from now, counted from 1.
    func plan(_ fault: Fault, at call: Int) {
        plan = (fault, callCount + call)
        hasFailed = false
    }

    private func outcome(of call: Call) -> Outcome {
        callCount += 1
        guard let plan, callCount >= plan.call else { return .works }
        switch plan.fault {
        case .failsOnce:
            guard !hasFailed else { return .works }
            hasFailed = true
            return .fails
        case .fullOnce:
            guard !hasFailed, call == .write else { return .works }
            hasFailed = true
            return .full
        case .fullFromThere:
            guard call == .write else { return .works }
            hasFailed = true
            return .full
        case .failsFromThere, .powerCut:
            hasFailed = true
            return .fails
        }
    }

    /// The machine starts again and nothing fails any more.
    ///
    /// - Parameter losesPower: whether what was not synced may be gone; else only the program had ended.
    func restart(losesPower: Bool) {
        plan = nil
        guard losesPower else { return }
        for (name, file) in deleted where files[name] == nil && Bool.random(using: &random) { files[name] = file }
        deleted = [:]
        for (name, var file) in files {
            var kept = file.durable
            for change in file.pending {
                guard let part = surviving(change) else { continue }
                var bytes = kept ?? []
                Self.apply(part, to: &bytes)
                kept = bytes
            }
            file.bytes = kept ?? []
            file.durable = kept
            file.pending = []
            files[name] = kept == nil ? nil : file
        }
    }

    /// What a cut leaves of one change: all, nothing or some of its sectors.
    private func surviving(_ change: Change) -> Change? {
        guard Bool.random(using: &random) else { return nil }
        guard case .write(let offset, let bytes) = change, Bool.random(using: &random) else { return change }
        let sectors = (bytes.count + Self.sectorBytes - 1) / Self.sectorBytes
        let kept = Int.random(in: 0...sectors, using: &random) * Self.sectorBytes
        if Bool.random(using: &random) { return .write(at: offset, Array(bytes.prefix(kept))) }
        return .write(at: offset + min(kept, bytes.count), Array(bytes.dropFirst(kept)))
    }

    private static func apply(_ change: Change, to bytes: inout [UInt8]) {
        switch change {
        case .write(let offset, let new):
            if new.isEmpty { return }
            if bytes.count < offset + new.count { bytes += [UInt8](repeating: 0, count: offset + new.count - bytes.count) }
            bytes.replaceSubrange(offset..<(offset + new.count), with: new)
        case .truncate(let size): if size < bytes.count { bytes.removeLast(bytes.count - size) }
        }
    }
}

/// What the file system's interface asks for; every call may fail.
extension SimulatedDisk {
    func exists(_ name: String) -> Bool { files[name] != nil }

    /// False when it fails, or the file is missing and not to be created.
    func open(_ name: String, creating: Bool) -> Bool {
        guard outcome(of: .open) == .works else { return false }
        if files[name] == nil {
            guard creating else { return false }
            files[name] = File()
        }
        return true
    }

    /// The bytes there are of those asked for; nil when it fails.
    func read(_ name: String, at offset: Int, count: Int) -> ArraySlice<UInt8>? {
        guard outcome(of: .read) == .works, let file = files[name] else { return nil }
        return offset >= file.bytes.count ? [] : file.bytes[offset..<min(file.bytes.count, offset + count)]
    }

    func write(_ name: String, at offset: Int, _ bytes: [UInt8]) -> Outcome {
        let outcome = outcome(of: .write)
        // A write that fails may have begun.
        let part = outcome == .works ? bytes : Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
        change(name, .write(at: offset, part))
        return outcome
    }

    func truncate(_ name: String, to size: Int) -> Bool {
        guard outcome(of: .truncate) == .works else { return false }
        change(name, .truncate(size))
        return true
    }

    private func change(_ name: String, _ change: Change) {
        guard var file = files.removeValue(forKey: name) else { return }
        Self.apply(change, to: &file.bytes)
        file.pending.append(change)
        files[name] = file
    }

    func sync(_ name: String) -> Bool {
        let works = outcome(of: .sync) == .works
        guard var file = files.removeValue(forKey: name) else { return false }
        var durable = file.durable ?? []
        for change in file.pending {
            if let change = works ? change : surviving(change) { Self.apply(change, to: &durable) }
        }
        // After a failure the page cache shows what is not on the disk, and no later sync will write it.
        file.durable = works || !file.pending.isEmpty ? durable : file.durable
        file.pending = []
        files[name] = file
        return works
    }

    func size(_ name: String) -> Int? {
        guard outcome(of: .size) == .works else { return nil }
        return files[name]?.bytes.count
    }

    func delete(_ name: String, isSynced: Bool) -> Bool {
        guard outcome(of: .delete) == .works, let file = files.removeValue(forKey: name) else { return false }
        deleted[name] = isSynced ? nil : file
        return true
    }

    /// Whether memory may be shared.
    func share() -> Bool { outcome(of: .share) == .works }
}

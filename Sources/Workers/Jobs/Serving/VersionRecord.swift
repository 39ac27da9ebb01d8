import Resources

/// What earlier lives of a worker have come to with each version of its model. Pure.
///
///     unknown ── loading ──► in use ── 30 s ──► good
///                              └─ the life ends without a word ─► a crash ── third within 10 minutes ─► refused
///
/// A version that crashes before it was good is tried again after 10 and 20 seconds, and what was good before serves meanwhile; one that was good is
/// started again at once. The third crash refuses both, unless there is nothing else.
struct VersionRecord: Equatable {
    /// A version by what tells it from others.
    struct Key: Hashable {
        /// Its digest, or what changes when its file is replaced.
        var mark: String
        /// As its answers name it.
        var number: String
    }

    /// Lives that a version has ended.
    struct Trouble: Equatable {
        var key: Key
        var crashes: Int
        /// Seconds since 1970.
        var last: Int64
    }

    enum Decision: Equatable {
        case load
        case wait
        case refuse
    }

    /// Crashes after which a version is not loaded any more, and the seconds within which they count.
    static let crashesMax = 3
    static let windowSeconds: Int64 = 600
    private static let pauseSeconds: Int64 = 10
    /// Versions that are kept with their files, and troubles that are remembered.
    static let (keptMax, troublesMax) = (2, 8)

    /// Loaded, or being loaded, when this was written; nil after an orderly end.
    private(set) var inUse: Key?
    /// Since when, seconds since 1970.
    private(set) var since: Int64 = 0
    /// Found good, the newest last.
    private(set) var good: [Key] = []
    /// What served when newer versions are tried beside it: a trial goes on from here in the next life. Nil where versions are not tried.
    private(set) var held: Key?
    private(set) var troubles: [Trouble] = []

    init() {}

    /// A life begins: the one before has left a version in use if it crashed.
    ///
    /// - Returns: the version that is to blame.
    mutating func begin(at now: Int64) -> Trouble? {
        guard let key = inUse else { return nil }
        inUse = nil
        var trouble = troubles.first { $0.key == key } ?? Trouble(key: key, crashes: 0, last: now)
        if now - trouble.last > Self.windowSeconds, trouble.crashes < Self.crashesMax { trouble.crashes = 0 }
        (trouble.crashes, trouble.last) = (trouble.crashes + 1, now)
        troubles = Array((troubles.filter { $0.key != key } + [trouble]).suffix(Self.troublesMax))
        return trouble
    }

    /// Whether a version may be loaded now.
    func decision(on key: Key, at now: Int64) -> Decision {
        guard let trouble = troubles.first(where: { $0.key == key }), instead(of: key) != nil else { return .load }
        if trouble.crashes >= Self.crashesMax { return .refuse }
        if good.contains(key) { return .load }
        return now >= trouble.last + Self.pauseSeconds * Int64(trouble.crashes) ? .load : .wait
    }

    /// The newest good version beside another one, or what served before its trial.
    func instead(of key: Key) -> Key? { (good + [held].compactMap { $0 }).last { other in other != key && isSound(other) } }

    private func isSound(_ key: Key) -> Bool { (troubles.first { $0.key == key }?.crashes ?? 0) < Self.crashesMax }

    /// A version is about to be loaded.
    mutating func use(_ key: Key, at now: Int64) { (inUse, since) = (key, now) }

    /// Whether the version in use has become good.
    ///
    /// - Parameter seconds: for which it has to serve.
    func isGood(at now: Int64, after seconds: Int64) -> Bool { inUse.map { !good.contains($0) && now - since >= seconds } ?? false }

    /// The version in use is good.
    ///
    /// - Returns: versions whose files are not needed any more.
    mutating func keep() -> [Key] {
        guard let key = inUse else { return [] }
        let all = good.filter { $0 != key } + [key]
        good = all.suffix(Self.keptMax)
        return all.dropLast(Self.keptMax).filter { $0 != held }
    }

    /// A version serves, and newer ones are going to be tried beside it.
    ///
    /// - Returns: versions whose files are not needed any more.
    mutating func hold(_ key: Key) -> [Key] {
        let before = held
        held = key
        return [before].compactMap { $0 }.filter { $0 != key && !good.contains($0) }
    }

    /// The life ends in order.
    mutating func end() { inUse = nil }
}

extension VersionRecord {
    private static func json(_ key: Key) -> JSON { ["mark": .string(key.mark), "number": .string(key.number)] }

    private static func key(_ json: JSON?) -> Key? {
        guard let mark = json?["mark"]?.string, !mark.isEmpty, mark.utf8.count <= 200, let number = json?["number"]?.string else {
            return nil
        }
        return Key(mark: mark, number: number)
    }

    /// As it is kept.
    var json: JSON {
        var json: JSON = [
            "since": .integer(since), "good": .array(good.map(Self.json)), "held": held.map(Self.json) ?? .null,
            "troubles": .array(
                troubles.map { ["key": Self.json($0.key), "crashes": .integer(Int64($0.crashes)), "last": .integer($0.last)] }),
        ]
        if let inUse { json["inUse"] = Self.json(inUse) }
        return json
    }

    /// What is not readable is left out.
    init(_ json: JSON) {
        inUse = Self.key(json["inUse"])
        since = json["since"]?.integer ?? 0
        held = Self.key(json["held"])
        good = Array((json["good"]?.array ?? []).compactMap { Self.key($0) }.suffix(Self.keptMax))
        troubles = (json["troubles"]?.array ?? []).prefix(Self.troublesMax).compactMap { item in
            guard let key = Self.key(item["key"]), let crashes = item["crashes"]?.integer, let last = item["last"]?.integer else {
                return nil
            }
            return Trouble(key: key, crashes: Int(clamping: crashes), last: last)
        }
    }
}

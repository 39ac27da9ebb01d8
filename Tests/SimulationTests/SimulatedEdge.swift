import HubProtocol
import Resources

/// A disk of which a power cut leaves what was synced.
struct SimulatedDisk {
    struct Content: Equatable {
        var objects: [ObjectRef: EdgeReplica.Held] = [:]
        var reports: [UInt64: Outbox.Entry] = [:]
        var lastID: UInt64 = 0

        mutating func apply(_ operations: [EdgeReplica.Operation]) {
            for operation in operations {
                switch operation {
                case .putObject(let ref, let stamp, let bytes): objects[ref] = .init(stamp: stamp, bytes: bytes)
                case .removeObject(let ref): objects[ref] = nil
                case .putReport(let report, let created):
                    reports[report.id] = Outbox.Entry(
                        report: report, hasBody: true, bytes: report.body.count, createdSeconds: created)
                    lastID = max(lastID, report.id)
                case .markDone(let id): reports[id]?.state = .done
                case .removeReport(let id): reports[id] = nil
                }
            }
        }
    }

    private(set) var synced = Content()
    private var written: Content?
    var isFull = false

    mutating func write(_ operations: [EdgeReplica.Operation]) {
        var next = synced
        next.apply(operations)
        written = next
    }

    mutating func sync() {
        if let written { synced = written }
        written = nil
    }

    mutating func cutPower() { written = nil }

    /// The replica that a new process reads.
    func replica(_ limits: [Report.Topic: Outbox.Limit]) -> EdgeReplica {
        let entries = synced.reports.values.sorted { $0.report.id < $1.report.id }.map { entry -> Outbox.Entry in
            var entry = entry
            entry.hasBody = entry.report.ref.kind != .event
            if !entry.hasBody { entry.report.body = [] }
            return entry
        }
        return EdgeReplica(objects: synced.objects, reports: entries, lastID: synced.lastID, limits: limits)
    }
}

/// One edge: its disk, and what its process has in memory.
struct SimulatedEdge {
    static let limits: [Report.Topic: Outbox.Limit] = [
        .status: .init(countMax: 500, bytesMax: 1 << 20, dropsOldest: false),
        .result: .init(countMax: 10, bytesMax: 1 << 16, dropsOldest: false),
        .event: .init(countMax: 60, bytesMax: 1 << 20, dropsOldest: true),
        .sample: .init(countMax: 10, bytesMax: 1 << 16, dropsOldest: true),
    ]

    let number: Int
    var name: String { "edge-\(number)" }
    var ref: ObjectRef { ObjectRef(.node, ObjectKey(name: name)) }
    var disk = SimulatedDisk()
    var replica = EdgeReplica(limits: SimulatedEdge.limits)
    var session: EdgeSession?
    var inbox: [[UInt8]] = []
    /// Written and not synced: what is acknowledged to writers once it is.
    var unsynced: [() -> Void] = []
    var isDirty = false
    var dialAt: Duration = .zero
    var backoff = Backoff(first: .milliseconds(200), limit: .seconds(5))
    /// Ahead of the true time.
    var clockSkew: Int64 = 0

    /// What writers were told is safe.
    var acceptedEvents: [String: JSON] = [:]
    /// Names of events that were dropped to make room.
    var dropped: Set<String> = []
    var acceptedSteps: [String: Int64] = [:]
    /// How far the disk has ever been, by name of a Pod: number of the creation and of the version.
    var seen: [ObjectRef: (made: Int64, version: Int64, isGone: Bool)] = [:]

    init(_ number: Int) { self.number = number }

    mutating func receive(_ message: [UInt8], now: Duration) -> [EdgeSession.Effect] { session?.receive(message, &replica, now: now) ?? [] }
    mutating func stored(now: Duration) -> [EdgeSession.Effect] { session?.stored(&replica, now: now) ?? [] }
    mutating func pump(now: Duration, body: (UInt64) -> [UInt8]?) -> [EdgeSession.Effect] {
        session?.pump(&replica, now: now, body: body) ?? []
    }

    static func number(_ name: String) -> Int? { name.split(separator: "-").last.flatMap { Int($0) } }

    /// The process ends; a power cut takes what was not synced.
    mutating func crash(powerCut: Bool) {
        if powerCut { disk.cutPower() } else { disk.sync() }
        replica = disk.replica(Self.limits)
        session = nil
        inbox = []
        unsynced = []
        isDirty = false
    }
}

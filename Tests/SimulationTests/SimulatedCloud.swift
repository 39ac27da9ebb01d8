import CloudHub
import HubProtocol
import Resources

/// The API of a cloud in memory, which survives every crash, and one process of its hub, which does not.
struct SimulatedCloud {
    /// An object's state after each write, as watches tell it.
    struct Change {
        let revision: UInt64
        let kind: ResourceKind
        let event: WatchEvent
    }

    static let kinds = [ResourceKind.node, .pod, NodeNeeds.configMap, NodeNeeds.secret]
    private(set) var objects: [ObjectRef: JSON] = [:]
    private(set) var changes: [Change] = []
    private(set) var revision: UInt64 = 100
    /// Broken promises, as they are seen.
    var violations: [String] = []
    /// What the nodes' events say, by name.
    private(set) var events: [String: JSON] = [:]

    // MARK: Store

    mutating func write(_ ref: ObjectRef, _ object: JSON) -> JSON {
        let isNew = objects[ref] == nil
        revision += 1
        var object = object
        object[path: ["metadata", "resourceVersion"]] = .string(String(revision))
        if isNew { object[path: ["metadata", "uid"]] = .string("uid-\(revision)") }
        objects[ref] = object
        changes.append(Change(revision: revision, kind: ref.kind, event: isNew ? .added(object) : .modified(object)))
        return object
    }

    mutating func delete(_ ref: ObjectRef) {
        guard var object = objects.removeValue(forKey: ref) else { return }
        revision += 1
        object[path: ["metadata", "resourceVersion"]] = .string(String(revision))
        changes.append(Change(revision: revision, kind: ref.kind, event: .deleted(object)))
    }

    /// What the API does with a report, and the object it leaves.
    mutating func apply(_ report: Report, node: String) -> (ReportResult.Outcome, JSON?) {
        let body = (try? JSONParser.parse(report.body)) ?? .null
        if report.ref.kind == .event { return (apply(event: body, report.ref.key.name), nil) }
        switch report.verb {
        case .create: return (.done(isExpected: false), objects[report.ref] ?? write(report.ref, body))
        case .delete:
            if let uid = objects[report.ref]?["metadata"]?["uid"]?.string, uid == report.uid { delete(report.ref) }
            return (.done(isExpected: false), nil)
        case .patch:
            guard let old = objects[report.ref] else { return (.refused(code: 404, message: "gone"), nil) }
            guard old["metadata"]?["uid"]?.string == report.uid else { return (.refused(code: 409, message: "another"), nil) }
            let new = MergePatch.apply(body, to: old)
            let (before, after) = (old["status"]?["step"]?.integer ?? 0, new["status"]?["step"]?.integer ?? 0)
            if after < before { violations.append("\(report.ref) of \(node): status went from step \(before) back to \(after)") }
            return (.done(isExpected: false), new == old ? old : write(report.ref, new))
        }
    }

    private mutating func apply(event: JSON, _ name: String) -> ReportResult.Outcome {
        if let known = events[name], known != event { violations.append("two different events are named \(name)") }
        events[name] = event
        return .done(isExpected: false)
    }
}

/// One life of the hub's process.
struct SimulatedHub {
    struct Session {
        var pure: HubSession
        var reports: [Report] = []
    }

    var catalog = HubCatalog()
    /// Changes of the cloud that the watches have told.
    var watched: Int
    var sessions: [Int: Session] = [:]

    init(_ cloud: SimulatedCloud) {
        watched = cloud.changes.count
        for kind in SimulatedCloud.kinds {
            catalog.beginList(kind)
            _ = catalog.listed(kind, cloud.objects.filter { $0.key.kind == kind }.sorted { $0.key < $1.key }.map(\.value))
            _ = catalog.endList(kind, resourceVersion: String(cloud.revision))
        }
    }

    mutating func mark(_ marks: [HubCatalog.Mark]) {
        for mark in marks {
            guard let node = SimulatedEdge.number(mark.node) else { continue }
            sessions[node]?.pure.mark(mark.ref)
        }
    }
}

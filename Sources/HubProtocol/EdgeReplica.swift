package import Resources

/// What an edge holds: the cloud's objects as they came, and over them what the node has written and the cloud has not taken up yet.
///
/// Pure. What it changes it also says as `operations`, to be written in one transaction before anything is acknowledged; after a failure
/// the replica is thrown away and read again.
///
///     seen by the node  =  base (from the cloud)  ⊕  reports about it, in their order
package struct EdgeReplica: Sendable {
    /// What is to be made durable.
    package enum Operation: Sendable, Equatable {
        case putObject(ObjectRef, Stamp, [UInt8])
        case removeObject(ObjectRef)
        /// A new report, or another body for one.
        case putReport(Report, createdSeconds: Int64)
        case markDone(UInt64)
        case removeReport(UInt64)
    }

    /// An object as the cloud sent it.
    package struct Held: Sendable, Equatable {
        /// What the cloud said of it.
        package var stamp: Stamp
        /// JSON.
        package var bytes: [UInt8]

        /// As it came, or was kept.
        package init(stamp: Stamp, bytes: [UInt8]) {
            self.stamp = stamp
            self.bytes = bytes
        }
    }

    private var held: [ObjectRef: Held]
    /// What waits for the cloud.
    package private(set) var outbox: Outbox
    /// Of all that is held.
    package private(set) var digest: HoldingsDigest
    private var nextID: UInt64
    private var operations: [Operation] = []
    private var touched: Set<ObjectRef> = []
    /// What the cloud believes and what is held may differ: an inventory is to be sent.
    var needsInventory = false
    /// Refusals since they were last taken.
    private var refusals: [(Report, code: UInt16, message: String)] = []

    /// As it was kept; empty for a new edge.
    ///
    /// - Parameters:
    ///   - reports: ascending by id.
    ///   - lastID: the highest id ever given, also to reports that are gone.
    package init(
        objects: [ObjectRef: Held] = [:], reports: [Outbox.Entry] = [], lastID: UInt64 = 0,
        limits: [Report.Topic: Outbox.Limit] = Outbox.defaultLimits
    ) {
        held = objects
        digest = HoldingsDigest(objects.values.lazy.map(\.stamp))
        outbox = Outbox(limits: limits)
        for entry in reports { outbox.restore(entry) }
        nextID = max(lastID, reports.last?.report.id ?? 0) + 1
    }

    // MARK: Seeing

    /// Objects that came from the cloud.
    package var heldCount: Int { held.count }

    /// Everything a node may see: what is held, and what it has made.
    package var refs: Set<ObjectRef> { Set(held.keys).union(outbox.refs.filter { Self.isShown($0.kind) }) }

    /// The object as the cloud sent it; nil if it is not held.
    package func base(_ ref: ObjectRef) -> Held? { held[ref] }

    /// The object as the node sees it; nil if there is none for it.
    package func view(_ ref: ObjectRef) -> JSON? { fold(ref, before: nil) }

    private func fold(_ ref: ObjectRef, before limit: UInt64?) -> JSON? {
        var object = held[ref].map { Self.parsed($0.bytes) }
        for entry in outbox.about(ref) {
            if let limit, entry.report.id >= limit { break }
            let uid = object?["metadata"]?["uid"]?.string ?? ""
            let isSame = entry.report.uid.isEmpty || entry.report.uid == uid
            switch entry.report.verb {
            case .create: if object == nil, entry.hasBody { object = Self.parsed(entry.report.body) }
            case .patch: if isSame, let base = object { object = MergePatch.apply(Self.parsed(entry.report.body), to: base) }
            case .delete: if isSame { object = nil }
            }
        }
        return object
    }

    private static func parsed(_ bytes: [UInt8]) -> JSON {
        (try? JSONParser.parse(bytes, limits: .init(depthMax: 512, bytesMax: HubLimits.frameBytesMax))) ?? .null
    }

    /// Events go up and are not kept to be seen.
    static func isShown(_ kind: ResourceKind) -> Bool { kind.plural != "events" }

    /// What has to be written before anything is acknowledged; taken once.
    package mutating func takeOperations() -> [Operation] {
        defer { operations = [] }
        return operations
    }

    /// Objects that the node may see differently; taken once.
    package mutating func takeTouched() -> Set<ObjectRef> {
        defer { touched = [] }
        return touched
    }

    /// Reports the cloud has refused, for the log; taken once.
    package mutating func takeRefusals() -> [(Report, code: UInt16, message: String)] {
        defer { refusals = [] }
        return refusals
    }

    // MARK: From the cloud

    mutating func apply(_ ref: ObjectRef, _ stamp: Stamp, _ bytes: [UInt8]) throws(FrameError) {
        let object: JSON
        do throws(JSONParseError) {
            object = try JSONParser.parse(bytes, limits: .init(depthMax: 512, bytesMax: HubLimits.frameBytesMax))
        } catch { throw FrameError("\(ref) is no JSON: \(error)") }
        guard object.object != nil, ObjectKey(object) == ref.key else {
            throw FrameError("\(ref) comes with the object \(ObjectKey(object))")
        }
        guard held[ref] != nil || held.count < HubLimits.objectsMax else {
            throw FrameError("more than \(HubLimits.objectsMax) objects for one node")
        }
        hold(ref, Held(stamp: stamp, bytes: bytes))
        let uid = object["metadata"]?["uid"]?.string ?? ""
        for entry in outbox.about(ref) {
            let isOther = !entry.report.uid.isEmpty && entry.report.uid != uid
            if entry.state == .done || (isOther && entry.state == .waiting) { forget(entry.report.id) }
        }
    }

    private mutating func hold(_ ref: ObjectRef, _ new: Held) {
        if let old = held.updateValue(new, forKey: ref) { digest.remove(old.stamp) }
        digest.add(new.stamp)
        operations.append(.putObject(ref, new.stamp, new.bytes))
        touched.insert(ref)
    }

    private mutating func forget(_ id: UInt64) {
        outbox.remove(id)
        operations.append(.removeReport(id))
    }

    mutating func remove(_ ref: ObjectRef) {
        if let old = held.removeValue(forKey: ref) {
            digest.remove(old.stamp)
            operations.append(.removeObject(ref))
        }
        for entry in outbox.about(ref) where entry.state != .sent && (entry.state == .done || entry.report.verb != .create) {
            forget(entry.report.id)
        }
        touched.insert(ref)
    }

    mutating func drop(_ entries: [HeldEntry], seed: UInt64) {
        let wanted = Set(entries)
        let gone = held.filter { wanted.contains(HeldEntry(number: $0.key.number(seed: seed), stamp: $0.value.stamp)) }.keys
        for ref in gone { remove(ref) }
    }

    /// In an order that depends on the seed alone.
    func inventory(seed: UInt64) -> [HeldEntry] {
        held.map { HeldEntry(number: $0.key.number(seed: seed), stamp: $0.value.stamp) }.sorted { $0.number < $1.number }
    }

    /// Both sides hold the same: nothing more comes for what is done.
    mutating func agreed() {
        for ref in outbox.refs {
            for entry in outbox.about(ref) where entry.state == .done {
                forget(entry.report.id)
                touched.insert(ref)
            }
        }
    }

    mutating func settle(_ result: ReportResult, now: Duration) {
        guard let entry = outbox[result.id], entry.state == .sent else { return }
        let report = entry.report
        switch result.outcome {
        case .later(let seconds): outbox.rest(report.id, until: now + .seconds(Int64(seconds)))
        case .refused(let code, let message):
            refusals.append((report, code, message))
            forget(report.id)
            touched.insert(report.ref)
        case .done(let isExpected):
            guard Self.isShown(report.ref.kind), entry.hasBody || report.verb == .delete else { return forget(report.id) }
            guard isExpected, report.verb == .patch, let base = held[report.ref] else {
                outbox.done(report.id)
                operations.append(.markDone(report.id))
                return
            }
            let new = MergePatch.apply(Self.parsed(report.body), to: Self.parsed(base.bytes))
            forget(report.id)
            if Stamp.status(new) == report.expected {
                hold(report.ref, Held(stamp: Stamp(body: base.stamp.body, status: report.expected), bytes: new.bytes()))
            } else {
                needsInventory = true
                touched.insert(report.ref)
            }
        }
    }

    // MARK: To the cloud

    /// A report as it is to be sent now.
    ///
    /// - Parameter body: of reports that are not kept in memory; nil from it means that the report is gone.
    mutating func next(now: Duration, body: (UInt64) -> [UInt8]?) -> Report? {
        while let id = outbox.next(now: now), var report = outbox[id]?.report {
            if outbox[id]?.hasBody == false {
                guard let found = body(id) else {
                    forget(id)
                    continue
                }
                report.body = found
            }
            if report.verb == .patch, report.part == .status, let base = held[report.ref] {
                report.expected = Stamp.status(MergePatch.apply(Self.parsed(report.body), to: Self.parsed(base.bytes)))
            }
            outbox.sent(id, expected: report.expected)
            return report
        }
        return nil
    }

    /// The link is gone.
    package mutating func reopen() { outbox.reopen() }

    /// The node makes an object, or tells of something that is not kept here.
    ///
    /// - Throws: 409 `AlreadyExists`, 413, 507.
    package mutating func create(_ ref: ObjectRef, _ object: JSON, topic: Report.Topic, nowSeconds: Int64) throws(APIStatus) {
        if Self.isShown(ref.kind), view(ref) != nil {
            throw APIStatus(code: 409, reason: "AlreadyExists", message: "\(ref.kind) \"\(ref.key.name)\" already exists")
        }
        try put(topic, .create, ref, body: object.bytes(), hasBody: Self.isShown(ref.kind), nowSeconds)
    }

    /// The node changes an object, or its status, to what it should be.
    ///
    /// - Parameter new: the whole object; what is not of the part does not count.
    /// - Throws: 404 for an object that is not there, 413, 507.
    package mutating func change(_ ref: ObjectRef, to new: JSON, part: ObjectPart, nowSeconds: Int64) throws(APIStatus) {
        guard let seen = view(ref) else {
            throw APIStatus(code: 404, reason: "NotFound", message: "\(ref.kind) \"\(ref.key.name)\" not found on this node")
        }
        let uid = seen["metadata"]?["uid"]?.string ?? ""
        let last = outbox.about(ref).last
        if let last, last.state == .waiting, last.report.verb == .patch, last.report.part == part, last.report.uid == uid {
            guard let before = fold(ref, before: last.report.id) else { return }
            let patch = Self.patch(from: before, to: Self.merged(seen, new, part), part)
            if patch.object?.isEmpty ?? true {
                forget(last.report.id)
                touched.insert(ref)
                return
            }
            let body = try Self.bounded(patch.bytes(), ref)
            outbox.replaceBody(last.report.id, body)
            operations.append(.putReport(outbox[last.report.id]!.report, createdSeconds: last.createdSeconds))
            touched.insert(ref)
            return
        }
        let patch = Self.patch(from: seen, to: new, part)
        if patch.object?.isEmpty ?? true { return }
        try put(.status, .patch, ref, part: part, uid: uid, body: patch.bytes(), hasBody: true, nowSeconds)
    }

    /// What the node sees with the part replaced by the new one.
    private static func merged(_ seen: JSON, _ new: JSON, _ part: ObjectPart) -> JSON {
        var result = part == .status ? seen : new
        result["status"] = part == .status ? new["status"] : seen["status"]
        return result
    }

    private static func patch(from old: JSON, to new: JSON, _ part: ObjectPart) -> JSON {
        if part == .status {
            let patch = MergePatch.difference(from: old["status"] ?? [:], to: new["status"] ?? [:])
            return patch.object?.isEmpty ?? true ? [:] : ["status": patch]
        }
        var (before, after) = (old, new)
        for object in [0, 1] {
            var value = object == 0 ? before : after
            value["status"] = nil
            for field in ["resourceVersion", "managedFields", "generation"] { value[path: ["metadata", field]] = nil }
            if object == 0 { before = value } else { after = value }
        }
        return MergePatch.difference(from: before, to: after)
    }

    /// The node deletes an object for good, as a Pod that has ended.
    ///
    /// - Throws: 404; 409 if the object has another uid than the one named; 507.
    package mutating func delete(_ ref: ObjectRef, uid wanted: String, nowSeconds: Int64) throws(APIStatus) {
        guard let seen = view(ref) else {
            throw APIStatus(code: 404, reason: "NotFound", message: "\(ref.kind) \"\(ref.key.name)\" not found on this node")
        }
        let uid = seen["metadata"]?["uid"]?.string ?? ""
        guard wanted.isEmpty || wanted == uid else {
            throw APIStatus(
                code: 409, reason: "Conflict", message: "\(ref.kind) \"\(ref.key.name)\" has the uid \(uid), not \(wanted)")
        }
        try put(.status, .delete, ref, uid: uid, body: [], hasBody: true, nowSeconds)
    }

    private static func bounded(_ body: [UInt8], _ ref: ObjectRef) throws(APIStatus) -> [UInt8] {
        guard body.count <= HubLimits.bodyBytesMax else {
            throw APIStatus(
                code: 413, reason: "RequestEntityTooLarge",
                message: "\(ref): \(body.count) bytes are to be told, at most \(HubLimits.bodyBytesMax) are; make it smaller")
        }
        return body
    }

    private mutating func put(
        _ topic: Report.Topic, _ verb: Report.Verb, _ ref: ObjectRef, part: ObjectPart = .whole, uid: String = "", body: [UInt8],
        hasBody: Bool,
        _ nowSeconds: Int64
    ) throws(APIStatus) {
        let body = try Self.bounded(body, ref)
        let report = Report(id: nextID, topic: topic, verb: verb, ref: ref, part: part, uid: uid, body: body)
        var kept = report
        if !hasBody { kept.body = [] }
        let dropped = try outbox.add(
            Outbox.Entry(report: kept, hasBody: hasBody, bytes: body.count, createdSeconds: nowSeconds), nowSeconds: nowSeconds)
        nextID += 1
        for id in dropped { operations.append(.removeReport(id)) }
        operations.append(.putReport(report, createdSeconds: nowSeconds))
        touched.insert(ref)
    }

    /// The id the next report gets; names of events derive from it.
    package var upcomingID: UInt64 { nextID }
}

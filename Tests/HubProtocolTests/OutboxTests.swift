import HubProtocol
import Resources
import Testing

@Suite struct OutboxTests {
    private let pod = ObjectRef(.pod, ObjectKey(namespace: "default", name: "web"))
    private let node = ObjectRef(.node, ObjectKey(name: "edge-1"))

    private func event(_ number: Int) -> ObjectRef { ObjectRef(.event, ObjectKey(namespace: "default", name: "e\(number)")) }

    private func entry(_ id: UInt64, _ topic: Report.Topic, _ ref: ObjectRef, bytes: Int = 10, created: Int64 = 0) -> Outbox.Entry {
        Outbox.Entry(
            report: Report(id: id, topic: topic, verb: .create, ref: ref, body: [UInt8](repeating: 32, count: bytes)), hasBody: true,
            bytes: bytes,
            createdSeconds: created)
    }

    @Test func `urgent topics go first, older reports before younger ones`() throws {
        var outbox = Outbox()
        for (id, topic) in [(1, Report.Topic.sample), (2, .event), (3, .event), (4, .status)] as [(UInt64, Report.Topic)] {
            _ = try outbox.add(entry(id, topic, event(Int(id))), nowSeconds: 0)
        }
        #expect(outbox.next(now: .zero) == 4)
        outbox.remove(4)
        #expect(outbox.next(now: .zero) == 2)
        outbox.remove(2)
        outbox.remove(3)
        #expect(outbox.next(now: .zero) == 1)
    }

    @Test func `at the limit events drop their oldest and results refuse the new one`() throws {
        let limit = Outbox.Limit(countMax: 3, bytesMax: 100, dropsOldest: true)
        let keeping = Outbox.Limit(countMax: 3, bytesMax: 100, dropsOldest: false)
        var outbox = Outbox(limits: [.event: limit, .result: keeping, .status: keeping, .sample: limit])
        for id in 1...3 { #expect(try outbox.add(entry(UInt64(id), .event, event(id)), nowSeconds: 0) == []) }
        #expect(try outbox.add(entry(4, .event, event(4)), nowSeconds: 0) == [1])
        #expect(try outbox.add(entry(5, .event, event(5), bytes: 95), nowSeconds: 0) == [2, 3, 4])
        #expect(outbox.droppedCount(.event) == 4)
        for id in 10...12 { _ = try outbox.add(entry(UInt64(id), .result, event(id)), nowSeconds: 0) }
        #expect(throws: APIStatus.self) { try outbox.add(entry(13, .result, event(13)), nowSeconds: 0) }
        #expect(throws: APIStatus.self) { try outbox.add(entry(14, .event, event(14), bytes: 101), nowSeconds: 0) }
        #expect(outbox.count == 4)
    }

    @Test func `old events make way for a new one even where there is room`() throws {
        let limit = Outbox.Limit(countMax: 100, bytesMax: 10_000, ageSecondsMax: 60, dropsOldest: true)
        var outbox = Outbox(limits: [.event: limit, .result: limit, .status: limit, .sample: limit])
        _ = try outbox.add(entry(1, .event, event(1), created: 0), nowSeconds: 0)
        _ = try outbox.add(entry(2, .event, event(2), created: 50), nowSeconds: 50)
        #expect(try outbox.add(entry(3, .event, event(3), created: 61), nowSeconds: 61) == [1])
    }

    // MARK: Replica

    private func replica() -> EdgeReplica {
        let object: JSON = [
            "metadata": ["namespace": "default", "name": "web", "uid": "u1"], "spec": ["nodeName": "edge-1"],
            "status": ["phase": "Pending"],
        ]
        return EdgeReplica(objects: [pod: .init(stamp: Stamp(object), bytes: object.bytes())])
    }

    private func set(_ replica: inout EdgeReplica, _ status: JSON) throws {
        var object = try #require(replica.view(pod))
        object["status"] = status
        try replica.change(pod, to: object, part: .status, nowSeconds: 0)
    }

    @Test func `a status that changes ten times before it is sent is one report, and the node sees the newest`() throws {
        var replica = replica()
        for step in 1...10 { try set(&replica, ["phase": "Running", "step": .integer(Int64(step))]) }
        #expect(replica.outbox.count == 1)
        #expect(replica.view(pod)?["status"] == ["phase": "Running", "step": 10])
        let report = try #require(replica.outbox.about(pod).first?.report)
        #expect(String(decoding: report.body, as: UTF8.self) == #"{"status":{"phase":"Running","step":10}}"#)
        #expect(report.uid == "u1")
    }

    @Test func `a status that comes back to what the cloud knows is no report at all`() throws {
        var replica = replica()
        try set(&replica, ["phase": "Running"])
        try set(&replica, ["phase": "Pending"])
        #expect(replica.outbox.count == 0)
        #expect(replica.takeOperations().last == .removeReport(1))
    }

    @Test func `a member that is taken away is taken away in the cloud too`() throws {
        var replica = replica()
        try set(&replica, [:])
        #expect(String(decoding: replica.outbox.about(pod)[0].report.body, as: UTF8.self) == #"{"status":{"phase":null}}"#)
        #expect(replica.view(pod)?["status"] == [:])
    }

    @Test func `a deleted Pod is gone for its node at once, and cannot be changed any more`() throws {
        var replica = replica()
        #expect(throws: APIStatus.self) { try replica.delete(pod, uid: "other", nowSeconds: 0) }
        try replica.delete(pod, uid: "u1", nowSeconds: 0)
        #expect(replica.view(pod) == nil)
        #expect(throws: APIStatus.self) { try replica.change(pod, to: [:], part: .status, nowSeconds: 0) }
        #expect(throws: APIStatus.self) { try replica.delete(pod, uid: "", nowSeconds: 0) }
    }

    @Test func `what is too large to be told is refused where it is made`() {
        var replica = replica()
        let large = JSON.string(String(repeating: "x", count: HubLimits.bodyBytesMax))
        #expect(throws: APIStatus.self) { try set(&replica, ["text": large]) }
        #expect(replica.outbox.count == 0)
    }
}

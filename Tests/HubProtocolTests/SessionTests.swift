import HubProtocol
import Resources
import Testing

/// A cloud's session and an edge's, their messages carried by hand.
struct Pair {
    static let pod = ObjectRef(.pod, ObjectKey(namespace: "default", name: "web"))
    static let settings = ObjectRef(
        ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps"), ObjectKey(namespace: "default", name: "settings"))
    var now: Duration = .zero
    var hub = HubSession(seed: 5, now: .zero)
    var edge = EdgeSession(now: .zero)
    var replica = EdgeReplica()
    /// What the node needs.
    var objects: [ObjectRef: JSON] = [:]
    var toHub: [[UInt8]] = []
    var toEdge: [[UInt8]] = []
    var reports: [Report] = []
    var ends: [String] = []
    var sentToEdge: [Frame] = []
    /// Sizes of all messages, both ways.
    var sizes: [Int] = []

    static func object(_ ref: ObjectRef, _ value: Int64) -> JSON {
        [
            "metadata": ["namespace": .string(ref.key.namespace), "name": .string(ref.key.name), "uid": "u"],
            "spec": ["value": .integer(value)],
        ]
    }

    mutating func greet() {
        perform(edge.hello(store: 1, program: "test", replica, now: now))
        run()
    }

    mutating func perform(_ effects: [EdgeSession.Effect]) {
        for effect in effects {
            if case .send(let message) = effect {
                toHub.append(message)
                sizes.append(message.count)
            }
            if case .end(let goodbye) = effect { ends.append("edge: \(goodbye.reason)") }
        }
    }

    mutating func perform(_ effects: [HubSession.Effect]) {
        for effect in effects {
            switch effect {
            case .send(let message):
                toEdge.append(message)
                sizes.append(message.count)
                if let frame = try? NumberedFrame(message) { sentToEdge.append(frame.frame) }
            case .hello: perform(hub.admit(wants, now: now, timeSeconds: 1))
            case .report(let report): reports.append(report)
            case .end(let goodbye): ends.append("hub: \(goodbye.reason)")
            default: break
            }
        }
    }

    var wants: [(ObjectRef, Stamp)] { objects.map { ($0.key, Stamp($0.value)) } }

    mutating func pump() {
        let objects = objects
        perform(
            hub.pump(now: now) { ref in objects[ref].map { .object(Stamp($0), $0.bytes()) } ?? .absent })
    }

    /// Carries everything until nothing moves.
    mutating func run() {
        for _ in 0..<1000 where !toHub.isEmpty || !toEdge.isEmpty {
            while !toHub.isEmpty {
                let wants = wants
                perform(hub.receive(toHub.removeFirst(), now: now) { wants })
            }
            pump()
            while !toEdge.isEmpty { perform(edge.receive(toEdge.removeFirst(), &replica, now: now)) }
            perform(edge.stored(&replica, now: now))
            perform(edge.pump(&replica, now: now) { _ in nil })
        }
    }

    mutating func set(_ ref: ObjectRef, _ object: JSON?) {
        objects[ref] = object
        hub.mark(ref)
    }

    var changesSent: Int { sentToEdge.count { if case .change = $0 { true } else { false } } }
}

@Suite struct SessionTests {
    @Test func `an idle node costs less than 8 bytes a second, both ways and with what carries them`() {
        var pair = Pair()
        pair.objects = [Pair.pod: Pair.object(Pair.pod, 1)]
        pair.greet()
        // Behind a message: 6 bytes of a WebSocket's head, 22 of a TLS record, 40 of TCP and IP; and as many of TCP and IP once more to
        // acknowledge it.
        let around = 6 + 22 + 40 + 40
        pair.sizes = []
        let seconds = 7200
        for _ in 0..<seconds {
            pair.now += .seconds(1)
            pair.perform(pair.edge.tick(now: pair.now))
            pair.perform(pair.hub.tick(now: pair.now))
            pair.pump()
            pair.run()
        }
        let byteCount = pair.sizes.reduce(0) { $0 + $1 + around }
        #expect(pair.ends == [])
        #expect(pair.sizes.count >= seconds / 75)
        #expect(byteCount <= 8 * seconds, "\(byteCount) bytes in \(pair.sizes.count) messages")
    }

    @Test func `an empty edge gets what its node needs, and both sides then agree`() {
        var pair = Pair()
        pair.objects = [Pair.pod: Pair.object(Pair.pod, 1), Pair.settings: Pair.object(Pair.settings, 2)]
        pair.greet()
        #expect(pair.replica.heldCount == 2)
        #expect(pair.hub.isSettled)
        #expect(pair.sentToEdge.contains(.digest(pair.replica.digest)))
    }

    @Test func `an edge that holds everything gets nothing but a welcome`() {
        var pair = Pair()
        let object = Pair.object(Pair.pod, 1)
        pair.objects = [Pair.pod: object]
        pair.replica = EdgeReplica(objects: [Pair.pod: .init(stamp: Stamp(object), bytes: object.bytes())])
        pair.greet()
        #expect(pair.hub.isSettled)
        #expect(pair.sentToEdge.count == 1)
    }

    @Test func `an edge that comes back gets only what it missed, and loses what it needs no more`() {
        var pair = Pair()
        let old = Pair.object(Pair.settings, 1)
        let pod = Pair.object(Pair.pod, 1)
        let gone = ObjectRef(.pod, ObjectKey(namespace: "default", name: "gone"))
        pair.replica = EdgeReplica(objects: [
            Pair.settings: .init(stamp: Stamp(old), bytes: old.bytes()), Pair.pod: .init(stamp: Stamp(pod), bytes: pod.bytes()),
            gone: .init(stamp: Stamp(Pair.object(gone, 1)), bytes: Pair.object(gone, 1).bytes()),
        ])
        pair.objects = [Pair.pod: pod, Pair.settings: Pair.object(Pair.settings, 2)]
        pair.greet()
        #expect(pair.changesSent == 1)
        #expect(pair.replica.refs == [Pair.pod, Pair.settings])
        #expect(pair.replica.view(Pair.settings)?["spec"]?["value"] == 2)
    }

    @Test func `an object that changed ten times before it could be sent is sent once`() {
        var pair = Pair()
        pair.greet()
        for value in 1...10 { pair.set(Pair.pod, Pair.object(Pair.pod, Int64(value))) }
        pair.pump()
        pair.run()
        #expect(pair.changesSent == 1)
        #expect(pair.replica.view(Pair.pod)?["spec"]?["value"] == 10)
    }

    @Test func `nothing is acknowledged before it is stored`() {
        var pair = Pair()
        pair.greet()
        pair.set(Pair.pod, Pair.object(Pair.pod, 1))
        pair.pump()
        while !pair.toEdge.isEmpty { pair.perform(pair.edge.receive(pair.toEdge.removeFirst(), &pair.replica, now: .zero)) }
        #expect(pair.toHub.isEmpty)
        #expect(!pair.hub.isSettled)
        pair.perform(pair.edge.stored(&pair.replica, now: .zero))
        #expect(pair.toHub.count == 1)
    }

    @Test func `no more is under way than the window allows`() {
        var pair = Pair()
        pair.greet()
        for number in 0..<200 {
            let ref = ObjectRef(.pod, ObjectKey(namespace: "default", name: "pod-\(number)"))
            pair.set(ref, Pair.object(ref, 1))
        }
        pair.pump()
        #expect(pair.toEdge.count == HubLimits.changesMax)
        pair.run()
        #expect(pair.replica.heldCount == 200)
    }

    @Test func `a lost frame ends the link on both sides' account, a doubled one is ignored`() {
        var pair = Pair()
        pair.greet()
        pair.set(Pair.pod, Pair.object(Pair.pod, 1))
        pair.pump()
        let message = pair.toEdge[0]
        pair.toEdge.append(message)
        pair.run()
        #expect(pair.ends.isEmpty)
        pair.set(Pair.pod, Pair.object(Pair.pod, 2))
        pair.pump()
        pair.toEdge.removeAll()
        pair.set(Pair.pod, Pair.object(Pair.pod, 3))
        pair.pump()
        pair.run()
        #expect(pair.ends == ["edge: gap", "hub: gap"])
    }

    @Test func `a silent side says that it lives, and one that does not is given up`() {
        var pair = Pair()
        pair.greet()
        pair.now = HubLimits.heartbeat
        pair.perform(pair.edge.tick(now: pair.now))
        #expect(pair.toHub.map(\.count) == [5])
        pair.run()
        #expect(pair.ends.isEmpty)
        pair.now += HubLimits.silence
        pair.perform(pair.hub.tick(now: pair.now))
        #expect(pair.ends == ["hub: silence"])
        pair.perform(pair.edge.tick(now: pair.now))
        #expect(pair.ends == ["hub: silence", "edge: silence"])
    }

    @Test func `a heartbeat shows that a frame was lost`() {
        var pair = Pair()
        pair.greet()
        pair.set(Pair.pod, Pair.object(Pair.pod, 1))
        pair.pump()
        pair.toEdge.removeAll()
        pair.now = HubLimits.heartbeat
        pair.perform(pair.edge.tick(now: pair.now))
        pair.run()
        #expect(pair.ends == ["edge: gap", "hub: gap"])
    }

    @Test func `sides without a common version part with a word, and so does one that speaks out of turn`() throws {
        var hub = HubSession(seed: 1, now: .zero)
        let hello = Frame.hello(Hello(versions: 40...50, store: 1, digest: HoldingsDigest(), program: "old"))
        let effects = hub.receive(NumberedFrame(1, hello).message, now: .zero) { [] }
        guard case .end(let goodbye)? = effects.last else {
            Issue.record("the session went on: \(effects)")
            return
        }
        #expect(goodbye.reason == .version)
        #expect(goodbye.message.contains("40...50"))
        for frame in ExampleFrames.all where frame != .heartbeat {
            if case .hello = frame { continue }
            if case .goodbye = frame { continue }
            var early = HubSession(seed: 1, now: .zero)
            let effects = early.receive(NumberedFrame(1, frame).message, now: .zero) { [] }
            guard case .end(let goodbye)? = effects.last else {
                Issue.record("taken before hello: \(frame)")
                continue
            }
            #expect(goodbye.reason == .violation)
        }
    }

    @Test func `a report the cloud does as expected does not come back, one that ends otherwise does`() throws {
        var pair = Pair()
        pair.objects = [Pair.pod: Pair.object(Pair.pod, 1)]
        pair.greet()
        for (step, other) in [(1, false), (2, true)] {
            var seen = try #require(pair.replica.view(Pair.pod))
            seen["status"] = ["step": .integer(Int64(step))]
            try pair.replica.change(Pair.pod, to: seen, part: .status, nowSeconds: 0)
            pair.perform(pair.edge.pump(&pair.replica, now: .zero) { _ in nil })
            pair.run()
            let last = pair.reports.popLast()
            let report = try #require(last)
            var object = MergePatch.apply(try JSONParser.parse(report.body), to: pair.objects[Pair.pod]!)
            if other { object[path: ["status", "by"]] = "somebody" }
            pair.objects[Pair.pod] = object
            let before = pair.changesSent
            pair.perform(pair.hub.settle([(report, .done(isExpected: false), Stamp.status(object))], now: .zero))
            pair.hub.mark(Pair.pod)
            pair.pump()
            pair.run()
            #expect(pair.changesSent - before == (other ? 1 : 0))
            #expect(pair.replica.view(Pair.pod)?["status"] == object["status"])
            #expect(pair.replica.outbox.count == 0)
            #expect(pair.hub.isSettled)
        }
    }

    @Test func `a refused report goes, and the node sees again what the cloud has`() throws {
        var pair = Pair()
        pair.objects = [Pair.pod: Pair.object(Pair.pod, 1)]
        pair.greet()
        var seen = try #require(pair.replica.view(Pair.pod))
        seen["spec"] = ["value": 99]
        try pair.replica.change(Pair.pod, to: seen, part: .whole, nowSeconds: 0)
        #expect(pair.replica.view(Pair.pod)?["spec"]?["value"] == 99)
        pair.perform(pair.edge.pump(&pair.replica, now: .zero) { _ in nil })
        pair.run()
        let last = pair.reports.popLast()
        let report = try #require(last)
        pair.perform(pair.hub.settle([(report, .refused(code: 403, message: "not yours"), nil)], now: .zero))
        pair.run()
        #expect(pair.replica.view(Pair.pod)?["spec"]?["value"] == 1)
        #expect(pair.replica.takeRefusals().map(\.message) == ["not yours"])
        #expect(pair.replica.outbox.count == 0)
    }

    @Test func `of the reports on one object one is under way, and no more in all than the window`() throws {
        var pair = Pair()
        pair.objects = [Pair.pod: Pair.object(Pair.pod, 1)]
        pair.greet()
        for step in 1...3 {
            var seen = try #require(pair.replica.view(Pair.pod))
            seen["status"] = ["step": .integer(Int64(step))]
            try pair.replica.change(Pair.pod, to: seen, part: .status, nowSeconds: 0)
            pair.perform(pair.edge.pump(&pair.replica, now: .zero) { _ in nil })
        }
        #expect(pair.toHub.count == 1)
        #expect(pair.replica.outbox.count == 2)
        for number in 0..<100 {
            let ref = ObjectRef(.event, ObjectKey(namespace: "default", name: "e\(number)"))
            try pair.replica.create(
                ref, ["metadata": ["namespace": "default", "name": .string(ref.key.name)]], topic: .event, nowSeconds: 0)
        }
        pair.perform(pair.edge.pump(&pair.replica, now: .zero) { _ in Array("{}".utf8) })
        #expect(pair.toHub.count == HubLimits.reportsMax)
    }
}

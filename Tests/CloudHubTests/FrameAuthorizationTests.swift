import APIServer
import CloudHub
import HubProtocol
import Resources
import Synchronization
import Testing

/// Every type of frame, about every object that is another node's: the API stays as it is, and nothing of the object comes back. Who a node is
/// says its certificate; what it names in a frame gives it no right.
@Suite(.timeLimit(.minutes(30))) struct FrameAuthorizationTests {
    /// An edge that says whatever it likes.
    private final class Liar: LinkPeer {
        private struct State {
            var frames: [Frame] = []
            var bytes: [UInt8] = []
            var isClosed = false
            var sent: UInt32 = 0
        }

        private let state = Mutex(State())
        private let link: MemoryLink

        init(_ node: String, _ hub: CloudHub) {
            let (far, near) = MemoryLink.pair()
            link = near
            far.connect(hub.accept(node: node, far))
            near.connect(self)
        }

        func received(_ message: [UInt8]) {
            state.withLock { state in
                state.bytes += message
                if let frame = try? NumberedFrame(message) { state.frames.append(frame.frame) }
            }
        }

        func closed() { state.withLock { $0.isClosed = true } }

        func say(_ frame: Frame) {
            let number = state.withLock { state in
                state.sent += 1
                return state.sent
            }
            link.send(NumberedFrame(number, frame).message)
        }

        func end() { link.close() }

        var frames: [Frame] { state.withLock { $0.frames } }
        var text: String { state.withLock { String(decoding: $0.bytes, as: UTF8.self) } }
        /// The hub has ended the session, or said that it does.
        var isClosed: Bool {
            state.withLock { state in
                state.isClosed || state.frames.contains { if case .goodbye = $0 { true } else { false } }
            }
        }
        var isWelcome: Bool { frames.contains { if case .welcome = $0 { true } else { false } } }
        /// What became of a report.
        func outcome(_ id: UInt64) -> ReportResult.Outcome? {
            for case .results(let results) in frames { if let result = results.first(where: { $0.id == id }) { return result.outcome } }
            return nil
        }
    }

    private static let other = "edge-2"
    private static let mark = "content-of-another-node"

    /// What belongs to another node, one of each kind, with words that must not come back.
    private static let foreign: [(kind: ResourceKind, object: JSON)] = [
        (.node, ["metadata": ["name": .string(other)]]),
        (NodeNeeds.configMap, ["metadata": ["namespace": "default", "name": "theirs"], "data": ["a": .string(mark)]]),
        (NodeNeeds.secret, ["metadata": ["namespace": "default", "name": "theirs"], "stringData": ["a": .string(mark)]]),
        (.pod, HubWorld.pod("theirs", node: other, settings: "theirs", secret: "theirs")),
        (
            .lease,
            ["metadata": ["namespace": "kube-node-lease", "name": .string(other)], "spec": ["holderIdentity": .string(mark)]]
        ),
        (
            .event,
            [
                "metadata": ["namespace": "default", "name": "theirs"], "source": ["host": .string(other)], "message": .string(mark),
                "reason": "R", "involvedObject": ["kind": "Pod", "namespace": "default", "name": "theirs"],
            ]
        ),
        (
            NodeNeeds.dataset,
            [
                "metadata": ["namespace": "default", "name": "theirs"],
                "spec": ["nodeName": .string(other), "url": .string("/data/\(mark).csv"), "format": "csv"],
            ]
        ),
        (
            ResourceKind(
                group: "rbac.authorization.k8s.io", version: "v1", kind: "ClusterRole", plural: "clusterroles", isNamespaced: false),
            ["metadata": ["name": "theirs"], "rules": []]
        ),
        (
            ResourceKind(group: "", version: "v1", kind: "ServiceAccount", plural: "serviceaccounts"),
            ["metadata": ["namespace": "default", "name": "theirs"]]
        ),
    ]

    private func world() async throws -> HubWorld {
        let world = try await HubWorld()
        try await world.makeNode("edge-1")
        for (kind, object) in Self.foreign { try await world.create(kind, object) }
        return world
    }

    /// Every object but what the hub itself writes about sessions.
    private func everything(_ world: HubWorld) async throws -> [String] {
        var all: [String] = []
        for (kind, object) in Self.foreign {
            for found in try await world.admin.list(kind, ListQuery()).items {
                let isOwn = kind == .lease && ObjectKey(found).name == "edge-1"
                let isNote = kind == .event && ObjectKey(found) != ObjectKey(object)
                if !isOwn, !isNote { all.append("\(kind) \(found.text)") }
            }
        }
        return all.sorted()
    }

    private func begin(_ world: HubWorld) async throws -> Liar {
        let liar = Liar("edge-1", world.hub)
        liar.say(.hello(Hello(store: 1, digest: HoldingsDigest(), program: "test")))
        try await eventually { liar.isWelcome || liar.isClosed }
        try #require(liar.isWelcome, "\(liar.text)")
        return liar
    }

    private func endSession(_ liar: Liar, _ world: HubWorld) async throws {
        liar.end()
        try await eventually { world.hub.connectedNodes.isEmpty }
    }

    @Test func `no report on an object of another node is done, whatever its verb`() async throws {
        let world = try await world()
        let before = try await everything(world)
        let liar = try await begin(world)
        var id: UInt64 = 0
        var asked: [(id: UInt64, word: String)] = []
        for (kind, object) in Self.foreign {
            let ref = ObjectRef(kind, ObjectKey(object))
            let uid = try await world.admin.get(kind, ref.key)["metadata"]?["uid"]?.string ?? ""
            var changed = object
            changed[path: ["metadata", "labels"]] = ["touched": "yes"]
            changed["status"] = ["phase": "Failed"]
            for verb in Report.Verb.allCases {
                for part in [ObjectPart.whole, .status] {
                    for named in ["", uid] {
                        id += 1
                        asked.append((id, "\(verb) \(part) \(ref) uid \(named)"))
                        let body = verb == .delete ? [] : changed.bytes()
                        liar.say(.report(Report(id: id, topic: .status, verb: verb, ref: ref, part: part, uid: named, body: body)))
                        // No more are under way than the protocol allows.
                        let sent = id
                        try await eventually { liar.isClosed || liar.outcome(sent) != nil }
                    }
                }
            }
        }
        let isClosed = liar.isClosed
        #expect(!isClosed, "the session was ended: \(liar.text)")
        for (id, word) in asked {
            let outcome = liar.outcome(id)
            // What is made under a name that is taken is left as it is; that may be told as done.
            let isRefused: Bool
            switch outcome {
            case .refused: isRefused = true
            case .done: isRefused = word.hasPrefix("create")
            case .later, nil: isRefused = false
            }
            #expect(isRefused, "\(word): \(String(describing: outcome))")
        }
        let after = try await everything(world)
        #expect(after == before)
        #expect(!liar.text.contains(Self.mark))
        try await endSession(liar, world)
    }

    @Test func `no new object is made in another node's name`() async throws {
        let world = try await world()
        let before = try await everything(world)
        let liar = try await begin(world)
        for (number, entry) in Self.foreign.enumerated() where entry.kind != .event {
            var object = entry.object
            object[path: ["metadata", "name"]] = "new"
            let ref = ObjectRef(entry.kind, ObjectKey(object))
            liar.say(.report(Report(id: UInt64(number + 1), topic: .status, verb: .create, ref: ref, body: object.bytes())))
            // The same with another name in the frame than in the object.
            let named = ObjectRef(entry.kind, ObjectKey(namespace: ref.key.namespace, name: "edge-1"))
            liar.say(.report(Report(id: UInt64(number + 101), topic: .status, verb: .create, ref: named, body: object.bytes())))
        }
        let ids = Self.foreign.indices.filter { Self.foreign[$0].kind != .event }.flatMap { [UInt64($0 + 1), UInt64($0 + 101)] }
        try await eventually { liar.isClosed || ids.allSatisfy { liar.outcome($0) != nil } }
        for id in ids {
            // A node may register itself under any name that is free; it is then no more than that name.
            if Self.foreign[Int(id - 1) % 100].kind == .node { continue }
            var isRefused = false
            if case .refused = liar.outcome(id) { isRefused = true }
            #expect(isRefused, "\(id): \(String(describing: liar.outcome(id)))")
        }
        let after = try await everything(world).filter { !$0.contains("\"name\":\"new\"") }
        #expect(after == before)
        try await endSession(liar, world)
    }

    @Test func `every other type of frame changes nothing, and brings nothing of another node's objects back`() async throws {
        let world = try await world()
        let before = try await everything(world)
        let number: UInt64 = 0x1234
        let entries = [HeldEntry(number: number, stamp: Stamp(body: 1, status: 2))]
        for (kind, object) in Self.foreign where [ResourceKind.node, .pod, NodeNeeds.configMap, NodeNeeds.secret].contains(kind) {
            let ref = ObjectRef(kind, ObjectKey(object))
            let call: JSON = ["call": "logs", "namespace": .string(ref.key.namespace), "pod": .string(ref.key.name)]
            let frames: [Frame] = [
                .hello(Hello(store: 2, digest: HoldingsDigest(), program: "again")),
                .welcome(Welcome(version: 1, seed: 1, wantsInventory: false, heartbeatSeconds: 30, timeSeconds: 0)),
                .inventory(
                    [HeldEntry(number: ref.number(seed: try await Self.seed(of: try await begin(world))), stamp: Stamp(object))],
                    isLast: true),
                .change(ref, Stamp(object), object.bytes()), .gone(ref), .drop(entries), .ack(through: .max), .heartbeat,
                .digest(HoldingsDigest()), .open(stream: 1, call: call.bytes()), .data(stream: 1, .data(.stdin, [1])),
                .credit(stream: 1, bytes: .max), .close(stream: 1, status: []), .results([ReportResult(id: 1, .done(isExpected: true))]),
                .goodbye(Goodbye(.stopping, "so long")),
            ]
            try await eventually { world.hub.connectedNodes.isEmpty }
            for frame in frames {
                let liar = try await begin(world)
                liar.say(frame)
                // Whatever the frame does to the session, a report behind it is judged as ever.
                liar.say(.report(Report(id: 1, topic: .status, verb: .delete, ref: ref, body: [])))
                // Behind a goodbye nothing is heard, not even to be refused.
                if case .goodbye = frame { liar.end() } else { try await eventually { liar.isClosed || liar.outcome(1) != nil } }
                if case .done = liar.outcome(1) { Issue.record("behind \(frame) a report on \(ref) was done") }
                #expect(!liar.text.contains(Self.mark), "\(frame)")
                try await endSession(liar, world)
            }
        }
        let after = try await everything(world)
        #expect(after == before)
    }

    /// The seed of a session, which is ended.
    private static func seed(of liar: Liar) async throws -> UInt64 {
        var seed: UInt64 = 0
        for case .welcome(let welcome) in liar.frames { seed = welcome.seed }
        liar.end()
        return seed
    }
}

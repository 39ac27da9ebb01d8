import HubProtocol
import Network
import Resources
import Testing

/// A path that swallows what is sent for a while, in counted time: how long after its return an edge and its cloud are equal. What the system's TCP
/// does is modelled (first packets and unconfirmed ones are sent again ever later), what is ours is real: sessions, waits and limits.
@Suite struct LinkReturnTests {
    private static let roundTrip: Duration = .milliseconds(100)

    /// The same choices at each run.
    private struct Choices: RandomNumberGenerator {
        var state: UInt64 = 27

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }

    /// A session's two ends, and how many times something had to go over the path and back until both had the same.
    private struct Ends {
        static let pod = ObjectRef(.pod, ObjectKey(namespace: "default", name: "web"))
        var hub = HubSession(seed: 5, now: .zero)
        var edge = EdgeSession(now: .zero)
        var replica = EdgeReplica()
        var object: JSON = ["metadata": ["namespace": "default", "name": "web", "uid": "u"], "spec": ["value": 1]]
        private var toHub: [[UInt8]] = []
        private var toEdge: [[UInt8]] = []
        private(set) var roundTrips = 0
        private(set) var compared = false

        /// A new session after a break, during which the object has changed.
        mutating func meet() {
            object[path: ["spec", "value"]] = .integer((object["spec"]?["value"]?.integer ?? 0) + 1)
            (hub, edge, roundTrips, compared) = (HubSession(seed: 5, now: .zero), EdgeSession(now: .zero), 0, false)
            replica.reopen()
            perform(edge.hello(store: 1, program: "test", replica, now: .zero))
            while !toHub.isEmpty {
                roundTrips += 1
                let wants = wants
                while !toHub.isEmpty { perform(hub.receive(toHub.removeFirst(), now: .zero) { wants }) }
                let object = object
                perform(hub.pump(now: .zero) { $0 == Self.pod ? .object(Stamp(object), object.bytes()) : .absent })
                while !toEdge.isEmpty { perform(edge.receive(toEdge.removeFirst(), &replica, now: .zero)) }
                perform(edge.stored(&replica, now: .zero))
                perform(edge.pump(&replica, now: .zero) { _ in nil })
            }
        }

        private var wants: [(ObjectRef, Stamp)] { [(Self.pod, Stamp(object))] }
        var areEqual: Bool { replica.view(Self.pod)?["spec"] == object["spec"] && hub.isSettled && compared }

        private mutating func perform(_ effects: [EdgeSession.Effect]) {
            for effect in effects {
                if case .send(let message) = effect { toHub.append(message) }
                if case .compared(let isSame) = effect { compared = isSame }
            }
        }

        private mutating func perform(_ effects: [HubSession.Effect]) {
            for effect in effects {
                if case .send(let message) = effect { toEdge.append(message) }
                if case .hello = effect { perform(hub.admit(wants, now: .zero, timeSeconds: 1)) }
            }
        }
    }

    /// When the first of a socket's packets that are sent until `end` gets through; nil if none does. Waits double from the first on.
    private static func arrival(from begin: Duration, first: Duration, end: Duration, pathBack: Duration) -> Duration? {
        var (sent, wait) = (begin, first)
        while sent < end {
            if sent >= pathBack { return sent }
            sent += wait
            wait *= 2
        }
        return nil
    }

    /// - Parameters:
    ///   - saidAt: when the edge says something first, counted from the cut.
    ///   - retransmission: after what time the system sends it again.
    /// - Returns: from the path's return until both sides are equal.
    private static func delay(
        cut: Duration, saidAt: Duration, retransmission: Duration, _ ends: inout Ends, _ random: inout Choices
    ) -> Duration {
        let broken = saidAt + WebSocketClient.unansweredMax
        if let arrived = arrival(from: saidAt, first: retransmission, end: broken, pathBack: cut) {
            // The link lives: what was swallowed is there, and answered.
            return arrived + roundTrip * 2 - cut
        }
        var backoff = Backoff()
        var dialled = broken + backoff.failed(random: random.next())
        while true {
            let end = dialled + WebSocketLink.reachTimeout
            guard let arrived = arrival(from: dialled, first: .seconds(1), end: end, pathBack: cut) else {
                dialled = end + backoff.failed(random: random.next(), isReached: false)
                continue
            }
            ends.meet()
            // One for the connection, one for each side's part of TLS, one for the socket; then what the sessions need.
            return arrived + roundTrip * (4 + ends.roundTrips) - cut
        }
    }

    @Test func `both sides are equal within 5 s of the link's return, however long it was away and whatever it swallowed`() {
        var random = Choices()
        var ends = Ends()
        var worst: Duration = .zero
        for round in 0..<20_000 {
            let cut = Duration.milliseconds(Int.random(in: 100..<200_000, using: &random))
            // A node that has nothing to report says so within this.
            let quietMax = min(cut, HubLimits.heartbeat)
            let saidAt = quietMax * Double.random(in: 0..<1, using: &random)
            let delay = Self.delay(
                cut: cut, saidAt: saidAt, retransmission: .milliseconds(Int.random(in: 200...400, using: &random)), &ends, &random)
            worst = max(worst, delay)
            #expect(delay <= .seconds(5), "round \(round): a cut of \(cut), in which the edge spoke after \(saidAt)")
            if delay > .seconds(5) { return }
        }
        #expect(ends.areEqual)
        #expect(worst > .seconds(1), "something was swallowed")
    }
}

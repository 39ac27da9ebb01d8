package import Learning
package import Reconciliation
package import Resources

/// Reconcilers against a server in memory, one step at a time: the order of everything comes from a seed. Each kind's events arrive by a
/// stream of its own, so that kinds overtake each other; streams break, repeat, lose events and expire; a reconciler is killed at any
/// of its writes, and then starts anew with nothing but what the server has.
package struct Simulation {
    /// How often each fault happens, of 100 steps where it could.
    package struct Faults: Sendable {
        package var killed = 8
        package var repeated = 5
        package var lost = 2
        package var broken = 4
        package var compacted = 1

        package static let none = Faults(killed: 0, repeated: 0, lost: 0, broken: 0, compacted: 0)
        package init() {}
        private init(killed: Int, repeated: Int, lost: Int, broken: Int, compacted: Int) {
            (self.killed, self.repeated, self.lost, self.broken, self.compacted) = (killed, repeated, lost, broken, compacted)
        }
    }

    package let server = MemoryServer()
    package let client: StoppingClient
    package var random: SeededGenerator
    package var faults = Faults()
    /// Time since the start.
    package private(set) var elapsed: Duration = .zero
    /// Kills so far.
    package private(set) var killCount = 0
    private var setsStops = true
    private let makeReconcilers: (any ObjectClient) -> [any Reconciler]
    private var loop: ReconcileLoop
    /// By kind: after which revision the stream goes on, and what came last. No entry: no stream.
    private var streams: [ResourceKind: (from: String, last: WatchEvent?)] = [:]

    package init(seed: UInt64, reconcilers: @escaping (any ObjectClient) -> [any Reconciler]) {
        random = SeededGenerator(seed: seed)
        client = StoppingClient(server)
        makeReconcilers = reconcilers
        loop = ReconcileLoop(reconcilers(client), relistAfter: .seconds(60))
    }

    private mutating func happens(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    /// Lets time pass.
    package mutating func advance(seconds: Int64) {
        elapsed += .seconds(seconds)
        server.now = Timestamp(seconds: server.now.seconds + seconds)
    }

    /// One thing happens: a kind's stream moves on, or a reconciler works on an item.
    ///
    /// - Returns: whether there was anything to do.
    package mutating func step() async -> Bool {
        if loop.needsDiscovery, let kinds = try? await server.kinds() { loop.discovered(kinds) }
        if happens(faults.compacted) { server.compact() }
        let kinds = loop.view.kinds
        let choices = Array(0..<(kinds.count + loop.reconcilers.count * 3)).shuffled(using: &random)
        for choice in choices {
            if choice < kinds.count {
                if await move(kinds[choice]) { return true }
            } else if await work((choice - kinds.count) % loop.reconcilers.count) {
                return true
            }
        }
        return false
    }

    /// A step that leaves it to the caller when the client stops, and what then happens.
    package mutating func stepWithoutReviving() async -> Bool {
        setsStops = false
        defer { setsStops = true }
        return await step()
    }

    private mutating func move(_ kind: ResourceKind) async -> Bool {
        guard let stream = streams[kind] else { return await open(kind) }
        do {
            guard let event = try server.event(of: kind, after: stream.from) else {
                // A quiet stream ends now and then, so that an old list is replaced.
                guard loop.view.next(kind, now: elapsed) == .list else { return false }
                streams[kind] = nil
                return true
            }
            streams[kind] = (event.resourceVersion, event)
            if happens(faults.lost) { return true }
            if happens(faults.repeated), let last = stream.last { loop.received(last, of: kind) }
            loop.received(event, of: kind)
            if happens(faults.broken) {
                streams[kind] = nil
                loop.ended(kind, now: elapsed, hadEvents: true)
            }
        } catch {
            streams[kind] = nil
            loop.failed(kind, error, now: elapsed)
        }
        return true
    }

    private mutating func open(_ kind: ResourceKind) async -> Bool {
        switch loop.view.next(kind, now: elapsed) {
        case nil, .wait: return false
        case .list:
            guard let list = try? await server.listAll(kind) else { return false }
            loop.listed(list, of: kind, now: elapsed)
        case .watch(let revision): streams[kind] = (revision, nil)
        }
        return true
    }

    private mutating func work(_ index: Int) async -> Bool {
        guard let (item, work) = loop.take(index, now: elapsed, time: server.now) else { return false }
        if setsStops {
            let write = Int.random(in: 1...4, using: &random)
            client.revive(stop: happens(faults.killed) ? (Bool.random(using: &random) ? .before(write: write) : .after(write: write)) : nil)
        }
        do {
            loop.finish(index, item, .success(try await work()), now: elapsed)
        } catch {
            loop.finish(index, item, .failure(error), now: elapsed)
        }
        if setsStops, client.isStopped { restart() }
        return true
    }

    /// The program is killed and started again: all it knew is gone.
    package mutating func restart() {
        killCount += 1
        client.revive(stop: nil)
        streams = [:]
        loop = ReconcileLoop(makeReconcilers(client), relistAfter: .seconds(60))
    }

    /// Goes on without faults until nothing is left to do, letting time pass for what waits.
    ///
    /// - Parameter between: what else lives in the cluster, such as nodes that run Pods; called whenever nothing else is left to do, and
    ///   says whether anything came of it but signs of life.
    /// - Returns: whether it came to rest within the steps.
    package mutating func settle(
        steps: Int = 200_000, quietSeconds: Int64 = 900, _ between: (inout Simulation) async -> Bool = { _ in false }
    ) async -> Bool {
        faults = .none
        client.revive(stop: nil)
        var quiet: Int64 = 0
        for _ in 0..<steps {
            if await step() { continue }
            if await between(&self) {
                quiet = 0
                continue
            }
            // Long enough for every back-off, and for lists that replace what lost events have left.
            if quiet >= quietSeconds { return true }
            advance(seconds: 30)
            quiet += 30
        }
        return false
    }

    /// What the reconcilers see.
    package var view: ObjectView { loop.view }
}

package import Resources

/// Runs a reconcile loop against a server: lists and watches, takes items, performs their work. Thin: what it does is decided in
/// `ReconcileLoop`.
package actor ReconcileRunner<Time: Clock> where Time.Duration == Duration {
    /// Seconds between two questions which kinds the server has.
    private let discoveryPeriod: Duration
    /// Seconds after which the server is asked to end a watch, so that a stream that died unseen is replaced.
    private let watchSeconds: Int
    private let client: any ObjectClient
    private let clock: Time
    private let start: Time.Instant
    private let time: @Sendable () -> Timestamp
    private let report: @Sendable (String) -> Void
    private let random: @Sendable () -> UInt64
    private let workersEach: Int
    private var loop: ReconcileLoop
    private var bells: [Doorbell]
    /// When each reconciler's bell is to be rung for what is due then; nil while nothing waits for its time.
    private var alarms: [Duration?]
    /// Rung for an alarm that is earlier than the one before.
    private let alarmBells: [Doorbell]
    private let kindsBell = Doorbell()

    /// - Parameters:
    ///   - time: the time of the day, for what is written into objects.
    ///   - report: takes a sentence for each failure that is going to be tried again.
    ///   - random: spreads what many programs would else do at once: waits after failures, and the ends of watches.
    ///   - workersEach: items that each reconciler works on at a time, from 1.
    package init(
        client: any ObjectClient, reconcilers: [any Reconciler], clock: Time, time: @escaping @Sendable () -> Timestamp,
        random: @escaping @Sendable () -> UInt64, workersEach: Int = 2, discoveryPeriod: Duration = .seconds(30), watchSeconds: Int = 290,
        report: @escaping @Sendable (String) -> Void
    ) {
        precondition(workersEach > 0, "a reconciler needs a worker")
        self.client = client
        self.clock = clock
        self.time = time
        self.report = report
        self.random = random
        self.workersEach = workersEach
        self.discoveryPeriod = discoveryPeriod
        self.watchSeconds = watchSeconds
        start = clock.now
        loop = ReconcileLoop(reconcilers)
        bells = reconcilers.map { _ in Doorbell() }
        alarms = reconcilers.map { _ in nil }
        alarmBells = reconcilers.map { _ in Doorbell() }
    }

    /// Objects of a page of a list.
    private static var pageMax: Int { 250 }

    private var now: Duration { start.duration(to: clock.now) }

    /// Runs until its task is cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.watchEveryKind() }
            if loop.needsDiscovery { group.addTask { await self.discover() } }
            for index in loop.reconcilers.indices {
                for _ in 0..<workersEach { group.addTask { await self.work(index) } }
                group.addTask { await self.sound(index) }
            }
            await group.waitForAll()
        }
    }

    private func pause(_ wait: Duration) async { try? await clock.sleep(for: wait) }

    /// A duration, up to a quarter longer.
    private func spread(_ wait: Duration) -> Duration { wait + wait / 4 * (Double(random() % 1024) / 1024) }

    // MARK: Seeing

    private func discover() async {
        while !Task.isCancelled {
            var wait = discoveryPeriod
            do {
                loop.discovered(try await client.kinds())
                kindsBell.ring()
                for bell in bells { bell.ring() }
            } catch {
                report("asking which kinds there are: \(error.message)")
                wait = .seconds(1)
            }
            await pause(wait)
        }
    }

    /// A task for each mirrored kind; one that ends has lost its kind.
    private func watchEveryKind() async {
        await withTaskGroup(of: ResourceKind?.self) { group in
            var running: Set<ResourceKind> = []
            group.addTask {
                await self.kindsBell.wait(); return nil
            }
            func startNew() {
                for kind in loop.view.kinds where running.insert(kind).inserted {
                    group.addTask {
                        await self.mirror(kind); return kind
                    }
                }
            }
            startNew()
            for await ended in group {
                if Task.isCancelled { break }
                if let ended {
                    running.remove(ended)
                } else {
                    group.addTask {
                        await self.kindsBell.wait(); return nil
                    }
                }
                startNew()
            }
            group.cancelAll()
        }
    }

    private func mirror(_ kind: ResourceKind) async {
        while !Task.isCancelled, let step = loop.view.next(kind, now: now) {
            do {
                switch step {
                case .wait(let wait): await pause(spread(wait))
                case .list:
                    try await list(kind)
                    ringAll()
                case .watch(let revision): try await follow(kind, from: revision)
                }
            } catch {
                if Task.isCancelled { return }
                if error.code != 410 { report("watching \(kind): \(error.message)") }
                loop.failed(kind, error, now: now)
                ringAll()
            }
        }
    }

    /// Lists page by page; a list of ten thousand objects is never in memory as a whole.
    private func list(_ kind: ResourceKind) async throws(APIStatus) {
        var query = ListQuery()
        query.limit = Self.pageMax
        var page = try await client.list(kind, query)
        loop.listed(page: page.items, isFirst: true, of: kind)
        while !page.continueToken.isEmpty {
            query.continueToken = page.continueToken
            page = try await client.list(kind, query)
            loop.listed(page: page.items, isFirst: false, of: kind)
        }
        loop.listedAll(of: kind, at: page.resourceVersion, now: now)
    }

    private func follow(_ kind: ResourceKind, from revision: String) async throws(APIStatus) {
        var query = WatchQuery(from: revision)
        query.timeoutSeconds = Int(spread(.seconds(watchSeconds)).components.seconds)
        var events = try await client.watch(kind, query).makeAsyncIterator()
        var hadEvents = false
        while let event = try await events.next(isolation: self) {
            hadEvents = true
            loop.received(event, of: kind)
            for index in loop.takeWoken() { bells[index].ring() }
        }
        loop.ended(kind, now: now, hadEvents: hadEvents)
    }

    private func ringAll() { for bell in bells { bell.ring() } }

    // MARK: Doing

    private func work(_ index: Int) async {
        while !Task.isCancelled {
            guard let (item, work) = loop.take(index, now: now, time: time()) else {
                await waitForWork(index)
                continue
            }
            // More may be ready than this worker can do.
            bells[index].ring()
            let result: Result<Requeue, APIStatus>
            do { result = .success(try await work()) } catch { result = .failure(error) }
            if case .failure(let status) = result, status.code != 409, !Task.isCancelled {
                report("\(loop.reconcilers[index].name), \(item): \(status.message)")
            }
            loop.finish(index, item, result, now: now)
            bells[index].ring()
        }
    }

    private func waitForWork(_ index: Int) async {
        if loop.isSynced(index), let due = loop.nextDue(index), alarms[index].map({ due < $0 }) ?? true {
            alarms[index] = due
            alarmBells[index].ring()
        }
        await bells[index].wait()
    }

    /// Rings a reconciler's bell whenever something is due. One sleep is under way at a time, and only an earlier alarm ends it: one that is
    /// cancelled keeps its place among the system's timers until its time has come.
    private func sound(_ index: Int) async {
        let alarmBell = alarmBells[index]
        while !Task.isCancelled {
            guard let due = alarms[index] else {
                await alarmBell.wait()
                continue
            }
            let wait = due - now
            guard wait > .zero else {
                alarms[index] = nil
                bells[index].ring()
                continue
            }
            let clock = clock
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await alarmBell.wait() }
                group.addTask { try? await clock.sleep(for: wait) }
                await group.next()
                group.cancelAll()
            }
        }
    }
}

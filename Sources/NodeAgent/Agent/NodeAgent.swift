import Reconciliation
package import Resources

/// Makes a node match the Pods that are bound to it, whoever holds their objects: a server over the network, the node's own copy, or this
/// process. Containers outlive it.
package actor NodeAgent {
    /// What an agent is made of.
    package struct Configuration: Sendable {
        /// Of its Node object; Pods are bound to it by that.
        package var nodeName: String
        /// Address of the machine that Pods are told and others may reach them by.
        package var address: String
        /// Whoever holds the objects.
        package var client: any ObjectClient
        let runtime: any ContainerRuntime
        /// Whoever gives tokens of service accounts to the cloud's Pods; nil for nobody, and then Pods have none.
        package var tokens: (any PodTokens)?
        /// Asks Pods over TLS, for probes and hooks of scheme HTTPS; nil for nobody, and then these fail.
        package var secureProbes: (any SecureProbes)?
        /// Says which versions of models may be loaded; nil for nobody, and then all are.
        package var modelTrust: (any ModelTrustDoor)?
        /// Whoever holds the Pods of one namespace that were deployed on the node itself; nil for none.
        package var own: (client: any ObjectClient, namespace: String)?
        /// What the machine has, and how it is.
        package var facts: any NodeFacts
        /// Labels the node is to carry beside those for its name, system and processor.
        package var labels: [String: String] = [:]
        /// Renews the node's Lease itself. Off where a hub does it for a connected node.
        package var renewsLease = false
        /// Files by digest, for volumes that name some and for what workers leave; without them such Pods wait.
        package var files: NodeFiles?
        /// Where it is kept what the files of data sets are like; nil: that is forgotten with the agent.
        package var datasetsFolder: String?
        /// Asks the cloud worker of a joint inference service; nil for nobody, and then edge workers answer alone.
        package var upward: (@Sendable (ObjectKey, [UInt8]) async throws(APIStatus) -> [UInt8])?
        /// Asks the worker that serves a model on this node, by the Open Inference Protocol; nil for nobody, or where it does not answer.
        package var judge: (@Sendable (String, JSON) async -> JSON?)?
        /// Both clocks.
        package var now: @Sendable () -> Moment
        /// Spreads what many agents would else do at once, and makes names differ.
        package var random: @Sendable () -> UInt64
        /// Takes a sentence for each failure that is going to be tried again.
        package var report: @Sendable (String) -> Void

        /// Renews no lease and has no labels of its own; set the fields.
        package init(
            nodeName: String, address: String, client: any ObjectClient, runtime: ProcessRuntime, facts: any NodeFacts,
            now: @escaping @Sendable () -> Moment, random: @escaping @Sendable () -> UInt64, report: @escaping @Sendable (String) -> Void
        ) {
            self.nodeName = nodeName
            self.address = address
            self.client = client
            self.runtime = runtime
            self.facts = facts
            self.now = now
            self.random = random
            self.report = report
        }
    }

    /// Where Pods come from.
    private struct Origin {
        let context: AgentContext
        var mirror = ObjectMirror(kind: .pod)
        /// Uids of the Pods that were there when they were first listed; nil before.
        var listed: Set<String>?
    }

    private let configuration: Configuration
    let context: AgentContext
    /// Where Pods come from: the cloud first; then the node itself, if it has Pods of its own.
    private var origins: [Origin]
    private let datasets: DatasetKeeper
    /// Rung by whoever finds that what volumes are made of has changed.
    private let sources: AsyncStream<ChangedSource>.Continuation
    private let changedSources: AsyncStream<ChangedSource>
    private var workers: [String: PodWorker] = [:]
    /// Workers that are to be run, by the loop that may begin tasks.
    private var unbegun: [PodWorker] = []
    private let bell = Doorbell()
    /// What the runtime knew at the start, until a Pod takes it.
    private var recovered: [String: [ContainerRecord]] = [:]
    private var hasBegunSaved = false

    /// Nothing is begun before `run`.
    package init(_ configuration: Configuration) {
        self.configuration = configuration
        let runtime = configuration.runtime.version.split(separator: ":").first.map(String.init) ?? "process"
        let (stream, continuation) = AsyncStream.makeStream(of: ChangedSource.self, bufferingPolicy: .unbounded)
        (changedSources, sources) = (stream, continuation)
        let datasets = DatasetKeeper(
            node: configuration.nodeName, client: configuration.client,
            memory: configuration.datasetsFolder.map { DatasetMemory(folder: $0) },
            now: configuration.now, report: configuration.report,
            changed: { continuation.yield(.dataset($0)) })
        self.datasets = datasets
        let (ports, names) = (HostPorts(), WorkerNames())
        func context(_ client: any ObjectClient, _ tokens: (any PodTokens)? = nil) -> AgentContext {
            let events = NodeEvents(
                client: client, node: configuration.nodeName, salt: configuration.random(), now: configuration.now)
            return AgentContext(
                nodeName: configuration.nodeName, client: client, runtime: configuration.runtime,
                place: PodPlace(address: configuration.address, runtime: runtime), tokens: tokens,
                secureProbes: configuration.secureProbes, modelTrust: configuration.modelTrust,
                allocatable: configuration.facts.allocatable, now: configuration.now,
                report: configuration.report, events: events, ports: ports, files: configuration.files, datasets: datasets,
                workerNames: names, random: configuration.random)
        }
        self.context = context(configuration.client, configuration.tokens)
        origins = [Origin(context: self.context)]
        if let own = configuration.own { origins.append(Origin(context: context(own.client))) }
    }

    /// Runs until its task is cancelled; containers then go on without it.
    ///
    /// - Throws: what keeps the runtime from finding its containers again.
    package func run() async throws {
        let records = try await configuration.runtime.recover()
        recovered = Dictionary(grouping: records) { $0.id.pod }
        for record in records { if let name = record.workerName { context.workerNames[name] = record.id } }
        context.workerNames.isComplete = true
        let reporter = NodeReporter(configuration)
        await withDiscardingTaskGroup { group in
            group.addTask { await self.followRuntime() }
            for number in origins.indices { group.addTask { await self.followPods(number) } }
            group.addTask { await reporter.run() }
            group.addTask { await self.datasets.run() }
            group.addTask { await self.followModels() }
            group.addTask { await self.followSources() }
            if configuration.renewsLease { group.addTask { await LeaseRenewer(self.configuration).run() } }
            while !Task.isCancelled {
                let begun = unbegun
                unbegun = []
                for worker in begun {
                    group.addTask {
                        await worker.run()
                        await self.ended(worker)
                    }
                }
                await bell.wait()
            }
            group.cancelAll()
        }
    }

    private func ended(_ worker: PodWorker) { if workers[worker.uid] === worker, !Task.isCancelled { workers[worker.uid] = nil } }

    private func followRuntime() async { for await id in configuration.runtime.changes() { workers[id.pod]?.bell.ring() } }

    // MARK: Pods

    private func followPods(_ number: Int) async {
        while !Task.isCancelled {
            let now = configuration.now().uptime
            do throws(APIStatus) {
                switch origins[number].mirror.next(now: now) {
                case .wait(let wait): try? await Task.sleep(for: wait)
                case .list: try await listPods(number)
                case .watch(let revision): try await watchPods(number, from: revision)
                }
            } catch {
                if Task.isCancelled { return }
                origins[number].mirror.failed(error, now: configuration.now().uptime)
                if error.code != 410 { configuration.report("watching pods of node \(configuration.nodeName): \(error.message)") }
                await beginSaved()
            }
        }
    }

    private var selector: String { "spec.nodeName=\(configuration.nodeName)" }

    private func listPods(_ number: Int) async throws(APIStatus) {
        let context = origins[number].context
        let list = try await context.client.listAll(.pod, ListQuery(fieldSelector: selector, limit: 250))
        let changes = origins[number].mirror.listed(list, now: configuration.now().uptime)
        for change in changes { await take(change, context) }
        guard origins[number].listed == nil else { return }
        origins[number].listed = Set(list.items.compactMap { $0["metadata"]?["uid"]?.string })
        // What none of them wants is known once all have said what they want.
        let listed = origins.compactMap(\.listed)
        if listed.count == origins.count { await endOrphans(besides: listed.reduce([]) { $0.union($1) }) }
    }

    private func watchPods(_ number: Int, from revision: String) async throws(APIStatus) {
        let context = origins[number].context
        var query = WatchQuery(from: revision)
        query.fieldSelector = selector
        query.timeoutSeconds = 290 + Int(configuration.random() % 60)
        var events = try await context.client.watch(.pod, query).makeAsyncIterator()
        var hadEvents = false
        while let event = try await events.next(isolation: self) {
            hadEvents = true
            if let change = origins[number].mirror.received(event) { await take(change, context) }
        }
        origins[number].mirror.ended(now: configuration.now().uptime, hadEvents: hadEvents)
    }

    private func take(_ change: ObjectChange, _ context: AgentContext) async {
        let old = change.old?["metadata"]?["uid"]?.string
        let new = change.new?["metadata"]?["uid"]?.string
        // Another Pod may have come by the name.
        if let old, old != new, let worker = workers[old] { await worker.update(nil) }
        guard let new, let object = change.new else { return }
        if let worker = workers[new] { return await worker.update(object) }
        begin(object, new, context)
    }

    private func begin(_ object: JSON, _ uid: String, _ context: AgentContext) {
        let worker = PodWorker(object, records: recovered.removeValue(forKey: uid) ?? [], context: context)
        workers[uid] = worker
        unbegun.append(worker)
        bell.ring()
    }

    /// The server is out of reach and has said nothing yet: goes on with what it last said. The node's own Pods need no server.
    private func beginSaved() async {
        guard origins[0].listed == nil, !hasBegunSaved else { return }
        hasBegunSaved = true
        for object in configuration.runtime.savedPods() {
            guard let uid = object["metadata"]?["uid"]?.string, workers[uid] == nil,
                object["spec"]?["nodeName"]?.string == configuration.nodeName, ObjectKey(object).namespace != configuration.own?.namespace
            else { continue }
            begin(object, uid, context)
        }
    }

    /// What runs here and is wanted no more.
    private func endOrphans(besides wanted: Set<String>) async {
        for (uid, worker) in workers where !wanted.contains(uid) { await worker.update(nil) }
        let saved = Dictionary(
            configuration.runtime.savedPods().map { ($0["metadata"]?["uid"]?.string ?? "", $0) }, uniquingKeysWith: { first, _ in first })
        for uid in Set(recovered.keys).union(saved.keys).subtracting(wanted) where workers[uid] == nil {
            if let object = saved[uid] {
                begin(object, uid, ObjectKey(object).namespace == configuration.own?.namespace ? origins.last!.context : context)
                await workers[uid]?.update(nil)
            } else {
                recovered[uid] = nil
                await configuration.runtime.remove(pod: uid)
            }
        }
    }

    // MARK: What volumes are made of

    /// An object from which volumes of files are made has changed.
    private enum ChangedSource: Sendable { case model(ObjectKey), dataset(ObjectKey) }

    private func followModels() async {
        let follower = KindFollower(
            kind: .model, client: configuration.client, now: configuration.now, report: configuration.report)
        let sources = sources
        await follower.run { change in sources.yield(.model(change.key)) }
    }

    private func followSources() async {
        for await source in changedSources {
            switch source {
            case .model(let key):
                for worker in workers.values where worker.key.namespace == key.namespace { await worker.changed(model: key.name) }
            case .dataset(let key):
                for worker in workers.values where worker.key.namespace == key.namespace { await worker.changed(dataset: key.name) }
            }
        }
    }

    // MARK: Workers

    /// The worker of a name and the life that it is of; nil if nobody goes by it.
    ///
    /// - Throws: 503 while it is not known yet what runs here.
    func worker(named name: String) throws(WorkerLedger.Refusal) -> (PodWorker, ContainerID)? {
        guard context.workerNames.isComplete else {
            throw .init(code: 503, message: "the node's agent is starting; try again", retryAfterSeconds: 1)
        }
        guard let life = context.workerNames[name] else { return nil }
        guard let worker = workers[life.pod] else {
            // Found again, but its Pod has not been looked at yet.
            guard recovered[life.pod] != nil else { return nil }
            throw .init(code: 503, message: "the node's agent is starting; try again", retryAfterSeconds: 1)
        }
        return (worker, life)
    }

    /// Takes a question of an edge worker up to the cloud worker of its service.
    ///
    /// - Throws: 404 for a name that no worker goes by, 403 for a worker of no service, 503 without a way up.
    func ask(_ name: String, _ question: [UInt8]) async throws(APIStatus) -> [UInt8] {
        let found: (PodWorker, ContainerID)?
        do throws(WorkerLedger.Refusal) { found = try worker(named: name) } catch {
            throw APIStatus(code: error.code, reason: "ServiceUnavailable", message: error.message)
        }
        guard let (worker, _) = found else {
            throw APIStatus(code: 404, reason: "NotFound", message: "no worker of this node goes by the name that asks")
        }
        let object = await worker.spec.object
        let owner = object["metadata"]?["ownerReferences"]?.array?.first {
            $0["controller"]?.bool == true && $0["kind"]?.string == "JointInferenceService"
        }
        guard let service = owner?["name"]?.string else {
            throw APIStatus(code: 403, reason: "Forbidden", message: "pod \(worker.key) belongs to no JointInferenceService")
        }
        guard let upward = configuration.upward else {
            throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "this node has no way to a cloud")
        }
        return try await upward(ObjectKey(namespace: worker.key.namespace, name: service), question)
    }

    /// Where workers of this node report: told to those that begin from now on.
    ///
    /// - Parameter address: as `http://127.0.0.1:7480`, answered by `workerDoor`.
    package nonisolated func takeReports(at address: String) { context.workerNames.address = address }

    /// Takes what workers report.
    package nonisolated var workerDoor: WorkerDoor { WorkerDoor(self) }

    // MARK: For calls

    /// See `NodeVerbs.restart`.
    package func restart(_ pod: ObjectKey, container: String) async throws(APIStatus) -> [String] {
        guard let worker = worker(pod) else {
            throw APIStatus(code: 404, reason: "NotFound", message: "pod \(pod) does not run on this node")
        }
        return try await worker.restart(container)
    }

    /// The worker of a Pod by its name.
    func worker(_ key: ObjectKey) -> PodWorker? { workers.values.first { $0.key == key } }

    /// See `Configuration.judge`.
    nonisolated var judge: (@Sendable (String, JSON) async -> JSON?)? { configuration.judge }

    /// Of all Pods that are here.
    var podWorkers: [PodWorker] { workers.values.sorted { $0.key < $1.key } }

    /// The calls that may be made to this node's Pods.
    package nonisolated var calls: any NodeCallHandler { PodCalls(agent: self, runtime: context.runtime) }
}

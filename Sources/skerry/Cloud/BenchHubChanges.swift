import Network
import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A cloud of its own that `skerry bench hub` measures, and that changes its Nodes when it is told to.
struct BenchHubCloud {
    let process: BenchProcess
    private let orders: Int32

    init(dataDir: String, listen: String, output: String) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw CloudError("a pipe for orders cannot be made: \(String(cString: strerror(errno)))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        orders = ends[1]
        process = try BenchProcess(
            ["/proc/self/exe", "bench", "hub-cloud", "--data-dir", dataDir, "--listen", listen], output: output, input: ends[0])
    }

    /// Ends it at once.
    func crash() {
        kill(process.pid, SIGKILL)
        process.wait()
        close(orders)
    }

    /// Has it change Nodes, and waits until it has told what became of that.
    func carryOut(_ order: ChangeOrder) async throws -> [ChangeOrder.Made] {
        let line = Array("\(order)\n".utf8)
        guard write(orders, line, line.count) == line.count else { throw CloudError("the cloud takes no orders any more") }
        while access(order.file, F_OK) != 0 {
            guard process.isRunning else { throw CloudError("the cloud has ended while it changed Nodes") }
            try await Task.sleep(for: .milliseconds(20))
        }
        let text = try String(contentsOf: URL(filePath: order.file), encoding: .utf8)
        return text.split(separator: "\n").compactMap { ChangeOrder.Made($0) }
    }
}

/// The clock of a bench beside that of the system, which its other processes read too.
struct BenchClock {
    let start = ContinuousClock.now
    private let nanoseconds = monotonicNanoseconds()

    /// Since the start of this one.
    func time(of nanoseconds: UInt64) -> Duration { .nanoseconds(Int64(nanoseconds) - Int64(self.nanoseconds)) }
}

extension HubBench {
    /// When a change was to be asked for, when it was, and when it was answered, which is a moment after it was committed.
    struct Asked {
        let due: Duration
        let begun: Duration
        let answered: Duration
    }

    /// Changes by a controller in the cloud's own process, as those of jobs and Deployments are.
    func measureController(
        _ agents: [BenchAgent], _ cloud: BenchHubCloud, _ clock: BenchClock, _ table: inout AlignedTable
    ) async throws {
        for agent in agents { _ = agent.takeArrivals() }
        let count = Int(Double(rate) * seconds)
        let used = Usage(cloud.process)
        let made = try await cloud.carryOut(ChangeOrder(rate: rate, count: count, nodes: nodes, file: "\(folder)/changes.txt"))
        let cpu = used.soFar
        for failure in made.compactMap(\.refusal).prefix(3) { writeError("a change was refused: \(failure)") }
        var asked = [Asked?](repeating: nil, count: count)
        for change in made where change.refusal == nil {
            asked[change.number] = Asked(
                due: clock.time(of: change.due), begun: clock.time(of: change.begun), answered: clock.time(of: change.committed))
        }
        let arrived = try await arrivals(of: asked, first: 0, agents)
        add("changes by a controller within the cloud, of \(count) at \(rate)/s, made", asked, arrived, &table)
        add(cpu, per: count, "change", &table)
    }

    /// Changes by requests over TLS: who asks shares the cores as well.
    ///
    /// - Parameter first: number of the first, higher than any before: else it would change nothing.
    func measureRequests(first: Int, _ rate: Int, _ agents: [BenchAgent], _ cloud: BenchProcess, _ table: inout AlignedTable) async throws {
        for agent in agents { _ = agent.takeArrivals() }
        let count = Int(Double(rate) * seconds)
        var limits = BenchConnections.limits
        limits.streamsPerConnectionMax = streams
        let client = try CloudBench.administrator(kubeconfig: "\(folder)/cloud/admin.kubeconfig", limits)
        // Connections are made before.
        for _ in 0..<3 { await BenchConnections.connect(client, Writers.count) }
        let used = Usage(cloud)
        let asked = await Writers(client, agents, first: first, rate: rate).ask(count)
        let cpu = used.soFar
        await client.close()
        let arrived = try await arrivals(of: asked, first: first, agents)
        add("changes by requests over TLS, of \(count) at \(rate)/s, made", asked, arrived, &table)
        add(cpu, per: asked.count { $0 != nil }, "change", &table)
    }

    /// Asks for changes at their times, whether those before have been answered or not, as far as so many writers go.
    private struct Writers: Sendable {
        static let count = 64
        let client: PooledHTTPClient
        let agents: [BenchAgent]
        let first: Int
        let rate: Int
        private let headers: HTTPHeaders = ["Content-Type": "application/merge-patch+json", "Accept": "application/json"]

        init(_ client: PooledHTTPClient, _ agents: [BenchAgent], first: Int, rate: Int) {
            (self.client, self.agents, self.first, self.rate) = (client, agents, first, rate)
        }

        /// - Returns: by number; nil for a change that the API did not take.
        func ask(_ count: Int) async -> [Asked?] {
            let numbers = BenchNumbers()
            let begin = agents[0].now
            return await withTaskGroup(of: [(Int, Asked)].self) { group in
                for _ in 0..<Self.count {
                    group.addTask {
                        var asked: [(Int, Asked)] = []
                        while case let number = numbers.next() - 1, number < count {
                            let due = begin + .seconds(Double(number) / Double(rate))
                            let wait = due - agents[0].now
                            if wait > .zero { try? await Task.sleep(for: wait) }
                            let begun = agents[0].now
                            guard await send(number) else { continue }
                            asked.append((number, Asked(due: due, begun: begun, answered: agents[0].now)))
                        }
                        return asked
                    }
                }
                var all = [Asked?](repeating: nil, count: count)
                for await some in group { for (number, asked) in some { all[number] = asked } }
                return all
            }
        }

        private func send(_ number: Int) async -> Bool {
            let path = "/api/v1/nodes/\(agents[number % agents.count].name)"
            let request = HTTPRequest(method: "PATCH", path: path, headers: headers, body: BenchChange.patch(first + number).bytes())
            return (try? await client.send(request))?.status == 200
        }
    }

    // MARK: What came of them

    private func add(_ title: String, _ asked: [Asked?], _ arrived: [Duration?], _ table: inout AlignedTable) {
        let made = asked.compactMap { $0 }
        let took = made.isEmpty ? 0 : (made.map(\.answered).max()! - made.map(\.due).min()!) / .seconds(1)
        table.rows.append([title, fixed(Double(made.count) / max(took, 0.001), decimals: 0), "1/s"])
        let lost = made.count - Self.waits(asked.map { $0?.due }, arrived, nodes: nodes).count
        table.rows.append(["  of them lost on the way to the node", String(lost), ""])
        let begins = [
            ("from when each was due", asked.map { $0?.due }), ("from when it was begun", asked.map { $0?.begun }),
            ("from its answer", asked.map { $0?.answered }),
        ]
        for (from, times) in begins {
            let waits = Self.waits(times, arrived, nodes: nodes).map { max(0, $0) }.sorted()
            for (name, share) in [("p50", 0.5), ("p99", 0.99)] where !waits.isEmpty {
                let value = waits[min(waits.count - 1, Int(Double(waits.count) * share))]
                table.rows.append(["  \(from) to the node, \(name)", fixed(value, decimals: 1), "ms"])
            }
        }
    }

    /// When each change came to its node. What is late counts with its lateness; what has not come after ten seconds is lost.
    private func arrivals(of asked: [Asked?], first: Int, _ agents: [BenchAgent]) async throws -> [Duration?] {
        let made = asked.count { $0 != nil }
        var arrived = [Duration?](repeating: nil, count: asked.count)
        for _ in 0..<100 {
            try await Task.sleep(for: .milliseconds(100))
            for agent in agents {
                for (number, at) in agent.takeArrivals() where arrived.indices.contains(number - first) { arrived[number - first] = at }
            }
            if arrived.count(where: { $0 != nil }) == made { break }
        }
        return arrived
    }

    /// Milliseconds from a time of each change to its arrival, or to that of a newer one of the same node, which the cloud sends in its place.
    private static func waits(_ since: [Duration?], _ arrived: [Duration?], nodes: Int) -> [Double] {
        var waits: [Double] = []
        // From the last change of each node back to its first.
        var newest = [Duration?](repeating: nil, count: nodes)
        for number in since.indices.reversed() {
            if let at = arrived[number] { newest[number % nodes] = newest[number % nodes].map { min($0, at) } ?? at }
            if let since = since[number], let at = newest[number % nodes] { waits.append((at - since) / .milliseconds(1)) }
        }
        return waits
    }
}

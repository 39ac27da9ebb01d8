import Learning
import Resources
import Synchronization
import ThermalComfort

/// Our method as the platform runs it: votes come to the edges' files, the job collects and learns them in the cloud, and the edges
/// predict.
///
/// For the judge it is a method like every other. Its calls block.
final class PlatformMethod: LifelongMethod, Sendable {
    /// What happened to the edge that was cut off.
    struct Cut: Sendable, Equatable {
        var edge: String
        /// Protocol's round, from 0.
        var round: Int
        /// Votes that the edge answered meanwhile.
        var answered: Int
        /// Predictions the cloud heard of only afterwards.
        var reportedLater: Int
        /// Seconds without a way to the cloud.
        var seconds: Double
        /// What labels given at the edge were worth meanwhile; nil where none were.
        var adaptation: ComfortResults.Adaptation?
    }

    /// The edge without a way to the cloud, while it lasts.
    private struct Cutting {
        var edge: DemoCluster.Edge
        var start: ContinuousClock.Instant
        /// Adapts by itself.
        var adapting: EdgeInference
    }

    private struct State {
        /// Pool rows that have come to an edge.
        var sent: Set<Int> = []
        /// Rows in each edge's file.
        var rows: [Int]
        /// Rounds of the job that have ended; protocol's rounds without labels are none.
        var rounds: Int64 = 0
        /// The protocol's round of each of the job's.
        var protocolRounds: [Int64: Int] = [:]
        var version: Int64 = 0
        var cut: Cut?
        var predictions = 0
        var workers: [EdgeInference?]
    }

    /// As the other form of the method.
    let name = "skerry"
    private let cluster: DemoCluster
    private let job: ComfortJob
    private let votes: VoteStream
    private let cutRound: Int?
    private let display: ProgressDisplay
    private let onProgress: @Sendable (_ done: Int64, _ total: Int64) -> Void
    private let state: Mutex<State>

    /// - Parameters:
    ///   - cutRound: protocol's round in which the last edge is cut off; nil for none.
    ///   - onProgress: called with what the trainer of a round has done.
    init(
        _ cluster: DemoCluster, _ votes: VoteStream, cutRound: Int?, _ display: ProgressDisplay,
        onProgress: @escaping @Sendable (_ done: Int64, _ total: Int64) -> Void
    ) {
        (self.cluster, self.votes, self.cutRound, self.display, self.onProgress) = (cluster, votes, cutRound, display, onProgress)
        job = ComfortJob(cluster)
        state = Mutex(State(rows: [Int](repeating: 0, count: votes.edges), workers: [EdgeInference?](repeating: nil, count: votes.edges)))
    }

    /// What became of the edge that was cut off; nil where none was.
    var cut: Cut? { state.withLock { $0.cut } }
    /// The protocol's round, from 0, of each of the job's, from 1.
    var protocolRounds: [Int64: Int] { state.withLock { $0.protocolRounds } }
    /// Votes answered at the edges for the judge, in all rounds together.
    var predictions: Int { state.withLock { $0.predictions } }

    /// Starts the files of the edges, so that their data sets can be read from the beginning.
    static func prepare(_ cluster: DemoCluster) throws {
        for edge in cluster.edges { try VoteFile.append(VoteStream.header, to: "\(edge.data)/votes.csv") }
    }

    // MARK: A round

    /// Brings the round's votes to the edges, has the job learn them and waits until every edge answers with what was deployed.
    ///
    /// - Throws: `ClusterError` with the job's own words where the round fails.
    func learn(_ round: ComfortRound) throws -> RoundOutcome {
        let (rows, ended) = try bring(round)
        try job.waitForRows(rows)
        let standing = state.withLock { $0.version }
        let isCut = round.number == cutRound && standing > 0
        // Before the round begins: both go on with what serves now.
        let adapting = isCut ? try job.startAdapting(at: cluster.edges.last!, version: standing) : nil
        try job.begin(after: ended)
        var cut: Cutting?
        if let adapting {
            let edge = cluster.edges.last!
            try job.waitForCollection(round: ended + 1)
            cut = Cutting(edge: edge, start: .now, adapting: adapting)
            try cluster.cut(edge)
            display.note("  round \(round.number + 1): \(edge.name) is cut off from the cloud; its votes were collected before")
        }
        let ending = try job.wait(round: ended + 1, onProgress: onProgress)
        state.withLock { state in
            state.rounds = ended + 1
            state.protocolRounds[ended + 1] = round.number
        }
        display.note(
            "  round \(round.number + 1): \(ending.result == "Deployed" ? "model version \(ending.version) is deployed" : "kept"), \(ending.reason)"
        )
        let isNew = ending.result == "Deployed"
        if isNew { try waitForVersion(ending.version, at: cluster.edges.filter { $0.name != cut?.edge.name }) }
        if let cut { try endCut(cut, round, isNew ? ending.version : nil) }
        guard isNew else { return .kept(reason: ending.reason) }
        state.withLock { $0.version = ending.version }
        return .updated(records: round.labelledSoFar.rows.recordIDs)
    }

    /// - Returns: rows of each edge's file, and rounds of the job so far.
    private func bring(_ round: ComfortRound) throws -> ([Int], Int64) {
        let ids = round.poolSoFar.recordIDs
        let fresh = state.withLock { state in
            let fresh = ids.filter { !state.sent.contains($0) }
            state.sent.formUnion(fresh)
            return fresh
        }
        let lines = votes.lines(fresh, labelled: Set(round.labelledSoFar.rows.recordIDs))
        for (edge, part) in zip(cluster.edges, lines) where part.count > 0 { try VoteFile.append(part.bytes, to: "\(edge.data)/votes.csv") }
        let text = zip(cluster.edges, lines).map { "\($0.name) gets \($1.count)" }.joined(separator: ", ")
        display.note("  round \(round.number + 1): \(text) votes; \(round.labelled.count) of them have labels")
        return state.withLock { state in
            for (place, part) in lines.enumerated() { state.rows[place] += part.count }
            return (state.rows, state.rounds)
        }
    }

    private func waitForVersion(_ version: Int64, at edges: [DemoCluster.Edge]) throws {
        for edge in edges {
            var found = ""
            try cluster.until("\(edge.name) serves version \(version), found \(found.isEmpty ? "none" : found)") { () -> Bool? in
                guard let worker = try worker(at: edge) else { return nil }
                found = try worker.version() ?? ""
                return found == "\(version)" ? true : nil
            }
        }
    }

    // MARK: The cut

    /// Predictions of an edge that the cloud has heard of.
    private func told(at edge: DemoCluster.Edge) throws -> Int { Int(try job.report(at: edge)?["inferenceNumber"]?.integer ?? 0) }

    private func endCut(_ cut: Cutting, _ round: ComfortRound, _ version: Int64?) throws {
        let before = state.withLock { $0.version }
        let place = cluster.edges.firstIndex { $0.name == cut.edge.name }!
        // Votes of its own cities, whose people go on asking.
        let own = round.poolSoFar.rows(
            round.poolSoFar.buildingIDs.indices.filter { votes.edge(ofBuilding: round.poolSoFar.buildingIDs[$0]) == place }.suffix(
                Self.askedWhileCut))
        var answered = 0
        if let worker = state.withLock({ $0.workers[place] }), !own.isEmpty {
            let (_, served) = try worker.ask(own)
            // On a loaded machine a small round may be over before the way is cut.
            guard served == "\(before)" || served == version.map({ "\($0)" }) else {
                throw ClusterError("\(cut.edge.name) is cut off but answers with version \(served), expected \(before)")
            }
            answered = own.count
        }
        let adaptation = try adapt(cut, round, at: place)
        let heard = try told(at: cut.edge)
        try cluster.mend(cut.edge)
        let seconds = Double((ContinuousClock.now - cut.start) / .milliseconds(1)) / 1000
        display.note(
            "  round \(round.number + 1): \(cut.edge.name) answered \(answered) votes meanwhile with version \(before); its way to the cloud is mended"
        )
        if let version { try waitForVersion(version, at: [cut.edge]) }
        var later = 0
        if answered > 0 {
            try cluster.until("the cloud hears of what \(cut.edge.name) answered") { () -> Bool? in
                later = try told(at: cut.edge) - heard
                return later >= answered ? true : nil
            }
        }
        let found = Cut(
            edge: cut.edge.name, round: round.number, answered: answered, reportedLater: later, seconds: seconds, adaptation: adaptation)
        state.withLock { $0.cut = found }
        display.note("  round \(round.number + 1): \(cut.edge.name) has caught up; the cloud heard of \(later) predictions afterwards")
    }

    private static let askedWhileCut = 500

    /// People at the edge label some of the round's votes, and the worker there that adapts is asked about the others of the same places,
    /// before and after. These labels were bought for the round; no test vote is among them.
    private func adapt(_ cut: Cutting, _ round: ComfortRound, at place: Int) throws -> ComfortResults.Adaptation? {
        defer { cut.adapting.close() }
        let votes = round.labelled, buildings = votes.rows.buildingIDs
        let own = buildings.indices.filter { self.votes.edge(ofBuilding: buildings[$0]) == place }
        // Every second vote of each place.
        var met: [String: Int] = [:]
        let sites = votes.rows.tasks.sites
        let isTold = own.map { row in
            met[sites[row], default: 0] += 1
            return met[sites[row]]! % 2 == 1
        }
        let told = zip(own, isTold).filter(\.1).map(\.0), judged = zip(own, isTold).filter { !$0.1 }.map(\.0)
        guard !told.isEmpty, !judged.isEmpty else { return nil }
        func right() throws -> Double {
            let found = ClassProbabilities(
                classCount: Preference.allCases.count, values: try cut.adapting.predict(votes.rows.rows(judged)))
            return Double(judged.indices.count { found.predictedClass(row: $0) == votes.labels[judged[$0]] }) / Double(judged.count)
        }
        let before = try right()
        let ids = votes.rows.recordIDs
        let taken = try cut.adapting.tell(columns: ComfortStream.columns, rows: self.votes.fields(told.map { ids[$0] }))
        let after = try right()
        func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10) %" }
        display.note(
            "  round \(round.number + 1): people at \(cut.edge.name) gave \(taken) labels; its adapting worker is right for \(percent(after)) of"
                + " \(judged.count) other votes, without them for \(percent(before))")
        return .init(labels: taken, judged: judged.count, accuracyBefore: before, accuracyAfter: after)
    }

    // MARK: Predicting

    /// Each vote is answered by the edge that owns its city.
    func predict(_ rows: ComfortRows) throws -> ClassProbabilities {
        let classes = Preference.allCases.count
        var values = [Float](repeating: 0, count: rows.count * classes)
        let buildings = rows.buildingIDs
        for (place, edge) in cluster.edges.enumerated() {
            let own = buildings.indices.filter { votes.edge(ofBuilding: buildings[$0]) == place }
            if own.isEmpty { continue }
            guard let worker = try worker(at: edge) else { throw ClusterError("no model serves at \(edge.name)") }
            let found = try worker.predict(rows.rows(own))
            for (position, row) in own.enumerated() {
                for k in 0..<classes { values[row * classes + k] = found[position * classes + k] }
            }
        }
        state.withLock { $0.predictions += rows.count }
        return ClassProbabilities(classCount: classes, values: values)
    }

    /// Votes that are asked one by one, as they would come in, at each edge.
    ///
    /// - Returns: microseconds of each request over HTTP, sorted.
    func latencies(_ rows: ComfortRows, rowsMax: Int, warmUp: Int) throws -> [Double] {
        var times: [Double] = []
        let buildings = rows.buildingIDs
        for (place, edge) in cluster.edges.enumerated() {
            let own = buildings.indices.filter { votes.edge(ofBuilding: buildings[$0]) == place }.prefix(rowsMax + warmUp)
            guard !own.isEmpty, let worker = try worker(at: edge) else { continue }
            for (count, row) in own.enumerated() {
                let start = ContinuousClock.now
                _ = try worker.ask(rows.rows([row]))
                if count >= warmUp { times.append((ContinuousClock.now - start) / .microseconds(1)) }
            }
        }
        return times.sorted()
    }

    /// Kept while its address is the same; a worker that was started again has another.
    private func worker(at edge: DemoCluster.Edge) throws -> EdgeInference? {
        let place = cluster.edges.firstIndex { $0.name == edge.name }!
        let known = state.withLock { $0.workers[place] }
        if let known, try known.version() != nil { return known }
        guard let address = try job.address(at: edge) else { return nil }
        if let known, known.address == address { return known }
        let made = try EdgeInference(address: address, model: ComfortJob.name)
        state.withLock { $0.workers[place] = made }
        known?.close()
        return made
    }

    /// Closes connections.
    func close() {
        for worker in state.withLock({ $0.workers }) { worker?.close() }
    }
}

import Learning
import Resources

/// What a lifelong job remembers of its rounds in its status: the accuracy after each on the rows of each, bounded. Pure.
///
/// Rounds are those that deployed a model: of one that changed nothing the rows are learned again, and count for the next.
struct LifelongHistory: Sendable, Hashable {
    /// Rounds that stay in the status; the knowledge base holds all.
    static let roundsKept = 32

    /// What one round adds, as its evaluation has it.
    struct Entry: Sendable, Hashable {
        /// Number of the round.
        var round: Int64
        /// By round, the accuracy of the round's model on the rows of that round.
        var accuracy: [Int64: Double]
        /// What served before, on the rows of this round.
        var before: Double?
        /// What always naming the most frequent class of earlier rounds is worth on the rows of this.
        var majority: Double?
    }

    private(set) var entries: [Entry]

    /// - Parameter json: `status.matrix`.
    init(_ json: JSON?) {
        let rounds = (json?["rounds"]?.array ?? []).compactMap(\.integer)
        entries = rounds.enumerated().map { place, round in
            let row = json?["accuracy"]?.array?[at: place]?.array ?? []
            let known = zip(rounds, row).compactMap { pair in pair.1.number.map { (pair.0, $0) } }
            return Entry(
                round: round, accuracy: Dictionary(known, uniquingKeysWith: { $1 }), before: json?["before"]?.array?[at: place]?.number,
                majority: json?["majority"]?.array?[at: place]?.number)
        }
    }

    /// Adds a round, once; nothing of one whose figures tell no rounds apart.
    ///
    /// - Parameters:
    ///   - new: figures of the round's model, with `rounds.NUMBER.accuracy`, and of its own `standing` and `majority` where the trainer judged.
    ///   - standing: figures of what served before on the same rows; nil where nothing did, or the trainer judged.
    mutating func add(round: Int64, new: JSONObject, standing: JSONObject?) {
        guard entries.last.map({ $0.round < round }) ?? true, let told = new["rounds"]?.object else { return }
        let known = Set(entries.map(\.round) + [round])
        var accuracy: [Int64: Double] = [:]
        for (name, figures) in told {
            if let number = Int64(name), known.contains(number), let value = Self.share(figures["accuracy"]) { accuracy[number] = value }
        }
        let own = told.first { $0.0 == "\(round)" }?.1
        entries.append(
            Entry(
                round: round, accuracy: accuracy,
                before: Self.share(standing?["rounds"]?["\(round)"]?["accuracy"]) ?? Self.share(own?["standing"]),
                majority: Self.share(own?["majority"])))
        entries = entries.suffix(Self.roundsKept)
    }

    /// Forgets a round whose model does not serve any more.
    mutating func remove(round: Int64) { entries.removeAll { $0.round == round } }

    /// What a worker says is a share, or it is nothing.
    private static func share(_ value: JSON?) -> Double? {
        guard let number = value?.number, (0...1).contains(number) else { return nil }
        return (number * 10_000).rounded() / 10_000
    }

    // MARK: Figures

    /// R; nil without a round.
    var matrix: LifelongMatrix? {
        guard !entries.isEmpty else { return nil }
        return LifelongMatrix(
            entries.indices.map { i in
                entries.indices.map { j in
                    if j == i + 1 { return entries[j].before ?? .nan }
                    return j <= i ? entries[i].accuracy[entries[j].round] ?? .nan : .nan
                }
            })
    }

    /// Backward and forward transfer and forgetting of the rounds that are kept, by the names of the status.
    var transfer: [(name: String, value: Double)] {
        guard let matrix else { return [] }
        let figures = [
            ("backwardTransfer", matrix.backwardTransfer),
            ("forwardTransfer", matrix.forwardTransfer(over: entries.map { $0.majority ?? .nan })), ("forgetting", matrix.forgetting),
        ]
        return figures.compactMap { name, value in value.map { (name, ($0 * 10_000).rounded() / 10_000) } }
    }

    /// What the knowledge base remembers of the newest round: its row of R, `R[AFTER][ON]`, and what follows from all.
    var figures: [String: Double] {
        guard let newest = entries.last else { return [:] }
        var figures = Dictionary(uniqueKeysWithValues: newest.accuracy.map { ("R[\(newest.round)][\($0.key)]", $0.value) })
        if entries.count > 1, let before = newest.before { figures["R[\(entries[entries.count - 2].round)][\(newest.round)]"] = before }
        let names = ["backwardTransfer": "backward_transfer", "forwardTransfer": "forward_transfer", "forgetting": "forgetting"]
        for (name, value) in transfer { figures[names[name]!] = value }
        return figures
    }

    /// As `status.matrix`; nil without a round.
    var json: JSON? {
        guard !entries.isEmpty else { return nil }
        func value(_ number: Double?) -> JSON { number.map { .number($0) } ?? .null }
        var json: JSON = [
            "rounds": .array(entries.map { .integer($0.round) }),
            "accuracy": .array(
                entries.enumerated().map { i, entry in .array(entries[...i].map { value(entry.accuracy[$0.round]) }) }),
            "before": .array(entries.map { value($0.before) }), "majority": .array(entries.map { value($0.majority) }),
        ]
        for (name, figure) in transfer { json[name] = .number(figure) }
        return json
    }
}

/// Held-out rows of rounds: which they are, so that later models can be judged on them too. Pure.
struct HeldOut: Sendable, Hashable {
    /// Rounds and files that stay known; older rounds are judged no more.
    static let roundsMax = LifelongHistory.roundsKept
    static let filesMax = 128

    struct Round: Sendable, Hashable {
        var round: Int64
        /// Where the rows stay on their node; one in a job on its rows' own node.
        var rows: [RowRange] = []
        /// Where they were collected: names and digests.
        var files: [WorkerReport.Result] = []
    }

    private(set) var rounds: [Round]

    /// - Parameter json: `status.heldOut`.
    init(_ json: JSON?) {
        rounds = (json?.array ?? []).compactMap { entry in
            guard let round = entry["round"]?.integer else { return nil }
            let files = (entry["files"]?.object ?? [:]).compactMap { name, digest in
                digest.string.map { WorkerReport.Result(name: name, format: "csv", digest: $0) }
            }
            return Round(round: round, rows: (entry["rows"]?.array ?? []).compactMap { RowRange($0) }, files: files)
        }
    }

    /// The held-out rows of a round under way.
    static func of(_ work: JobWork) -> Round {
        work.collected.isEmpty
            ? Round(round: work.round, rows: work.rows) : Round(round: work.round, files: work.collected.filter { $0.isPart(.eval) })
    }

    /// Adds a round, once.
    mutating func add(_ round: Round) {
        rounds.removeAll { $0.round == round.round }
        rounds.append(round)
        while rounds.count > 1, rounds.count > Self.roundsMax || rounds.reduce(0, { $0 + $1.files.count }) > Self.filesMax {
            rounds.removeFirst()
        }
    }

    /// Forgets a round that does not count any more.
    mutating func remove(round: Int64) { rounds.removeAll { $0.round == round } }

    /// As `status.heldOut`; nil without a round.
    var json: JSON? {
        guard !rounds.isEmpty else { return nil }
        return .array(
            rounds.map { round in
                var json: JSON = ["round": .integer(round.round)]
                if !round.rows.isEmpty { json["rows"] = .array(round.rows.map(\.json)) }
                if !round.files.isEmpty { json["files"] = .object(JSONObject(round.files.map { ($0.name, .string($0.digest)) })) }
                return json
            })
    }
}

extension [JSON] {
    fileprivate subscript(at place: Int) -> JSON? { indices.contains(place) ? self[place] : nil }
}

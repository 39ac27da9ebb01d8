/// Which hard rows may be handed on, so that a budget is kept: a limit of hardness that moves by itself, and an account that is never
/// overdrawn. Pure: rows go in with the time, decisions come out.
package struct UploadBudget: Sendable, Equatable {
    /// What is limited.
    package enum Limit: Sendable, Equatable {
        /// Of all rows that are answered, 0 to 1.
        case share(Double)
        /// Bytes sent up and down.
        case bytesPerHour(Double)
        /// In any unit of money; each row handed on costs `cost`.
        case costPerHour(Double, cost: Double)
    }

    /// Parameters of a filter that belong to its budget, and their ranges.
    package static let parameters: [String: ClosedRange<Double>] = [
        "budget_share": 0...1, "budget_bytes_per_hour": 0...1e15, "budget_cost_per_hour": 0...1e12, "cost_per_upload": 0...1e12,
        "deadline_ms": 1...600_000,
    ]
    /// Those that make a budget.
    package static let budgets: Set<String> = ["budget_share", "budget_bytes_per_hour", "budget_cost_per_hour"]

    /// Rows by whose hardness the limit is set.
    static let windowRows = 2048
    /// The limit is set anew after so many rows.
    static let everyRows = 16
    /// What may be saved up: of rows for a share; of an hour's budget else.
    static let savedRows = 1000.0, savedHours = 1.0 / 12

    /// Nil: no budget, the filter's own limit alone.
    package let limit: Limit?
    /// The filter's own; nil where the budget alone decides.
    private let floor: Double?
    /// The limit of hardness now: rows at least as hard are handed on.
    package private(set) var threshold: Double
    /// What is left: rows, bytes or money.
    private var account = 0.0
    private var window: [Double] = []
    private var next = 0
    private var rowCount = 0
    /// Mean price of a row, and mean seconds between rows: the share that a budget an hour bears.
    private var meanPrice = 0.0
    private var meanGap = 0.0
    private var lastTime: Double?

    /// - Parameters:
    ///   - limit: nil for none.
    ///   - filter: its own limit holds as well.
    package init(_ limit: Limit?, filter: HardExampleFilter) {
        self.limit = limit
        floor = filter.threshold
        threshold = filter.threshold ?? 0
        switch limit {
        case .share(let share): account = share > 0 ? 1 : 0
        case .bytesPerHour(let bytes): account = bytes * Self.savedHours
        case .costPerHour(let cost, _): account = cost * Self.savedHours
        case nil: break
        }
    }

    /// - Throws: `FilterError` for two budgets, or a number out of its range.
    package static func limit(_ parameters: [String: String]) throws(FilterError) -> Limit? {
        var numbers: [String: Double] = [:]
        for (key, range) in Self.parameters.sorted(by: { $0.key < $1.key }) {
            guard let text = parameters[key] else { continue }
            guard let number = Double(text), range.contains(number) else {
                throw FilterError(
                    description:
                        "HEM_PARAMETERS: \(key) is \"\(text.prefix(40))\"; give a number from \(range.lowerBound) to \(range.upperBound)")
            }
            numbers[key] = number
        }
        let named = budgets.filter { numbers[$0] != nil }.sorted()
        guard named.count <= 1 else {
            throw FilterError(description: "HEM_PARAMETERS: \(named.joined(separator: " and ")) are two budgets; keep one")
        }
        if let share = numbers["budget_share"] { return .share(share) }
        if let bytes = numbers["budget_bytes_per_hour"] { return .bytesPerHour(bytes) }
        return numbers["budget_cost_per_hour"].map { .costPerHour($0, cost: numbers["cost_per_upload"] ?? 1) }
    }

    /// Decides on a row, and takes its price from the account where it is handed on.
    ///
    /// - Parameters:
    ///   - hardness: of the filter.
    ///   - bytes: that handing it on takes, up and down, as far as is known.
    ///   - now: seconds of a clock that does not go back.
    package mutating func takes(hardness: Double, bytes: Int, now: Double) -> Bool {
        let price = price(bytes)
        note(hardness, price, now)
        guard hardness >= threshold, floor.map({ hardness >= $0 }) ?? true else { return false }
        guard limit != nil else { return true }
        guard account >= price, price <= 0 || account > 0 else { return false }
        account -= price
        return true
    }

    /// What a row took beyond what was said before, as with a long answer; negative where it took less.
    package mutating func settle(extraBytes: Int) { if case .bytesPerHour = limit { account -= Double(extraBytes) } }

    /// Rows that were taken and then not handed on are not paid.
    ///
    /// - Parameter bytes: of each, as they were said to `takes`.
    package mutating func giveBack(rows: Int, bytes: Int) { if limit != nil { account += Double(rows) * price(bytes) } }

    private func price(_ bytes: Int) -> Double {
        switch limit {
        case .share, nil: 1
        case .bytesPerHour: Double(max(bytes, 1))
        case .costPerHour(_, let cost): cost
        }
    }

    private mutating func note(_ hardness: Double, _ price: Double, _ now: Double) {
        rowCount += 1
        if window.count < Self.windowRows { window.append(hardness) } else { window[next] = hardness }
        next = (next + 1) % Self.windowRows
        let gap = lastTime.map { max(0, now - $0) } ?? 0
        lastTime = now
        let weight = 1 / Double(min(rowCount, 200))
        meanPrice += (price - meanPrice) * weight
        meanGap += (gap - meanGap) * weight
        switch limit {
        case .share(let share): account = min(account + share, max(1, share * Self.savedRows))
        case .bytesPerHour(let bytes): account = min(account + bytes * gap / 3600, bytes * Self.savedHours)
        case .costPerHour(let cost, _): account = min(account + cost * gap / 3600, cost * Self.savedHours)
        case nil: return
        }
        if rowCount % Self.everyRows == 1 || window.count < 64 { move() }
    }

    /// The hardness that as many rows exceed as the budget bears; what was saved up is spent over the next rows.
    private mutating func move() {
        let bearable: Double
        switch limit {
        case .share(let share): bearable = share + account / Self.savedRows
        case .bytesPerHour(let budget), .costPerHour(let budget, _):
            let perRow = budget * meanGap / 3600 + account / Self.savedRows
            bearable = perRow / max(meanPrice, .leastNormalMagnitude)
        case nil: return
        }
        let sorted = window.sorted(by: >)
        let count = Int((min(bearable, 1) * Double(sorted.count)).rounded())
        // The hardest of all may always be asked about while the account bears it.
        let found = bearable <= 0 ? sorted[0].nextUp : sorted[max(1, min(count, sorted.count)) - 1]
        threshold = max(found, floor ?? -.infinity)
    }
}

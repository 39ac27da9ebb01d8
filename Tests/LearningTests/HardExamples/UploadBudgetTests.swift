import Learning
import Testing

/// Budgets of what is handed on are kept, whatever comes.
@Suite struct UploadBudgetTests {
    private static func filter(_ parameters: [String: String] = ["budget_share": "1"]) throws -> HardExampleFilter {
        try HardExampleFilter(name: "Margin", parameters: parameters)
    }

    @Test(arguments: [0.05, 0.2, 0.5]) func `a share is used up and never passed, and goes to the hardest rows`(share: Double) throws {
        var budget = UploadBudget(.share(share), filter: try Self.filter())
        var generator = SeededGenerator(seed: 3)
        var taken: [Double] = [], left: [Double] = []
        for row in 0..<10_000 {
            let hardness = Double.random(in: 0..<1, using: &generator)
            if budget.takes(hardness: hardness, bytes: 1, now: Double(row)) { taken.append(hardness) } else { left.append(hardness) }
            #expect(Double(taken.count) <= share * Double(row + 1) + 1)
        }
        #expect(Double(taken.count) > 0.97 * share * 10_000)
        let wrong = taken.count { $0 < 1 - share - 0.05 } + left.count { $0 > 1 - share + 0.05 }
        #expect(wrong < 300, "\(wrong) rows on the wrong side")
    }

    @Test func `rows that nobody could be asked about are not paid`() throws {
        for limit in [UploadBudget.Limit.share(0.1), .bytesPerHour(3600), .costPerHour(36, cost: 0.1)] {
            var budget = UploadBudget(limit, filter: try Self.filter())
            var kept = budget
            let all = (0..<500).count { kept.takes(hardness: 0.5, bytes: 10, now: Double($0)) }
            let given = (0..<500).count { row in
                guard budget.takes(hardness: 0.5, bytes: 10, now: Double(row)) else { return false }
                budget.giveBack(rows: 1, bytes: 10)
                return true
            }
            #expect(all < 100 && given > 400, "\(limit): \(given) given back, \(all) where all are paid")
        }
    }

    @Test func `when all rows become harder the limit follows`() throws {
        var budget = UploadBudget(.share(0.2), filter: try Self.filter())
        var generator = SeededGenerator(seed: 4)
        var late = 0
        for row in 0..<20_000 {
            let hardness = Double.random(in: row < 8000 ? 0..<0.3 : 0.6..<0.9, using: &generator)
            if budget.takes(hardness: hardness, bytes: 1, now: Double(row)), row >= 12_000 { late += 1 }
        }
        #expect(abs(late - 1600) < 160, "\(late) of 8000")
        #expect(budget.threshold > 0.8 && budget.threshold < 0.87)
    }

    @Test func `rows that are alike share what there is`() throws {
        var budget = UploadBudget(.share(0.1), filter: try Self.filter())
        let taken = (0..<5000).count { budget.takes(hardness: 0.5, bytes: 1, now: Double($0)) }
        #expect((450...501).contains(taken), "\(taken)")
    }

    @Test func `bytes an hour are kept at any pace of rows`() throws {
        for gap in [0.01, 0.5, 20] {
            var budget = UploadBudget(.bytesPerHour(360_000), filter: try Self.filter())
            var generator = SeededGenerator(seed: 5)
            var bytes = 0, now = 0.0, rows = 0
            while now < 7200, rows < 5000 {
                let size = Int.random(in: 200..<600, using: &generator)
                if budget.takes(hardness: .random(in: 0..<1, using: &generator), bytes: size, now: now) { bytes += size }
                now += gap
                rows += 1
            }
            let allowed = 360_000 * (now / 3600 + 1.0 / 12)
            #expect(Double(bytes) <= allowed, "\(bytes) bytes in \(now) s")
            // Where rows come too seldom for the budget, all go.
            let offered = Double(rows) * 400
            #expect(Double(bytes) > 0.85 * min(allowed - 30_000, offered), "\(bytes) of \(min(allowed, offered)) at \(gap) s")
        }
    }

    @Test func `cost is counted by row, and answers that were longer than thought by what they took`() throws {
        var budget = UploadBudget(.costPerHour(36, cost: 0.1), filter: try Self.filter())
        let taken = (0..<7200).count { budget.takes(hardness: Double($0 % 10), bytes: 1, now: Double($0)) }
        #expect((600...751).contains(taken), "\(taken)")
        var bytes = UploadBudget(.bytesPerHour(12_000), filter: try Self.filter())
        let first = bytes.takes(hardness: 1, bytes: 500, now: 0)
        bytes.settle(extraBytes: 2000)
        let second = bytes.takes(hardness: 1, bytes: 500, now: 1)
        #expect(first && !second)
    }

    @Test func `a filter's own limit holds beside the budget, and alone without one`() throws {
        let strict = try Self.filter(["threshold_margin": "0.1", "budget_share": "0.5"])
        var budget = UploadBudget(.share(0.5), filter: strict)
        let weak = (0..<1000).count { budget.takes(hardness: 0.8, bytes: 1, now: Double($0)) }
        var free = UploadBudget(nil, filter: try Self.filter([:]))
        let above = free.takes(hardness: 0.81, bytes: 1, now: 0), below = free.takes(hardness: 0.79, bytes: 1, now: 0)
        var nothing = UploadBudget(.share(0), filter: try Self.filter())
        let none = (0..<100).count { nothing.takes(hardness: 1, bytes: 1, now: Double($0)) }
        #expect(weak == 0 && above && !below && none == 0)
    }

    @Test func `two budgets, or a number out of range, are refused`() {
        #expect(throws: FilterError.self) { try UploadBudget.limit(["budget_share": "0.1", "budget_bytes_per_hour": "10"]) }
        #expect(throws: FilterError.self) { try UploadBudget.limit(["budget_share": "20"]) }
        #expect((try? UploadBudget.limit([:])) == .some(nil))
        #expect((try? UploadBudget.limit(["budget_cost_per_hour": "2"])) == .some(.costPerHour(2, cost: 1)))
    }
}

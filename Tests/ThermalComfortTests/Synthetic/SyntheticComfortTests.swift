import Testing
import ThermalComfort

@Suite struct SyntheticComfortTests {
    @Test func `the same seed gives the same bytes, another seed others`() {
        let first = SyntheticComfort(), second = SyntheticComfort(), other = SyntheticComfort(seed: 1)
        #expect(first.measurements == second.measurements && first.metadata == second.metadata)
        #expect(first.measurements != other.measurements)
    }

    @Test func `its files are read as the real ones are, and most rows are kept`() throws {
        let synthetic = SyntheticComfort()
        let database = try synthetic.database()
        let lines = synthetic.measurements.count { $0 == UInt8(ascii: "\n") } - 1
        #expect((6000...10_000).contains(database.records.count))
        // Some 4 % were not asked for their preference.
        #expect(Double(database.records.count) > 0.93 * Double(lines) && database.records.count < lines)
        #expect(database.buildings.count == 64)
        #expect(Set(database.buildings.values.map(\.city)).count == 23)
    }

    @Test func `every round has labels to learn from and test rows, and every class occurs`() throws {
        let database = try SyntheticComfort().database()
        let split = ComfortSplit.main(database)
        let classes = Dictionary(uniqueKeysWithValues: database.records.map { ($0.recordID, $0.preference) })
        for round in 0...5 {
            let rows = split.filter { $0.round == round }
            #expect(rows.count { $0.isLabelledFew } >= 200, "round \(round)")
            #expect(rows.count { $0.part == .test } >= 300, "round \(round)")
            #expect(Set(rows.map { classes[$0.recordID]! }).count == 3, "round \(round)")
        }
        let shares = Preference.allCases.map { one in
            Double(database.records.count { $0.preference == one }) / Double(database.records.count)
        }
        // As in the real database: .33, .50, .17.
        #expect((0.2...0.45).contains(shares[0]) && (0.4...0.6).contains(shares[1]) && (0.08...0.3).contains(shares[2]), "\(shares)")
    }

    @Test func `most towns have enough rows for a figure of their own and for a label curve`() throws {
        let database = try SyntheticComfort().database()
        let split = ComfortSplit.main(database)
        let cities = Dictionary(uniqueKeysWithValues: database.records.map { ($0.recordID, database.buildings[$0.buildingID]!.city) })
        for part in [SplitRow.Part.pool, .test] {
            let counts = Dictionary(grouping: split.filter { $0.part == part }, by: { cities[$0.recordID]! }).mapValues(\.count)
            #expect(counts.values.count { $0 >= 100 } >= 15, "\(part): \(counts.values.sorted())")
        }
    }

    @Test func `inputs are missing about as often as in the real database, and never all`() throws {
        let records = try SyntheticComfort().database().records
        func missing(_ measure: Measure) -> Double { Double(records.count { $0[measure].isNaN }) / Double(records.count) }
        #expect(missing(.ta) == 0 && missing(.rh) < 0.1)
        for measure in [Measure.tr, .tg, .set, .age, .tOut, .window] { #expect((0.15...0.95).contains(missing(measure)), "\(measure)") }
        #expect(records.contains { $0.subjectID.isEmpty } && records.contains { !$0.subjectID.isEmpty })
        #expect(records.contains { $0.timestamp.isEmpty } && records.contains { !$0.timestamp.isEmpty })
    }

    @Test func `people who should feel warm by ISO 7730 want it cooler`() throws {
        let records = try SyntheticComfort().database().records.filter { !$0[.pmvCE].isNaN }
        let warm = records.filter { $0[.pmvCE] > 1 }, cold = records.filter { $0[.pmvCE] < -1 }
        func cooler(_ rows: [ComfortRecord]) -> Double { Double(rows.count { $0.preference == .cooler }) / Double(rows.count) }
        #expect(warm.count > 100 && cold.count > 100)
        #expect(cooler(warm) > cooler(cold) + 0.3)
    }
}

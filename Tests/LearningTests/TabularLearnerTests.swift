import Learning
import Testing

/// Lifelong learning from tables of any job.
@Suite struct TabularLearnerTests {
    /// Rows of rooms: two numbers, two words, a label that follows them.
    static func table(_ rows: Range<Int>, columns: [String] = ["Season", "Cooling", "ta", "rh", "note", "vote"]) -> TextTable {
        var table = TextTable(columns: columns, source: "rooms.csv")
        for row in rows {
            var generator = SeededGenerator(seed: UInt64(row))
            let ta = Int.random(in: 180..<300, using: &generator), season = ["Summer", "Winter"][row % 2]
            let vote = ta + (row % 2 == 0 ? 10 : -10) > 240 ? "cooler" : "warmer"
            let fields = [
                "Season": season, "Cooling": row % 3 == 0 ? "AC" : "NV", "ta": "\(Double(ta) / 10)",
                "rh": row % 5 == 0 ? "" : "\(Int.random(in: 20..<80, using: &generator))", "note": "n\(row)", "vote": vote,
            ]
            table.append(columns.map { fields[$0]! }, line: row + 2)
        }
        return table
    }

    static func settings(keepsRows: Bool = true, id: String? = nil) -> TabularLearner.Settings {
        var roles = TabularRoles(label: "vote")
        (roles.tasks, roles.ignored, roles.id) = (["Season", "Cooling"], ["note"], id)
        if id != nil { roles.ignored = [] }
        var made = TabularLearner.Settings(roles: roles) { LearnerStateTests.Splits(classCount: $0.classNames.count) }
        made.keepsRows = keepsRows
        return made
    }

    static func saved(_ learner: TabularLearner, _ settings: TabularLearner.Settings) throws -> TabularLearner {
        try TabularLearner(state: try learner.state(), source: "state.bin", settings)
    }

    @Test func `the first round fixes what columns are: numbers as they are, words one-hot, classes sorted`() throws {
        let schema = try TabularSchema(Self.table(0..<50), roles: Self.settings().roles)
        #expect(schema.featureNames == ["Season=Summer", "Season=Winter", "Cooling=AC", "Cooling=NV", "ta", "rh"])
        #expect(schema.classNames == ["cooler", "warmer"])
        let features = try schema.features(Self.table(0..<2))
        #expect(
            Array(features.values[0..<4]) == [1, 0, 1, 0] && features.values[5].isNaN && Array(features.values[6..<10]) == [0, 1, 0, 1])
        let again = TabularSchema(featureNames: schema.featureNames, classNames: schema.classNames, roles: schema.roles)
        #expect(again == schema)
    }

    @Test func `answers are told apart by task and by the round of the row, beside what served before`() throws {
        var learner = try TabularLearner(first: Self.table(0..<120), Self.settings())
        let first = try learner.learn(Self.table(0..<120), round: 3)
        #expect(first.roundsOutOfSample.keys.sorted() == [3] && first.roundsOutOfSample[3]?.rows == 120)
        #expect(first.roundsOutOfSample[3]?.accuracy == first.outOfSample.accuracy)
        #expect(first.standing == nil && first.majority == nil)
        #expect(first.tasksOutOfSample.values.reduce(0) { $0 + $1.rows } == 120 && first.tasksOutOfSample.count == 4)
        learner = try Self.saved(learner, Self.settings())
        let fresh = Self.table(120..<200)
        let asked = try learner.predict(fresh)
        let truth = try learner.schema.labels(fresh).map { $0! }
        let second = try learner.learn(fresh, round: 7)
        #expect(second.roundsOutOfSample.mapValues(\.rows) == [3: 120, 7: 80])
        #expect(second.standing == HitCount.counts(asked, truth: truth, by: truth.map { _ in 0 })[0])
        let all = try learner.schema.labels(Self.table(0..<200)).map { $0! }
        #expect(second.majority == HitCount.majority(truth: all, rounds: all.indices.map { $0 < 120 ? 3 : 7 }, of: 7))
    }

    @Test(arguments: [true, false])
    func `rounds through saved states are those in memory, whether the state keeps the rows or all are given again`(keepsRows: Bool) throws
    {
        let settings = Self.settings(keepsRows: keepsRows)
        var memory = try TabularLearner(first: Self.table(0..<80), settings)
        var through = memory
        for round in 0..<3 {
            let given = keepsRows ? Self.table(round * 80..<round * 80 + 80) : Self.table(0..<round * 80 + 80)
            let one = try memory.learn(given), two = try through.learn(given)
            #expect(one.lifelong.decisions == two.lifelong.decisions && one.labelledIDs == two.labelledIDs && one.newIDs.count == 80)
            #expect(one.labelledIDs.count == round * 80 + 80 && one.absentCount == 0 && one.outOfSample == two.outOfSample)
            #expect(try memory.state() == through.state())
            through = try Self.saved(through, settings)
            #expect(try through.predict(Self.table(500..<600)) == memory.predict(Self.table(500..<600)))
        }
        #expect(try ClassificationMetrics(memory.predict(Self.table(500..<700)), truth: Self.truth(500..<700)).accuracy > 0.7)
    }

    static func truth(_ rows: Range<Int>) -> [Int] { table(rows).rows.map { $0.last == "cooler" ? 0 : 1 } }

    @Test func `only the new rows, or the grown table with all: what is learned is the same`() throws {
        let settings = Self.settings()
        var new = try TabularLearner(first: Self.table(0..<60), settings), grown = new
        _ = try new.learn(Self.table(0..<60))
        _ = try grown.learn(Self.table(0..<60))
        let one = try new.learn(Self.table(60..<90)), two = try grown.learn(Self.table(0..<90))
        #expect(one.labelledIDs == two.labelledIDs && one.newIDs == two.newIDs && one.newIDs.count == 30)
        #expect(try new.state() == grown.state())
    }

    @Test func `rows that look alike are rows of their own`() throws {
        var twice = Self.table(0..<40)
        try twice.append(contentsOf: Self.table(0..<40))
        var learner = try TabularLearner(first: twice, Self.settings())
        #expect(try learner.learn(twice).labelledIDs.count == 80)
        var roles = Self.settings().roles
        roles.ignored = []
        roles.id = "note"
        let schema = try TabularSchema(Self.table(0..<40), roles: roles)
        #expect {
            try schema.ids(twice)
        } throws: {
            "\($0)" == "rooms.csv, line 2, column \"note\": \"n0\" names a second row; give each row its own"
        }
    }

    @Test func `a label that comes later, or is corrected, counts, and unlabelled rows wait`() throws {
        let settings = Self.settings()
        let full = Self.table(0..<80)
        var blank = TextTable(columns: full.columns, source: "rooms.csv")
        for (row, fields) in full.rows.enumerated() { blank.append(row < 40 ? fields : fields.dropLast() + [""], line: row + 2) }
        var learner = try TabularLearner(first: blank, settings)
        let first = try learner.learn(blank)
        #expect(first.labelledIDs.count == 40 && first.unlabelledCount == 40)
        let second = try learner.learn(full)
        #expect(second.labelledIDs.count == 80 && second.newIDs.count == 40 && second.unlabelledCount == 0)
    }

    @Test func `rows that neither the state holds nor the round brings are told`() throws {
        let settings = Self.settings(keepsRows: false)
        var learner = try TabularLearner(first: Self.table(0..<80), settings)
        _ = try learner.learn(Self.table(0..<80))
        #expect(try learner.learn(Self.table(20..<120)).absentCount == 20)
    }

    @Test func `a task that no round had is unseen, and known rows are not`() throws {
        var learner = try TabularLearner(first: Self.table(0..<400), Self.settings())
        _ = try learner.learn(Self.table(0..<400))
        let signs = try TabularLearner(recognising: try learner.state(hasModels: false), source: "signs.bin")
        var strange = Self.table(400..<500).rows(Array(0..<100))
        strange = TextTable(columns: strange.columns, source: "rooms.csv")
        for (row, fields) in Self.table(400..<500).rows.enumerated() { strange.append(["Monsoon"] + fields.dropFirst(), line: row) }
        #expect(try signs.recognise(strange).allSatisfy { $0.isUnseen && $0.task == nil })
        let usual = try signs.recognise(Self.table(400..<500))
        #expect(usual.count(where: \.isUnseen) < 15 && usual.allSatisfy { $0.task != nil })
    }

    /// A table made of lines.
    static func read(_ text: String) throws -> TextTable {
        var bytes: [UInt8]? = Array(text.utf8)
        return try TextTable(source: "t.csv") {
            defer { bytes = nil }
            return bytes
        }
    }

    static let poison: [(String, String)] = [
        ("a,vote\n", "t.csv, column \"vote\": none of 0 rows has a label; label rows of two classes"),
        ("a,vote\n1,x\n2,x\n", "t.csv, column \"vote\": all 2 labelled rows say \"x\"; at least two classes are needed"),
        ("a,b\n1,x\n", "t.csv, line 1: no column \"vote\" (found: a, b); fix the header, or the job's columns"),
        ("a,vote\n1,x\n2,x\n3,y\n", "t.csv, column \"vote\": 3 labelled rows (2 \"x\", 1 \"y\"); at least two rows of each of two classes"),
        ("a,vote\n1,x\nNaN,y\n3,y\n4,x\n", "t.csv, line 3, column \"a\": \"NaN\" is not a number; correct it or leave it empty"),
        ("a,vote\n1,x\n1e99,y\n3,y\n4,x\n", "t.csv, line 3, column \"a\": 1e99 is beyond single precision"),
        ("a=b,vote\n1,x\n2,y\n", "t.csv, line 1: the column name \"a=b\" is empty or holds \"=\""),
        ("vote\nx\ny\n", "t.csv, line 1: 0 inputs are left of 1 columns"),
    ]

    @Test(arguments: poison)
    func `a table that cannot be learned from is refused with its line, column and remedy`(text: String, words: String) {
        #expect {
            var learner = try TabularLearner(
                first: try Self.read(text),
                .init(roles: TabularRoles(label: "vote")) {
                    LearnerStateTests.Splits(classCount: $0.classNames.count)
                })
            _ = try learner.learn(try Self.read(text))
        } throws: {
            "\($0)".hasPrefix(words)
        }
    }

    @Test func `a later round with other columns, a new class or another job's columns is refused and changes nothing`() throws {
        let settings = Self.settings()
        var learner = try TabularLearner(first: Self.table(0..<80), settings)
        _ = try learner.learn(Self.table(0..<80))
        let before = try learner.state()
        func refusal(_ table: TextTable) -> String {
            do {
                _ = try learner.learn(table)
                return "learned"
            } catch {
                return "\(error)"
            }
        }
        #expect(
            refusal(Self.table(80..<90, columns: ["Season", "Cooling", "rh", "note", "vote"])).hasPrefix(
                "rooms.csv, line 1: no column \"ta\" (found: Season, Cooling, rh, note, vote)"))
        var fresh = TextTable(columns: Self.table(0..<1).columns, source: "rooms.csv")
        fresh.append(["Summer", "AC", "20", "30", "n", "as it is"], line: 2)
        #expect(
            refusal(fresh).hasPrefix(
                "rooms.csv, line 2, column \"vote\": the label \"as it is\" is new; the first round had cooler, warmer"))
        #expect(try learner.state() == before)
        var other = settings
        other.roles.tasks = ["Season"]
        #expect {
            try Self.saved(learner, other)
        } throws: {
            "\($0)".contains("the job's task columns were Season, Cooling and are now Season")
        }
    }

    @Test func `CSV that is written is the table that is read`() throws {
        var table = TextTable(columns: ["a", "b,c"], source: "t.csv")
        for (row, fields) in [["", ""], ["x\"y", "1,2"], ["line\nbreak", "é"], [" blank ", "NA"]].enumerated() {
            table.append(fields, line: row)
        }
        let read = try Self.read(String(decoding: table.csv, as: UTF8.self))
        #expect(read.columns == table.columns && read.rows == table.rows)
        var lone = TextTable(columns: ["a"], source: "t.csv")
        lone.append([""], line: 2)
        #expect(try Self.read(String(decoding: lone.csv, as: UTF8.self)).rows == [[""]])
    }
}

import Resources
import TestKit
import Testing

@testable import NodeAgent

/// Rows of a data set that wait for labels, and the lines that labels become.
@Suite(.offThePool) struct LabelTableTests {
    private static func table() throws -> LabelTable { try LabelTable(header: "room,season,vote", label: "vote") }

    private static func refusal(_ body: () throws(LabelRefusal) -> Void) -> LabelRefusal? {
        do throws(LabelRefusal) {
            try body()
            return nil
        } catch { return error }
    }

    @Test func `a row waits from when it comes without a label until it comes with one`() throws {
        let text = "1,summer,\n2,winter,warm\n3,summer,NA\n1,summer,cold\n4,\"a, b\",\n3,winter,cold\nshort\n4,\"a, b\",\n"
        let rows = try Self.table().queue(in: text.split(separator: "\n")).rows
        #expect(rows == [["3", "summer", "NA"], ["4", "a, b", ""]])
        let many = (0..<2000).map { "\($0),summer," }.joined(separator: "\n")
        let listed = try Self.table().queue(in: many.split(separator: "\n")).rows
        #expect(listed.count == LabelTable.listedMax)
        #expect(listed.first == ["0", "summer", ""])
    }

    @Test func `labels count from the round's first row on, and only of rows that had waited`() throws {
        let text = "1,summer,\n2,winter,\n1,summer,cold\n3,winter,warm\n2,winter,warm\n4,summer,\n"
        let table = try Self.table(), lines = text.split(separator: "\n")
        #expect(table.queue(in: lines) == .init(rows: [["4", "summer", ""]], answered: 2))
        #expect(table.queue(in: lines, from: 3).answered == 1)
        #expect(table.queue(in: lines, from: 6).answered == 0)
    }

    @Test func `unseen rows are worth most, then those of which the model is least sure`() throws {
        let answer = try JSON(
            parsing: """
                {"outputs": [{"name": "probabilities", "data": [0.9, 0.1, 0.5, 0.5, 0.8, 0.2, 0.5, 0.5]},
                {"name": "unseen", "data": [false, false, true, false]}]}
                """)
        let worth = try #require(LabelTable.worth(answer, count: 4))
        let rows = (0..<4).map { ["\($0)"] }
        #expect(LabelTable.ranked(rows, by: worth) == [["2"], ["1"], ["3"], ["0"]])
        #expect(LabelTable.worth(answer, count: 3) == nil && LabelTable.worth([:], count: 1) == nil)
        // A worker without marks still says how sure it is.
        let plain = try JSON(parsing: "{\"outputs\": [{\"name\": \"probabilities\", \"data\": [0.9, 0.1, 0.6, 0.4]}]}")
        #expect(LabelTable.ranked([["a"], ["b"]], by: try #require(LabelTable.worth(plain, count: 2))) == [["b"], ["a"]])
        let question = try Self.table().question(about: [["1", "NA", ""]])
        #expect(question["inputs"]?.array?.map { $0["name"]?.string } == ["room", "season"])
        #expect(question["inputs"]?.array?.last?["data"] == [.null])
    }

    @Test func `rows become lines in the order of the header, each on one line`() throws {
        let rows = [["vote": "warm", "season": "a, \"b\"", "room": "1"], ["room": "2\n3", "season": "winter", "vote": "cold"]]
        let lines = try Self.table().lines(rows)
        #expect(lines == ["1,\"a, \"\"b\"\"\",warm", "2 3,winter,cold"])
        #expect(lines.map(LabelTable.fields) == [["1", "a, \"b\"", "warm"], ["2 3", "winter", "cold"]])
    }

    @Test func `what is no labelled row of the table is refused with its row and column`() throws {
        let table = try Self.table()
        let cases: [([[String: String]], String)] = [
            ([["room": "1", "season": "summer", "vote": ""]], "row 1: column \"vote\" is empty"),
            ([["room": "1", "vote": "warm"]], "row 1: no column \"season\"; give all: room, season, vote"),
            (
                [["room": "1", "season": "s", "vote": "w"], ["room": "1", "season": "s", "vote": "w", "x": ""]],
                "row 2: the data set has no column \"x\""
            ),
            ([], "0 rows; 1 to 10000"),
        ]
        for (rows, words) in cases {
            let refusal = Self.refusal { () throws(LabelRefusal) in _ = try table.lines(rows) }
            #expect(refusal?.message.hasPrefix(words) == true, "\(refusal?.message ?? "taken")")
        }
        let wrong = Self.refusal { () throws(LabelRefusal) in _ = try LabelTable(header: "a,b", label: "vote") }
        #expect(wrong?.message == "no column \"vote\" for the label (found: a, b); fix spec.label")
    }

    @Test func `labels come as a table or as JSON`() throws {
        let wanted = [["room": "1", "vote": "warm"], ["room": "2", "vote": "cold"]]
        #expect(try LabelTable.rows(csv: "vote,room\r\nwarm,1\r\ncold,2\r\n") == wanted)
        let json = try LabelTable.rows(json: [["room": 1, "vote": "warm"], ["room": "2", "vote": "cold"]])
        #expect(json == wanted)
        #expect(try LabelTable.rows(json: ["room": 1, "vote": .null]) == [["room": "1", "vote": ""]])
        let torn = Self.refusal { () throws(LabelRefusal) in _ = try LabelTable.rows(csv: "room,vote\n1\n") }
        #expect(torn?.message == "row 1: 1 fields, the header has 2")
    }
}

import Learning
import Testing
import ThermalComfort

@Suite struct ComfortSplitTests {
    static let header = "record_id,round,part,group,rank_bs,lab_few,lab_full\n"

    static func database(_ rows: String = "") throws -> ComfortDatabase {
        let votes = (1...4).map { "\($0),1,2020-01-0\($0)T00:00:00Z,summer,,,2\($0).5,50,cooler" }.joined(separator: "\n")
        return try load(votes + "\n" + rows)
    }

    /// A measurements file with the columns that differ between the rows; all others are empty.
    static func load(_ votes: String) throws -> ComfortDatabase {
        let given = ["record_id", "building_id", "timestamp", "season", "subject_id", "gender", "ta", "rh", "thermal_preference"]
        let others =
            ["thermal_sensation", "thermal_acceptability", "air_movement_preference", "vel"]
            + Measure.allCases.map(\.rawValue).filter { !["ta", "rh", "vel"].contains($0) }
        let header = (given + others).joined(separator: ",")
        let body = votes.split(separator: "\n").map { line in
            "\(line),,,,0.1" + String(repeating: ",", count: others.count - 4)
        }
        let metadata = "building_id,city,lat,lon,building_type,cooling_type,year\n1,athens,38,23.7,office,,1994\n"
        return try ComfortDatabase(
            measurements: stream(([header] + body).joined(separator: "\n")), metadata: stream(metadata))
    }

    /// The text as a stream of one chunk.
    static func stream(_ text: String) -> () -> [UInt8]? {
        var rest: [UInt8]? = Array(text.utf8)
        return {
            defer { rest = nil }
            return rest
        }
    }

    static func read(_ lines: String) throws -> [SplitRow] {
        try ComfortSplit.read(stream(header + lines), for: database())
    }

    @Test func `the first half of a campaign is the pool and no day is divided`() throws {
        let rows = ComfortSplit.main(try Self.database("5,1,2020-01-02T09:00:00Z,summer,,,20,50,warmer"))
        let parts = Dictionary(grouping: rows, by: \.group).mapValues { Set($0.map(\.part)) }
        #expect(parts.values.allSatisfy { $0.count == 1 })
        #expect(parts["1/summer/d2020-01-01"] == [.pool])
        #expect(parts["1/summer/d2020-01-04"] == [.test])
    }

    @Test func `labels are spread over time and nested`() {
        #expect(ComfortSplit.spreadOrder(8) == [0, 4, 2, 6, 1, 5, 3, 7])
        #expect(ComfortSplit.spreadOrder(5).sorted() == [0, 1, 2, 3, 4])
        #expect(ComfortSplit.spreadOrder(0) == [])
    }

    @Test func `an exact duplicate is dropped, keeping the lowest record id`() throws {
        let database = try Self.database("9,1,2020-01-01T00:00:00Z,summer,,,21.5,50,cooler")
        #expect(database.records.map(\.recordID) == [1, 2, 3, 4])
    }

    @Test func `a split that repeats a record is refused`() {
        #expect(throws: SplitError.doubledRecord(line: 3, id: 1)) { try Self.read("1,0,pool,a,0,1,1\n1,0,test,a,,0,0") }
    }

    @Test func `a split that names an unknown record is refused`() {
        #expect(throws: SplitError.unknownRecord(line: 2, id: 77)) { try Self.read("77,0,pool,a,0,1,1") }
    }

    @Test func `a test row with a training label is refused`() {
        #expect(throws: SplitError.labelledTestRow(line: 2, id: 1)) { try Self.read("1,0,test,a,,1,0") }
    }

    @Test func `a split without a test part is refused`() {
        #expect(throws: SplitError.emptyPart(.test)) { try Self.read("1,0,pool,a,0,1,1") }
    }

    @Test func `a round outside the protocol is refused with its line and the allowed values`() {
        #expect(throws: SplitError.invalid(line: 2, column: "round", found: "9", allowed: "whole numbers from 0 to 5")) {
            try Self.read("1,9,pool,a,0,1,1")
        }
    }

    @Test func `an unknown label is refused with its line`() {
        #expect(throws: ComfortDataError.unknownLabel(line: 6, found: "colder")) {
            try Self.database("5,1,,summer,,,20,50,colder")
        }
    }

    @Test func `text in a number is refused with line and column`() {
        #expect(throws: CSVError.notANumber(line: 6, column: "ta", found: "warm")) {
            try Self.database("5,1,,summer,,,warm,50,cooler")
        }
    }

    @Test func `a record of an unknown building is refused`() {
        #expect(throws: ComfortDataError.unknownBuilding(recordID: 5, buildingID: 8)) {
            try Self.database("5,8,,summer,,,20,50,cooler")
        }
    }

    @Test func `a data set without usable rows is refused`() {
        #expect(throws: ComfortDataError.noRows) { try Self.load("5,1,,summer,,,,50,cooler") }
    }
}

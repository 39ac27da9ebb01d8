import Learning
import Resources
import TestKit
import Testing

@testable import Controllers

/// What a lifelong job remembers of its rounds.
@Suite(.offThePool) struct LifelongHistoryTests {
    /// Figures of an evaluation that tells rounds apart.
    static func figures(_ accuracy: [Int64: Double], majority: Double? = nil, of round: Int64 = 0) -> JSONObject {
        let rounds = accuracy.sorted { $0.key < $1.key }.map { number, value -> (String, JSON) in
            var figures: JSON = ["accuracy": .number(value), "n": 100]
            if number == round, let majority { figures["majority"] = .number(majority) }
            return ("\(number)", figures)
        }
        return ["accuracy": .number(accuracy.values.reduce(0, +) / Double(accuracy.count)), "rounds": .object(JSONObject(rounds))]
    }

    @Test func `the matrix, transfer and forgetting are those of the literature, through the status and back`() throws {
        var history = LifelongHistory(nil)
        history.add(round: 1, new: Self.figures([1: 0.8]), standing: nil)
        history.add(round: 3, new: Self.figures([1: 0.75, 3: 0.9], majority: 0.5, of: 3), standing: Self.figures([1: 0.8, 3: 0.6]))
        history = LifelongHistory(history.json)
        history.add(round: 4, new: Self.figures([1: 0.7, 3: 0.92, 4: 0.85], majority: 0.4, of: 4), standing: Self.figures([4: 0.55]))
        let matrix = try #require(history.matrix)
        #expect(matrix.values[0][1] == 0.6 && matrix.values[1][2] == 0.55 && matrix.values[2] == [0.7, 0.92, 0.85])
        #expect(matrix.values[0][2].isNaN)
        let json = try #require(LifelongHistory(history.json).json)
        #expect(json == history.json)
        #expect(json["rounds"] == [1, 3, 4])
        // (0.7 − 0.8 + 0.92 − 0.9) / 2; (0.6 − 0.5 + 0.55 − 0.4) / 2; (0.8 − 0.7 + 0.9 − 0.92) / 2.
        #expect(json["backwardTransfer"]?.number == -0.04 && json["forwardTransfer"]?.number == 0.125 && json["forgetting"]?.number == 0.04)
        let recorded = history.figures
        #expect(recorded["R[4][1]"] == 0.7 && recorded["R[4][4]"] == 0.85 && recorded["R[3][4]"] == 0.55)
        #expect(recorded["backward_transfer"] == -0.04)
    }

    @Test func `a trainer's own words make the matrix where nothing is held out`() {
        var history = LifelongHistory(nil)
        history.add(round: 1, new: ["rounds": ["1": ["accuracy": .decimal("0.5")]]], standing: nil)
        history.add(
            round: 2,
            new: ["rounds": ["1": ["accuracy": .decimal("0.6")], "2": ["accuracy": .decimal("0.7"), "standing": .decimal("0.4")]]],
            standing: nil)
        #expect(history.matrix?.values[0][1] == 0.4 && history.matrix?.values[1] == [0.6, 0.7])
    }

    @Test func `what is no share, or of a round that is not known, is left out, and a round counts once`() {
        var history = LifelongHistory(nil)
        history.add(round: 2, new: ["rounds": ["2": ["accuracy": 7], "1": ["accuracy": 1], "x": ["accuracy": 1]]], standing: nil)
        history.add(round: 2, new: Self.figures([2: 0.5]), standing: nil)
        #expect(history.entries.count == 1 && history.entries[0].accuracy.isEmpty)
        history.add(round: 3, new: ["accuracy": 1], standing: nil)
        #expect(history.entries.count == 1)
    }

    @Test func `ten thousand rounds leave a status that stays small`() throws {
        var history = LifelongHistory(nil)
        var heldOut = HeldOut(nil)
        for round in Int64(1)...10_000 {
            let accuracy = Dictionary(uniqueKeysWithValues: (max(1, round - 63)...round).map { ($0, 0.1234) })
            history.add(round: round, new: Self.figures(accuracy, majority: 0.5, of: round), standing: Self.figures([round: 0.4321]))
            heldOut.add(
                HeldOut.Round(
                    round: round,
                    files: (0..<20).map {
                        WorkerReport.Result(
                            name: "building-number-\($0)-eval.csv", format: "csv", digest: JobCluster.digest("\(round) \($0)"))
                    }))
        }
        let text = try #require(history.json?.text), rows = try #require(heldOut.json?.text)
        #expect(text.utf8.count + rows.utf8.count < 32_768)
        #expect(history.entries.count == LifelongHistory.roundsKept && heldOut.rounds.count == 6)
        #expect(HeldOut(heldOut.json) == heldOut)
    }
}

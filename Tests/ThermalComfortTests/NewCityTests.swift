import Learning
import Testing
import ThermalComfort
import Training

@Suite struct NewCityTests {
    typealias Vote = LifelongMethodTests.Vote

    /// Half of Athens and Cork want it cooler; two thirds of Bari want it warmer.
    static let votes = [(1, [Preference.cooler, .cooler, .cooler]), (2, [.warmer, .warmer, .warmer]), (3, [.cooler, .cooler, .cooler])]
        .flatMap { building, most in
            let labels = most + (building == 2 ? [.warmer, .noChange, .cooler] : [.noChange, .noChange, .warmer])
            return [false, true].flatMap { isTest in
                (0..<120).map { Vote(building: building, label: labels[$0 % 6], isTest: isTest) }
            }
        }

    static func evaluation(_ votes: [Vote]) throws -> NewCityEvaluation {
        let (database, rows) = try LifelongMethodTests.survey(votes)
        let experiment = NewCityExperiment(database: database, rows: rows)
        let estimator = LifelongMethodTests.ShareMargins()
        let service = NewCityService(frozen: estimator, retrained: estimator)
        var whole = NewCityEvaluation(labelCounts: [0, 5, 20, 100])
        for fold in 0..<NewCityExperiment.foldCount {
            whole.merge(try experiment.evaluate(fold: fold, service, labelCounts: whole.labelCounts))
        }
        return whole
    }

    @Test func `a held-out city is served by the others, and a few labels turn every way to what it wants`() throws {
        let evaluation = try Self.evaluation(Self.votes)
        #expect(evaluation.cityCount == 3 && evaluation.testRowCount == 360)
        for way in NewCityWay.allCases {
            let before = try #require(evaluation.figures(way, labelCount: 0)?.cities.counts["bari"])
            #expect(before.hits == 20, "the others say cooler")
            let after = try #require(evaluation.figures(way, labelCount: 100)?.cities.counts["bari"])
            #expect(after.hits == (way == .global ? 20 : 80), "\(way.rawValue): \(after)")
        }
        let global = try #require(evaluation.figures(.global, labelCount: 0))
        #expect(global.cities.counts["athens"]?.hits == 20, "Bari and Cork together say warmer")
        let edge = try #require(evaluation.figures(.edgeBias, labelCount: 100))
        #expect(edge.shareOfCitiesBetter(than: global) == 1)
        #expect(global.shareOfCitiesBetter(than: global) == 0)
    }

    @Test func `the curve as results hold it starts at the global model and names every way`() throws {
        let curve = try #require(ComfortResults.LabelCurve(try Self.evaluation(Self.votes)))
        #expect(curve.labels == [0, 5, 20, 100] && curve.cities == 3 && curve.testRows == 360)
        #expect(Set(curve.series.keys) == ["global", "edge_bias", "edge_adapter", "cloud_retrain"])
        for series in curve.series.values { #expect(series.relativeGainVsGlobal.first == 0 && series.accuracy.allSatisfy { $0 != nil }) }
    }

    @Test func `a city with fewer than 100 pool or test rows is not judged`() throws {
        let small = Self.votes.filter { $0.building != 3 } + LifelongMethodTests.votes(3, [.cooler, .warmer])
        let evaluation = try Self.evaluation(small)
        #expect(evaluation.cityCount == 2)
    }

    @Test func `nothing that is said of a city depends on its test labels`() throws {
        var turned = Self.votes
        for index in turned.indices where turned[index].isTest { turned[index].label = .noChange }
        func answers(_ votes: [Vote]) throws -> [NewCityService.Answers] {
            let (database, rows) = try LifelongMethodTests.survey(votes)
            let experiment = NewCityExperiment(database: database, rows: rows)
            let estimator = LifelongMethodTests.ShareMargins()
            return try (0..<NewCityExperiment.foldCount).map { fold in
                try NewCityService(frozen: estimator, retrained: estimator).answers(
                    known: experiment.known(outsideFold: fold), cities: experiment.cities(ofFold: fold), labelCounts: [0, 5, 20],
                    ways: Set(NewCityWay.allCases))
            }
        }
        #expect(try answers(Self.votes) == answers(turned))
    }
}

@Suite(.enabled(if: RealData.isThere, "the database is not beside the repository"))
struct NewCityRealDataTests {
    @Test func `the protocol holds out 50 cities with 41,474 test rows, and no fold knows a row of its cities`() throws {
        let database = try RealData.load()
        let experiment = NewCityExperiment(database: database, rows: ComfortSplit.main(database))
        #expect(experiment.cityCount == 50 && experiment.testRowCount == 41_474)
        for fold in 0..<NewCityExperiment.foldCount {
            let held = Set(experiment.cities(ofFold: fold).map(\.name))
            #expect(held.isDisjoint(with: experiment.known(outsideFold: fold).rows.cities))
            #expect(experiment.cities(ofFold: fold).allSatisfy { $0.offered.count == 100 })
        }
    }

    @Test func `few labels at new cities gain what was promised, whatever the test labels say`() throws {
        var database = try RealData.load()
        let rows = ComfortSplit.main(database)
        let experiment = NewCityExperiment(database: database, rows: rows)
        let library = try XGBoostLibrary(candidates: [".deps/xgboost/lib/libxgboost.so"])
        let light = BlendTrainer(library, settings: .newCity(seed: 27), classCount: 3)
        let service = NewCityService(frozen: light, retrained: light)
        let counts = [0, 5, 20, 50]
        var whole = NewCityEvaluation(labelCounts: counts)
        for fold in 0..<NewCityExperiment.foldCount { whole.merge(try experiment.evaluate(fold: fold, service, labelCounts: counts)) }
        let curve = try #require(ComfortResults.LabelCurve(whole))
        for (series, promised) in [
            ("edge_bias", [0.02, 0.03, 0.045]), ("edge_adapter", [0.02, 0.03, 0.05]), ("cloud_retrain", [0.025, 0.04, 0.05]),
        ] {
            let gains = try #require(curve.series[series]).relativeGainVsGlobal.dropFirst().compactMap { $0 }
            #expect(gains.count == 3 && zip(gains, promised).allSatisfy { $0 >= $1 }, "\(series): \(gains)")
        }

        let testIDs = Set(rows.filter { $0.part == .test }.map(\.recordID))
        for index in database.records.indices where testIDs.contains(database.records[index].recordID) {
            database.records[index].preference = Preference(rawValue: (database.records[index].preference.rawValue + 1) % 3)!
            database.records[index].votes = ["9", "9", "9", "9"]
        }
        let turned = NewCityExperiment(database: database, rows: rows)
        func answers(_ experiment: NewCityExperiment) throws -> NewCityService.Answers {
            try service.answers(
                known: experiment.known(outsideFold: 0), cities: experiment.cities(ofFold: 0), labelCounts: [0, 20],
                ways: Set(NewCityWay.allCases))
        }
        #expect(try answers(turned) == answers(experiment))
    }
}

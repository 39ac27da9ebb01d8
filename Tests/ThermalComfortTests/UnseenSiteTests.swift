import Learning
import Testing
import ThermalComfort

@Suite struct UnseenSiteTests {
    @Test func `the later half of a site divides no leakage group, and a single group has none`() throws {
        // Undated and anonymous: groups are blocks of 20 rows.
        let votes =
            LifelongMethodTests.votes(1, [Preference](repeating: .cooler, count: 60))
            + LifelongMethodTests.votes(2, [Preference](repeating: .warmer, count: 20))
            + LifelongMethodTests.votes(3, [.noChange], isTest: true)
        let experiment = try LifelongMethodTests.experiment(votes)
        let pool = experiment.round(1).poolSoFar
        let expected = [Bool](repeating: false, count: 40) + [Bool](repeating: true, count: 20) + [Bool](repeating: false, count: 20)
        #expect(ComfortSplit.isInLaterHalf(pool) == expected)
    }

    @Test func `figures are means over rounds and rates over rows`() throws {
        let detector = SiteDetector(name: "d", definition: "words", means: .rows(CoinFlipRecognition()))
        let rounds = [
            UnseenRound(
                detector: "d", round: 1, auroc: 0.8, threshold: 1, knownCount: 10, falseAlarms: 1, newCount: 30, detections: 30),
            UnseenRound(
                detector: "d", round: 2, auroc: 0.6, threshold: .infinity, knownCount: 30, falseAlarms: 1, newCount: 10, detections: 0),
            UnseenRound(detector: "other", round: 1, auroc: 1, threshold: 1, knownCount: 1, falseAlarms: 1, newCount: 1, detections: 1),
        ]
        let sites = ComfortResults.UnseenSites(rounds, detectors: [detector])
        let found = try #require(sites.detectors["d"])
        #expect(sites.detectors.count == 1 && abs(found.auroc - 0.7) < 1e-12 && found.falseAlarmRate == 0.05 && found.detectionRate == 0.75)
        #expect(found.threshold.isFinite, "an infinite number cannot be written as JSON")
    }
}

@Suite(.enabled(if: RealData.isThere, "the database is not beside the repository"))
struct UnseenSiteRealDataTests {
    @Test func `sites of the next round are told from known ones, whatever anybody votes`() throws {
        var database = try RealData.load()
        let rows = ComfortSplit.main(database)
        let detectors = SiteDetector.all().filter { $0.name.hasPrefix("attributes") || $0.name.hasPrefix("sedna") }
        let experiment = ComfortExperiment(database: database, rows: rows, budget: .few, featureSets: [])
        let rounds = try experiment.unseenSites(detectors, rowsMax: 600)
        let sites = ComfortResults.UnseenSites(rounds, detectors: detectors)
        for name in ["attributes", "attributes_batch"] {
            let found = try #require(sites.detectors[name])
            #expect(found.auroc >= 0.9 && found.falseAlarmRate <= 0.05 && found.detectionRate >= 0.9, "\(name): \(found)")
        }
        let coin = try #require(sites.detectors["sedna_sample_recognition"])
        #expect(abs(coin.auroc - 0.5) < 0.03)

        for index in database.records.indices {
            database.records[index].preference = .warmer
            database.records[index].votes = ["3", "3", "3", "3"]
        }
        let turned = ComfortExperiment(database: database, rows: rows, budget: .few, featureSets: [])
        #expect(try turned.unseenSites(detectors, rowsMax: 600) == rounds)
    }
}

import Learning
import Testing

@Suite struct UnseenStageTests {
    /// Places 0..<count: each has a level of its own for "level" (its number, times 10), and readings that vary alike everywhere.
    static func samples(places: Range<Int>, rowsEach: Int, seed: UInt64, season: String = "summer") -> LifelongSamples {
        var generator = SeededGenerator(seed: seed)
        var features = FeatureMatrix(columnNames: ["level", "reading"])
        var sites: [String] = []
        for place in places {
            for _ in 0..<rowsEach {
                features.append([Float(10 * place) + .random(in: -1...1, using: &generator), .random(in: -100...100, using: &generator)])
                sites.append("p\(place)")
            }
        }
        return LifelongSamples(
            ids: Array(sites.indices), features: features, attributes: ["site": sites, "season": sites.map { _ in season }],
            folds: sites.map { _ in 0 })
    }

    static func seen(places: Range<Int> = 0..<30) -> SeenSamples {
        let rows = samples(places: places, rowsEach: 40, seed: 1)
        return SeenSamples(rows: rows, isLater: (0..<rows.count).map { $0 % 40 >= 20 })
    }

    static let level = NeighbourRecognition(PlaceSigns(columns: ["level"]))

    @Test func `a new place is noticed, and known ones raise about as many alarms as were asked for`() throws {
        var recognition = Self.level
        recognition.falseAlarmRate = 0.1
        let recogniser = try recognition.recogniser(of: Self.seen())
        let known = try recogniser.scores(Self.samples(places: 0..<30, rowsEach: 40, seed: 2))
        let alarms = Double(known.count { $0 > recogniser.threshold }) / Double(known.count)
        // The final reference has twice the rows that calibrated, so alarms are fewer, never many more.
        #expect(alarms < 0.12 && alarms > 0.001, "\(alarms)")
        let new = try recogniser.scores(Self.samples(places: 100..<110, rowsEach: 5, seed: 3))
        #expect(new.allSatisfy { $0 > recogniser.threshold })
    }

    @Test func `what is constant in a place outweighs what varies in every place`() throws {
        let recognition = NeighbourRecognition(PlaceSigns(columns: ["level", "reading"]))
        let recogniser = try recognition.recogniser(of: Self.seen())
        let known = try recogniser.scores(Self.samples(places: 0..<30, rowsEach: 20, seed: 2))
        let new = try recogniser.scores(Self.samples(places: 40..<50, rowsEach: 20, seed: 3))
        #expect(areaUnderROC(positives: new, negatives: known)! > 0.99)
    }

    @Test func `a batch scores the mean of its rows and has a threshold of its own`() throws {
        var recognition = Self.level
        recognition.falseAlarmRate = 0.1
        let detector = try PooledDetection(recognition).detector(of: Self.seen())
        let recogniser = try recognition.recogniser(of: Self.seen())
        let batch = Self.samples(places: 3..<4, rowsEach: 20, seed: 5)
        let mean = try recogniser.scores(batch).reduce(0, +) / 20
        #expect(try abs(detector.score(batch) - mean) < 1e-12)
        #expect(detector.threshold < recogniser.threshold, "means vary less than rows")
        #expect(try detector.score(Self.samples(places: 77..<78, rowsEach: 20, seed: 5)) > detector.threshold)
    }

    @Test func `a missing reading and an unknown word are signs too`() throws {
        let seen = Self.seen()
        let season = try NeighbourRecognition(PlaceSigns(attributes: ["season"])).recogniser(of: seen)
        #expect(try season.scores(Self.samples(places: 0..<1, rowsEach: 1, seed: 1)) == [0])
        // All that is known is summer: the one word is a constant, its absence is far from it.
        #expect(try season.scores(Self.samples(places: 0..<1, rowsEach: 1, seed: 1, season: "monsoon"))[0] > season.threshold)
        let form = try NeighbourRecognition(PlaceSigns(formColumns: ["reading"])).recogniser(of: seen)
        var features = FeatureMatrix(columnNames: ["level", "reading"])
        features.append([0, .nan])
        let blind = LifelongSamples(ids: [0], features: features, attributes: ["site": ["p0"], "season": ["summer"]], folds: [0])
        #expect(try form.scores(blind)[0] > form.threshold)
    }

    @Test func `a threshold is conformal, and infinite where too little is known`() throws {
        #expect(conformalThreshold((1...99).map(Double.init).shuffled(), falseAlarmRate: 0.05) == 95)
        #expect(conformalThreshold([1, 2, 3], falseAlarmRate: 0.05) == .infinity)
        #expect(conformalThreshold([], falseAlarmRate: 0.05) == .infinity)
        let rows = Self.samples(places: 0..<2, rowsEach: 3, seed: 1)
        let early = SeenSamples(rows: rows, isLater: rows.ids.map { _ in false })
        #expect(try Self.level.recogniser(of: early).threshold == .infinity)
        #expect(try PooledDetection(Self.level).detector(of: early).threshold == .infinity)
    }

    @Test func `Sedna's coin says half of many is unseen, and of single rows about half, repeatably`() throws {
        let coin = CoinFlipRecognition(seed: 5)
        let rows = Self.samples(places: 0..<50, rowsEach: 20, seed: 1)
        #expect(coin.scores(rows).reduce(0, +) == 500)
        let single = (0..<1000).map { coin.scores(rows.rows([$0]))[0] }
        #expect((450...550).contains(single.reduce(0, +)) && single == (0..<1000).map { coin.scores(rows.rows([$0]))[0] })
    }

    @Test func `Sedna's filter notices a new combination of attributes and nothing else`() throws {
        let filter = try AttributeFilterDetection(attributes: ["season", "site"]).detector(of: Self.seen())
        #expect(try filter.score(Self.samples(places: 3..<4, rowsEach: 5, seed: 9)) == 0)
        #expect(try filter.score(Self.samples(places: 3..<4, rowsEach: 5, seed: 9, season: "winter")) > filter.threshold)
        #expect(try filter.score(Self.samples(places: 99..<100, rowsEach: 5, seed: 9)) > filter.threshold)
    }

    @Test func `batches hold rows of one place, and too small a rest is left out`() {
        let places = ["a", "b", "a", "a", nil, "b", "a", "a"]
        #expect(PooledDetection.batches(places, rows: 3) == [[0, 2, 3], [6, 7], [1, 5]])
    }

    @Test func `a sign that is not there is named`() {
        #expect(throws: StageError.unknownAttribute("height", known: ["level", "reading"])) {
            try NeighbourRecognition(PlaceSigns(columns: ["height"])).recogniser(of: Self.seen())
        }
        #expect(throws: StageError.unknownAttribute("colour", known: ["season", "site"])) {
            try NeighbourRecognition(PlaceSigns(attributes: ["colour"])).recogniser(of: Self.seen())
        }
    }

    @Test func `both are chosen by name with their parameters`() throws {
        var stages = LifelongStages()
        let catalog = StageCatalog()
        try catalog.place(#"unseen_sample_recognition=NearestNeighbours:{"columns": ["level"], "attribute": []}"#, in: &stages)
        let chosen = try stages.unseenSampleRecognition.recogniser(of: Self.seen())
        let rows = Self.samples(places: 7..<9, rowsEach: 3, seed: 4)
        #expect(try chosen.scores(rows) == Self.level.recogniser(of: Self.seen()).scores(rows))
        try catalog.place(#"unseen_task_detection=TaskAttrFilter:{"attribute": ["site"]}"#, in: &stages)
        #expect(try stages.unseenTaskDetection.detector(of: Self.seen()).score(Self.samples(places: 50..<51, rowsEach: 1, seed: 4)) == 1)
        #expect(throws: StageError.self) {
            try catalog.place(#"unseen_sample_recognition=NearestNeighbours:{"attribute": []}"#, in: &stages)
        }
    }
}

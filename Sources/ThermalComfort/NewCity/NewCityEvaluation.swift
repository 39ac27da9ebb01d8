package import Learning

/// How often each way was right at the new cities, by number of labels.
package struct NewCityEvaluation: Sendable {
    /// Labels given to each city, ascending from 0.
    package let labelCounts: [Int]
    /// Margins by way and number of labels; rows are in the same order everywhere.
    private var judged: [NewCityWay: [Int: [Double]]] = [:]
    private var truth: [Int] = []
    private var cities: [String] = []
    private var buildings: [String] = []

    /// Nothing judged yet; parts are added by `merge`.
    package init(labelCounts: [Int]) { self.labelCounts = labelCounts }

    /// Adds the cities of another part of the same experiment.
    package mutating func merge(_ other: NewCityEvaluation) {
        precondition(other.labelCounts == labelCounts, "parts of one experiment have the same numbers of labels")
        for (way, counts) in other.judged {
            for (count, margins) in counts { judged[way, default: [:]][count, default: []] += margins }
        }
        truth += other.truth
        cities += other.cities
        buildings += other.buildings
    }

    fileprivate init(_ answers: NewCityService.Answers, _ held: [NewCityExperiment.Held], labelCounts: [Int]) {
        self.init(labelCounts: labelCounts)
        judged = answers.mapValues { $0.mapValues { $0.flatMap { $0 } } }
        truth = held.flatMap(\.truth)
        cities = held.flatMap { held in held.truth.map { _ in held.city.name } }
        buildings = held.flatMap { $0.city.test.buildingIDs.map(String.init) }
    }

    /// The ways that were run, in the order of `NewCityWay`.
    package var ways: [NewCityWay] { NewCityWay.allCases.filter { judged[$0] != nil } }
    /// Judged rows of all cities.
    package var testRowCount: Int { truth.count }
    /// Cities with at least one judged row.
    package var cityCount: Int { Set(cities).count }

    /// Hits and losses of a way with a number of labels; nil where it was not run. Without labels every way is the global model.
    package func figures(_ way: NewCityWay, labelCount: Int) -> NewCityFigures? {
        guard judged[way] != nil, let margins = judged[labelCount == 0 ? .global : way]?[labelCount], !truth.isEmpty else { return nil }
        let probabilities = ClassProbabilities(classCount: Preference.allCases.count, logits: margins.map(Float.init))
        return NewCityFigures(
            metrics: ClassificationMetrics(probabilities, truth: truth), cities: GroupHits(probabilities, truth: truth, groups: cities),
            buildings: GroupHits(probabilities, truth: truth, groups: buildings))
    }
}

/// How a way did with a number of labels in each new city.
package struct NewCityFigures: Sendable, Equatable {
    /// Over the rows of all cities.
    package var metrics: ClassificationMetrics
    /// Hits by city.
    package var cities: GroupHits
    /// Hits by building, the groups of intervals.
    package var buildings: GroupHits

    /// Share of cities with a higher accuracy than the other has there.
    package func shareOfCitiesBetter(than other: NewCityFigures) -> Double {
        let better = cities.counts.count { $0.value.hits > other.cities.counts[$0.key]?.hits ?? 0 }
        return Double(better) / Double(cities.counts.count)
    }
}

extension NewCityExperiment {
    /// Serves the cities of one fold and judges what was said. Folds are independent: they may run side by side.
    ///
    /// - Parameters:
    ///   - labelCounts: ascending from 0, none above the last of `NewCityExperiment.labelCounts`.
    ///   - ways: `global` is run in any case, as the baseline.
    /// - Throws: what the service throws.
    package func evaluate(
        fold: Int, _ service: NewCityService, labelCounts: [Int] = NewCityExperiment.labelCounts,
        ways: Set<NewCityWay> = Set(NewCityWay.allCases)
    ) throws -> NewCityEvaluation {
        precondition(labelCounts.first == 0 && labelCounts.last! <= Self.labelCounts.last!, "numbers of labels ascend from 0")
        let held = held.filter { $0.fold == fold }
        guard !held.isEmpty else { return NewCityEvaluation(labelCounts: labelCounts) }
        let answers = try service.answers(
            known: known(outsideFold: fold), cities: held.map(\.city), labelCounts: labelCounts, ways: ways)
        return NewCityEvaluation(answers, held, labelCounts: labelCounts)
    }
}

extension ComfortResults.LabelCurve {
    /// The curve as results hold it; nil where no city was judged.
    package init?(_ evaluation: NewCityEvaluation) {
        guard let global = evaluation.figures(.global, labelCount: 0) else { return nil }
        var series: [String: ComfortResults.LabelSeries] = [:]
        for way in evaluation.ways {
            let figures = evaluation.labelCounts.map { evaluation.figures(way, labelCount: $0) }
            series[way.rawValue] = ComfortResults.LabelSeries(
                accuracy: figures.map { $0?.metrics.accuracy },
                relativeGainVsGlobal: figures.map { $0.map { $0.metrics.accuracy / global.metrics.accuracy - 1 } },
                shareOfCitiesBetter: figures.map { $0?.shareOfCitiesBetter(than: global) })
        }
        self.init(labels: evaluation.labelCounts, series: series, cities: evaluation.cityCount, testRows: evaluation.testRowCount)
    }
}

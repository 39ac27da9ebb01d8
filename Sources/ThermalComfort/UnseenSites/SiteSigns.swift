package import Learning

/// What a detector of unseen sites may look at.
package enum SiteSigns: String, CaseIterable, Sendable {
    /// What is known of a site before anyone measures there, and which instruments report: place, kind of building and of cooling, season.
    /// Never the year: rounds are made by it.
    case attributes
    /// What instruments and form say: every reading; a missing one counts as the median.
    case sensors
    /// The five readings nearly every survey takes, so that its form tells nothing.
    case fiveReadings = "five_readings"

    private static let readings: [Measure] = [
        .ta, .tr, .top, .tg, .rh, .vel, .met, .clo, .tOut, .rhOut, .taHigh, .taMiddle, .taLow, .velHigh, .velLow,
    ]
    private static let form: [Measure] =
        readings + [.window, .fan, .door, .heater, .blind, .activity, .age, .ht, .wt, .tOutISD, .rhOutISD, .tOutMonthly, .tMotISD, .set]

    /// Columns, form and words to compare; the place is the site.
    package var signs: PlaceSigns {
        switch self {
        case .attributes:
            PlaceSigns(
                columns: ["lat", "lon"], formColumns: Self.form.map(\.rawValue), attributes: ["season", "cooling", "building_type"])
        case .sensors: PlaceSigns(columns: Self.readings.map(\.rawValue))
        case .fiveReadings: PlaceSigns(columns: [Measure.ta, .rh, .vel, .met, .clo].map(\.rawValue))
        }
    }

    var meaning: String {
        switch self {
        case .attributes: "place, building, cooling, season and which instruments report"
        case .sensors: "instruments' readings alone, a missing one taken as the median"
        case .fiveReadings: "air temperature, humidity, air speed, activity and clothing alone"
        }
    }

    /// Columns of every sign.
    static let features = ComfortFeatureSet(name: "site_signs", columnNames: form.map(\.rawValue) + ["lat", "lon"]) { record, building in
        form.map { Float(record[$0]) } + [building.latitude, building.longitude].map { Float($0 ?? .nan) }
    }
}

extension ComfortRows {
    /// The rows as the stages that detect unseen sites see them.
    var signs: LifelongSamples { samples(SiteSigns.features) }

    /// The rows as the stages of lifelong learning see them, with the features of a set.
    func samples(_ featureSet: ComfortFeatureSet) -> LifelongSamples {
        let tasks = tasks
        return LifelongSamples(
            ids: recordIDs, features: features(featureSet),
            attributes: [
                "season": seasons, "cooling": coolingTypes, "city": cities, "building": buildingIDs.map(String.init),
                "building_type": (0..<count).map { building($0).buildingType }, "site": tasks.sites,
                "person": tasks.persons.map { $0 ?? "" },
            ], folds: tasks.folds)
    }
}

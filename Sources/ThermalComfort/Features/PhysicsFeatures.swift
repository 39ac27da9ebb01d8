#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The context features and what building physics and the survey's form derive from them: comfort temperatures of the adaptive standards, predicted mean vote,
/// vapour pressure, season of the sun, stature, every sensor height. All exist before anyone votes.
package enum PhysicsFeatures {
    private static let derived = [
        "t_running_mean", "t_operative", "radiant_asymmetry", "adaptive_ashrae55", "adaptive_en16798", "indoor_outdoor", "vapour_pressure",
        "enthalpy", "pmv_filled", "season_sine", "season_cosine", "body_mass_index",
    ]
    private static let measured: [Measure] = [.ht, .wt, .door, .heater, .blind, .taHigh, .taMiddle, .taLow, .velHigh, .velLow]
    private static let closing = [
        "ta_gradient", "t_outdoor_surveyed", "t_outdoor_station", "t_outdoor_month", "draught", "clothed_warmth", "latitude_absolute",
        "year",
        "activity_10", "missing_count",
    ]

    /// The 68 columns in the order of `row`; units and meanings stand in `meaning(of:)`.
    package static let names = ContextFeatures.names + derived + measured.map(\.rawValue) + closing
    /// Columns that tell one survey from another more than they tell why people vote: left out where a model must serve a city it never saw.
    package static let surveyColumns: Set<String> = ["year"]
    /// Columns whose absence says something of the survey: a network gets an indicator for each.
    package static let indicatorColumns = [
        "tr", "top", "vel", "met", "age", "female", "t_mot_isd", "window", "fan", "tg", "set", "month", "body_mass_index",
    ]

    /// One row; NaN where a measurement, the date or the place is missing.
    package static func row(_ record: ComfortRecord, _ building: Building) -> [Float] {
        let outdoorColumn = 7
        let context = ContextFeatures.row(record, building)
        let runningMean = first(record, [.tMotISD, .tOutMonthly, .tOutISD, .tOut])
        let radiant = first(record, [.tr, .tg])
        let middle = 0.5 * (record[.ta] + radiant)
        let operative = known(record[.top]) ?? known(middle) ?? record[.ta]
        let humidity = bounded(record[.rh], 0, 100)
        let vapour = humidity / 100 * 6.1094 * exp(17.625 * record[.ta] / (record[.ta] + 243.04))
        let clothing = known(record[.clo]) ?? Filled.clothing
        let season = seasonAngle(record, building)
        var row = context.map(Double.init)
        row += [
            runningMean, operative, radiant - record[.ta], operative - (0.31 * bounded(runningMean, 10, 33.5) + 17.8),
            operative - (0.33 * bounded(runningMean, 10, 30) + 18.8), record[.ta] - Double(context[outdoorColumn]), vapour,
            1.006 * record[.ta] + (0.622 * vapour / (1013 - vapour)) * (2501 + 1.86 * record[.ta]), filledPMV(record, radiant),
            sin(season), cos(season), record[.wt] / (record[.ht] / 100 * record[.ht] / 100),
        ]
        row += measured.map { record[$0] }
        row += [
            record[.taHigh] - record[.taLow], record[.tOut], record[.tOutISD], record[.tOutMonthly], record[.vel] * (34 - record[.ta]),
            operative + 7 * (clothing - Filled.clothing), abs(building.latitude ?? .nan), Double(building.year), activityCode(record),
            Double(missingCount(record)),
        ]
        return row.map(Float.init)
    }

    /// Usual values indoors, for a vote that physics predicts where a sensor is missing.
    private enum Filled {
        static let airSpeed = 0.1
        static let humidity = 50.0
        static let metabolicRate = 1.2
        static let clothing = 0.65
    }

    private static func filledPMV(_ record: ComfortRecord, _ radiant: Double) -> Double {
        let value = PMV.value(
            airTemperature: record[.ta], radiantTemperature: known(radiant) ?? record[.ta],
            airSpeed: bounded(known(record[.vel]) ?? Filled.airSpeed, 0, 3),
            humidity: bounded(known(record[.rh]) ?? Filled.humidity, 0, 100),
            metabolicRate: bounded(known(record[.met]) ?? Filled.metabolicRate, 0.8, 4),
            clothing: bounded(known(record[.clo]) ?? Filled.clothing, 0, 3))
        return bounded(value, -4, 4)
    }

    /// Place in the year as an angle, 0 at new year; the southern hemisphere is half a year ahead.
    private static func seasonAngle(_ record: ComfortRecord, _ building: Building) -> Double {
        let parts = record.date.split(separator: "-")
        guard parts.count == 3, let month = Int(parts[1]), let day = Int(parts[2]), (1...12).contains(month) else { return .nan }
        let daysBefore = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month - 1]
        return 2 * .pi * Double(daysBefore + day) / 365.25 + ((building.latitude ?? 0) < 0 ? .pi : 0)
    }

    /// Codes go up to 5; some surveys wrote something else into the column.
    private static func activityCode(_ record: ComfortRecord) -> Double { record[.activity] > 5 ? .nan : record[.activity] }

    private static func missingCount(_ record: ComfortRecord) -> Int {
        let counted: [Measure] = [.tr, .top, .tg, .vel, .met, .clo, .set, .age, .tOut, .tOutISD]
        return counted.count { record[$0].isNaN } + (record.gender.isEmpty ? 1 : 0) + (record.subjectID.isEmpty ? 1 : 0)
    }

    private static func known(_ value: Double) -> Double? { value.isNaN ? nil : value }
    private static func first(_ record: ComfortRecord, _ sources: [Measure]) -> Double {
        sources.lazy.map { record[$0] }.first { !$0.isNaN } ?? .nan
    }
    private static func bounded(_ value: Double, _ low: Double, _ high: Double) -> Double {
        value.isNaN ? value : min(max(value, low), high)
    }
}

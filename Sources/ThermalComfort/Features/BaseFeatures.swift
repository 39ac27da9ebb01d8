/// The inputs of the single-task baseline: what Sedna's example feeds its model, as numbers; all exist before anyone votes.
package enum BaseFeatures {
    private static let seasons = ["summer", "winter", "hot/wet", "cool/dry", "spring", "autumn"]
    private static let coolings = ["naturally ventilated", "air conditioned", "mixed mode", "unknown"]
    private static let direct: [Measure] = [.ta, .tr, .top, .rh, .vel, .met, .clo]
    private static let derived: [Measure] = [.set, .pmvCE, .ppdCE, .age]

    /// The 24 columns in the order of `row`; units as of the measures, flags and one-hot columns 0 or 1.
    package static let names =
        direct.map(\.rawValue) + ["t_outdoor", "rh_outdoor"] + derived.map(\.rawValue) + ["female"]
        + seasons.map { "season=\($0)" } + coolings.map { "cooling=\($0)" }

    /// One row; NaN where a measurement is missing.
    package static func row(_ record: ComfortRecord, _ building: Building) -> [Float] {
        let outdoor = firstKnown(record, [.tOut, .tOutISD, .tOutMonthly])
        let humidity = firstKnown(record, [.rhOut, .rhOutISD])
        let female: Float = record.gender == "female" ? 1 : record.gender == "male" ? 0 : .nan
        var row = direct.map { Float(record[$0]) }
        row += [outdoor, humidity]
        row += derived.map { Float(record[$0]) }
        row.append(female)
        row += seasons.map { $0 == record.season ? 1 : 0 }
        row += coolings.map { $0 == building.coolingType ? 1 : 0 }
        return row
    }

    private static func firstKnown(_ record: ComfortRecord, _ sources: [Measure]) -> Float {
        Float(sources.lazy.map { record[$0] }.first { !$0.isNaN } ?? .nan)
    }
}

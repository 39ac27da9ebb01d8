/// What an occupant wants; the raw value is the class index in every probability row (cooler, no change, warmer).
package enum Preference: Int, CaseIterable, Sendable {
    case cooler, noChange, warmer

    /// The word the database uses.
    package var word: String { ["cooler", "no change", "warmer"][rawValue] }

    /// Nil for any other word; case counts.
    package init?(word: String) {
        guard let found = Self.allCases.first(where: { $0.word == word }) else { return nil }
        self = found
    }
}

/// The numeric columns of the measurements file that the product reads. Raw values are the column names; units stand in the data set's card.
package enum Measure: String, CaseIterable, Sendable {
    case age, ht, wt, ta, tr, top, tg, rh, vel, met, clo
    case fan, window
    case tOut = "t_out"
    case rhOut = "rh_out"
    case tOutMonthly = "t_out_monthly"
    case tOutISD = "t_out_isd"
    case rhOutISD = "rh_out_isd"
    case set
    case pmvCE = "pmv_ce"
    case ppdCE = "ppd_ce"
    case tMotISD = "t_mot_isd"
    case taHigh = "ta_h"
    case taMiddle = "ta_m"
    case taLow = "ta_l"
    case velHigh = "vel_h"
    case velLow = "vel_l"
    case door, heater
    case blind = "blind_curtain"
    case activity = "activity_10"

    /// Position in `ComfortRecord.measures`.
    package var index: Int { Self.indices[self]! }
    private static let indices = Dictionary(uniqueKeysWithValues: allCases.enumerated().map { ($1, $0) })
}

/// What is known of a building before anyone votes in it (metadata file, one row a building).
package struct Building: Sendable, Equatable {
    /// Unique in the metadata file.
    package var id: Int
    /// Lower-case name; "nan" where the database has none.
    package var city: String
    /// Degrees north, negative in the south; nil where unknown.
    package var latitude: Double?
    /// Degrees east, negative in the west; nil where unknown.
    package var longitude: Double?
    /// As the database has it, for example "office"; empty where unknown.
    package var buildingType: String
    /// "air conditioned", "naturally ventilated", "mixed mode" or "unknown".
    package var coolingType: String
    /// Calendar year of the survey.
    package var year: Int
}

/// One vote of one occupant with what was measured around them.
package struct ComfortRecord: Sendable {
    /// Unique in the measurements file; predictions and knowledge name rows by it.
    package var recordID: Int
    /// A key of `ComfortDatabase.buildings`.
    package var buildingID: Int
    /// RFC 3339 in UTC; empty where undated.
    package var timestamp: String
    /// "summer", "winter", "spring", "autumn", "hot/wet" or "cool/dry", as the database has it.
    package var season: String
    /// Empty where the survey was anonymous.
    package var subjectID: String
    /// "female", "male" or empty.
    package var gender: String
    /// The label; a constant in records that are `blinded`.
    package var preference: Preference
    /// By `Measure.index`; NaN where missing.
    package var measures: [Double]
    /// The votes given with the label. They tell duplicates apart and are never an input of a model.
    package var votes: [String]

    /// In the unit of the data set's card; NaN where missing.
    package subscript(_ measure: Measure) -> Double { measures[measure.index] }
    /// The thermal sensation voted with the label, −3 cold … 3 hot; nil where not asked. A training target at most, never an input.
    package var sensation: Float? { votes.first.flatMap { Float($0) } }
    /// YYYY-MM-DD, UTC; empty where undated.
    package var date: Substring { timestamp.prefix(10) }
    /// The site of the learning protocol: a building in a season.
    package var site: String { "\(buildingID)/\(season)" }
}

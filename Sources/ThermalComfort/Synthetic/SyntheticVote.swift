#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One made-up vote with what is measured around it.
struct SyntheticVote {
    /// A room at the moment of a vote: °C, %, m/s, met, clo.
    struct Room {
        var air: Double
        var radiant: Double
        var humidity: Double
        var speed: Double
        var metabolism: Double
        var clothing: Double
        var outdoor: Double
        var running: Double
        var outdoorHumidity: Double
        var isWindowOpen: Bool
        var isFanOn: Bool
        /// By ISO 7730; what the average person would vote.
        var predictedVote: Double

        init(coolingType: String, outdoor: Double, running: Double, isWarm: Bool, _ random: inout SyntheticRandom) {
            self.outdoor = outdoor
            self.running = running
            let isCooled = coolingType == "air conditioned" || (coolingType == "mixed mode" && outdoor > 26)
            // Cooled rooms are held near one temperature, free-running ones follow the weather, heated ones stay above 20 °C.
            let held = isCooled ? 23.6 + 0.05 * (outdoor - 20) : max(21.5, 15.5 + 0.42 * outdoor)
            air = random.normal(mean: held, deviation: 1.5)
            radiant = air + random.normal(mean: isWarm ? 0.3 : -0.2, deviation: 0.7)
            humidity = min(95, max(12, random.normal(mean: isCooled ? 48 : 52, deviation: 11)))
            outdoorHumidity = min(100, max(15, random.normal(mean: 65, deviation: 14)))
            isFanOn = !isCooled && random.isTrue(air > 26.5 ? 0.6 : 0.1)
            isWindowOpen = !isCooled && random.isTrue(outdoor > 18 ? 0.6 : 0.1)
            speed = (isFanOn ? 0.35 : 0.06) + (isWindowOpen ? 0.08 : 0) + 0.12 * random.share()
            metabolism = random.pick([1.0, 1.0, 1.1, 1.2, 1.2, 1.4, 1.7])
            clothing = min(1.6, max(0.25, random.normal(mean: 0.95 - 0.018 * running, deviation: 0.14)))
            predictedVote = PMV.value(
                airTemperature: air, radiantTemperature: radiant, airSpeed: speed, humidity: humidity, metabolicRate: metabolism,
                clothing: clothing)
        }

        /// The temperature of a standard room (50 %, 0.1 m/s, 1.2 met, 0.6 clo, walls as warm as the air) with the same predicted vote.
        var standardTemperature: Double {
            var low = -20.0, high = 60.0
            for _ in 0..<20 {
                let middle = (low + high) / 2
                let vote = PMV.value(
                    airTemperature: middle, radiantTemperature: middle, airSpeed: 0.1, humidity: 50, metabolicRate: 1.2, clothing: 0.6)
                if vote < predictedVote { low = middle } else { high = middle }
            }
            return (low + high) / 2
        }
    }

    static let columns =
        ["record_id", "building_id", "timestamp", "season", "subject_id", "gender"]
        + ["thermal_sensation", "thermal_preference", "thermal_acceptability", "air_movement_preference"]
        + Measure.allCases.map(\.rawValue)

    /// Rows that nobody asked for a preference; the protocol leaves them out.
    private static let unlabelledShare = 0.04
    /// Single readings that were lost.
    private static let lostShare = 0.03

    var timestamp = ""
    var season: String
    var subjectID = ""
    var gender = ""
    /// −3 cold … 3 hot.
    var sensation: Double
    /// Nil where nobody asked.
    var preference: Preference?
    /// Empty where not asked.
    var acceptability: String
    /// Absent where missing.
    var values: [Measure: Double]

    /// - Parameter feeling: on the scale of thermal sensation, not rounded.
    init(room: Room, instruments: SyntheticSurvey.Instruments, feeling: Double, season: String, _ random: inout SyntheticRandom) {
        self.season = season
        sensation = min(3, max(-3, (feeling + random.normal(deviation: 0.3)).rounded())) + 0
        let wanted: Preference = feeling > 0.6 ? .cooler : feeling < -1 ? .warmer : .noChange
        preference = random.isTrue(Self.unlabelledShare) ? nil : wanted
        acceptability = random.isTrue(0.4) ? "" : abs(feeling) < 1.5 ? "acceptable" : "unacceptable"
        values = Self.readings(room, instruments)
        for measure in Measure.allCases where measure != .ta {
            // Drawn for every column, so that a column's absence does not move the numbers after it.
            let isLost = random.isTrue(Self.lostShare)
            if isLost { values[measure] = nil }
        }
    }

    private static func readings(_ room: Room, _ instruments: SyntheticSurvey.Instruments) -> [Measure: Double] {
        var values: [Measure: Double] = [
            .ta: room.air, .rh: room.humidity, .vel: room.speed, .met: room.metabolism, .clo: room.clothing,
            .tOutMonthly: room.running,
        ]
        if instruments.radiant {
            let vote = room.predictedVote
            values[.tr] = room.radiant
            values[.top] = (room.air + room.radiant) / 2
            values[.set] = room.standardTemperature
            values[.pmvCE] = vote
            // ISO 7730, clause 5: the predicted percentage of dissatisfied.
            values[.ppdCE] = 100 - 95 * exp(-0.03353 * vote * vote * vote * vote - 0.2179 * vote * vote)
        }
        if instruments.globe { values[.tg] = 0.4 * room.air + 0.6 * room.radiant }
        if instruments.outdoor {
            values[.tOut] = room.outdoor
            values[.rhOut] = room.outdoorHumidity
        }
        if instruments.station {
            values[.tOutISD] = room.outdoor
            values[.rhOutISD] = room.outdoorHumidity
            values[.tMotISD] = room.running
        }
        if instruments.windows {
            values[.window] = room.isWindowOpen ? 1 : 0
            values[.fan] = room.isFanOn ? 1 : 0
        }
        return values
    }

    /// In the order of `columns`.
    func fields(recordID: Int, buildingID: Int) -> [String] {
        let airMovement = ""
        return ["\(recordID)", "\(buildingID)", timestamp, season, subjectID, gender]
            + [shown(sensation), preference?.word ?? "", acceptability, airMovement]
            + Measure.allCases.map { shown(values[$0]) }
    }
}

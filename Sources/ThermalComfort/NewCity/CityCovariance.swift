import Learning

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How alike two votes of one city are in what the global model got wrong, along one direction of its margins: variances that add up.
package struct CityCovariance: Sendable, Equatable {
    /// Shared by all votes of the city.
    package var city = 0.0
    /// Shared in a building.
    package var building = 0.0
    /// Shared in a building in a season.
    package var site = 0.0
    /// Shared by a person's votes in a building.
    package var person = 0.0
    /// Of the slope over air temperature; a step is 4 K.
    package var airTemperature = 0.0
    /// Of the slope over clothing; a step is 0.3 clo.
    package var clothing = 0.0
    /// Of the difference of women from men.
    package var gender = 0.0
    /// Shared by votes under like conditions: air temperature, SET, clothing, air speed, Gaussian over one step.
    package var conditions = 0.0

    /// Squared natural-log units, 0 or more; what is left out is not shared.
    package init(
        city: Double = 0, building: Double = 0, site: Double = 0, person: Double = 0, airTemperature: Double = 0, clothing: Double = 0,
        gender: Double = 0, conditions: Double = 0
    ) {
        self.city = city
        self.building = building
        self.site = site
        self.person = person
        self.airTemperature = airTemperature
        self.clothing = clothing
        self.gender = gender
        self.conditions = conditions
    }

    /// - Returns: shape [rows, others].
    func matrix(_ rows: [CityRow], _ others: [CityRow]) -> [Double] {
        rows.flatMap { row in others.map { between(row, $0) } }
    }

    func between(_ a: CityRow, _ b: CityRow) -> Double {
        var sum = city
        if a.building == b.building { sum += building }
        if a.site == b.site { sum += site }
        if let person = a.person, person == b.person { sum += self.person }
        sum += airTemperature * a.air * b.air + clothing * a.clothing * b.clothing + gender * a.gender * b.gender
        guard conditions > 0 else { return sum }
        let distance =
            square(a.air - b.air) + square(a.effective - b.effective) + square(a.clothing - b.clothing) + square(a.speed - b.speed)
        return sum + conditions * exp(-distance / 2)
    }

    private func square(_ x: Double) -> Double { x * x }
}

/// The two directions in which a city's votes differ from what the world's would be, with their covariances.
package struct CityCovariances: Sendable, Equatable {
    /// Cooler against warmer.
    package var leaning: CityCovariance
    /// No change against both.
    package var contentment: CityCovariance

    /// Those that are used are `chosen`.
    package init(leaning: CityCovariance, contentment: CityCovariance) {
        self.leaning = leaning
        self.contentment = contentment
    }

    /// Unit vectors over cooler, no change, warmer.
    static let directions = [[1 / 2.0.squareRoot(), 0, -1 / 2.0.squareRoot()], [-1, 2, -1].map { $0 / 6.0.squareRoot() }]
    var both: [CityCovariance] { [leaning, contentment] }

    /// Chosen by log-loss on labelled rows alone, cities held out in eight parts: earlier half of each site to later half.
    package static let chosen = CityCovariances(
        leaning: CityCovariance(
            city: 0.2, building: 0.1, site: 0.05, person: 1, airTemperature: 0.12, clothing: 0.05, gender: 0.05, conditions: 0.15),
        contentment: CityCovariance(city: 0.05, site: 0.05, person: 0.12, airTemperature: 0.02))
}

/// What the covariance looks at in a row, in steps of about one standard deviation, 0 where missing.
struct CityRow: Sendable {
    var building: Int
    var site: String
    var person: String?
    var air: Double
    var effective: Double
    var clothing: Double
    var speed: Double
    var gender: Double

    static func rows(_ rows: ComfortRows) -> [CityRow] {
        let tasks = rows.tasks
        return (0..<rows.count).map { CityRow(rows.record($0), site: tasks.sites[$0], person: tasks.persons[$0]) }
    }

    private init(_ record: ComfortRecord, site: String, person: String?) {
        func step(_ value: Double, _ middle: Double, _ width: Double) -> Double { value.isNaN ? 0 : (value - middle) / width }
        building = record.buildingID
        (self.site, self.person) = (site, person)
        air = step(record[.ta], 24.5, 4)
        effective = record[.set].isNaN ? air : step(record[.set], 25, 4)
        clothing = step(record[.clo], 0.7, 0.3)
        speed = record[.vel].isNaN ? 0 : log(min(max(record[.vel], 0.02), 3) / 0.1)
        gender = record.gender == "female" ? 1 : record.gender == "male" ? -1 : 0
    }
}

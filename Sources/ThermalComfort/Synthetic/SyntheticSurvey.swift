/// One building of the synthetic database with the people who are asked in it.
struct SyntheticSurvey {
    /// What a building's investigators could measure; the rest is missing in all of its rows.
    struct Instruments {
        var radiant: Bool
        var globe: Bool
        var outdoor: Bool
        var station: Bool
        var windows: Bool
        var dates: Bool
        var persons: Bool
        var bodies: Bool
    }

    private struct Person {
        var id: Int
        var isFemale: Bool
        var age: Int
        var height: Double
        var weight: Double
        /// Added to what the person feels, on the scale of thermal sensation.
        var offset: Double
    }

    let building: Building
    let instruments: Instruments
    private let town: Town
    private let persons: [Person]

    private struct Town {
        var name: String
        var latitude: Double
        var longitude: Double
        /// Outdoors, °C: mean of the year and half the way from winter to summer.
        var mean: Double
        var swing: Double
        /// Added to what people there feel.
        var offset: Double

        var seasons: [String] { swing < 4 ? ["hot/wet", "cool/dry"] : ["summer", "winter"] }
    }

    private static let townNames = [
        "agartha", "antillia", "atlantis", "avalon", "brigadoon", "buyan", "camelot", "cockaigne", "el dorado", "erewhon", "hyperborea",
        "iram", "kitezh", "laputa", "lilliput", "lyonesse", "norumbega", "quivira", "shangri-la", "thule", "utopia", "xanadu", "ys",
    ]
    /// Years of survey, one of each round of the protocol.
    private static let years = [1993, 1995, 1999, 2007, 2012, 2016]

    /// Eight towns with three buildings in round 0; in each later round three new towns with two and one more building in two known ones.
    static func all(_ random: inout SyntheticRandom) -> [SyntheticSurvey] {
        let towns = townNames.map { town($0, &random) }
        var order = Array(towns.indices)
        for index in order.indices.reversed() { order.swapAt(index, random.whole(0...index)) }
        var plan: [(town: Int, year: Int)] = order[..<8].flatMap { town in (0..<3).map { _ in (town, years[0]) } }
        for round in 1...5 {
            let met = 8 + 3 * (round - 1)
            plan += order[met..<met + 3].flatMap { town in (0..<2).map { _ in (town, years[round]) } }
            plan += (0..<2).map { _ in (order[random.whole(0...met - 1)], years[round]) }
        }
        return plan.enumerated().map { index, place in
            SyntheticSurvey(id: index + 1, year: place.year, town: towns[place.town], &random)
        }
    }

    private static func town(_ name: String, _ random: inout SyntheticRandom) -> Town {
        let latitude = random.value(-45...60)
        let distance = abs(latitude)
        return Town(
            name: name, latitude: latitude, longitude: random.value(-180...180),
            mean: 28 - 0.33 * distance + random.normal(deviation: 2), swing: 0.22 * distance, offset: random.normal(deviation: 0.3))
    }

    private init(id: Int, year: Int, town: Town, _ random: inout SyntheticRandom) {
        self.town = town
        building = Building(
            id: id, city: town.name, latitude: random.isTrue(0.95) ? town.latitude : nil,
            longitude: random.isTrue(0.95) ? town.longitude : nil,
            buildingType: random.pick(["office", "office", "office", "classroom", "multifamily housing", "others"]),
            coolingType: random.pick(["air conditioned", "naturally ventilated", "mixed mode"]), year: year)
        instruments = Instruments(
            radiant: random.isTrue(0.65), globe: random.isTrue(0.35), outdoor: random.isTrue(0.5), station: random.isTrue(0.55),
            windows: random.isTrue(0.3), dates: random.isTrue(0.75), persons: random.isTrue(0.5), bodies: random.isTrue(0.4))
        persons = (1...random.whole(12...25)).map { id in
            let isFemale = random.isTrue(0.48)
            return Person(
                id: id, isFemale: isFemale, age: random.whole(18...64),
                height: random.normal(mean: isFemale ? 1.64 : 1.76, deviation: 0.07),
                weight: random.normal(mean: isFemale ? 62 : 75, deviation: 9),
                offset: random.normal(mean: isFemale ? -0.12 : 0.1, deviation: 0.5))
        }
    }

    /// Both seasons, day by day.
    func votes(_ random: inout SyntheticRandom) -> [SyntheticVote] {
        town.seasons.enumerated().flatMap { index, season in votes(season, isWarm: index == 0, &random) }
    }

    private func votes(_ season: String, isWarm: Bool, _ random: inout SyntheticRandom) -> [SyntheticVote] {
        let siteOffset = town.offset + random.normal(deviation: 0.45)
        let month = isWarm == (town.latitude >= 0) ? 7 : 1
        let level = town.mean + (isWarm ? town.swing : -town.swing)
        var running = level
        return (0..<random.whole(5...9)).flatMap { day in
            let outdoor = level + random.normal(deviation: 2.5)
            running = 0.8 * running + 0.2 * outdoor
            let date = "\(building.year)-0\(month)-\(10 + 2 * day)T00:00:00Z"
            return (0..<random.whole(7...14)).map { _ in
                let room = SyntheticVote.Room(
                    coolingType: building.coolingType, outdoor: outdoor, running: running, isWarm: isWarm, &random)
                return vote(room, season, date, siteOffset, &random)
            }
        }
    }

    private func vote(
        _ room: SyntheticVote.Room, _ season: String, _ date: String, _ siteOffset: Double, _ random: inout SyntheticRandom
    ) -> SyntheticVote {
        let person = random.pick(persons)
        let feeling = 0.8 * room.predictedVote + siteOffset + person.offset + random.normal(deviation: 0.6)
        var vote = SyntheticVote(room: room, instruments: instruments, feeling: feeling, season: season, &random)
        vote.timestamp = instruments.dates ? date : ""
        vote.gender = random.isTrue(0.75) ? (person.isFemale ? "female" : "male") : ""
        if instruments.persons { vote.subjectID = "\(person.id)" }
        guard instruments.bodies else { return vote }
        vote.values[.age] = Double(person.age)
        vote.values[.ht] = person.height
        vote.values[.wt] = person.weight
        return vote
    }
}

import Learning

/// A thermal-comfort database that nobody voted in: made for machines that cannot get the real one, and for tests.
///
/// The schema is that of the real files, read by the same `ComfortDatabase`. Rooms and clothing follow the season; what people feel is
/// the ISO 7730 vote plus an offset of the site, one of the person and noise, so there is something for lifelong learning to find. Places
/// have names of legend, so that no figure can be taken for one about a real city. Every output made from it must say `mark`.
///
/// The same seed gives the same bytes on every machine whose `exp` rounds alike.
package struct SyntheticComfort: Sendable {
    /// The word that stands in every output of a run on this database.
    package static let mark = "SYNTHETIC"
    /// The name by which outputs call the database.
    package static let databaseName = "\(mark) thermal comfort (ISO 7730 votes with site and person offsets; not measured)"
    /// The number of the standard that the votes follow.
    package static let defaultSeed: UInt64 = 7730

    /// CSV with a header, as `db_measurements_v2.1.0.csv.gz` unpacked: the columns the product reads.
    package let measurements: [UInt8]
    /// CSV with a header, as `db_metadata.csv`: the columns the product reads.
    package let metadata: [UInt8]

    /// Some 9,000 votes in 23 towns, 64 buildings and all rounds of the protocol.
    ///
    /// - Complexity: a few tenths of a second.
    package init(seed: UInt64 = defaultSeed) {
        var random = SyntheticRandom(generator: SeededGenerator(seed: seed))
        let surveys = SyntheticSurvey.all(&random)
        var votes = CSVText(SyntheticVote.columns)
        var recordID = 0
        for survey in surveys {
            for vote in survey.votes(&random) {
                recordID += 1
                votes.append(vote.fields(recordID: recordID, buildingID: survey.building.id))
            }
        }
        measurements = votes.bytes
        var buildings = CSVText(["building_id", "city", "lat", "lon", "building_type", "cooling_type", "year"])
        for building in surveys.map(\.building) {
            buildings.append([
                "\(building.id)", building.city, shown(building.latitude), shown(building.longitude), building.buildingType,
                building.coolingType, "\(building.year)",
            ])
        }
        metadata = buildings.bytes
    }

    /// The prepared database.
    package func database() throws -> ComfortDatabase {
        var texts = [measurements, metadata].map { Optional($0) }
        func once(_ index: Int) -> () -> [UInt8]? {
            {
                defer { texts[index] = nil }
                return texts[index]
            }
        }
        return try ComfortDatabase(measurements: once(0), metadata: once(1))
    }
}

/// Lines of comma-separated fields that need no quotes.
private struct CSVText {
    private(set) var bytes: [UInt8]

    init(_ columns: [String]) { bytes = Array((columns.joined(separator: ",") + "\n").utf8) }

    mutating func append(_ fields: [String]) { bytes += (fields.joined(separator: ",") + "\n").utf8 }
}

/// A number with at most two decimals; empty where there is none.
func shown(_ value: Double?) -> String {
    guard let value, value.isFinite else { return "" }
    return "\((value * 100).rounded() / 100 + 0)"
}

/// Draws that depend on the generator's bits alone, not on the standard library's version.
struct SyntheticRandom {
    var generator: SeededGenerator

    /// 0 ≤ value < 1.
    mutating func share() -> Double { Double(generator.next() >> 11) * 0x1p-53 }

    mutating func value(_ range: ClosedRange<Double>) -> Double {
        range.lowerBound + share() * (range.upperBound - range.lowerBound)
    }

    mutating func whole(_ range: ClosedRange<Int>) -> Int { range.lowerBound + Int(share() * Double(range.count)) }
    mutating func isTrue(_ probability: Double) -> Bool { share() < probability }
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[Int(share() * Double(elements.count))] }

    /// Near to normal: twelve uniform draws (Irwin–Hall), which needs no logarithm and so no library's rounding.
    mutating func normal(mean: Double = 0, deviation: Double) -> Double {
        mean + deviation * ((0..<12).reduce(0.0) { sum, _ in sum + share() } - 6)
    }
}

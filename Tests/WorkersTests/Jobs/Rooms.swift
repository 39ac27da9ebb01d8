import Learning
import TestKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Made-up readings of rooms: a vote that follows temperature, humidity and season, with some noise.
enum Rooms {
    static let columns = ["City", "Season", "Cooling", "ta", "rh", "Thermal preference"]

    static func csv(_ rows: Range<Int>, isLabelled: Bool = true, season: String? = nil) -> [UInt8] {
        var bytes = csvLine(columns)
        for row in rows {
            var generator = SeededGenerator(seed: UInt64(row) &* 7919)
            let ta = Double(Int.random(in: 180..<310, using: &generator)) / 10, rh = Int.random(in: 20..<90, using: &generator)
            let isSummer = row % 2 == 0
            let warmth = ta + Double(rh) / 40 + (isSummer ? -1 : 1) + Double.random(in: -1.5..<1.5, using: &generator)
            let vote = warmth > 27.5 ? "0" : warmth < 23.5 ? "2" : "1"
            bytes += csvLine([
                ["Athens", "Porto"][row % 2], season ?? (isSummer ? "Summer" : "Winter"), row % 3 == 0 ? "AC" : "NV", "\(ta)",
                row % 11 == 0 ? "" : "\(rh)", isLabelled ? vote : "",
            ])
        }
        return bytes
    }

    static func table(_ rows: Range<Int>) throws -> TextTable {
        var bytes: [UInt8]? = csv(rows)
        return try TextTable(source: "rooms.csv") {
            defer { bytes = nil }
            return bytes
        }
    }

    /// Variables of a job about them.
    static let variables = [
        "LABEL_COLUMN": "Thermal preference", "TASK_ATTRIBUTES": "Season, Cooling", "IGNORED_COLUMNS": "City",
        "ESTIMATOR": #"gbt:{"rounds": 25}"#,
    ]

    static func write(_ bytes: [UInt8], _ folder: TemporaryFolder, _ name: String) throws -> String {
        let path = "\(folder.path)/\(name)"
        try Data(bytes).write(to: URL(filePath: path))
        return path
    }

    static func read(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }
}

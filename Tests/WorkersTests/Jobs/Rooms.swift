import Learning
import TestKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
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

    /// Adds to a file as a logger does.
    static func append(_ bytes: some Sequence<UInt8>, to path: String) {
        let file = open(path, O_WRONLY | O_APPEND)
        defer { close(file) }
        let whole = Array(bytes)
        let count = whole.withUnsafeBytes { systemWrite(file, $0.baseAddress!, $0.count) }
        precondition(count == whole.count, "\(path) takes \(count) of \(whole.count) bytes")
    }

    static func read(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }
}

/// `write` of the C library; inside `Rooms` that name is taken.
private func systemWrite(_ file: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int { write(file, bytes, count) }

import Learning

/// Why the thermal-comfort files were refused.
package enum ComfortDataError: Error, Equatable, CustomStringConvertible {
    case unknownLabel(line: Int, found: String)
    case unknownBuilding(recordID: Int, buildingID: Int)
    case doubledBuilding(id: Int)
    case doubledRecord(id: Int)
    case noRows

    /// One sentence: the line or record at fault, the text found, and what to correct.
    package var description: String {
        switch self {
        case .unknownLabel(let line, let found):
            "line \(line): thermal_preference \"\(found)\" is none of cooler, no change, warmer; correct it or leave it empty"
        case .unknownBuilding(let record, let building):
            "record \(record) names building \(building), which the metadata file does not have"
        case .doubledBuilding(let id): "building \(id) occurs twice in the metadata file; keep one row"
        case .doubledRecord(let id): "record_id \(id) occurs twice in the measurements file; keep one row"
        case .noRows: "no row has a thermal_preference, an air temperature and two of rh, vel, met, clo; nothing can be learned"
        }
    }
}

/// The prepared database: rows the protocol keeps, in order of record id, and their buildings.
package struct ComfortDatabase: Sendable {
    /// One a vote, ascending by record id.
    package var records: [ComfortRecord]
    /// Records that were left out because an earlier one holds the same measurements and votes.
    package private(set) var duplicates: [ComfortRecord] = []
    /// By building id; every record's building is there.
    package var buildings: [Int: Building]

    /// Reads and prepares both files: rows kept, duplicates removed, as the learning protocol defines them.
    ///
    /// - Parameters: each gives the next chunk of a file's uncompressed bytes, nil at its end.
    package init(measurements: () throws -> [UInt8]?, metadata: () throws -> [UInt8]?) throws {
        buildings = try Self.readBuildings(metadata)
        var kept = try Self.readVotes(measurements)
        kept.sort { $0.recordID < $1.recordID }
        for (earlier, later) in zip(kept, kept.dropFirst()) where earlier.recordID == later.recordID {
            throw ComfortDataError.doubledRecord(id: later.recordID)
        }
        var seen: Set<DuplicateKey> = []
        records = []
        for record in kept {
            if seen.insert(DuplicateKey(record)).inserted { records.append(record) } else { duplicates.append(record) }
        }
        guard !records.isEmpty else { throw ComfortDataError.noRows }
        for record in kept where buildings[record.buildingID] == nil {
            throw ComfortDataError.unknownBuilding(recordID: record.recordID, buildingID: record.buildingID)
        }
    }

    /// Takes those duplicates back that a split names: what a split says is independent of what anyone voted.
    package mutating func keep(_ rows: [SplitRow]) {
        let named = Set(rows.map(\.recordID))
        records = (records + duplicates.filter { named.contains($0.recordID) }).sorted { $0.recordID < $1.recordID }
        duplicates.removeAll { named.contains($0.recordID) }
    }

    private static func readBuildings(_ next: () throws -> [UInt8]?) throws -> [Int: Building] {
        var buildings: [Int: Building] = [:]
        let required = ["building_id", "city", "lat", "lon", "building_type", "cooling_type", "year"]
        try readCSV(next, required: required) { line, fields, columns in
            func text(_ name: String) -> String {
                let value = fields[columns.index(name)]
                return value == "NA" ? "" : value
            }
            func whole(_ name: String) throws -> Int {
                guard let value = try csvNumber(text(name), line: line, column: name), let whole = Int(exactly: value) else {
                    throw CSVError.notANumber(line: line, column: name, found: text(name))
                }
                return whole
            }
            let building = Building(
                id: try whole("building_id"),
                city: text("city").isEmpty ? "nan" : text("city"),
                latitude: try csvNumber(text("lat"), line: line, column: "lat"),
                longitude: try csvNumber(text("lon"), line: line, column: "lon"),
                buildingType: text("building_type"),
                coolingType: text("cooling_type").isEmpty ? "unknown" : text("cooling_type"),
                year: try whole("year"))
            guard buildings.updateValue(building, forKey: building.id) == nil else {
                throw ComfortDataError.doubledBuilding(id: building.id)
            }
        }
        return buildings
    }

    private static let votes = ["thermal_sensation", "thermal_preference", "thermal_acceptability", "air_movement_preference"]
    private static let texts = ["record_id", "building_id", "timestamp", "season", "subject_id", "gender"]

    private static func readVotes(_ next: () throws -> [UInt8]?) throws -> [ComfortRecord] {
        var records: [ComfortRecord] = []
        let required = texts + votes + Measure.allCases.map(\.rawValue)
        try readCSV(next, required: required) { line, fields, columns in
            func text(_ name: String) -> String {
                let value = fields[columns.index(name)]
                return value == "NA" ? "" : value
            }
            let label = text("thermal_preference")
            if label.isEmpty { return }
            guard let preference = Preference(word: label) else { throw ComfortDataError.unknownLabel(line: line, found: label) }
            let measures = try Measure.allCases.map {
                try csvNumber(text($0.rawValue), line: line, column: $0.rawValue) ?? .nan
            }
            let climate: [Measure] = [.rh, .vel, .met, .clo]
            let known = climate.count { !measures[$0.index].isNaN }
            if measures[Measure.ta.index].isNaN || known < 2 { return }
            func whole(_ name: String) throws -> Int {
                guard let value = Int(text(name)) else { throw CSVError.notANumber(line: line, column: name, found: text(name)) }
                return value
            }
            records.append(
                ComfortRecord(
                    recordID: try whole("record_id"), buildingID: try whole("building_id"), timestamp: text("timestamp"),
                    season: text("season"), subjectID: text("subject_id"), gender: text("gender"), preference: preference,
                    measures: measures, votes: votes.map(text)))
        }
        return records
    }
}

/// Two rows with the same key are one vote recorded twice; a missing value equals a missing value.
private struct DuplicateKey: Hashable {
    private static let compared: [Measure] = [.ta, .tr, .rh, .vel, .met, .clo, .age, .ht, .wt]
    private let texts: [String]
    private let bits: [UInt64]

    init(_ record: ComfortRecord) {
        texts = [String(record.buildingID), record.timestamp, record.subjectID, record.season, record.gender] + record.votes
        bits = Self.compared.map { record[$0].isNaN ? UInt64.max : (record[$0] + 0).bitPattern }
    }
}

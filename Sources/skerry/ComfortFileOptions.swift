import ArgumentParser
import Storage
import ThermalComfort

/// Where the thermal-comfort files lie; loading checks their digests first.
struct ComfortFileOptions: ParsableArguments {
    @Option(help: "Folder with db_measurements_v2.1.0.csv.gz and db_metadata.csv.") var data: String = "../shared/datasets/atcii"
    @Option(help: "A split that replaces the protocol's: CSV or CSV.gz.") var split: String?
    @Flag(help: "Take files whose SHA-256 is not the card's, with a warning.") var acceptDigest = false

    func load() throws -> (ComfortDatabase, [SplitRow]) {
        let measurements = "\(data)/\(ComfortFiles.measurements.name)"
        let metadata = "\(data)/\(ComfortFiles.metadata.name)"
        try check(measurements, against: ComfortFiles.measurements.sha256)
        try check(metadata, against: ComfortFiles.metadata.sha256)
        var database = try ComfortDatabase(
            measurements: GzipReader(path: measurements).next, metadata: GzipReader(path: metadata).next)
        let rows = try split.map { try ComfortSplit.read(GzipReader(path: $0).next, for: database) } ?? ComfortSplit.main(database)
        database.keep(rows)
        return (database, rows)
    }

    private func check(_ path: String, against expected: String) throws {
        let found = try fileSHA256(path)
        if found == expected { return }
        let message = "\(path): SHA-256 is \(found), the data set's card says \(expected)"
        guard acceptDigest else { throw DigestMismatch(description: "\(message); fetch the file again, or pass --accept-digest") }
        writeError("warning: \(message); taken because of --accept-digest")
    }
}

/// A data file is not the one its card describes.
struct DigestMismatch: Error, CustomStringConvertible {
    var description: String
}

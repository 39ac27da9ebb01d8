import ArgumentParser
import Crypto
import Storage
import ThermalComfort

struct DatasetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dataset", abstract: "Look at data sets.", subcommands: [DescribeCommand.self])
}

struct DescribeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Check the thermal-comfort files, prepare them and print the rounds of the learning protocol.")

    @Argument(help: "The data set: thermal-comfort.") var name: String
    @Option(help: "Folder with db_measurements_v2.1.0.csv.gz and db_metadata.csv.") var data: String = "../shared/datasets/atcii"
    @Option(help: "A split that replaces the protocol's: CSV or CSV.gz.") var split: String?
    @Flag(help: "Take files whose SHA-256 is not the card's, with a warning.") var acceptDigest = false

    func validate() throws {
        guard name == "thermal-comfort" else {
            throw ValidationError("unknown data set \"\(name)\"; known: thermal-comfort")
        }
    }

    func run() throws {
        let measurements = "\(data)/\(ComfortFiles.measurements.name)"
        let metadata = "\(data)/\(ComfortFiles.metadata.name)"
        try check(measurements, against: ComfortFiles.measurements.sha256)
        try check(metadata, against: ComfortFiles.metadata.sha256)
        let database = try ComfortDatabase(
            measurements: GzipReader(path: measurements).next, metadata: GzipReader(path: metadata).next)
        let rows = try split.map { try ComfortSplit.read(GzipReader(path: $0).next, for: database) } ?? ComfortSplit.main(database)
        print(ComfortSummary(database: database, rows: rows).table)
    }

    private func check(_ path: String, against expected: String) throws {
        let found = try fileSHA256(path)
        if found == expected { return }
        let message = "\(path): SHA-256 is \(found), the data set's card says \(expected)"
        guard acceptDigest else { throw ValidationError("\(message); fetch the file again, or pass --accept-digest") }
        writeError("warning: \(message); taken because of --accept-digest")
    }
}

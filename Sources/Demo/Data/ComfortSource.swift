import Crypto
import Storage
package import ThermalComfort

/// Data and split, read and ready to learn from.
package struct ComfortSource: Sendable {
    /// All records and buildings, duplicates taken back where the split names them.
    package var database: ComfortDatabase
    /// Round and part of each row; every one names a record of `database`, which may hold more.
    package var rows: [SplitRow]
    /// The data set's name.
    package var dataset: String
    /// Of the two files, or of the bytes that were made up.
    package var digests: ComfortResults.Digests
    /// Its name and digest, for the results.
    package var split: ComfortResults.Split
    /// Made up, which every output must then say.
    package var isSynthetic: Bool

    /// Reads the database, or makes it up, and the split; blocks.
    ///
    /// - Parameters:
    ///   - split: path of a file that replaces the protocol's split.
    ///   - reading: called with the path of a large file before it is read.
    /// - Throws: errors of the files, each naming file, line and remedy.
    package init(_ data: LocatedData, split path: String?, reading: (String) -> Void = { _ in }) throws {
        switch data {
        case .real(let files):
            reading(files.measurements)
            database = try Self.read(files)
            (dataset, digests, isSynthetic) = (ComfortFiles.databaseName, files.digests, false)
        case .synthetic:
            let made = SyntheticComfort()
            database = try made.database()
            digests = .init(measurements: Self.sha256(made.measurements), metadata: Self.sha256(made.metadata))
            (dataset, isSynthetic) = (SyntheticComfort.databaseName, true)
        }
        (rows, split) = try Self.split(path, database)
        database.keep(rows)
    }

    private static func read(_ files: RealData) throws -> ComfortDatabase {
        let (measurements, metadata) = (try GzipReader(path: files.measurements), try GzipReader(path: files.metadata))
        var current = files.metadata
        do {
            return try ComfortDatabase(
                measurements: {
                    current = files.measurements
                    return try measurements.next()
                }, metadata: metadata.next)
        } catch let error where !(error is FileReadError) {
            throw FileContentError(path: current, reason: "\(error)")
        }
    }

    private static func split(_ path: String?, _ database: ComfortDatabase) throws -> ([SplitRow], ComfortResults.Split) {
        guard let path else {
            let rows = ComfortSplit.main(database)
            return (rows, .init(name: "main", sha256: ComfortSplit.digest(rows)))
        }
        let rows: [SplitRow]
        do {
            rows = try ComfortSplit.read(GzipReader(path: path).next, for: database)
        } catch let error where !(error is FileReadError) {
            throw FileContentError(path: path, reason: "\(error)")
        }
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return (rows, .init(name: name, sha256: try FileDigest(path: path).sha256))
    }

    private static func sha256(_ bytes: [UInt8]) -> String {
        SHA256.hash(data: bytes).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }
}

/// What a file holds was refused.
package struct FileContentError: Error, Equatable, CustomStringConvertible {
    /// As the file was opened; in front of the reason in messages.
    package var path: String
    /// Line, value found and remedy.
    package var reason: String

    /// `path: reason`, as compilers do.
    package var description: String { "\(path): \(reason)" }
}

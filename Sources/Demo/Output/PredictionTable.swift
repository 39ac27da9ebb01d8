import Storage

/// `predictions.csv.gz` on its way to the disk: `record_id,round,method,p_cooler,p_no_change,p_warmer`.
///
/// Equal rows give equal bytes with the same zlib. Not shared between threads.
package final class PredictionTable {
    private static let bufferBytes = 64 << 10
    private let file: WholeFile
    private let gzip: GzipWriter
    private var pending = Array("record_id,round,method,p_cooler,p_no_change,p_warmer\n".utf8)

    /// - Parameter name: of the table, kept in the gzip header.
    /// - Throws: `FileWriteError.cannotCreate`.
    init(path: String, name: String) throws(FileWriteError) {
        file = try WholeFile(path: path)
        gzip = GzipWriter(name: name)
        pending.reserveCapacity(Self.bufferBytes + 256)
    }

    /// - Parameters:
    ///   - recordID: of a test row.
    ///   - round: 0…5, of the row.
    ///   - method: its name in results.json; letters, digits and underscores only.
    ///   - probabilities: cooler, no change, warmer; written with the shortest digits that read back equal.
    /// - Throws: `FileWriteError.cannotWrite`.
    package func append(recordID: Int, round: Int, method: String, probabilities: (Float, Float, Float)) throws {
        precondition(
            method.utf8.allSatisfy { $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "\"") && $0 >= 32 }, "a method's name needs no quotes")
        let line = "\(recordID),\(round),\(method),\(probabilities.0),\(probabilities.1),\(probabilities.2)\n"
        pending += line.utf8
        if pending.count >= Self.bufferBytes {
            try file.write(gzip.compress(pending))
            pending.removeAll(keepingCapacity: true)
        }
    }

    /// - Returns: the file with everything in it, not yet in its place.
    func finish() throws -> WholeFile {
        try file.write(gzip.compress(pending))
        try file.write(gzip.finish())
        return file
    }
}

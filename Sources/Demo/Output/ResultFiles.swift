package import Storage
package import ThermalComfort

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The files a run leaves in its folder (contract, section 6): all of one run, or all of the one before.
///
/// Not shared between threads.
package final class ResultFiles {
    /// Where each file will be.
    package struct Paths: Sendable, Equatable {
        package let results: String
        package let predictions: String
        package let page: String
        package let picture: String
        package let model: String
        package let knowledge: String

        package init(folder: String) {
            results = "\(folder)/results.json"
            predictions = "\(folder)/predictions.csv.gz"
            page = "\(folder)/report.html"
            picture = "\(folder)/report.svg"
            model = "\(folder)/comfort.onnx"
            knowledge = "\(folder)/knowledge.db"
        }

        package var all: [String] { [results, predictions, page, picture, model, knowledge] }
    }

    package let paths: Paths
    /// Takes the predictions before anything else is known.
    package let predictions: PredictionTable

    /// Makes the folder and tries whether it can be written, before hours of work are lost.
    ///
    /// - Parameter isSynthetic: then the table of predictions is named SYNTHETIC in its gzip header; its columns are the contract's.
    /// - Throws: `FileWriteError.cannotCreate`.
    package init(folder: String, isSynthetic: Bool) throws(FileWriteError) {
        try Self.make(folder)
        paths = Paths(folder: folder)
        let name = (isSynthetic ? "\(SyntheticComfort.mark)-" : "") + "predictions.csv"
        predictions = try PredictionTable(path: paths.predictions, name: name)
    }

    /// Writes everything, then puts all files in place.
    ///
    /// - Parameters:
    ///   - model: bytes of the deployed model; nil where there is none, which removes one of an earlier run.
    ///   - knowledge: bytes of the knowledge base, in the same way.
    ///   - interruption: keeps a signal away while names change.
    /// - Throws: `FileWriteError`, `ComfortResultsError`; then the files of the run before are all still there.
    package func place(
        _ results: ComfortResults, model: [UInt8]?, knowledge: [UInt8]? = nil, _ interruption: Interruption?
    ) throws {
        let report = ComfortReport(results)
        var files = [try predictions.finish()]
        let contents = [(paths.results, try results.json()), (paths.page, report.html), (paths.picture, report.svg)]
        let optional = [(paths.model, model), (paths.knowledge, knowledge)]
        for (path, bytes) in contents + optional.compactMap({ path, bytes in bytes.map { (path, $0) } }) {
            let file = try WholeFile(path: path)
            try file.write(bytes)
            files.append(file)
        }
        func change() throws {
            // Every byte is on the disk before the first name changes: a full disk shows here.
            for file in files { try file.prepare() }
            // A log that a killed program left beside the old knowledge base would be read into the new one.
            for suffix in ["-wal", "-shm"] { unlink(paths.knowledge + suffix) }
            for file in files { try file.commit() }
            for (path, bytes) in optional where bytes == nil { unlink(path) }
        }
        if let interruption { try interruption.uninterrupted(change) } else { try change() }
    }

    private static func make(_ folder: String) throws(FileWriteError) {
        var current = folder.hasPrefix("/") ? "" : "."
        for name in folder.split(separator: "/") {
            current += "/\(name)"
            if mkdir(current, 0o755) != 0 && errno != EEXIST {
                throw .cannotCreate(path: folder, reason: String(cString: strerror(errno)))
            }
        }
    }
}

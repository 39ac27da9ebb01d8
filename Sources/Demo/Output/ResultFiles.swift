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
        /// `results.json`: every figure of the run.
        package let results: String
        /// `predictions.csv.gz`: every method's answer for every test row.
        package let predictions: String
        /// `report.html`: the report for a browser.
        package let page: String
        /// `report.svg`: the verdict and the gain in each city.
        package let picture: String
        /// `comfort.onnx`: the newest deployed model.
        package let model: String
        /// `knowledge.db`: what the rounds left; only its owner may read it.
        package let knowledge: String
        private let folder: String

        /// The newest model's file.
        package static let modelName = "comfort.onnx"
        /// The file of a model of an earlier round that still serves some tasks.
        package static func olderModelName(round: Int) -> String { "comfort-round-\(round).onnx" }

        /// Names only; the folder need not exist.
        package init(folder: String) {
            self.folder = folder
            results = "\(folder)/results.json"
            predictions = "\(folder)/predictions.csv.gz"
            page = "\(folder)/report.html"
            picture = "\(folder)/report.svg"
            model = "\(folder)/\(Self.modelName)"
            knowledge = "\(folder)/knowledge.db"
        }

        /// Those that every whole run leaves.
        package var all: [String] { [results, predictions, page, picture, model, knowledge] }

        /// By name, every file of a model that a run may leave.
        var models: [String: String] {
            let names = [Self.modelName] + (0..<ComfortSplit.roundCount).map(Self.olderModelName)
            return Dictionary(uniqueKeysWithValues: names.map { ($0, "\(folder)/\($0)") })
        }
    }

    /// Fixed when the folder is made.
    package let paths: Paths
    /// Paths of what was put in place, in the order of `Paths.all`, older models last.
    package private(set) var placed: [String] = []
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
    ///   - models: bytes of the deployed models by name, which must be one of `Paths`; those of an earlier run are removed.
    ///   - knowledge: bytes of the knowledge base, in the same way; only the owner may read it.
    ///   - interruption: keeps a signal away while names change.
    /// - Throws: `FileWriteError`, `ComfortResultsError`; then the files of the run before are all still there.
    package func place(
        _ results: ComfortResults, models: [String: [UInt8]], knowledge: [UInt8]? = nil, _ interruption: Interruption?
    ) throws {
        let report = ComfortReport(results)
        var files = [try predictions.finish()]
        var contents = [(paths.results, try results.json()), (paths.page, report.html), (paths.picture, report.svg)]
        for (name, path) in paths.models.sorted(by: { $0.key.utf8.count < $1.key.utf8.count }) {
            if let bytes = models[name] { contents.append((path, bytes)) }
        }
        precondition(contents.count == 3 + models.count, "models have names of their own, found \(models.keys.sorted())")
        if let knowledge { contents.append((paths.knowledge, knowledge)) }
        for (path, bytes) in contents {
            let file = try WholeFile(path: path, isPrivate: path == paths.knowledge)
            try file.write(bytes)
            files.append(file)
        }
        let old = (paths.models.values + [paths.knowledge]).filter { path in !contents.contains { $0.0 == path } }
        func change() throws {
            // Every byte is on the disk before the first name changes: a full disk shows here.
            for file in files { try file.prepare() }
            // A log that a killed program left beside the old knowledge base would be read into the new one.
            for suffix in ["-wal", "-shm"] { unlink(paths.knowledge + suffix) }
            for file in files { try file.commit() }
            for path in old { unlink(path) }
            let paths = files.map(\.path)
            placed = self.paths.all.filter(paths.contains) + paths.filter { !self.paths.all.contains($0) }
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

import KnowledgeBase
import Learning
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Files by which built-in workers hand on what they know.
package enum WorkerFile {
    /// The model that serves, as ONNX: the newest, unless the gate lets it serve nothing.
    package static let model = "model.onnx"
    /// Which model serves which task, where `model` does not serve all.
    package static let serving = "serving.json"
    /// What finds a row's task and tells unseen rows; holds nobody's row.
    package static let signs = "signs.bin"
    /// What the next round needs.
    package static let state = "state.bin"
    /// Which sites and persons have been met in which data set, where rows of several are learned from (`AdapterPlaces`).
    package static let places = "places.bin"
    /// The round for the knowledge base.
    package static let round = "round.json"
    /// Beside a CSV of the platform's: which rows of which data set it holds.
    package static let dataset = "dataset.json"
    /// What a collecting worker takes out of the rows to learn from.
    package static let trainSamples = "train.csv"
    /// The same of the held-out rows.
    package static let evalSamples = "eval.csv"
    /// What left, and why.
    package static let manifest = "manifest.json"
    /// Answers to rows of a file.
    package static let predictions = "predictions.csv"

    /// A model of an earlier round that still serves some tasks.
    package static func model(ofRound round: Int) -> String { "model-round-\(round).onnx" }

    /// Largest saved state that is read, bytes.
    static let stateBytesMax = 2 << 30
    /// Largest small JSON file that is read, bytes.
    static let jsonBytesMax = 16 << 20

    /// Makes the folder and those above it.
    ///
    /// - Throws: `FileWriteError` naming it.
    static func makeFolder(_ path: String) throws(FileWriteError) {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            made += "/\(part)"
            guard mkdir(made, 0o755) != 0 else { continue }
            let code = errno
            guard code == EEXIST || isFolder(made) else { throw .cannotCreate(path: made, reason: String(cString: strerror(code))) }
        }
    }

    /// Puts a whole file in place.
    ///
    /// - Throws: `FileWriteError`.
    static func write(_ bytes: [UInt8], _ folder: String, _ name: String) throws(FileWriteError) {
        let file = try WholeFile(path: "\(folder)/\(name)")
        try file.write(bytes)
        try file.commit()
    }

    /// Reads a whole file, plain or gzip-compressed, within a bound.
    ///
    /// - Throws: `FileReadError`; `WorkerInputError` for a file above the bound.
    static func read(_ path: String, limit: Int) throws -> [UInt8] {
        let reader = try GzipReader(path: path)
        var bytes: [UInt8] = []
        while let chunk = try reader.next() {
            guard bytes.count + chunk.count <= limit else {
                throw WorkerInputError("\(path) has more than \(limit) bytes; that is no file of a worker")
            }
            bytes += chunk
        }
        return bytes
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// The folder that a path lies in.
    static func folder(of path: String) -> String {
        guard let cut = path.lastIndex(of: "/") else { return "." }
        return cut == path.startIndex ? "/" : String(path[..<cut])
    }

    /// Names in a folder, sorted.
    ///
    /// - Throws: `FileReadError`.
    static func names(in folder: String) throws(FileReadError) -> [String] {
        guard let handle = opendir(folder) else { throw .cannotOpen(path: folder, reason: String(cString: strerror(errno))) }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
            }
            if name.first != "." { names.append(name) }
        }
        return names.sorted()
    }
}

/// CSV files that a job's variable names: one, several joined by ";", or all `*.csv` of a folder.
struct TableFiles {
    /// In the order given; of a folder in order of name.
    let paths: [String]

    /// - Throws: `WorkerInputError` for a folder without CSV.
    init(_ settings: WorkerSettings, _ variable: String, _ meaning: String) throws {
        var paths: [String] = []
        for path in try settings.required(variable, meaning).split(separator: ";").map(String.init) {
            guard WorkerFile.isFolder(path) else {
                paths.append(path)
                continue
            }
            let found = try WorkerFile.names(in: path).filter { $0.hasSuffix(".csv") || $0.hasSuffix(".csv.gz") }
            guard !found.isEmpty else { throw WorkerInputError("\(variable)=\(path): the folder holds no .csv file; name the file") }
            paths += found.map { "\(path)/\($0)" }
        }
        self.paths = paths
    }

    /// All rows, in order; the columns are the first file's.
    ///
    /// - Throws: `TableError`, `FileReadError`.
    func table() throws -> TextTable { try counted().table }

    /// All rows, and how many each file has.
    ///
    /// - Throws: as `table`.
    func counted() throws -> (table: TextTable, files: [(path: String, count: Int)]) {
        var whole: TextTable?
        var files: [(path: String, count: Int)] = []
        for path in paths {
            let reader = try GzipReader(path: path)
            let table = try TextTable(source: path, reader.next)
            files.append((path, table.count))
            if whole == nil { whole = table } else { try whole!.append(contentsOf: table) }
        }
        return (whole!, files)
    }

    /// Whether the platform has mounted rows of this node's own data set: they stay where they are.
    var isOfThisNode: Bool { paths.allSatisfy { WorkerFile.exists(WorkerFile.folder(of: $0) + "/" + WorkerFile.dataset) } }

    /// What the files are, for the knowledge base.
    ///
    /// - Throws: `FileReadError`, `WorkerInputError`.
    func datasets() throws -> [RoundRecord.Dataset] {
        var found: [RoundRecord.Dataset] = []
        for path in paths {
            var dataset = try Self.described(path) ?? Self.measured(path)
            // Ranges of one data set, or files of one name, are told apart.
            let base = dataset.name
            var number = 2
            while found.contains(where: { $0.name == dataset.name }) {
                dataset.name = "\(base) (\(number))"
                number += 1
            }
            found.append(dataset)
        }
        return found
    }

    private static func described(_ path: String) throws -> RoundRecord.Dataset? {
        let card = WorkerFile.folder(of: path) + "/" + WorkerFile.dataset
        guard WorkerFile.exists(card) else { return nil }
        guard let json = try? JSONParser.parse(try WorkerFile.read(card, limit: WorkerFile.jsonBytesMax)),
            let name = json["dataset"]?.string, let digest = json["digest"]?.string.flatMap({ ArtifactDigest(reference: $0) }),
            let rows = json["rows"]?.integer, rows >= 0
        else { throw WorkerInputError("\(card) does not say dataset, digest and rows; mount the data set again") }
        return .init(name: name, digest: digest.hex, rowCount: Int(rows))
    }

    private static func measured(_ path: String) throws -> RoundRecord.Dataset {
        let bytes = try WorkerFile.read(path, limit: TextTable.Limits.bytesMax)
        let rows = max(bytes.count { $0 == 0x0a } - 1, 0)
        return .init(
            name: path.split(separator: "/").last.map(String.init) ?? path, digest: ArtifactDigest(of: bytes).hex, rowCount: rows)
    }
}

import Inference
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where the model to serve lies, and whether it has changed: Sedna's hot update (`MODEL_HOT_UPDATE_CONFIG`), or a file that is replaced.
struct ModelSource: Sendable {
    /// What a look found.
    struct Version: Sendable, Equatable {
        /// Of the model's folder or file.
        var path: String
        /// As the configuration says, else empty.
        var number: String
        /// 64 digits; nil where nobody says.
        var digest: String?
        /// Changes whenever a file was replaced.
        var mark: [Int64]
    }

    private let model: String
    private let configuration: String?

    /// - Throws: `WorkerInputError` without `MODEL_URL`.
    init(_ settings: WorkerSettings) throws {
        model = try settings.required("MODEL_URL", "path of the model to serve")
        configuration = settings["MODEL_HOT_UPDATE_CONFIG"]
    }

    /// What is there now; nil where nothing is yet.
    ///
    /// - Throws: `WorkerInputError` for a configuration that cannot be read as one.
    func look() throws -> Version? {
        let besides = WorkerFile.isFolder(model) ? "\(model)/model_config.json" : nil
        guard let path = configuration ?? besides, WorkerFile.exists(path) else {
            let file = WorkerFile.isFolder(model) ? "\(model)/\(WorkerFile.model)" : model
            return Self.mark(file).map { Version(path: model, number: "", digest: nil, mark: $0) }
        }
        guard let mark = Self.mark(path) else { return nil }
        guard let bytes = try? WorkerFile.read(path, limit: 1 << 16), let json = try? JSONParser.parse(bytes),
            let config = json["model_config"], let named = config["model_path"]?.string, !named.isEmpty
        else { throw WorkerInputError("\(path) is no model_config.json with model_config.model_path") }
        let file = named.hasPrefix("/") ? named : "\(WorkerFile.folder(of: path))/\(named)"
        let digest = config["digest"]?.string.flatMap { ArtifactDigest(reference: $0) }
        let number = config["version"].flatMap { $0.string ?? $0.integer.map(String.init) } ?? ""
        return Version(path: file, number: number, digest: digest?.hex, mark: mark)
    }

    private static func mark(_ path: String) -> [Int64]? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return [Int64(status.st_ino), Int64(status.st_size), Int64(status.st_mtim.tv_sec), Int64(status.st_mtim.tv_nsec)]
    }
}

extension ModelSource.Version {
    /// Loads the model, after its digest was compared where there is one.
    ///
    /// - Throws: naming the file at fault.
    func load(_ settings: WorkerSettings, _ runtime: ONNXRuntime) throws -> RowJudge {
        // Where a node's agent has looked at a file, that file and no other is loaded.
        let asked = settings["MODEL_DIGEST"].flatMap { ArtifactDigest(reference: $0)?.hex }
        if settings["MODEL_DIGEST"] != nil, asked == nil { throw WorkerInputError("MODEL_DIGEST is no sha256: and 64 digits") }
        for digest in [digest, asked].compactMap(\.self) {
            let file = WorkerFile.isFolder(path) ? "\(path)/\(WorkerFile.model)" : path
            let found = ArtifactDigest(of: try InferenceWorker.read(file, limit: ModelLimits.edge.bytes)).hex
            guard found == digest else {
                throw WorkerInputError(
                    "\(file) has SHA-256 \(found), expected \(digest); it is being replaced, or damaged, or another than its Pod began with"
                )
            }
        }
        return try RowJudge(path: path, settings, runtime)
    }
}

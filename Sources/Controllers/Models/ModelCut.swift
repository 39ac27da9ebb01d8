import Resources

/// The part of a job's Model that one node needs: a Model of its own, made by the job and filled from the whole one. Nodes can read no other, as they
/// can read files alone that their own objects name. Pure.
struct ModelCut: Sendable, Hashable {
    /// Format of the file by which parts are cut, among what training leaves.
    static let placesFormat = "places"
    /// The same as a file of a version.
    static let placesName = "places.bin"
    private static let annotation = "models.skerry.io/cut"

    /// Name of the whole Model, in the same namespace.
    var model: String
    var node: String
    /// Data sets of the job that lie on the node, in order of name.
    var datasets: [String]

    init(of model: String, node: String, datasets: [String]) { (self.model, self.node, self.datasets) = (model, node, datasets.sorted()) }

    /// What an object says it is; nil for a Model that is no part of another.
    init?(_ object: JSON) {
        guard let text = object.annotation(Self.annotation), text.utf8.count <= 1 << 16, let json = try? JSON(parsing: text),
            let model = json["model"]?.string, let node = json["node"]?.string
        else { return nil }
        self.init(of: model, node: node, datasets: (json["datasets"]?.array ?? []).compactMap(\.string))
    }

    /// Of the part: `comfort.e1`.
    var name: String {
        let name = "\(model).\(node)"
        return name.utf8.count <= 253 ? name : "\(model.prefix(200)).\(StableHash.word(node, letters: 8))"
    }

    private var text: String {
        let json: JSON = ["model": .string(model), "node": .string(node), "datasets": .array(datasets.map { .string($0) })]
        return json.text
    }

    /// - Parameter whole: the Model; its rule for signatures holds for the part.
    func object(of job: JSON, whole: JSON) -> JSON {
        // Nothing lies there: whoever shows the part waits until it is filled.
        var spec: JSON = ["url": .string("/cut-of/\(model)"), "format": whole["spec"]?["format"] ?? "onnx"]
        spec["signature"] = whole["spec"]?["signature"]
        return [
            "apiVersion": "sedna.io/v1alpha1", "kind": "Model",
            "metadata": [
                "name": .string(name), "namespace": .string(job.namespace), "ownerReferences": [job.controllerReference],
                "annotations": .object([Self.annotation: .string(text)]),
            ],
            "spec": spec,
        ]
    }

    // MARK: Versions

    /// Numbers of the whole Model's versions that a part has.
    static func wanted(_ whole: ModelVersions) -> [Int64] {
        Set([whole.serving, whole.previous]).filter { whole.version($0) != nil }.sorted()
    }

    /// A version of the part.
    ///
    /// - Parameters:
    ///   - version: of the whole.
    ///   - files: of the part, by name; nil: the part is the whole, with its signature.
    static func version(_ version: JSON, files: [String: (digest: String, size: Int64)]?) -> JSON {
        guard let files else { return version }
        var part = version
        let main = ModelVersions.mainName(version)
        part["digest"] = .string(files[main]?.digest ?? "")
        part["size"] = files[main].map { .integer($0.size) }
        let others = files.filter { $0.key != main }.sorted { $0.key < $1.key }.map { ($0.key, JSON.string($0.value.digest)) }
        part["files"] = others.isEmpty ? nil : .object(JSONObject(others))
        part["signature"] = nil
        return part
    }

    /// The part as it is to be.
    ///
    /// - Parameters:
    ///   - part: as it is.
    ///   - made: its versions by number, all that are wanted.
    static func filled(_ part: JSON, like whole: ModelVersions, _ made: [Int64: JSON]) -> JSON {
        let known = ModelVersions(part)
        var new = part
        let versions = wanted(whole).compactMap { known.version($0) ?? made[$0] }
        if .array(versions) != part["status"]?["versions"] { new[path: ["status", "versions"]] = .array(versions) }
        for field in ["serving", "previous", "metrics", "updateTime"] where part["status"]?[field] != whole.model["status"]?[field] {
            new[path: ["status", field]] = whole.model["status"]?[field]
        }
        return new
    }
}

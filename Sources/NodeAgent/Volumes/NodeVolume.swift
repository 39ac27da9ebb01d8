import Resources
import Storage

/// A volume that the agent fills with files of the node, as a Pod asks for it: an inline CSI volume of one of our drivers. Pure.
struct NodeVolume: Sendable, Hashable {
    /// One file of a volume.
    struct File: Sendable, Hashable {
        var name: String
        var digest: ArtifactDigest
    }

    /// Rows of a Dataset.
    struct Rows: Sendable, Hashable {
        var dataset: String
        /// From 0.
        var from: Int64
        /// The first row that is not wanted; nil for all there are now.
        var to: Int64?
        var split: DatasetSplit
        /// The Dataset's version that the rows are counted in; nil for any.
        var version: Int64?
    }

    enum Source: Sendable, Hashable {
        case files([File])
        case rows(Rows)
        case model(String)
    }

    /// Files of a volume.
    static let filesMax = 256
    var name: String
    var source: Source

    /// The volumes of a Pod that are ours to fill.
    ///
    /// - Throws: `ContainerCreating` that names the volume, the attribute and what was found; also for drivers that nobody has here.
    static func all(of pod: PodSpec) throws(ContainerRefusal) -> [NodeVolume] {
        var found: [NodeVolume] = []
        for volume in pod.volumes where volume["csi"] != nil { found.append(try read(volume)) }
        return found
    }

    /// Names of the Models whose serving versions a Pod's volumes show.
    static func models(_ pod: PodSpec) -> Set<String> {
        Set(pod.volumes.compactMap { WorkerContract.Volume.model.attributes($0)?["model"] })
    }

    private static func read(_ volume: JSON) throws(ContainerRefusal) -> NodeVolume {
        let name = volume["name"]?.string ?? ""
        let driver = volume["csi"]?["driver"]?.string ?? ""
        guard let kind = WorkerContract.Volume(rawValue: driver), let attributes = kind.attributes(volume) else {
            let known = WorkerContract.Volume.allCases.map(\.rawValue).joined(separator: ", ")
            throw refusal(name, "driver name \(driver) not found in the list of registered CSI drivers; this node has \(known)")
        }
        switch kind {
        case .files: return NodeVolume(name: name, source: .files(try files(attributes, name)))
        case .rows: return NodeVolume(name: name, source: .rows(try rows(attributes, name)))
        case .model:
            guard let model = attributes["model"], !model.isEmpty else { throw refusal(name, "volumeAttributes.model: names no Model") }
            return NodeVolume(name: name, source: .model(model))
        }
    }

    /// Why a volume cannot be made yet, in the kubelet's words.
    static func refusal(_ volume: String, _ sentence: String) -> ContainerRefusal {
        ContainerRefusal("ContainerCreating", "MountVolume.SetUp failed for volume \"\(volume)\" : \(sentence)")
    }

    /// Whether a text can be the name of a file in a volume.
    static func isFileName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 200 && !text.hasPrefix(".")
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || [0x2d, 0x2e, 0x5f].contains($0)
            }
    }

    private static func files(_ attributes: [String: String], _ volume: String) throws(ContainerRefusal) -> [File] {
        guard attributes.count <= filesMax else {
            throw refusal(volume, "volumeAttributes: found \(attributes.count) files, at most \(filesMax) are taken")
        }
        var files: [File] = []
        // What the kubelet adds is no file.
        for (name, value) in attributes.sorted(by: { $0.key < $1.key }) where !name.hasPrefix("csi.storage.k8s.io/") {
            guard isFileName(name) else {
                throw refusal(
                    volume, "volumeAttributes: found file name \"\(name.prefix(80))\"; letters, digits, '.', '-' and '_' are taken")
            }
            guard let digest = ArtifactDigest(reference: value) else {
                throw refusal(volume, "volumeAttributes.\(name): found \"\(value.prefix(80))\", expected sha256: and 64 digits")
            }
            files.append(File(name: name, digest: digest))
        }
        return files
    }

    private static func rows(_ attributes: [String: String], _ volume: String) throws(ContainerRefusal) -> Rows {
        func number(_ key: String, _ other: Int64?) throws(ContainerRefusal) -> Int64? {
            guard let text = attributes[key], !text.isEmpty else { return other }
            guard let number = Int64(text), number >= 0 else {
                throw refusal(volume, "volumeAttributes.\(key): found \"\(text.prefix(40))\", expected a whole number from 0")
            }
            return number
        }
        guard let dataset = attributes["dataset"], !dataset.isEmpty else {
            throw refusal(volume, "volumeAttributes.dataset: names no Dataset")
        }
        let word = attributes["part"] ?? "all"
        guard let part = DatasetSplit.Part(rawValue: word) else {
            throw refusal(volume, "volumeAttributes.part: found \"\(word.prefix(40))\", expected train, eval or all")
        }
        let share = attributes["trainProb"].map { Double($0) ?? -1 } ?? 1
        guard (0...1).contains(share) else {
            throw refusal(
                volume, "volumeAttributes.trainProb: found \"\(attributes["trainProb"]!.prefix(40))\", expected a number from 0 to 1")
        }
        let (from, to) = (try number("from", 0)!, try number("to", nil))
        if let to, to < from { throw refusal(volume, "volumeAttributes.to: found \(to), less than from (\(from))") }
        let split = DatasetSplit(part, trainShare: share, seed: UInt64(try number("seed", 0)!))
        return Rows(dataset: dataset, from: from, to: to, split: split, version: try number("version", nil))
    }
}

/// The version of a Model that serves, as its status names it. Pure.
struct ServingModel: Sendable, Hashable {
    /// The file that is read under `mainName`.
    static let mainName = "model.onnx"
    static let configName = "model_config.json"
    /// Of a version, but for the cloud alone: what nodes' parts of the model are cut by.
    static let placesName = "places.bin"

    var version: Int64
    var digest: ArtifactDigest
    /// Further files beside the model; sorted by name.
    var files: [NodeVolume.File]

    /// - Parameter model: the object.
    /// - Throws: a sentence that says what the Model lacks.
    init(_ model: JSON, volume: String) throws(ContainerRefusal) {
        let name = ObjectKey(model).name
        let status = model["status"]
        let number = status?["serving"]?.integer ?? 0
        if number == 0, let digest = model["spec"]?["url"]?.string.flatMap({ ArtifactDigest(reference: $0) }) {
            (version, self.digest, files) = (0, digest, [])
            return
        }
        guard number > 0 else {
            if let path = model["spec"]?["url"]?.string, path.hasPrefix("/"), model.isNoJobs {
                throw NodeVolume.refusal(
                    volume,
                    "model \"\(name)\" names a file of the node's own disk (spec.url: \(path.prefix(200))), and this volume shows versions of the registry; make it one: skerry model push FILE --name \(name)"
                )
            }
            throw NodeVolume.refusal(volume, "model \"\(name)\" has no version that serves yet")
        }
        guard let entry = status?["versions"]?.array?.first(where: { $0["version"]?.integer == number }),
            let digest = entry["digest"]?.string.flatMap({ ArtifactDigest(reference: $0) })
        else { throw NodeVolume.refusal(volume, "model \"\(name)\" names no file for version \(number), which serves") }
        version = number
        self.digest = digest
        files = (entry["files"]?.object ?? [:]).compactMap { name, value in
            guard NodeVolume.isFileName(name), ![Self.mainName, Self.configName, Self.placesName].contains(name),
                let digest = value.string.flatMap({ ArtifactDigest(reference: $0) })
            else { return nil }
            return NodeVolume.File(name: name, digest: digest)
        }.sorted { $0.name < $1.name }
    }

    /// All files, the model last.
    var allFiles: [NodeVolume.File] { files + [NodeVolume.File(name: Self.mainName, digest: digest)] }

    /// Digests of all its files under the names that a signature has for them.
    func claimedFiles(_ model: JSON) -> [String: String] {
        guard version > 0, let entry = ModelVersions(model).version(version) else { return [Self.mainName: digest.description] }
        return ModelVersions.allFiles(entry)
    }

    /// Sedna's hot update file. The path is relative to it: where the volume is mounted is the container's business.
    func config(at time: Timestamp) -> JSON {
        [
            "model_config": [
                "model_path": .string(Self.mainName), "model_update_time": .string(time.text), "version": .integer(version),
                "digest": .string(digest.description),
            ]
        ]
    }

    /// Whether a hot update file speaks of this version.
    func isDescribed(by config: JSON?) -> Bool {
        config?["model_config"]?["digest"]?.string == digest.description && config?["model_config"]?["version"]?.integer == version
    }
}

extension JSON {
    /// Whether no job has made the object for itself: such a Model is filled by its job.
    fileprivate var isNoJobs: Bool {
        !(self["metadata"]?["ownerReferences"]?.array ?? []).contains { $0["controller"]?.bool == true }
    }
}

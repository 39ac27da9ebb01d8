import Resources
import Storage

/// Models that workers load from files of the node, which no version of the registry vouches for: where signatures are asked for, one must lie beside
/// the file.
extension PodWorker {
    /// Bytes of a model file that is looked at: what a worker loads at most.
    private static let modelBytesMax = 64 << 20
    private static let signatureBytesMax = 128 << 10
    /// By it the worker loads the file that was looked at and no other.
    private static let digestVariable = "MODEL_DIGEST"

    /// What a worker that serves is told of its model.
    ///
    /// - Parameter variables: all others of the container.
    /// - Throws: `ModelRefused` with the file and the remedy.
    func modelVariables(
        _ container: ContainerSpec, _ variables: [ContainerSetup.Variable]
    ) async throws(ContainerRefusal) -> [ContainerSetup.Variable] {
        guard let trust = context.modelTrust, isServing(container) else { return [] }
        let isAsked = spec.object["metadata"]?["annotations"]?[ModelKeys.podAnnotation]?.string == "required"
        if !isAsked { guard await trust.isDemandedOfAll() else { return [] } }
        func value(_ name: String) -> String? { variables.last { $0.name == name }.map(\.value).flatMap { $0.isEmpty ? nil : $0 } }
        guard let path = value("MODEL_URL") else { return [] }
        let places = try context.runtime.places(of: container, in: spec)
        let named = [path] + (value("MODEL_HOT_UPDATE_CONFIG").map { [$0] } ?? [])
        // Versions were looked at before their files came into the volume.
        if named.allSatisfy({ isOfRegistry($0, places) }) { return [] }
        let file = Self.onNode(path, places)
        let found = await Threads.run { Self.look(file) }
        let (digest, signature) = try found.get()
        if let refusal = await trust.refusal(ofFile: digest, signature: signature) {
            throw Self.refusal("model \(file) is not loaded: \(refusal.sentence)")
        }
        return [.init(Self.digestVariable, digest)]
    }

    private func isServing(_ container: ContainerSpec) -> Bool {
        container.image == ProcessRuntime.builtinImage && (container.object["command"]?.array ?? []).isEmpty
            && container.object["args"]?.array?.first?.string == "infer"
    }

    private static func place(of path: String, _ places: [MountPlace]) -> MountPlace? {
        places.filter { path == $0.target || path.hasPrefix($0.target.hasSuffix("/") ? $0.target : $0.target + "/") }
            .max { $0.target.utf8.count < $1.target.utf8.count }
    }

    private func isOfRegistry(_ path: String, _ places: [MountPlace]) -> Bool {
        guard !path.split(separator: "/").contains(".."), let place = Self.place(of: path, places),
            let volume = spec.volumes.first(where: { $0["name"]?.string == place.volume })
        else { return false }
        return WorkerContract.Volume.model.attributes(volume) != nil
    }

    /// Where a path of the container lies on the node.
    private static func onNode(_ path: String, _ places: [MountPlace]) -> String {
        guard let place = place(of: path, places) else { return path }
        return place.source + path.dropFirst(place.target.hasSuffix("/") ? place.target.utf8.count - 1 : place.target.utf8.count)
    }

    /// Digest of a model's file, and the signature beside it: `FILE.sig`, or `model.sig` in its folder.
    private static func look(_ path: String) -> Result<(String, String?), ContainerRefusal> {
        let file = SystemFiles.isFolder(path) ? "\(path)/\(ServingModel.mainName)" : path
        let parts = file.split(separator: "/", omittingEmptySubsequences: false)
        let folder = parts.dropLast().joined(separator: "/")
        // What lies beside is loaded too, and no signature of one file speaks of it.
        let isAlone = parts.last.map(String.init) != ServingModel.mainName || SystemFiles.read("\(folder)/serving.json") == nil
        guard isAlone else {
            return .failure(
                refusal(
                    "model \(file) has a serving.json beside it; where signatures are asked for, models of several files are loaded as versions: skerry model push"
                ))
        }
        guard let bytes = SystemFiles.read(file, bytesMax: modelBytesMax) else {
            return .failure(refusal("model \(file) cannot be read, or has more than \(modelBytesMax >> 20) MiB"))
        }
        let signature = ["\(file).sig", "\(folder)/model.sig"].lazy.compactMap { SystemFiles.text($0, bytesMax: signatureBytesMax) }.first
        return .success((ArtifactDigest(of: bytes).description, signature))
    }

    private static func refusal(_ sentence: String) -> ContainerRefusal { ContainerRefusal("ModelRefused", sentence) }
}

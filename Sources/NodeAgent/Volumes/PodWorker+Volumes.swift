import Reconciliation
import Resources
import Storage

/// Volumes that are made of files of the node: fetched first, by tasks of their own, so that a slow link holds nothing else of the Pod up.
extension PodWorker {
    private static let fetchRetryMax: Duration = .seconds(15)

    /// What to put into the Pod's volumes of files. What is still to be fetched is begun.
    ///
    /// - Throws: `ContainerCreating` with a sentence that names what is waited for.
    func volumeFills() async throws(ContainerRefusal) -> [VolumeFill] {
        var fills: [VolumeFill] = []
        for volume in try NodeVolume.all(of: spec) {
            let isFilled = context.runtime.isFilled(volume.name, of: spec)
            switch volume.source {
            case .files(let files):
                if isFilled { continue }
                let paths = try located(files, volume.name)
                fills.append(
                    VolumeFill(volume: volume.name, isLive: false, parts: zip(files, paths).map { .link(name: $0.name, from: $1) }))
            case .rows(let rows):
                if isFilled { continue }
                let found = try await self.rows(rows, volume.name)
                fills.append(VolumeFill(volume: volume.name, isLive: false, parts: [.rows(found)]))
            case .model(let name):
                do throws(ContainerRefusal) { if let fill = try await modelFill(name, volume.name) { fills.append(fill) } } catch {
                    // What served goes on serving.
                    guard isFilled else { throw error }
                    context.report("pod \(spec.description): \(error.message)")
                }
            }
        }
        return fills
    }

    /// Nil if the volume shows the version that serves.
    private func modelFill(_ name: String, _ volume: String) async throws(ContainerRefusal) -> VolumeFill? {
        let model: JSON
        do throws(APIStatus) { model = try await context.client.get(.model, ObjectKey(namespace: key.namespace, name: name)) } catch {
            throw NodeVolume.refusal(volume, error.code == 404 ? "model \"\(name)\" not found" : "model \"\(name)\": \(error.message)")
        }
        let serving = try ServingModel(model, volume: volume)
        let config = context.runtime.volumeFile(ServingModel.configName, in: volume, of: spec).flatMap { try? JSONParser.parse($0) }
        if serving.isDescribed(by: config) { return nil }
        // Before any file of it is fetched, and again whenever it is to take the place of another.
        if let refusal = await context.modelTrust?.refusal(of: model, version: serving.version, files: serving.claimedFiles(model)) {
            let sentence = "model \"\(name)\" version \(serving.version) is not loaded: \(refusal.sentence)"
            if !refusal.isUnsigned, toldRefusals.insert(sentence).inserted {
                await context.events.tell(PodNote("ModelRefused", sentence, isWarning: true), about: spec)
            }
            throw NodeVolume.refusal(volume, sentence)
        }
        let paths = try located(serving.allFiles, volume)
        let links = zip(serving.allFiles, paths).map { VolumeFill.Part.link(name: $0.name, from: $1) }
        let description = serving.config(at: context.now().time).bytes()
        return VolumeFill(volume: volume, isLive: true, parts: links + [.bytes(name: ServingModel.configName, description)])
    }

    private func rows(_ rows: NodeVolume.Rows, _ volume: String) async throws(ContainerRefusal) -> DatasetRows {
        guard let datasets = context.datasets else { throw NodeVolume.refusal(volume, "this node keeps no data sets") }
        do throws(DatasetFault) {
            return try await datasets.rows(rows, namespace: key.namespace)
        } catch { throw NodeVolume.refusal(volume, error.message) }
    }

    // MARK: Fetching

    /// Where files lie.
    ///
    /// - Throws: `ContainerCreating` that names the first that is not here; all of them are then on their way.
    private func located(_ files: [NodeVolume.File], _ volume: String) throws(ContainerRefusal) -> [String] {
        guard let store = context.files else { throw NodeVolume.refusal(volume, "this node keeps no files") }
        var paths: [String] = []
        var missing: NodeVolume.File?
        for file in files {
            if let path = store.path(file.digest) {
                paths.append(path)
            } else {
                missing = missing ?? file
                if fetching.insert(file.digest).inserted { unbegunFetches.append(file.digest) }
            }
        }
        guard let missing else { return paths }
        let why = fetchFaults[missing.digest].map { ": \($0)" } ?? ""
        throw NodeVolume.refusal(volume, "waiting for file \"\(missing.name)\", artifact \(missing.digest)\(why)")
    }

    func beginFetches(_ group: inout DiscardingTaskGroup) {
        for digest in unbegunFetches { group.addTask { await self.fetch(digest) } }
        unbegunFetches = []
    }

    private func fetch(_ digest: ArtifactDigest) async {
        guard let files = context.files else { return }
        var failures = 0
        while !Task.isCancelled {
            do throws(NodeFilesError) {
                try await files.fetch(digest)
                break
            } catch {
                if Task.isCancelled { return }
                fetchFaults[digest] = error.description
                sourcesChanged()
                failures += 1
                try? await Task.sleep(for: min(Self.fetchRetryMax, .seconds(1 << min(failures - 1, 5))))
            }
        }
        fetching.remove(digest)
        fetchFaults[digest] = nil
        sourcesChanged()
    }

    /// A Model has changed.
    func changed(model: String) { if NodeVolume.models(spec).contains(model) { sourcesChanged() } }

    /// A Dataset has other rows than before: Pods that wait for some may have them now.
    func changed(dataset: String) {
        let isNamed = spec.volumes.contains { WorkerContract.Volume.rows.attributes($0)?["dataset"] == dataset }
        if isNamed { sourcesChanged() }
    }

    /// Something that volumes are made of has changed, or has come.
    func sourcesChanged() {
        needsRefresh = true
        hurryPreparing()
        bell.ring()
    }
}

import Resources
import Storage
import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

/// Volumes that a node fills with its own files.
@Suite(.offThePool) struct NodeVolumeTests {
    private let digest = ArtifactDigest(of: Array("x".utf8))

    private func read(_ volume: JSON) -> Result<[NodeVolume], ContainerRefusal> {
        let pod = PodSpec(["metadata": ["name": "p", "namespace": "default", "uid": "u"], "spec": ["volumes": [volume]]])
        return Result { () throws(ContainerRefusal) in try NodeVolume.all(of: pod) }
    }

    private func fault(_ kind: WorkerContract.Volume, _ attributes: [String: String]) -> String {
        if case .failure(let refusal) = read(kind.volume("v", attributes)) { return refusal.message }
        return ""
    }

    @Test func `attributes say which files and rows a volume holds`() throws {
        let files = try read(WorkerContract.Volume.files.volume("v", ["model.onnx": digest.description])).get()
        #expect(files == [NodeVolume(name: "v", source: .files([.init(name: "model.onnx", digest: digest)]))])
        let attributes = ["dataset": "d", "from": "10", "to": "20", "part": "eval", "trainProb": "0.8", "seed": "3"]
        let rows = NodeVolume.Rows(
            dataset: "d", from: 10, to: 20, split: DatasetSplit(.eval, trainShare: 0.8, seed: 3), version: nil)
        #expect(try read(WorkerContract.Volume.rows.volume("v", attributes)).get() == [NodeVolume(name: "v", source: .rows(rows))])
        #expect(try read(["name": "v", "emptyDir": [:]]).get() == [])
    }

    @Test func `what is wrong with an attribute is said with its name and value`() {
        #expect(fault(.files, ["../x": digest.description]).contains("found file name \"../x\""))
        #expect(fault(.files, ["x": "sha256:12"]).contains("volumeAttributes.x: found \"sha256:12\""))
        #expect(fault(.rows, ["dataset": "d", "from": "-1"]).contains("volumeAttributes.from: found \"-1\""))
        #expect(fault(.rows, ["dataset": "d", "from": "5", "to": "4"]).contains("found 4, less than from (5)"))
        #expect(fault(.rows, ["dataset": "d", "part": "half", "to": "4"]).contains("found \"half\""))
        #expect(fault(.rows, ["dataset": "d", "trainProb": "nan", "to": "4"]).contains("found \"nan\""))
        #expect(fault(.rows, [:]).contains("names no Dataset"))
        #expect(fault(.model, [:]).contains("names no Model"))
        guard case .failure(let refusal) = read(["name": "v", "csi": ["driver": "nfs.csi.k8s.io"]]) else {
            Issue.record("an unknown driver was taken")
            return
        }
        #expect(refusal.reason == "ContainerCreating")
        #expect(refusal.message.contains("nfs.csi.k8s.io not found in the list of registered CSI drivers"))
    }

    @Test func `the version that serves is found in a Model's status`() throws {
        var model: JSON = ["metadata": ["name": "m"], "spec": ["url": "/x.onnx", "format": "onnx"]]
        func serving() -> Result<ServingModel, ContainerRefusal> {
            Result { () throws(ContainerRefusal) in try ServingModel(model, volume: "v") }
        }
        #expect(throws: ContainerRefusal.self) { try serving().get() }
        model["status"] = [
            "serving": 2,
            "versions": [
                ["version": 1, "digest": .string(digest.description)],
                [
                    "version": 2, "digest": .string(digest.description),
                    "files": ["b.bin": .string(digest.description), "../c": "x", "a.json": .string(digest.description)],
                ],
            ],
        ]
        let found = try serving().get()
        #expect(found.version == 2)
        #expect(found.allFiles.map(\.name) == ["a.json", "b.bin", "model.onnx"])
        let config = found.config(at: Timestamp(seconds: 0))
        #expect(config["model_config"]?["model_path"] == "model.onnx" && config["model_config"]?["version"] == 2)
        #expect(found.isDescribed(by: config))
        #expect(!found.isDescribed(by: nil))
        model["status"] = [:]
        model["spec"] = ["url": .string(digest.description), "format": "onnx"]
        #expect(try serving().get().version == 0)
    }

    // MARK: Files

    private func write(_ text: String, _ path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o400)
        defer { close(file) }
        try #require(SystemFiles.write(Array(text.utf8), to: file))
    }

    @Test func `a volume appears whole, and a live one changes file by file`() throws {
        let folder = try TemporaryFolder()
        try write("one", "\(folder.path)/1")
        try write("two", "\(folder.path)/2")
        let place = "\(folder.path)/volume"
        let missing = VolumeFill(
            volume: "v", isLive: false, parts: [.link(name: "a", from: "\(folder.path)/1"), .link(name: "b", from: "\(folder.path)/none")])
        #expect(throws: (any Error).self) { try VolumeFiller.fill(missing, place) }
        #expect(!SystemFiles.isFolder(place))
        func fill(_ parts: [VolumeFill.Part]) throws { try VolumeFiller.fill(VolumeFill(volume: "v", isLive: true, parts: parts), place) }
        try fill([.link(name: "model.onnx", from: "\(folder.path)/1"), .bytes(name: "extra", [1]), .bytes(name: "config", [1])])
        let reader = open("\(place)/model.onnx", O_RDONLY)
        defer { close(reader) }
        try fill([.link(name: "model.onnx", from: "\(folder.path)/2"), .bytes(name: "config", [2])])
        #expect(SystemFiles.names(place) == ["config", "model.onnx"])
        #expect(SystemFiles.text("\(place)/model.onnx") == "two")
        #expect(SystemFiles.read(descriptor: reader, bytesMax: 100) == Array("one".utf8), "who has it open reads on")
        try fill([.link(name: "model.onnx", from: "\(folder.path)/2"), .bytes(name: "config", [2])])
        #expect(SystemFiles.names(place) == ["config", "model.onnx"])
        #expect(SystemFiles.text("\(folder.path)/1") == "one", "the store's files are untouched")
    }

    @Test func `rows are divided by lot, each the same way whatever range it is looked at in`() {
        func rows(_ part: DatasetSplit.Part, _ range: Range<Int64>, _ share: Double, _ seed: UInt64) -> [Int64] {
            let split = DatasetSplit(part, trainShare: share, seed: seed)
            return range.filter { split.contains($0) }
        }
        // As another program finds them that follows the words in DatasetSplit.
        #expect(rows(.train, 0..<12, 0.5, 1) == [3, 4, 8, 10])
        #expect(rows(.train, 1500..<1512, 0.75, 27) == [1500, 1501, 1502, 1503, 1504, 1506, 1507, 1509, 1510, 1511])
        #expect(rows(.train, 0..<10_000, 0.8, 7).count == 8066)
        #expect((rows(.train, 0..<500, 0.8, 7) + rows(.eval, 0..<500, 0.8, 7)).sorted() == Array(0..<500))
        #expect(
            rows(.train, 0..<700, 0.8, 7).filter { $0 < 500 } == rows(.train, 0..<500, 0.8, 7), "no row changes sides as the range grows")
        #expect(rows(.train, 0..<500, 0.8, 7) != rows(.train, 0..<500, 0.8, 8))
        #expect(rows(.train, 0..<50, 1, 7).count == 50 && rows(.train, 0..<50, 0, 7).isEmpty && rows(.all, 0..<50, 0, 7).count == 50)
    }
}

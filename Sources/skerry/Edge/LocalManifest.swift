import NodeAgent
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What is deployed on a node itself, out of files.
enum LocalManifest {
    private static let bytesMax = 1 << 20

    /// The objects of a manifest: one in JSON, or any number in YAML between lines of `---`.
    ///
    /// - Throws: `CloudError` that names the file and what in it cannot be read.
    static func read(_ path: String) throws -> [JSON] {
        let bytes: [UInt8]
        do { bytes = try SmallFile.read(path, bytesMax: bytesMax) } catch { throw CloudError("cannot read \(path): \(error)") }
        do {
            if bytes.first(where: { $0 != 0x20 && $0 != 0x0a && $0 != 0x0d && $0 != 0x09 }) == UInt8(ascii: "{") {
                return [try JSONParser.parse(bytes)]
            }
            return try documents(bytes).map { try YAMLParser.parse($0) }.filter { $0 != .null }
        } catch { throw CloudError("\(path): \(error)") }
    }

    private static func documents(_ bytes: [UInt8]) -> [[UInt8]] {
        let lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false)
        let isMarker = { (line: ArraySlice<UInt8>) in
            line.starts(with: "---".utf8) && line.dropFirst(3).allSatisfy { $0 == 0x20 || $0 == 0x0d }
        }
        return lines.split(omittingEmptySubsequences: true, whereSeparator: isMarker).map { Array($0.joined(separator: [0x0a])) }
    }

    /// A Pod whose worker loads a model; the model is copied below the node's folder, named by its digest, with its signature beside it.
    static func pod(ofModel bytes: [UInt8], signature: [UInt8]?, name: String, folder: String) throws -> JSON {
        guard let root = realPath(folder) else { throw CloudError("--data-dir \(folder): \(String(cString: strerror(errno)))") }
        let models = root + "/models"
        try FileManager.default.createDirectory(atPath: models, withIntermediateDirectories: true)
        let path = "\(models)/\(ArtifactDigest(of: bytes).hex).onnx"
        for (path, bytes) in [(path + ".sig", signature), (path, bytes)] {
            guard let bytes else { continue }
            let file = try WholeFile(path: path, isPrivate: false)
            try file.write(bytes)
            try file.commit()
        }
        return [
            "apiVersion": "v1", "kind": "Pod",
            // It reports where it listens, and the node's port answers for it.
            "metadata": ["name": .string(name), "labels": ["skerry.io/model": .string(name), "jobs.skerry.io/worker": "true"]],
            "spec": [
                "terminationGracePeriodSeconds": 5,
                "containers": [
                    [
                        "name": "worker", "image": .string(ProcessRuntime.builtinImage), "args": ["infer"],
                        "env": [
                            ["name": "MODEL_URL", "value": .string(path)], ["name": "MODEL_NAME", "value": .string(name)],
                            ["name": "INFERENCE_PORT", "value": "0"],
                        ],
                    ]
                ],
            ],
        ]
    }
}

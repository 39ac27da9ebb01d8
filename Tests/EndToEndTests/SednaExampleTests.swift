import TestKit
import Testing

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

/// Sedna's published examples, applied as they are: their images cannot be had here, which every object says.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .serialized, .timeLimit(.minutes(30)))
struct SednaExampleTests {
    private func edge(_ name: String, _ cloud: Cloud) async throws -> ServingProgram {
        let made = await Edge.skerry(["token", "create", "--node", name], in: cloud.folder).wait()
        #expect(made.status == 0, "\(made.error)")
        return Edge.skerry(
            [
                "edge", "--data-dir", "\(cloud.folder)/\(name)", "--listen", "127.0.0.1:0", "--join",
                String(made.output.prefix { $0 != "\n" }),
            ], in: cloud.folder)
    }

    /// What the examples name and do not bring: data and models of the user's own.
    private static func surroundings(_ folder: String) -> String {
        let datasets = ["lifelong-dataset": "csv", "incremental-dataset": "txt"].sorted { $0.key < $1.key }.map { name, format in
            """
            apiVersion: sedna.io/v1alpha1
            kind: Dataset
            metadata: {name: \(name)}
            spec: {url: \(folder)/data.\(format), format: \(format), nodeName: edge-node}
            """
        }
        let models = [
            "initial-model", "deploy-model", "helmet-detection-inference-little-model", "helmet-detection-inference-big-model",
        ].map { name in
            """
            apiVersion: sedna.io/v1alpha1
            kind: Model
            metadata: {name: \(name)}
            spec: {url: \(folder)/models/\(name).ckpt, format: ckpt}
            """
        }
        return (datasets + models).joined(separator: "\n---\n")
    }

    @Test(arguments: [
        (
            "atcii-lifelong.yaml", "lifelonglearningjob/atcii-classifier-demo",
            "kubeedge/sedna-example-lifelong-learning-atcii-classifier:v0.3.0"
        ),
        (
            "helmet-incremental.yaml", "incrementallearningjob/helmet-detection-demo",
            "kubeedge/sedna-example-incremental-learning-helmet-detection:v0.4.0"
        ),
        (
            "helmet-joint-inference.yaml", "jointinferenceservice/helmet-detection-inference-example",
            "kubeedge/sedna-example-joint-inference-helmet-detection-"
        ),
    ]) func `it applies unchanged, and its condition and an Event name the image and the remedy`(
        _ file: String, _ object: String, _ image: String
    ) async throws {
        try await Cloud.with { cloud in
            let edges = [try await edge("edge-node", cloud), try await edge("cloud-node", cloud)]
            try cloud.write("data.csv", "a,label\n" + (0..<600).map { "\($0),\($0 % 2)\n" }.joined())
            try cloud.write("data.txt", (0..<600).map { "images/\($0).jpg \($0 % 2)\n" }.joined())
            try FileManager.default.createDirectory(atPath: cloud.folder + "/models", withIntermediateDirectories: false)
            try cloud.write("surroundings.yaml", Self.surroundings(cloud.folder))
            #expect(await cloud.kubectl("apply -f \(cloud.folder)/surroundings.yaml").status == 0)
            let path = FileManager.default.currentDirectoryPath + "/examples/sedna/" + file
            let applied = await cloud.kubectl("apply -f \(path)")
            #expect(applied.status == 0, "\(applied.error)")
            var told = ""
            for _ in 0..<1200 where !told.contains(image) {
                told = await cloud.kubectl("get \(object) -o jsonpath={.status.conditions[-1:].message}").output
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(told.contains("image \"\(image)") && told.contains("has no container engine"), "\(told)")
            #expect(told.contains("give the container a command, use skerry/worker:builtin, or choose a node with an engine"))
            let events = await cloud.kubectl("get events -o jsonpath={.items[*].message}").output
            #expect(events.contains("image \"\(image)"), "\(events.prefix(2000))")
            for edge in edges {
                edge.signal(SIGTERM)
                _ = await edge.wait()
            }
        }
    }
}

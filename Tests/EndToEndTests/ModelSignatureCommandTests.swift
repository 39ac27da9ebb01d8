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

/// Signatures of models from the push to the node that loads them, by the real program.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct ModelSignatureCommandTests {
    private static let small = "models/thermal-comfort/comfort-small.onnx"
    private static let large = "models/thermal-comfort/comfort.onnx"

    private static func skerry(_ line: String, _ folder: String) async -> ServingProgram.Result {
        await Edge.skerry(line.split(separator: " ").map(String.init), in: folder).wait()
    }

    private static func done(_ line: String, _ cloud: Cloud) async -> String {
        let result = await skerry(line, cloud.folder)
        #expect(result.status == 0, "skerry \(line): \(result.error)")
        return result.output
    }

    private static func signed(_ name: String, _ cloud: Cloud) async throws {
        try await Edge.until("model \(name) to be signed") { await skerry("model verify \(name)", cloud.folder).status == 0 }
    }

    @Test func `the cloud signs what is pushed, and two files and a key prove it without the cloud`() async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder)
        _ = await Self.done("model push \(Self.small) --name comfort --with README.md", cloud)
        try await Self.signed("comfort", cloud)
        _ = await Self.done("model pull comfort --to \(folder)/pulled", cloud)
        try cloud.write("cloud.pub", await Self.done("model keys show", cloud))
        await cloud.stop()

        let proof = "model verify \(folder)/pulled --key \(folder)/cloud.pub"
        let proven = await Self.skerry(proof, folder)
        #expect(proven.status == 0 && proven.output.contains("signed by key"), "\(proven.error)")
        try "changed".write(to: URL(filePath: "\(folder)/pulled/README.md"), atomically: true, encoding: .utf8)
        let changed = await Self.skerry(proof, folder)
        #expect(changed.status == 1 && changed.error.contains("file README.md has sha256"), "\(changed.error)")
        _ = await Self.skerry("model keys create \(folder)/other.pem", folder)
        let other = await Self.skerry("model verify \(folder)/pulled --key \(folder)/other.pem.pub", folder)
        #expect(other.status == 1 && other.error.contains("which is not trusted here"), "\(other.error)")
        let mode = try FileManager.default.attributesOfItem(atPath: "\(folder)/models.key")[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try FileManager.default.removeItem(atPath: folder)
    }

    @Test func `a new key signs anew, and the old one is trusted until it is removed`() async throws {
        try await Cloud.with { cloud in
            _ = await Self.done("model push \(Self.small) --name comfort", cloud)
            try await Self.signed("comfort", cloud)
            let old = await Self.done("model verify comfort", cloud)
            let entry = await Self.done("model keys list -o csv", cloud).split(separator: "\n")[1].split(separator: ",")[0]
            let refused = await Self.skerry("model keys remove \(entry)", cloud.folder)
            #expect(refused.status == 1 && refused.error.contains("skerry model keys rotate"), "\(refused.error)")

            #expect(await Self.done("model keys rotate", cloud).contains("stays trusted until it is removed"))
            try await Edge.until("the version to be signed by the new key") { await Self.done("model verify comfort", cloud) != old }
            _ = await Self.done("model keys remove \(entry)", cloud)
            let rows = await Self.done("model keys list -o csv", cloud).split(separator: "\n")
            #expect(rows.count == 2 && !rows[1].hasPrefix(entry))
            _ = await Self.done("model verify comfort", cloud)
        }
    }

    @Test func `who is not trusted cannot push a signature, and who is can`() async throws {
        try await Cloud.with { cloud in
            let key = "\(cloud.folder)/me.pem"
            _ = await Self.done("model keys create \(key)", cloud)
            let push = "model push \(Self.small) --name comfort --sign-key \(key)"
            let refused = await Self.skerry(push, cloud.folder)
            #expect(refused.status == 1 && refused.error.contains("skerry model keys add"), "\(refused.error)")
            _ = await Self.done("model keys add \(key).pub", cloud)
            _ = await Self.done(push, cloud)
            let proven = await Self.skerry("model verify comfort --key \(key).pub", cloud.folder)
            #expect(proven.status == 0, "\(proven.error)")
        }
    }

    @Test(.enabled(if: Cloud.kubectl != nil, "kubectl is not installed"))
    func `a node never loads what a trusted key has not signed, and goes on with what it has`() async throws {
        try await Cloud.with(node: true) { cloud in
            _ = await Self.done("model push \(Self.small) --name comfort", cloud)
            _ = await Self.done("model push \(Self.large) --name comfort", cloud)
            try await Self.signed("comfort", cloud)
            // A version that claims other files than were signed, as by somebody who writes objects and has no key.
            let versions = await cloud.kubectl("get model comfort -o jsonpath={.status.versions}").output
            let stolen = await cloud.kubectl("get model comfort -o jsonpath={.status.versions[0].signature}").output
            let digest = await cloud.kubectl("get model comfort -o jsonpath={.status.versions[1].digest}").output
            try cloud.write("stolen.json", stolen)
            let own = versions.dropLast() + ",{\"version\":3,\"digest\":\"\(digest)\",\"format\":\"onnx\",\"signature\":"
            let quoted = "\"" + stolen.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
            try cloud.write(
                "pod.yaml",
                """
                apiVersion: v1
                kind: Pod
                metadata: {name: shows}
                spec:
                  nodeName: cloud-0
                  terminationGracePeriodSeconds: 1
                  containers:
                    - name: shows
                      image: none
                      command: [sh, -c, "while sleep 0.2; do sha256sum < /tmp/skerry-seal-model/model.onnx; done"]
                      volumeMounts: [{name: model, mountPath: /tmp/skerry-seal-model}]
                  volumes:
                    - name: model
                      csi: {driver: models.skerry.io, readOnly: true, volumeAttributes: {model: comfort}}
                """)
            let applied = await cloud.kubectl("apply -f \(cloud.folder)/pod.yaml")
            #expect(applied.status == 0, "\(applied.error)")
            try await Edge.until("the Pod to run") {
                await cloud.kubectl("get pod shows -o jsonpath={.status.phase}").output == "Running"
            }
            try cloud.write("patch.json", "{\"status\":{\"serving\":3,\"versions\":\(own)\(quoted)}]}}")
            let patched = await cloud.kubectl(
                "patch model comfort --subresource=status --type=merge --patch-file=\(cloud.folder)/patch.json")
            #expect(patched.status == 0, "\(patched.error)")
            try await Edge.until("an Event that names the file") {
                await cloud.kubectl("get events -o jsonpath={.items[*].message}").output.contains(
                    "model \"comfort\" version 3 is not loaded: file model.onnx has sha256")
            }
            try await Edge.until("the model's condition to say so") {
                await cloud.kubectl("get model comfort -o jsonpath={.status.conditions[?(@.type==\"Signed\")].message}").output
                    .contains("version 3: file model.onnx has sha256")
            }
            // What served goes on serving.
            let shown = await cloud.kubectl("logs shows --tail=1").output
            let first = await cloud.kubectl("get model comfort -o jsonpath={.status.versions[0].digest}").output
            #expect(shown.prefix(64) == first.dropFirst(7).prefix(64), "\(shown) \(first)")
            let screen = await Self.done("status", cloud)
            #expect(screen.contains("model/default/comfort") && screen.contains("SignatureRefused"), "\(screen)")

            _ = await Self.done("model promote comfort 2", cloud)
            try await Edge.until("version 2 to take over") {
                await cloud.kubectl("logs shows --tail=1").output.prefix(64) == digest.dropFirst(7).prefix(64)
            }
            _ = await cloud.kubectl("delete pod shows --timeout=60s")
        }
    }
}

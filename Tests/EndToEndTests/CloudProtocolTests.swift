import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Which HTTP stock clients speak with a cloud, seen from them.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct CloudProtocolTests {
    /// Has programs written in Go say what they do by HTTP/2.
    private static let talkative = ["GODEBUG": "http2debug=1"]

    @Test(arguments: [Cloud.kubectl].compactMap { $0 } + Cloud.otherKubectls)
    func `kubectl lists, watches and is refused by HTTP two`(client: String) async throws {
        try await Cloud.with { cloud in
            let list = await cloud.kubectl(["get", "namespaces", "-o", "name"], by: client, environment: Self.talkative)
            #expect(list.status == 0 && list.output.contains("namespace/default"), "\(list.error)")
            #expect(list.error.contains("http2: Transport received HEADERS"), "\(list.error)")
            let refused = await cloud.kubectl(["delete", "namespace", "nothing"], by: client, environment: Self.talkative)
            #expect(refused.status == 1 && refused.error.contains("\"nothing\" not found"), "\(refused.error)")
            try cloud.write("cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: seen}\ndata: {done: \"no\"}\n")
            #expect(await cloud.kubectl("create -f \(cloud.folder)/cm.yaml").status == 0)
            async let watched = cloud.kubectl(
                ["wait", "configmap/seen", "--for=jsonpath={.data.done}=yes", "--timeout=120s"], by: client, environment: Self.talkative)
            #expect(await cloud.kubectl(["patch", "configmap", "seen", "-p", "{\"data\":{\"done\":\"yes\"}}"]).status == 0)
            let seen = await watched
            #expect(seen.status == 0 && seen.error.contains("http2: Transport received DATA"), "\(seen.error)")
        }
    }

    @Test(.enabled(if: ServingProgram.find("curl") != nil, "curl is not installed"), arguments: [("--http2", "2"), ("--http1.1", "1.1")])
    func `curl is answered the same by either HTTP`(option: String, version: String) async throws {
        try await Cloud.with { cloud in
            let kubeconfig = try String(contentsOfFile: "\(cloud.folder)/admin.kubeconfig", encoding: .utf8)
            let line = try #require(kubeconfig.split(separator: "\n").first { $0.contains("server: ") })
            let server = try #require(line.split(separator: " ").last)
            let result = await ServingProgram(
                ServingProgram.find("curl")!,
                ["-s", "--cacert", "\(cloud.folder)/ca.crt", option, "-w", " %{http_version}", "\(server)/version"], folder: cloud.folder
            ).wait()
            #expect(result.output.contains("gitVersion") && result.output.hasSuffix(" \(version)"), "\(result.output) \(result.error)")
        }
    }
}

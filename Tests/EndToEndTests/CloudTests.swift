import Network
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

@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed")) struct CloudTests {
    private let configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata: {a: \"1\"}\n"

    @Test func `what was acknowledged is there after a kill, and the keys are the same`() async throws {
        let folder = try Cloud.newFolder()
        let first = try await Cloud.start(in: folder)
        for index in 0..<5 {
            try first.write("cm.yaml", configMap.replacing("NAME", with: "c\(index)"))
            #expect(await first.kubectl("create -f \(folder)/cm.yaml").status == 0)
        }
        first.program.signal(SIGKILL)
        #expect(await first.program.wait().status == -SIGKILL)
        let authority = try String(contentsOf: URL(filePath: folder + "/ca.crt"), encoding: .utf8)
        let second = try await Cloud.start(in: folder)
        #expect(await second.kubectl("get configmaps -o name").output == (0..<5).map { "configmap/c\($0)\n" }.joined())
        #expect(try String(contentsOf: URL(filePath: folder + "/ca.crt"), encoding: .utf8) == authority)
        for name in ["ca.key", "sa.key", "admin.kubeconfig", "objects.db"] {
            var status = stat()
            #expect(stat("\(folder)/\(name)", &status) == 0 && status.st_mode & 0o777 == 0o600, "\(name)")
        }
        await second.stop()
        try FileManager.default.removeItem(atPath: folder)
    }

    @Test func `a cloud runs beside a server that its kubeconfig names, and says what it leaves to it`() async throws {
        try await Cloud.with { server in
            let folder = try Cloud.newFolder()
            let beside = ServingProgram(
                "\(ServingProgram.builtFolder)/skerry",
                ["cloud", "--data-dir", folder, "--kubeconfig", "\(server.folder)/admin.kubeconfig", "--context", "skerry"], folder: folder)
            while !beside.error.contains("every kind of ours") || !beside.error.contains("controllers") {
                guard kill(beside.pid, 0) == 0, waitpid(beside.pid, nil, WNOHANG) == 0 else { throw Cloud.Failed(text: beside.error) }
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(beside.error.contains("running beside https://127.0.0.1:"))
            #expect(beside.error.contains("not run here") && beside.error.contains("garbage-collector"))
            #expect(beside.error.contains("the server has every kind of ours"), "\(beside.error)")
            beside.signal(SIGTERM)
            #expect(await beside.wait().status == 0)
            let wrong = await ServingProgram(
                "\(ServingProgram.builtFolder)/skerry",
                ["cloud", "--data-dir", folder, "--kubeconfig", "\(server.folder)/admin.kubeconfig", "--context", "nowhere"], folder: folder
            ).wait()
            #expect(wrong.status == 1 && wrong.error.contains("no context \"nowhere\"; found [\"skerry\"]"), "\(wrong.error)")
            try FileManager.default.removeItem(atPath: folder)
        }
    }

    @Test func `watches of a cloud that has nothing to tell do not look again and again`() async throws {
        try await Cloud.with { cloud in
            var looks: [Int] = []
            // The start settles first; who looks in a circle would have looked again between two questions.
            while looks.count < 200, looks.count < 10 || Set(looks.suffix(10)).count > 1 {
                let line = await cloud.kubectl("get --raw /metrics").output.split(separator: "\n")
                    .first { $0.hasPrefix("skerry_watch_looks_total ") }
                looks.append(try #require(line?.split(separator: " ").last.flatMap { Int($0) }))
            }
            #expect(Set(looks.suffix(10)).count == 1, "\(looks)")
            #expect(looks.last ?? 0 > 0)
            // They are awake all the same.
            try cloud.write("cm.yaml", configMap.replacing("NAME", with: "seen"))
            #expect(await cloud.kubectl("create -f \(cloud.folder)/cm.yaml").status == 0)
            let rested = "skerry_watch_looks_total \(looks.last ?? 0)\n"
            var hasLooked = false
            for _ in 0..<100 where !hasLooked {
                hasLooked = await !cloud.kubectl("get --raw /metrics").output.contains(rested)
            }
            #expect(hasLooked)
        }
    }

    @Test func `a second cloud is kept out of the first one's folder`() async throws {
        try await Cloud.with { cloud in
            let second = await ServingProgram(
                "\(ServingProgram.builtFolder)/skerry", ["cloud", "--data-dir", cloud.folder, "--listen", "127.0.0.1:0", "--no-node"],
                folder: cloud.folder
            ).wait()
            #expect(second.status == 1)
            #expect(second.error.contains("in use by another process"))
        }
    }

    @Test func `a backup of a running cloud is restored into another folder`() async throws {
        try await Cloud.with { cloud in
            try cloud.write("cm.yaml", configMap.replacing("NAME", with: "kept"))
            #expect(await cloud.kubectl("create -f \(cloud.folder)/cm.yaml").status == 0)
            let skerry = "\(ServingProgram.builtFolder)/skerry"
            let backup = await ServingProgram(
                skerry, ["cloud", "backup", "--data-dir", cloud.folder, "\(cloud.folder)/backup.db"], folder: cloud.folder
            ).wait()
            #expect(backup.status == 0, "\(backup.error)")
            let folder = try Cloud.newFolder()
            let restore = await ServingProgram(
                skerry, ["cloud", "restore", "--data-dir", folder, "\(cloud.folder)/backup.db"], folder: folder
            )
            .wait()
            #expect(restore.status == 0, "\(restore.error)")
            let other = try await Cloud.start(in: folder)
            #expect(await other.kubectl("get configmap kept -o jsonpath={.data.a}").output == "1")
            await other.stop()
            try FileManager.default.removeItem(atPath: folder)
        }
    }

    @Test func `kubectl shows events in both forms, and roles with what they gather`() async throws {
        try await Cloud.with { cloud in
            try cloud.write(
                "events.yaml",
                """
                apiVersion: v1
                kind: Event
                metadata: {name: told, namespace: default}
                involvedObject: {kind: Pod, name: p, namespace: default}
                reason: Pulled
                message: image is here
                type: Normal
                source: {component: kubelet}
                lastTimestamp: "2030-01-01T00:00:00Z"
                ---
                apiVersion: events.k8s.io/v1
                kind: Event
                metadata: {name: new, namespace: default}
                regarding: {apiVersion: v1, kind: Pod, name: q, namespace: default}
                reason: Placed
                note: placed on n1
                type: Warning
                action: Binding
                eventTime: "2030-01-01T00:00:00.000000Z"
                reportingController: skerry.io/scheduler
                reportingInstance: one

                """)
            #expect(await cloud.kubectl("create -f \(cloud.folder)/events.yaml").status == 0)
            #expect(
                await cloud.kubectl("get events.v1.events.k8s.io told -o jsonpath={.note}|{.regarding.name}|{.deprecatedSource.component}")
                    .output
                    == "image is here|p|kubelet")
            #expect(await cloud.kubectl("get event new -o jsonpath={.message}|{.involvedObject.name}").output == "placed on n1|q")
            let table = await cloud.kubectl("get events.events.k8s.io").output
            #expect(table.contains("image is here") && table.contains("placed on n1") && table.contains("pod/q"), "\(table)")
            let listed = await cloud.kubectl("events --for pod/q").output
            #expect(listed.contains("placed on n1") && !listed.contains("image is here"), "\(listed)")
            #expect(await cloud.kubectl("explain events.note --api-version events.k8s.io/v1").output.contains("human-readable"))
            try cloud.write(
                "role.yaml",
                """
                apiVersion: rbac.authorization.k8s.io/v1
                kind: ClusterRole
                metadata: {name: crontabs, labels: {rbac.authorization.k8s.io/aggregate-to-admin: "true"}}
                rules: [{verbs: [get], apiGroups: [stable.example.com], resources: [crontabs]}]

                """)
            #expect(await cloud.kubectl("create -f \(cloud.folder)/role.yaml").status == 0)
            var admin = ""
            while !admin.contains("crontabs") || !admin.contains("localsubjectaccessreviews") || !admin.contains("deployments") {
                admin = await cloud.kubectl("get clusterrole admin -o yaml").output
                try #require(!admin.isEmpty)
            }
            #expect(await cloud.kubectl("describe clusterrole edit").output.contains("configmaps"))
        }
    }

    @Test func `settings come from a file, and flags win over it`() async throws {
        let folder = try Cloud.newFolder()
        let config = "\(folder)/skerry.yaml"
        func write(_ text: String) throws { try text.write(to: URL(filePath: config), atomically: true, encoding: .utf8) }
        func run(_ arguments: [String]) async -> ServingProgram.Result {
            await ServingProgram("\(ServingProgram.builtFolder)/skerry", ["cloud"] + arguments, folder: folder).wait()
        }
        try write("dataDir: \(folder)/data\nlisten: 127.0.0.1:0\nhttp:\n  bodyBytesMax: 64Ki\naudit: {enabled: false}\n")
        let cloud = ServingProgram("\(ServingProgram.builtFolder)/skerry", ["cloud", "--config", config], folder: folder)
        while !cloud.error.contains("export KUBECONFIG") {
            guard kill(cloud.pid, 0) == 0, waitpid(cloud.pid, nil, WNOHANG) == 0 else { throw Cloud.Failed(text: cloud.error) }
            try await Task.sleep(for: .milliseconds(10))
        }
        let client = try CloudConnection(kubeconfig: "\(folder)/data/admin.kubeconfig").open()
        let long = try await client.send(
            HTTPRequest(method: "POST", path: "/api/v1/namespaces", body: [UInt8](repeating: 0x20, count: 70_000)))
        #expect(long.status == 413)
        #expect(!FileManager.default.fileExists(atPath: "\(folder)/data/audit.log"))
        await client.close()
        // The folder of the flag is another, that of the file is in use.
        let inUse = await run(["--config", config])
        #expect(inUse.status == 1 && inUse.error.contains("in use by another process"), "\(inUse.error)")
        let taken = await run(["--config", config, "--data-dir", "\(folder)/data2", "--listen", "203.0.113.1:1"])
        #expect(taken.status == 1 && taken.error.contains("203.0.113.1:1"), "\(taken.error)")
        cloud.signal(SIGTERM)
        #expect(await cloud.wait().status == 0)
        for (text, words) in [
            ("dataDir: a\nhttp:\n  requestsMax: 0\n", "line 3: http.requestsMax: expected a whole number from 1 to 10000, found 0"),
            ("dataDir: a\nhtpp: {}\n", "htpp: there is no such setting; there are listen, dataDir"),
            ("dataDir: a\nlisten: here\n", "listen: expected ADDRESS:PORT, as 127.0.0.1:7443, found \"here\""),
            ("dataDir: a\ncontext: b\n", "context: there is no kubeconfig"), ("dataDir: [", "line "),
        ] {
            try write(text)
            let refused = await run(["--config", config])
            #expect(refused.status == 1 && refused.error.contains("skerry.yaml") && refused.error.contains(words), "\(refused.error)")
        }
        try write("listen: 127.0.0.1:0\n")
        let nowhere = await run(["--config", config])
        #expect(nowhere.status == 2 && nowhere.error.contains("dataDir is missing in"), "\(nowhere.error)")
        let missing = await run(["--config", "\(folder)/none.yaml"])
        #expect(missing.status == 1 && missing.error.contains("none.yaml: No such file"), "\(missing.error)")
        try FileManager.default.removeItem(atPath: folder)
    }

    @Test(arguments: ["nonsense", "127.0.0.1:99999", ":1"])
    func `an address that is none is bad usage`(address: String) async throws {
        let folder = try Cloud.newFolder()
        let result = await ServingProgram(
            "\(ServingProgram.builtFolder)/skerry", ["cloud", "--data-dir", folder, "--listen", address, "--no-node"], folder: folder
        )
        .wait()
        #expect(result.status == 2)
        #expect(result.error.contains("--listen"))
        try FileManager.default.removeItem(atPath: folder)
    }
}

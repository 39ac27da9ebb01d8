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

@Suite(.enabled(if: Cloud.kubectl != nil, "kubectl is not installed")) struct CloudTests {
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

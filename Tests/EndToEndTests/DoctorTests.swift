import Resources
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What nodes and Pods use, and what is wrong with a cloud.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct DoctorTests {
    private static let pod = """
        apiVersion: v1
        kind: Pod
        metadata: {name: busy, labels: {app: busy}}
        spec:
          nodeName: e1
          terminationGracePeriodSeconds: 1
          containers:
            - {name: main, image: none, command: [sh, -c, "while true; do :; done"]}
            - {name: idle, image: none, command: [sh, -c, "exec sleep 1000"]}
        """

    @Test func `kubectl top and skerry top tell what nodes and Pods use, also by label, and leave out a node that is away`() async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder)
        let edge = try await Edge.join(cloud)
        try cloud.write("pod.yaml", Self.pod)
        #expect(await cloud.kubectl("apply -f \(folder)/pod.yaml").status == 0)
        let ready = await cloud.kubectl("wait pod/busy --for=condition=Ready --timeout=120s")
        #expect(ready.status == 0, "\(ready.error)")

        let top = await cloud.kubectl("top pods --containers -l app=busy --no-headers")
        let lines = top.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(
            lines.map { Array($0.prefix(2)) } == [["busy", "main"], ["busy", "idle"]] || lines.count == 2, "\(top.output) \(top.error)")
        func cores(_ container: String) -> Int {
            lines.first { $0.count > 2 && $0[1] == container }.flatMap { Int($0[2].filter(\.isNumber)) } ?? -1
        }
        let (busy, idle) = (cores("main"), cores("idle"))
        #expect(busy > 0 && idle == 0 || busy > idle, "\(top.output)")
        #expect(await cloud.kubectl("top pods -l app=none").error.contains("No resources found"))
        let nodes = await cloud.kubectl("top nodes --no-headers")
        #expect(nodes.status == 0 && nodes.output.hasPrefix("e1 ") && nodes.output.contains("Mi"), "\(nodes.output) \(nodes.error)")
        let one = try JSON(parsing: await cloud.kubectl("get --raw /apis/metrics.k8s.io/v1beta1/nodes/e1").output)
        #expect(one["kind"] == "NodeMetrics" && one["usage"]?["memory"]?.string?.hasSuffix("Ki") == true, "\(one.text)")
        let config = ["--kubeconfig", "\(folder)/admin.kubeconfig"]
        let own = await Edge.skerry(["top", "pods", "--node", "e1", "-o", "json"] + config, in: folder).wait()
        let rows = try JSON(parsing: own.output).array ?? []
        #expect(rows.first?["pod"] == "busy" && rows.first?["node"] == "e1" && rows.first?["cpu_milli"]?.integer ?? 0 > 0, "\(own.output)")
        let refused = await cloud.kubectl("top nodes --as=somebody")
        #expect(refused.status == 1 && refused.error.contains("nodes.metrics.k8s.io is forbidden"), "\(refused.error)")

        #expect(await cloud.kubectl("delete pod busy --timeout=60s").status == 0)
        await edge.stop()
        try await Edge.until("the node to be left out") {
            await Edge.skerry(["top", "nodes", "-o", "csv"] + config, in: folder).wait().output
                == "NODE,CPU_MILLI,CPU,MEMORY_MIB,MEMORY\ne1,,,,\n"
        }
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }

    @Test func `doctor finds nothing wrong with a sound cloud, and names what is broken with its remedy`() async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder)
        let edge = try await Edge.join(cloud)
        func doctor(_ words: [String] = []) async -> ServingProgram.Result {
            await Edge.skerry(["doctor", "--kubeconfig", "\(folder)/admin.kubeconfig"] + words, in: folder).wait()
        }
        try await Edge.until("a sound cloud") { await doctor().status == 0 }
        let sound = await doctor(["-o", "json", "--data-dir", folder])
        let subjects = (try JSON(parsing: sound.output).array ?? []).compactMap { $0["subject"]?.string }
        for subject in ["disk of \(folder)", "certificate of kubeconfig", "certificate of authority", "server", "node/e1"] {
            #expect(subjects.contains(subject), "\(subjects)")
        }

        // A job whose data set nobody has, a worker whose image nobody can pull, a key that others may read, a node that is away.
        try cloud.write(
            "job.yaml",
            """
            apiVersion: sedna.io/v1alpha1
            kind: LifelongLearningJob
            metadata: {name: lost}
            spec:
              dataset: {name: nowhere, trainProb: 0.8}
              outputDir: /tmp
              trainSpec: {trigger: {condition: {metric: num_of_samples, operator: ">", threshold: 1}}, template: {spec: {containers: [{name: t, image: a}]}}}
              evalSpec: {template: {spec: {containers: [{name: e, image: a}]}}}
              deploySpec: {template: {spec: {containers: [{name: d, image: a}]}}}
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: distant}
            spec: {nodeName: e1, containers: [{name: main, image: "example.org/none:1"}]}
            """)
        let applied = await cloud.kubectl("apply -f \(folder)/job.yaml")
        #expect(applied.status == 0, "\(applied.error)")
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: "\(folder)/models.key")
        try await Edge.until("the job and the Pod to be found broken") {
            let found = await doctor(["--quiet"]).output
            return found.contains("ll/default/lost: Train Waiting (DatasetNotFound)") && found.contains("pod/default/distant: ")
        }
        let broken = await doctor(["--quiet", "--data-dir", folder])
        #expect(broken.status == 1)
        #expect(broken.output.contains("do: apply the Dataset that spec.dataset.name names"), "\(broken.output)")
        #expect(broken.output.contains("do: give the worker a command, or the image skerry/worker:builtin"), "\(broken.output)")
        #expect(broken.output.contains("do: chmod 600 \(folder)/models.key"), "\(broken.output)")
        await edge.stop()
        try await Edge.until("the broken link") { await doctor(["--quiet"]).output.contains("failure  node/e1: ") }
        await cloud.stop()
        let away = await doctor()
        #expect(
            away.status == 1 && away.output.contains("failure  server: ") && away.output.contains("skerry cloud --data-dir"),
            "\(away.output)")
        try FileManager.default.removeItem(atPath: folder)
    }
}

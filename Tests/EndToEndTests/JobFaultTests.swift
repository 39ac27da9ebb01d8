import Resources
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

/// What can go wrong with a job's data and workers: each is stopped with a condition that names it, and nothing bad serves.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .serialized, .timeLimit(.minutes(30)))
struct JobFaultTests {
    // MARK: Manifests

    private static let header = "room,season,warmth,humidity,vote\n"
    private static let variables =
        "env: [{name: LABEL_COLUMN, value: vote}, {name: TASK_ATTRIBUTES, value: season}, {name: IGNORED_COLUMNS, value: room},"
        + " {name: ESTIMATOR, value: nearest-centres}]"

    /// Rows whose vote follows the warmth, in each season from another point on; or its contrary.
    private static func rows(_ range: Range<Int>, isContrary: Bool = false) -> [String] {
        range.map { row in
            let isWinter = row % 2 == 1
            let warmth = Double((row * 37) % 200) / 10
            let vote = (warmth > (isWinter ? 7 : 12)) != isContrary ? "warm" : "cold"
            return "\(row),\(isWinter ? "winter" : "summer"),\(warmth),\((row * 61) % 100),\(vote)\n"
        }
    }

    private static func builtIn(_ kind: String) -> String {
        "{name: \(kind), image: \"skerry/worker:builtin\", args: [\(kind)], \(variables)}"
    }

    private static func shell(_ name: String, _ script: String) -> String {
        let text = script.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''")
        return "{name: \(name), image: any, command: [sh, -c, '\(text)'], \(variables)}"
    }

    private static func job(
        _ name: String, in folder: String, node: String = "cloud-0", dataset: String? = nil, train: String, evaluate: String? = nil,
        deadline: String = "", retries: Int = 0, privacy: String = "unseen-or-hard", gate: String = "0", infer: String? = nil,
        canary: String = ""
    ) -> String {
        """
        apiVersion: sedna.io/v1alpha1
        kind: Dataset
        metadata: {name: \(dataset ?? name)}
        spec: {url: \(folder)/data/\(dataset ?? name).csv, format: csv, nodeName: \(node)}
        ---
        apiVersion: sedna.io/v1alpha1
        kind: LifelongLearningJob
        metadata: {name: \(name)}
        spec:
          dataset: {name: \(dataset ?? name), trainProb: 0.8}
          outputDir: \(folder)/output/\(name)
          privacy: {rule: \(privacy)}
          trainSpec:
            backoffLimit: \(retries)
            trigger: {checkPeriodSeconds: 1, condition: {operator: ">", threshold: 0, metric: num_of_samples}}
            template: {spec: {\(deadline)containers: [\(train)]}}
          evalSpec: {backoffLimit: \(retries), template: {spec: {containers: [\(evaluate ?? builtIn("evaluate"))]}}}
          deploySpec:
            gate: [{metric: accuracy, operator: ">", threshold: \(gate)}]
            template: {spec: {containers: [\(infer ?? builtIn("infer"))]}}
            \(canary)
        """
    }

    private static func write(_ text: String, _ name: String, _ cloud: Cloud) throws {
        try FileManager.default.createDirectory(atPath: cloud.folder + "/data", withIntermediateDirectories: true)
        try cloud.write("data/\(name).csv", text)
    }

    private static func apply(_ manifest: String, _ name: String, _ cloud: Cloud) async throws {
        try cloud.write("\(name).yaml", manifest)
        let applied = await cloud.kubectl("apply -f \(cloud.folder)/\(name).yaml")
        #expect(applied.status == 0, "\(applied.error)")
    }

    private static func field(_ path: String, _ name: String, _ cloud: Cloud) async -> String {
        await cloud.kubectl("get lifelonglearningjob \(name) -o jsonpath={.status.\(path)}").output
    }

    /// Stage, type, reason and message of the condition that stands last, once it holds the words.
    private static func condition(_ words: String, _ name: String, _ cloud: Cloud) async throws -> String {
        var found = ""
        for _ in 0..<1800 where !found.contains(words) {
            let last = "{.status.conditions[-1:]"
            found = await cloud.kubectl([
                "get", "lifelonglearningjob", name, "-o",
                "jsonpath=\(last).stage} \(last).type} \(last).reason} \(last).message}",
            ]).output
            try await Task.sleep(for: .milliseconds(100))
        }
        return found
    }

    /// Waits until a round has ended and the knowledge base has it.
    private static func ended(_ round: String, _ job: String, _ cloud: Cloud) async throws {
        for _ in 0..<1800 {
            if await field("round", job, cloud) == round, await field("unrecorded", job, cloud).isEmpty { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Edge.Failed(text: "round \(round) of \(job) did not end: \(await field("conditions", job, cloud))")
    }

    // MARK: Workers

    /// Posts a report; the text may use the shell's variables.
    private static func post(_ text: String) -> String {
        let quoted = text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"")
        return
            "curl -s -X POST -H 'Content-Type: application/json' $LC_SERVER/sedna/workers/$WORKER_NAME/info -d \"\(quoted)\""
    }

    private static func claim(_ more: String) -> String {
        "echo x > $OUTPUT_URL/model.txt; "
            + post(#"{"status":"completed","results":[{"format":"txt","url":"$OUTPUT_URL/model.txt",\#(more)}]}"#)
    }

    private static let liars: [(name: String, script: String, words: String)] = [
        ("no-model", post(#"{"status":"completed","kind":"train","results":[]}"#), "Train Failed NoModel"),
        (
            "other-digest", claim(#""digest":"sha256:\#(String(repeating: "0", count: 64))","metrics":{"accuracy":1}"#),
            "Train Failed ReportRefused"
        ),
        ("no-number", claim(#""metrics":{"accuracy":1e999}"#), "Train Failed ReportRefused"),
        (
            "other-file", post(#"{"status":"completed","results":[{"format":"txt","url":"/etc/hostname","metrics":{"accuracy":1}}]}"#),
            "Train Failed ReportRefused"
        ),
        ("hangs", "sleep 600", "Train Failed DeadlineExceeded"),
        (
            "floods",
            "for i in $(seq 60); do \(post(#"{"status":"running"}"#)); done; sleep 2; \(post(#"{"status":"completed","results":[]}"#))",
            "Train Failed NoModel"
        ),
        ("killed", "sh -c 'kill -KILL $PPID'; true", "Train Failed WorkerFailed"),
    ]

    @Test func `a worker that lies, hangs, floods or is killed ends its round with a condition that names it, and nothing serves`()
        async throws
    {
        try await Cloud.with(node: true) { cloud in
            for liar in Self.liars {
                try Self.write(Self.header + Self.rows(0..<40).joined(), liar.name, cloud)
                let deadline = liar.name == "hangs" ? "activeDeadlineSeconds: 3, " : ""
                let manifest = Self.job(liar.name, in: cloud.folder, train: Self.shell("train", liar.script), deadline: deadline)
                try await Self.apply(manifest, liar.name, cloud)
            }
            for liar in Self.liars {
                let found = try await Self.condition(" Failed ", liar.name, cloud)
                #expect(found.hasPrefix(liar.words), "\(liar.name): \(found)")
                #expect(await Self.field("rounds[0].result", liar.name, cloud) == "Failed")
            }
            #expect(await cloud.kubectl("get models -o name").output.isEmpty)
            let events = await cloud.kubectl("get events --field-selector reason=TrainFailed -o name").output
            #expect(events.split(separator: "\n").count >= Self.liars.count, "\(events)")
            try await cloud.removeJobs()
        }
    }

    // MARK: Data

    @Test func `empty, one-class, broken, mislabelled and changed data sets are named, and what serves goes on serving`() async throws {
        try await Cloud.with(node: true) { cloud in
            let good = Self.header + Self.rows(0..<300).joined()
            let data = [
                ("empty", Self.header), ("one-class", Self.header + Self.rows(0..<200).filter { $0.contains("warm") }.joined()),
                ("mislabelled", good), ("changed", good),
            ]
            for (name, text) in data {
                try Self.write(text, name, cloud)
                try await Self.apply(Self.job(name, in: cloud.folder, train: Self.builtIn("train"), gate: "0.75"), name, cloud)
            }
            let one = try await Self.condition(" Failed ", "one-class", cloud)
            #expect(one.contains("at least two classes are needed") && one.contains("\"vote\""), "\(one)")
            #expect(one.contains("after 1 try"), "more of the same would not help: \(one)")
            let empty = try await Self.condition("holds no row", "empty", cloud)
            #expect(empty.hasPrefix("Train Waiting DatasetNotReadable"), "\(empty)")
            for name in ["mislabelled", "changed"] {
                try await Self.ended("1", name, cloud)
                #expect(await Self.field("rounds[0].result", name, cloud) == "Deployed")
            }

            // The same places with contrary votes: nothing can be right about both.
            let file = try #require(fopen("\(cloud.folder)/data/mislabelled.csv", "a"))
            fputs(Self.rows(300..<600, isContrary: true).joined(), file)
            fclose(file)
            // Another file in its place, without a column that was learned from.
            let other = (0..<300).map { "\($0),\($0 % 2 == 0 ? "summer" : "winter"),\($0 % 3 == 0 ? "warm" : "cold")\n" }.joined()
            try Self.write("room,season,vote\n" + other, "changed", cloud)
            let changed = try await Self.condition(" Failed ", "changed", cloud)
            #expect(changed.contains("warmth"), "\(changed)")
            #expect(await Self.field("rounds[-1:].result", "changed", cloud) == "Failed")
            try await Self.ended("2", "mislabelled", cloud)
            let kept = await Self.field("rounds[-1:].reason", "mislabelled", cloud)
            #expect(kept.hasPrefix("rule accuracy > 0.75 does not hold"), "\(kept)")
            #expect(await Self.field("rounds[-1:].result", "mislabelled", cloud) == "Kept")
            for name in ["mislabelled", "changed"] {
                #expect(await cloud.kubectl("get model \(name) -o jsonpath={.status.serving}").output == "1", "\(name)")
            }
            #expect(await cloud.kubectl("get models -o name").output.split(separator: "\n").count == 2)
            try await cloud.removeJobs()
        }
    }

    // MARK: Trials

    @Test func `a version that answers other classes is taken back from its share of the requests, by node and figure`() async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder, node: true)
        let tokens = await Edge.skerry(["token", "create", "--node", "e1"], in: folder).wait()
        let edge = try await Edge.start(folder, ["--join", String(tokens.output.prefix { $0 != "\n" })])
        try Self.write(Self.header + Self.rows(0..<300).joined(), "bad", cloud)
        let canary = "canary: 0.5\n    canaryRequests: 120"
        let manifest = Self.job("bad", in: folder, node: "e1", train: Self.builtIn("train"), privacy: "all", canary: canary)
        try await Self.apply(manifest, "bad", cloud)
        try await Self.ended("1", "bad", cloud)
        // Votes turn round, and most rows are of the new sort: on held-out rows the new model is the better one.
        let file = try #require(fopen("\(folder)/data/bad.csv", "a"))
        setvbuf(file, nil, _IOFBF, 1 << 18)
        fputs(Self.rows(300..<1500, isContrary: true).joined(), file)
        fclose(file)
        let trial = try await Self.condition("at 1 worker", "bad", cloud)
        #expect(trial.hasPrefix("Deploy Running OnTrial version 2 answers a share of 0.5"), "\(trial)")
        // People go on asking as before.
        let address = await cloud.kubectl([
            "get", "pod", "bad-infer", "-o", "jsonpath={.status.conditions[?(@.type==\"jobs.skerry.io/Worker\")].message}",
        ]).output
        let told = try #require(try JSON(parsing: address)["ownerInfo"]?["address"]?.string, "\(address)")
        let body =
            #"{"inputs":[{"name":"season","shape":[1],"datatype":"BYTES","data":["summer"]},{"name":"warmth","shape":[1],"datatype":"FP32","data":[19.5]},{"name":"humidity","shape":[1],"datatype":"FP32","data":[40]}]}"#
        try cloud.write("body.json", body)
        let asked = await ServingProgram(
            "/usr/bin/env",
            [
                "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}\n", "-H", "Content-Type: application/json", "-d",
                "@\(folder)/body.json",
                "http://\(told)/v2/models/bad/infer?n=[1-300]",
            ], folder: folder
        ).wait()
        #expect(asked.output.split(separator: "\n").allSatisfy { $0 == "200" }, "\(asked.output.prefix(200)) \(asked.error)")
        let found = try await Self.condition("RolledBack", "bad", cloud)
        #expect(
            found.hasPrefix("Deploy Failed RolledBack round 2: version 2 was taken back, version 1 serves again: on trial: "), "\(found)")
        #expect(found.contains("pod bad-infer on node e1: version 2 was rolled back: it answers other classes: "), "\(found)")
        #expect(await cloud.kubectl("get model bad -o jsonpath={.status.serving}").output == "1")
        let events = await cloud.kubectl("get events --field-selector reason=DeployFailed -o jsonpath={.items[*].message}").output
        #expect(events.contains("on node e1") && events.contains("of them differ"), "\(events)")
        #expect(await Self.field("rounds[-1:].result", "bad", cloud) == "RolledBack")
        let deployed = await cloud.kubectl("wait ll/bad --for=condition=Deployed=false --timeout=10s")
        #expect(deployed.status == 0, "\(deployed.error)")
        try await cloud.removeJobs()
        await edge.stop()
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }

    // MARK: Kills

    /// A worker that waits for a file before it does its work, and says which process it is: `$$` is a `$` to a Pod.
    private static func gated(_ kind: String, in folder: String) -> String {
        let gate = "\(folder)/gate-\(kind)"
        return shell(
            kind,
            "echo $$$$ > \(gate).pid; until [ -e \(gate) ]; do sleep 0.1; done; exec \(ServingProgram.builtFolder)/skerry worker \(kind)")
    }

    /// Waits until the worker stands at its gate, which another attempt reaches anew.
    private static func process(_ kind: String, after known: pid_t?, _ cloud: Cloud) async throws -> pid_t {
        for _ in 0..<1800 {
            let text = (try? String(contentsOfFile: "\(cloud.folder)/gate-\(kind).pid", encoding: .utf8)) ?? ""
            if let pid = pid_t(text.filter(\.isNumber)), pid != known { return pid }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Edge.Failed(text: "no worker came to the gate of \(kind): \(await field("conditions", "storm", cloud))")
    }

    private static func listing(_ what: String, _ job: String, _ cloud: Cloud) async -> String {
        let listed = await Edge.skerry(["kb", what, "--job", "default/\(job)", "-o", "csv"], in: cloud.folder).wait()
        #expect(listed.status == 0, "\(listed.error)")
        return listed.output.split(separator: "default/\(job)", omittingEmptySubsequences: false).joined(separator: "JOB")
            .split(separator: job, omittingEmptySubsequences: false).joined(separator: "job")
    }

    @Test func `with cloud, edge and workers killed in every stage a job ends with the same knowledge`() async throws {
        let folder = try Cloud.newFolder()
        var cloud = try await Cloud.start(in: folder, node: true)
        let port = try CloudConnection(kubeconfig: "\(folder)/admin.kubeconfig").port
        let tokens = await Edge.skerry(["token", "create", "--node", "e1"], in: folder).wait()
        var edge = try await Edge.start(folder, ["--join", String(tokens.output.prefix { $0 != "\n" })])
        try Self.write(Self.header + Self.rows(0..<300).joined(), "rooms", cloud)
        func job(_ name: String, train: String, evaluate: String? = nil, infer: String? = nil, canary: String = "") -> String {
            Self.job(
                name, in: folder, node: "e1", dataset: "rooms", train: train, evaluate: evaluate, retries: 9, privacy: "all", infer: infer,
                canary: canary)
        }
        try await Self.apply(job("calm", train: Self.builtIn("train")), "calm", cloud)
        try await Self.ended("1", "calm", cloud)

        // Nobody asks the new version while it is on trial, so that its round stays in its last stage.
        let serve = "echo $$$$ > \(folder)/infer.pid; exec \(ServingProgram.builtFolder)/skerry worker infer"
        let storm = job(
            "storm", train: Self.gated("train", in: folder), evaluate: Self.gated("evaluate", in: folder),
            infer: Self.shell("infer", serve), canary: "canary: 0.5")
        try await Self.apply(storm, "storm", cloud)
        // While rows are collected.
        _ = try await Self.condition("Train ", "storm", cloud)
        await edge.kill()
        edge = try await Edge.start(folder)
        for kind in ["train", "evaluate"] {
            let first = try await Self.process(kind, after: nil, cloud)
            kill(first, SIGKILL)
            _ = try await Self.process(kind, after: first, cloud)
            cloud.program.signal(SIGKILL)
            _ = await cloud.program.wait()
            await edge.kill()
            // The worker goes on meanwhile.
            try cloud.write("gate-\(kind)", "open")
            cloud = try await Cloud.start(in: folder, node: true, port: port)
            edge = try await Edge.start(folder)
        }
        try await Self.ended("1", "storm", cloud)

        // The second round, up to its deployment.
        let reported = "get pod storm-infer -o jsonpath={.status.conditions[?(@.type==\"jobs.skerry.io/Worker\")].message}"
        try await Edge.until("version 1 to serve at the edge: \(edge.program.error)") {
            await cloud.kubectl(reported).output.contains("\"modelVersion\":\"1\"")
        }
        // At once, so that both jobs find the same rows.
        let file = try #require(fopen("\(folder)/data/rooms.csv", "a"))
        setvbuf(file, nil, _IOFBF, 1 << 16)
        fputs(Self.rows(300..<420).joined(), file)
        fclose(file)
        try await Self.ended("2", "calm", cloud)
        let trial = try await Self.condition("at 1 worker", "storm", cloud)
        #expect(trial.hasPrefix("Deploy Running OnTrial version 2 answers a share of 0.5"), "\(trial)")
        cloud.program.signal(SIGKILL)
        _ = await cloud.program.wait()
        await edge.kill()
        let worker = try #require(pid_t((try String(contentsOfFile: "\(folder)/infer.pid", encoding: .utf8)).filter(\.isNumber)))
        kill(worker, SIGKILL)
        cloud = try await Cloud.start(in: folder, node: true, port: port)
        edge = try await Edge.start(folder)
        // A worker that begins anew goes on with the trial: what served before is kept on its node.
        try await Edge.until("both versions to be there again: \(edge.program.error)") {
            let told = await cloud.kubectl(reported).output
            return told.contains("\"modelVersion\":\"1\"") && told.contains("\"canaryVersion\":\"2\"")
        }
        #expect(await Self.field("round", "storm", cloud) == "1")
        let shortened = await cloud.kubectl(["patch", "ll", "storm", "--type=merge", "-p", #"{"spec":{"deploySpec":{"canarySeconds":1}}}"#])
        #expect(shortened.status == 0, "\(shortened.error)")
        try await Self.ended("2", "storm", cloud)
        let results = await Self.field("rounds[*].result", "storm", cloud)
        #expect(results == "Deployed Deployed", "\(results)")
        for what in ["tasks", "relations", "matrix", "samples"] {
            let (calm, stormy) = (await Self.listing(what, "calm", cloud), await Self.listing(what, "storm", cloud))
            #expect(calm == stormy, "\(what)")
            #expect(what == "relations" || calm.split(separator: "\n").count > 1, "\(what): \(calm)")
        }
        let digests = await cloud.kubectl("get models calm storm -o jsonpath={.items[*].status.versions[*].digest}").output
        #expect(Set(digests.split(separator: " ")).count == 2 && digests.split(separator: " ").count == 4, "\(digests)")
        try await cloud.removeJobs()
        await edge.stop()
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}

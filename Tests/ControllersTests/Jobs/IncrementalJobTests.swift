import Resources
import TestKit
import Testing

@Suite(.offThePool) struct IncrementalJobTests {
    private let kind = JobCluster.incremental

    private func cluster(seed: UInt64 = 1, samples: Int64? = 1000) async throws -> JobCluster {
        let cluster = try await JobCluster(seed: seed)
        try await cluster.makeDataset(samples: samples)
        try await cluster.makeModel("initial")
        try await cluster.makeModel("deployed", url: "/models/deployed.onnx")
        return cluster
    }

    @Test func `enough samples make a round that trains, evaluates and deploys a version`() async throws {
        var cluster = try await cluster()
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        let job = try #require(cluster.find(kind, "helmet"))
        #expect(job["status"]?["round"] == 1)
        #expect(job["status"]?["accuracy"]?.number == 0.7)
        #expect(job["status"]?["samples"] == 1000)
        #expect(job["status"]?["model"] == "deployed/1")
        #expect(job["status"]?["work"] == nil)
        for type in ["Trained", "Evaluated", "Deployed"] {
            let conditions = job["status"]?["conditions"]?.array ?? []
            #expect(conditions.first { $0["type"]?.string == type }?["status"] == "True", "\(type)")
        }
        let model = try #require(cluster.find(JobCluster.model, "deployed"))
        #expect(model["status"]?["serving"] == 1)
        #expect(model["status"]?["versions"]?.array?.first?["digest"]?.string == JobCluster.digest("model 1"))
        #expect(cluster.events("helmet").contains("DeployCompleted"))
    }

    @Test func `workers get Sedna's variables and the rows by volumes`() async throws {
        var cluster = try await cluster()
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        let train = try #require(cluster.find(.pod, "helmet-train-1"))
        #expect(train["spec"]?["nodeName"] == "edge-1")
        #expect(train["spec"]?["restartPolicy"] == "Never")
        #expect(JobCluster.variable("TRAIN_DATASET_URL", train) == "/home/data/train/data.csv")
        #expect(JobCluster.variable("BASE_MODEL_URL", train) == "/home/data/models/base/base.onnx")
        #expect(JobCluster.variable("MODEL_URL", train) == "/home/data/output")
        #expect(JobCluster.variable("ORIGINAL_DATASET_URL", train) == "/data/rows.csv")
        #expect(JobCluster.variable("JOB_NAME", train) == "helmet")
        let rows = JobCluster.volume("datasets.skerry.io", train, at: "/home/data/train")
        #expect(rows?["from"] == "0" && rows?["to"] == "1000" && rows?["part"] == "train" && rows?["trainProb"] == "0.8")
        let eval = try #require(cluster.find(.pod, "helmet-eval-1"))
        #expect(JobCluster.variable("MODEL_URLS", eval) == "/home/data/models/new/model.onnx;/home/data/models/serving/deployed.onnx")
        #expect(
            JobCluster.volume("files.skerry.io", eval, at: "/home/data/models/new")?["model.onnx"]?.string == JobCluster.digest("model 1"))
        let infer = try #require(cluster.find(.pod, "helmet-infer"))
        #expect(JobCluster.variable("MODEL_HOT_UPDATE", infer) == "true")
        #expect(JobCluster.variable("HEM_PARAMETERS", infer) == #"[{"key":"threshold_img","value":"0.9"}]"#)
        #expect(JobCluster.volume("models.skerry.io", infer, at: "/home/data/model")?["model"] == "deployed")
    }

    @Test func `too few samples wait, and say for how many`() async throws {
        var cluster = try await cluster(samples: 400)
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Waiting TriggerNotMet")
        #expect(cluster.message(kind, "helmet") == "waits for num_of_samples > 500: it is 400")
        try await cluster.count("rows", 501)
        #expect(await cluster.rest())
        #expect(cluster.find(kind, "helmet")?["status"]?["round"] == 1)
    }

    @Test func `the next round learns only from what came since, on top of the version that serves`() async throws {
        var cluster = try await cluster()
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        let train = try #require(cluster.find(.pod, "helmet-train-2"))
        let rows = JobCluster.volume("datasets.skerry.io", train, at: "/home/data/train")
        #expect(rows?["from"] == "1000" && rows?["to"] == "1600")
        #expect(
            JobCluster.volume("files.skerry.io", train, at: "/home/data/models/base")?["model.onnx"]?.string == JobCluster.digest("model 1")
        )
        #expect(cluster.find(JobCluster.model, "deployed")?["status"]?["serving"] == 2)
        #expect(cluster.find(JobCluster.model, "deployed")?["status"]?["previous"] == 1)
    }

    @Test func `replaced data are new rows from the first on`() async throws {
        var cluster = try await cluster()
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        try await cluster.count("rows", 800, version: 2)
        #expect(await cluster.rest())
        let train = try #require(cluster.find(.pod, "helmet-train-2"))
        let rows = JobCluster.volume("datasets.skerry.io", train, at: "/home/data/train")
        #expect(rows?["from"] == "0" && rows?["to"] == "800" && rows?["version"] == "2")
    }

    @Test func `a worse model is kept back, its rows are learned from in the next round`() async throws {
        var cluster = try await cluster()
        cluster.workers["eval"] = JobCluster.evaluated(accuracy: 0.5, standing: 0.6)
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        #expect(cluster.find(JobCluster.model, "deployed")?["status"]?["serving"]?.integer ?? 0 == 0)
        let round = try #require(cluster.find(kind, "helmet")?["status"]?["rounds"]?.array?.last)
        #expect(round["result"] == "Kept")
        #expect(round["reason"] == "worse: accuracy 0.5000 against 0.6000 of the model that serves")
        cluster.workers["eval"] = JobCluster.evaluated(accuracy: 0.7, standing: 0.6)
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        let rows = JobCluster.volume(
            "datasets.skerry.io", try #require(cluster.find(.pod, "helmet-train-2")), at: "/home/data/train")
        #expect(rows?["from"] == "0" && rows?["to"] == "1600")
    }

    @Test func `Sedna's deploy trigger is honoured with scalars, and objects by name`() async throws {
        var cluster = try await cluster()
        try await cluster.makeIncremental {
            $0[path: ["deploySpec", "trigger", "condition"]] = ["operator": ">", "threshold": .decimal("0.2"), "metric": "accuracy_delta"]
        }
        #expect(await cluster.rest())
        let round = try #require(cluster.find(kind, "helmet")?["status"]?["rounds"]?.array?.last)
        #expect(round["reason"] == "deploySpec.trigger: rule accuracy_delta > 0.2 does not hold: it is 0.1000")
    }

    @Test func `a worker that fails is tried again, later each time, and then the round fails with its words`() async throws {
        var cluster = try await cluster()
        cluster.workers["train"] = JobCluster.failing("rows.csv line 7: label column missing")
        try await cluster.makeIncremental { $0[path: ["trainSpec", "backoffLimit"]] = 2 }
        #expect(await cluster.rest(quietSeconds: 900))
        #expect(cluster.pods().filter { $0.contains("train") } == ["helmet-train-1", "helmet-train-1-r1", "helmet-train-1-r2"])
        #expect(cluster.state(kind, "helmet") == "Train Failed WorkerFailed")
        #expect(cluster.message(kind, "helmet") == "round 1 failed after 3 tries: rows.csv line 7: label column missing")
        // Asked by hand it begins anew.
        cluster.workers["train"] = JobCluster.trained
        try await cluster.patch(kind, "helmet", ["metadata": ["annotations": ["jobs.skerry.io/train": "now"]]])
        #expect(await cluster.rest())
        #expect(cluster.find(kind, "helmet")?["status"]?["model"] == "deployed/1")
        #expect(cluster.find(kind, "helmet")?["status"]?["round"] == 2)
    }

    @Test(arguments: [
        ("lies about success", WorkerState(.completed, WorkerReport(.completed, kind: "train")), "NoModel"),
        ("is refused by its agent", WorkerState(.refused, WorkerReport(.completed, message: "model.onnx: is empty")), "ReportRefused"),
    ]) func `a worker that`(_ what: String, _ state: WorkerState, _ reason: String) async throws {
        var cluster = try await cluster()
        cluster.workers["train"] = { _ in state }
        try await cluster.makeIncremental { $0[path: ["trainSpec", "backoffLimit"]] = 0 }
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Failed \(reason)", "\(what)")
        #expect(cluster.find(JobCluster.model, "deployed")?["status"]?["versions"] == nil)
    }

    @Test func `what is missing is named`() async throws {
        var cluster = try await JobCluster()
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Waiting DatasetNotFound")
        try await cluster.makeDataset(node: "edge-9", samples: nil)
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Waiting NodeNotFound")
        try await cluster.count("rows", 900)
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Waiting ModelNotFound")
        try await cluster.makeModel("initial")
        try await cluster.makeModel("deployed")
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Starting NodeNotFound")
        #expect(cluster.message(kind, "helmet").contains("edge-9"))
    }

    /// How often Events told of an object, by reason.
    private func told(_ cluster: JobCluster, _ name: String) -> [String: Int64] {
        let events = cluster.server.all(.event).filter { $0["involvedObject"]?["name"]?.string == name }
        return Dictionary(events.map { ($0["reason"]?.string ?? "", $0["count"]?.integer ?? 1) }, uniquingKeysWith: +)
    }

    @Test func `what keeps a serving worker from being made is told while nothing else is to do, and once`() async throws {
        var cluster = try await JobCluster()
        try await cluster.makeDataset(samples: 10)
        try await cluster.makeModel("initial")
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Waiting ModelNotFound")
        #expect(cluster.message(kind, "helmet") == "model deployed does not exist in the job's namespace; create it")
        let before = told(cluster, "helmet")
        #expect(await cluster.rest(quietSeconds: 900))
        #expect(told(cluster, "helmet") == before && before["TrainWaiting"] == 1)
        try await cluster.makeModel("deployed")
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Waiting TriggerNotMet")
        // What the Model came with serves as version 0, in a Pod of its own.
        #expect(cluster.pods() == ["helmet-infer-v0"])
    }

    @Test func `a job whose name another kind of job has too says whose Pod it waits for, and goes on once that is gone`() async throws {
        var cluster = try await cluster()
        cluster.workers["train"] = { _ in nil }
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        let first = cluster.find(.pod, "helmet-train-1")?["metadata"]?["uid"]
        try await cluster.makeLifelong("helmet")
        #expect(await cluster.rest())
        #expect(cluster.state(JobCluster.lifelong, "helmet") == "Train Waiting PodNameTaken")
        #expect(
            cluster.message(JobCluster.lifelong, "helmet")
                == "pod helmet-train-1 is IncrementalLearningJob helmet's, and a worker of LifelongLearningJob helmet is to have that name; "
                + "give one of them another name")
        #expect(cluster.find(.pod, "helmet-train-1")?["metadata"]?["uid"] == first && told(cluster, "helmet")["TrainWaiting"] == 1)
        cluster.workers["train"] = JobCluster.trained
        try await cluster.server.delete(kind, ObjectKey(namespace: "default", name: "helmet"), Deletion())
        #expect(await cluster.rest())
        #expect(cluster.find(JobCluster.lifelong, "helmet")?["status"]?["round"] == 1)
    }

    @Test func `a suspended job cancels its round and begins none`() async throws {
        var cluster = try await cluster()
        cluster.workers["train"] = { _ in nil }
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Running WorkerRunning")
        try await cluster.patch(kind, "helmet", ["spec": ["suspend": true]])
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "helmet") == "Train Waiting Suspended")
        #expect(!cluster.pods().contains("helmet-train-1"))
        #expect(cluster.find(kind, "helmet")?["status"]?["rounds"]?.array?.last?["result"] == "Cancelled")
    }

    @Test func `progress of a worker stands in the job`() async throws {
        var cluster = try await cluster()
        cluster.workers["train"] = { _ in
            WorkerState(.running, WorkerReport(.running, progress: .init(done: 3, total: 10, unit: "rounds", message: "loss 0.8")))
        }
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        #expect(cluster.find(kind, "helmet")?["status"]?["progress"] == ["done": 3, "total": 10, "unit": "rounds", "message": "loss 0.8"])
        #expect(cluster.find(kind, "helmet")?["status"]?["nodeName"] == "edge-1")
        // Each quarter of the way is an Event, once.
        #expect(cluster.events("helmet").filter { $0 == "TrainProgress" }.count == 1)
        for done in [4, 6, 7, 9] as [Int64] {
            cluster.workers["train"] = { _ in
                WorkerState(.running, WorkerReport(.running, progress: .init(done: done, total: 10, unit: "rounds", message: "")))
            }
            #expect(await cluster.rest())
        }
        let told = cluster.server.all(.event).filter { $0["reason"] == "TrainProgress" }.compactMap { $0["message"]?.string }
        #expect(
            Set(told) == [
                "pod helmet-train-1: 3 of 10 rounds: loss 0.8", "pod helmet-train-1: 6 of 10 rounds", "pod helmet-train-1: 9 of 10 rounds",
            ])
    }

    @Test func `one condition of Sedna's is true at a time, and stands last`() async throws {
        var cluster = try await cluster()
        cluster.workers["train"] = JobCluster.failing("no")
        try await cluster.makeIncremental { $0[path: ["trainSpec", "backoffLimit"]] = 1 }
        for _ in 0..<400 {
            if await !cluster.simulation.step(), await !cluster.runAgents() { cluster.simulation.advance(seconds: 5) }
            let conditions = cluster.find(kind, "helmet")?["status"]?["conditions"]?.array ?? []
            let own = conditions.filter {
                ["Waiting", "Ready", "Starting", "Running", "Completed", "Failed"].contains($0["type"]?.string ?? "")
            }
            guard !own.isEmpty else { continue }
            #expect(own.count { $0["status"] == "True" } == 1)
            #expect(conditions.last?["status"] == "True")
            #expect(Set(conditions.compactMap { $0["type"]?.string }).count == conditions.count)
        }
    }

    @Test(arguments: 1...40) func `killed at any write, with streams that break, the same work is done once`(_ seed: UInt64) async throws {
        var cluster = try await cluster(seed: seed)
        try await cluster.makeIncremental()
        cluster.simulation.faults = Simulation.Faults()
        await cluster.run(steps: 600)
        try await cluster.count("rows", 1700)
        await cluster.run(steps: 600)
        #expect(await cluster.rest(quietSeconds: 300))
        let model = try #require(cluster.find(JobCluster.model, "deployed"))
        let versions = model["status"]?["versions"]?.array ?? []
        let rounds = cluster.find(kind, "helmet")?["status"]?["rounds"]?.array ?? []
        #expect(cluster.find(kind, "helmet")?["status"]?["samples"] == 1700)
        #expect(versions.count == rounds.count)
        #expect(versions.compactMap { $0["round"]?.integer } == rounds.compactMap { $0["round"]?.integer })
        #expect(versions.compactMap { $0["digest"]?.string } == rounds.indices.map { JobCluster.digest("model \($0 + 1)") })
        #expect(cluster.pods().count { $0.hasPrefix("helmet-train-") } == rounds.count)
    }
}

import Resources
import TestKit
import Testing

@Suite(.offThePool) struct LifelongJobTests {
    private let kind = JobCluster.lifelong

    @Test func `rows of several nodes are collected, learned in the cloud, and served where the data lie`() async throws {
        var cluster = try await JobCluster(nodes: ["cloud-0", "edge-1", "edge-2"])
        try await cluster.makeDataset("rows", node: "edge-1", samples: 600)
        try await cluster.makeDataset("more", node: "edge-2", samples: 300)
        try await cluster.makeLifelong { $0["additionalDatasets"] = [["name": "more"]] }
        #expect(await cluster.rest())
        let collect = try #require(cluster.find(.pod, "comfort-collect-1-1"))
        #expect(collect["spec"]?["nodeName"] == "edge-2")
        #expect(collect["spec"]?["containers"]?.array?.first?["image"] == "skerry/worker:builtin")
        #expect(JobCluster.variable("COLLECT_RULE", collect) == "unseen-or-hard")
        let train = try #require(cluster.find(.pod, "comfort-train-1"))
        #expect(train["spec"]?["nodeName"] == "cloud-0")
        #expect(
            JobCluster.variable("TRAIN_DATASET_URL", train)
                == "/home/data/collected-train/rows-train.csv;/home/data/collected-train/more-train.csv")
        #expect(JobCluster.variable("HAS_COMPLETED_INITIAL_TRAINING", train) == "false")
        let job = try #require(cluster.find(kind, "comfort"))
        #expect(job["status"]?["model"] == "comfort/1")
        #expect(job["status"]?["samples"] == 900)
        #expect(cluster.find(JobCluster.model, "comfort")?["metadata"]?["ownerReferences"]?.array?.count == 1)
        let services = cluster.server.all(.pod).filter { $0["metadata"]?["name"]?.string?.hasPrefix("comfort-infer") ?? false }
        #expect(Set(services.compactMap { $0["spec"]?["nodeName"]?.string }) == ["edge-1", "edge-2"])
    }

    @Test func `the next round goes on with what the last one knew`() async throws {
        var cluster = try await JobCluster(nodes: ["edge-1"])
        try await cluster.makeDataset()
        try await cluster.makeLifelong()
        #expect(await cluster.rest())
        #expect(!cluster.pods().contains { $0.contains("collect") })
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        let train = try #require(cluster.find(.pod, "comfort-train-2"))
        #expect(JobCluster.variable("HAS_COMPLETED_INITIAL_TRAINING", train) == "true")
        #expect(
            JobCluster.volume("files.skerry.io", train, at: "/home/data/knowledge")?["state.json"]?.string == JobCluster.digest("state 1"))
        #expect(JobCluster.variable("CLOUD_KB_INDEX", train) == "/home/data/knowledge/state.json")
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 2)
    }

    @Test func `a worker that adapts by itself gets its node's growing data set, and a folder for labels that outlives it`() async throws {
        var cluster = try await JobCluster(nodes: ["edge-1"])
        try await cluster.makeDataset()
        try await cluster.makeLifelong {
            $0["deploySpec"] = [
                "template": [
                    "spec": [
                        "containers": [
                            [
                                "name": "infer", "image": "skerry/worker:builtin", "args": ["infer"],
                                "env": [["name": "ADAPT", "value": "true"]],
                            ]
                        ]
                    ]
                ]
            ]
        }
        #expect(await cluster.rest())
        let infer = try #require(cluster.find(.pod, "comfort-infer"))
        #expect(JobCluster.variable("ADAPT_URL", infer) == "/home/data/labels")
        #expect(JobCluster.variable("ADAPT_DATASET_URL", infer)?.hasPrefix("/home/data/dataset/") == true)
        let paths = (infer["spec"]?["volumes"]?.array ?? []).compactMap { $0["hostPath"]?["path"]?.string }
        #expect(paths.contains("/output/labels/comfort"), "\(paths)")
    }

    @Test func `drift that a serving worker sees begins a round where the trigger says so`() async throws {
        var cluster = try await JobCluster(nodes: ["edge-1"])
        try await cluster.makeDataset()
        try await cluster.makeLifelong()
        #expect(await cluster.rest())
        try await cluster.patch(
            kind, "comfort",
            ["spec": ["trainSpec": ["trigger": ["condition": ["metric": "drift_events", "operator": ">", "threshold": 0]]]]])
        try await cluster.count("rows", 1010)
        #expect(await cluster.rest())
        #expect(cluster.find(.pod, "comfort-train-2") == nil)
        cluster.workers["inference"] = { _ in
            var report = WorkerReport(.running, kind: "inference")
            report.ownerInfo = ["driftNumber": 1, "inferenceNumber": 5000]
            return WorkerState(.running, report)
        }
        #expect(await cluster.rest())
        #expect(cluster.find(.pod, "comfort-train-2") != nil)
    }

    @Test func `a task that gets surely worse keeps the model that serves`() async throws {
        var cluster = try await JobCluster()
        try await cluster.makeDataset()
        try await cluster.makeLifelong()
        #expect(await cluster.rest())
        cluster.workers["eval"] = JobCluster.evaluated(
            accuracy: 0.8, standing: 0.7, tasks: ["summer": .decimal("0.9"), "winter": .decimal("0.5")],
            standingTasks: ["summer": .decimal("0.7"), "winter": .decimal("0.7")])
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        let round = try #require(cluster.find(kind, "comfort")?["status"]?["rounds"]?.array?.last)
        #expect(round["result"] == "Kept")
        #expect(round["reason"]?.string?.hasPrefix("worse at task winter: 0.5000 against 0.7000 on 400 rows") ?? false)
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 1)
    }

    /// A trainer's words of its model, with a figure of each round.
    private static func trainer(_ figures: JSONObject) -> JobCluster.Worker {
        { pod in
            var state = JobCluster.trained(pod)
            state?.report.results[0].metrics = figures
            return state
        }
    }

    @Test func `where nothing is held out the trainer judges, and no worker evaluates`() async throws {
        var cluster = try await JobCluster(nodes: ["cloud-0", "edge-1", "edge-2"])
        cluster.workers["train"] = Self.trainer(["accuracy": .decimal("0.61"), "trained": 1, "deployed_tasks": 4])
        try await cluster.makeDataset("rows", node: "edge-1", samples: 600)
        try await cluster.makeDataset("more", node: "edge-2", samples: 300)
        try await cluster.makeLifelong {
            $0["additionalDatasets"] = [["name": "more"]]
            $0[path: ["dataset", "trainProb"]] = 1
        }
        #expect(await cluster.rest())
        let collect = try #require(cluster.find(.pod, "comfort-collect-0-1"))
        #expect(JobCluster.variable("TEST_DATASET_URL", collect) == nil)
        #expect(JobCluster.volume("datasets.skerry.io", collect, at: "/home/data/train")?["trainProb"] == "1")
        #expect(!cluster.pods().contains { $0.contains("-eval-") })
        let status = try #require(cluster.find(kind, "comfort")?["status"])
        #expect(status["model"] == "comfort/1" && status["accuracy"]?.number == 0.61)
        let round = status["rounds"]?.array?.last
        #expect(
            round?["reason"]
                == "nothing is held out: judged by the trainer on rows its parts did not see; accuracy 0.6100, better for 4 of its tasks")
        let evaluated = status["conditions"]?.array?.first { $0["type"] == "Evaluated" }
        #expect(evaluated?["status"] == "True" && evaluated?["reason"] == "OutOfSample")
        #expect(status["gain"] == nil)
        // What a round was worth is known of its own rows alone: before it was learned, and after.
        cluster.workers["train"] = Self.trainer([
            "accuracy": .decimal("0.55"), "trained": 1,
            "rounds": ["2": ["accuracy": .decimal("0.6"), "standing": .decimal("0.5"), "n": 600]],
        ])
        try await cluster.count("rows", 1200)
        #expect(await cluster.rest())
        let next = cluster.find(kind, "comfort")?["status"]
        #expect(next?["accuracy"]?.number == 0.55 && next?["gain"]?.number == 0.2)
    }

    @Test(arguments: [
        (JSON.object(["accuracy": .decimal("0.61"), "trained": 0]), "the trainer made no new model of the round's rows; accuracy 0.6100"),
        (JSON.object(["accuracy": .decimal("0.31"), "trained": 1]), "rule accuracy > 0.5 does not hold: it is 0.3100"),
    ]) func `a trainer that made no model, or broke a rule, changes nothing`(_ figures: JSON, _ reason: String) async throws {
        var cluster = try await JobCluster()
        cluster.workers["train"] = Self.trainer(try #require(figures.object))
        try await cluster.makeDataset()
        try await cluster.makeLifelong {
            $0[path: ["dataset", "trainProb"]] = 1
            $0[path: ["deploySpec", "gate"]] = [["metric": "accuracy", "operator": ">", "threshold": .decimal("0.5")]]
        }
        #expect(await cluster.rest())
        let round = cluster.find(kind, "comfort")?["status"]?["rounds"]?.array?.last
        #expect(round?["result"] == "Kept")
        #expect(round?["reason"]?.string == reason)
        #expect(cluster.find(JobCluster.model, "comfort") == nil)
    }

    /// An evaluation that tells rounds apart: the new model on the rows of each, and the standing one on those of the newest.
    private static let byRounds: JobCluster.Worker = { pod in
        let rounds = (JobCluster.variable("TEST_ROUNDS", pod) ?? "").split(separator: ";").compactMap { Int64($0.split(separator: "=")[0]) }
        let newest = rounds.max() ?? 0
        var results = [
            WorkerReport.Result(
                name: "new", format: "onnx",
                metrics: LifelongHistoryTests.figures(
                    Dictionary(rounds.map { ($0, 0.9 - 0.05 * Double(newest - $0)) }, uniquingKeysWith: { $1 })))
        ]
        if (JobCluster.variable("MODEL_URLS", pod) ?? "").contains(";") {
            results.append(WorkerReport.Result(name: "old", format: "onnx", metrics: LifelongHistoryTests.figures([newest: 0.5])))
        }
        return WorkerState(.completed, WorkerReport(.completed, kind: "eval", results: results))
    }

    @Test func `each model is judged on the rows of every round before, and the status holds the matrix`() async throws {
        var cluster = try await JobCluster()
        cluster.workers["eval"] = Self.byRounds
        try await cluster.makeDataset()
        try await cluster.makeLifelong()
        #expect(await cluster.rest())
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        let eval = try #require(cluster.find(.pod, "comfort-eval-2"))
        #expect(JobCluster.variable("TEST_ROUNDS", eval) == "1=0-1000;2=1000-1600" && JobCluster.variable("TEST_SPLIT", eval) == "0.8,0")
        #expect(JobCluster.volume("datasets.skerry.io", eval, at: "/home/data/eval")?["from"] == "0")
        let matrix = cluster.find(kind, "comfort")?["status"]?["matrix"]
        #expect(matrix?["rounds"] == [1, 2] && matrix?["before"]?.array?.last?.number == 0.5)
        #expect(matrix?["backwardTransfer"]?.number == -0.05 && matrix?["forgetting"]?.number == 0.05)
        // Another file: its rows are others.
        try await cluster.count("rows", 900, version: 2)
        #expect(await cluster.rest())
        #expect(JobCluster.variable("TEST_ROUNDS", try #require(cluster.find(.pod, "comfort-eval-3"))) == "3=0-900")
    }

    @Test func `collected rows of earlier rounds are judged on by their digests`() async throws {
        var cluster = try await JobCluster(nodes: ["cloud-0", "edge-1", "edge-2"])
        cluster.workers["eval"] = Self.byRounds
        try await cluster.makeDataset("rows", node: "edge-1", samples: 600)
        try await cluster.makeDataset("more", node: "edge-2", samples: 300)
        try await cluster.makeLifelong { $0["additionalDatasets"] = [["name": "more"]] }
        #expect(await cluster.rest())
        try await cluster.count("rows", 1200)
        #expect(await cluster.rest())
        let eval = try #require(cluster.find(.pod, "comfort-eval-2"))
        let folder = "/home/data/collected-eval"
        #expect(
            JobCluster.variable("TEST_ROUNDS", eval)
                == "1=\(folder)/round-1-rows-eval.csv;1=\(folder)/round-1-more-eval.csv;2=\(folder)/rows-eval.csv")
        #expect(
            JobCluster.volume("files.skerry.io", eval, at: folder)?["round-1-more-eval.csv"]?.string
                == JobCluster.digest("comfort-collect-1-1 eval"))
    }

    @Test func `a trainer without figures is not believed where nothing is held out`() async throws {
        var cluster = try await JobCluster()
        try await cluster.makeDataset()
        try await cluster.makeLifelong {
            $0[path: ["dataset", "trainProb"]] = 1
            $0[path: ["trainSpec", "backoffLimit"]] = 0
        }
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "comfort") == "Train Failed NoFigures")
        #expect(cluster.find(JobCluster.model, "comfort") == nil)
    }

    @Test func `data that may not leave their node are not collected`() async throws {
        var cluster = try await JobCluster(nodes: ["cloud-0", "edge-1"])
        try await cluster.makeDataset()
        try await cluster.makeLifelong { $0["privacy"] = ["rule": "none"] }
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "comfort") == "Train Waiting PrivacyForbids")
        #expect(cluster.pods().isEmpty)
    }

    @Test func `a hundred rounds leave a status that stays small`() async throws {
        var cluster = try await JobCluster()
        try await cluster.makeDataset()
        try await cluster.makeLifelong()
        for round in 1...100 {
            try await cluster.count("rows", Int64(round) * 1000)
            #expect(await cluster.rest())
        }
        let job = try #require(cluster.find(kind, "comfort"))
        #expect(job["status"]?["round"] == 100)
        #expect(job["status"]?["rounds"]?.array?.count == 10)
        #expect((job["status"] ?? [:]).text.utf8.count < 16_384)
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["versions"]?.array?.count == 32)
        #expect(cluster.pods().count { $0.contains("-train-") } == 2)
    }
}

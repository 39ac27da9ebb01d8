import Resources
import TestKit
import Testing

@Suite struct LifelongJobTests {
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

import Resources
import TestKit
import Testing

/// What jobs write on their Datasets: what was learned from, and how many labels are asked for.
@Suite(.offThePool) struct DatasetMarkTests {
    private static func note(_ name: String, _ cluster: JobCluster) -> String? {
        cluster.find(JobCluster.dataset, "rows")?["metadata"]?["annotations"]?[name]?.string
    }

    private static func wish(_ cluster: JobCluster) -> LabelWish? { note(LabelWish.annotation, cluster).flatMap { LabelWish($0) } }

    @Test func `a deployed round says what was learned from, of the file that is there`() async throws {
        var cluster = try await JobCluster()
        try await cluster.makeDataset()
        try await cluster.makeLifelong()
        #expect(await cluster.rest())
        #expect(Self.note(TrainedRows.annotation, cluster) == "1000@1")
        cluster.workers["eval"] = JobCluster.evaluated(accuracy: 0.5, standing: 0.6)
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        // Kept back: nothing more was learned.
        #expect(Self.note(TrainedRows.annotation, cluster) == "1000@1")
        cluster.workers["eval"] = JobCluster.evaluated(accuracy: 0.7, standing: 0.6)
        try await cluster.count("rows", 700, version: 2)
        #expect(await cluster.rest())
        #expect(Self.note(TrainedRows.annotation, cluster) == "700@2")
    }

    @Test func `a budget is asked for from the last round's end on, and by one job of a data set`() async throws {
        var cluster = try await JobCluster()
        try await cluster.makeDataset()
        try await cluster.makeLifelong {
            $0["labelBudget"] = 12
            $0[path: ["deploySpec", "template", "spec", "containers"]] = [
                ["name": "main", "image": "worker:1", "env": [["name": "MODEL_NAME", "value": "votes"]]]
            ]
        }
        #expect(await cluster.rest())
        #expect(Self.wish(cluster) == LabelWish(job: "comfort", model: "votes", budget: 12, from: 1000))
        let told = cluster.find(JobCluster.lifelong, "comfort")?["status"]?["labels"]
        #expect(told == [["dataset": "rows", "budget": 12, "fromRow": 1000]])
        try await cluster.makeLifelong("other") { $0["labelBudget"] = 99 }
        #expect(await cluster.rest())
        #expect(Self.wish(cluster)?.job == "comfort")
        try await cluster.patch(JobCluster.lifelong, "comfort", ["spec": ["labelBudget": .null]])
        #expect(await cluster.rest())
        let after = Self.wish(cluster)
        #expect(after == nil || after?.job == "other")
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        #expect(Self.wish(cluster) == LabelWish(job: "other", model: "other", budget: 99, from: 1600))
    }

    @Test func `what a job asks for goes with the job`() async throws {
        var cluster = try await JobCluster()
        try await cluster.makeDataset()
        try await cluster.makeLifelong { $0["labelBudget"] = 12 }
        #expect(await cluster.rest())
        #expect(Self.wish(cluster)?.job == "comfort")
        try await cluster.server.delete(JobCluster.lifelong, ObjectKey(namespace: "default", name: "comfort"), Deletion())
        #expect(await cluster.rest())
        #expect(Self.wish(cluster) == nil)
        // What was learned from stays: it is a fact about the rows.
        #expect(Self.note(TrainedRows.annotation, cluster) == "1000@1")
        // Another job of the data set is heard at once.
        try await cluster.makeLifelong("other") { $0["labelBudget"] = 3 }
        #expect(await cluster.rest())
        #expect(Self.wish(cluster)?.job == "other")
    }

    @Test(arguments: 1...8) func `killed at any write, the marks are those of the last round`(_ seed: UInt64) async throws {
        var cluster = try await JobCluster(seed: seed)
        cluster.simulation.faults = Simulation.Faults()
        try await cluster.makeDataset()
        try await cluster.makeLifelong { $0["labelBudget"] = 5 }
        await cluster.run(steps: 400)
        #expect(await cluster.rest(quietSeconds: 300))
        #expect(Self.note(TrainedRows.annotation, cluster) == "1000@1" && Self.wish(cluster)?.from == 1000)
    }

    @Test func `marks are read as they are written, and as people write them`() {
        #expect(TrainedRows("400") == TrainedRows(count: 400, version: nil) && TrainedRows("400@2")?.text == "400@2")
        #expect(TrainedRows("x") == nil && TrainedRows("4@x") == nil && TrainedRows("-1") == nil && TrainedRows("") == nil)
        #expect(TrainedRows("900@1")! < TrainedRows("10@2")! && TrainedRows("400")! < TrainedRows("10@1")!)
        let wish = LabelWish(job: "a", model: "b", budget: 3, from: 9)
        #expect(LabelWish(wish.text) == wish && LabelWish("{}") == nil && LabelWish("{\"job\":\"a\"}") == nil)
    }
}

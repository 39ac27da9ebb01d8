import APIServer
import Resources
import Storage
import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

/// A Dataset of a node with its real agent: what its status says as the file changes, and what Pods get of it.
@Suite(.offThePool) struct DatasetKeeperTests {
    private func apply(_ world: AgentWorld, _ name: String, _ path: String, format: String = "csv", label: String? = nil) async throws {
        var spec: JSON = ["url": .string(path), "format": .string(format), "nodeName": .string(AgentWorld.node)]
        if let label { spec["label"] = .string(label) }
        try await world.client.create(
            .dataset,
            [
                "apiVersion": "sedna.io/v1alpha1", "kind": "Dataset", "metadata": ["name": .string(name), "namespace": "default"],
                "spec": spec,
            ])
    }

    private func write(_ text: String, _ path: String, appending: Bool = false) throws {
        let file = open(path, O_WRONLY | O_CREAT | (appending ? O_APPEND : O_TRUNC), 0o644)
        defer { close(file) }
        try #require(SystemFiles.write(Array(text.utf8), to: file))
    }

    private func status(_ world: AgentWorld, _ name: String, _ what: String, until isSo: (JSON) -> Bool) async throws -> JSON {
        var last: JSON = .null
        for _ in 0..<3000 {
            last = try await world.client.get(.dataset, ObjectKey(namespace: "default", name: name))["status"] ?? [:]
            if isSo(last) { return last }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw AgentWorld.NeverCame(description: "dataset \(name) never \(what): \(last.text)")
    }

    private func condition(_ status: JSON, _ type: String) -> JSON? { status["conditions"]?.array?.first { $0["type"]?.string == type } }

    private func rows(_ count: Int, from: Int = 0) -> String {
        (from..<from + count).map { "\($0),\($0 % 2 == 0 ? "even" : "odd")\n" }.joined()
    }

    @Test func `a data set grows by append and by replacement, and its status follows`() async throws {
        try await AgentWorld.with { world in
            let path = "\(world.folder.path)/data.csv"
            try write("n,kind\n" + rows(5000), path)
            try await apply(world, "d", path, label: "kind")
            let first = try await status(world, "d", "was read") { $0["numberOfSamples"] == 5000 }
            #expect(first["labels"] == ["even": 2500, "odd": 2500] && first["version"] == 1)
            #expect(condition(first, "Readable")?["status"] == "True")
            try write(rows(10, from: 5000), path, appending: true)
            let second = try await status(world, "d", "grew") { $0["numberOfSamples"] == 5010 }
            #expect(second["version"] == 1)
            let text = Array(("n,kind\n" + rows(5010)).utf8)
            #expect(second["digest"]?.string == ArtifactDigest(of: text).description)
            // A file that takes the place of the old, with other rows: the distribution of n is another.
            try write("n,kind\n" + rows(1000, from: 100_000), "\(path).new")
            rename("\(path).new", path)
            let third = try await status(world, "d", "was replaced") { $0["numberOfSamples"] == 1000 }
            #expect(third["version"] == 2)
            #expect(condition(third, "Drifted")?["status"] == "True")
            #expect(third["drift"]?.number ?? 0 > 0.25)
            #expect(condition(third, "Drifted")?["message"]?.string?.contains("\"n\"") == true)
        }
    }

    @Test func `an agent that starts anew knows an append from a replacement`() async throws {
        let world = try await AgentWorld()
        try await world.startAgent()
        for (name, path) in [("a", "\(world.folder.path)/a.csv"), ("b", "\(world.folder.path)/b.csv")] {
            try write("n,kind\n" + rows(100), path)
            try await apply(world, name, path)
            _ = try await status(world, name, "was read") { $0["numberOfSamples"] == 100 }
        }
        try await world.stopAgent()
        try write(rows(10, from: 100), "\(world.folder.path)/a.csv", appending: true)
        try write("n,kind\n" + rows(110, from: 1), "\(world.folder.path)/b.csv")
        try await world.startAgent()
        let grown = try await status(world, "a", "grew") { $0["numberOfSamples"] == 110 }
        let replaced = try await status(world, "b", "was replaced") { $0["numberOfSamples"] == 110 }
        #expect(grown["version"] == 1 && replaced["version"] == 2)
        try await world.end()
    }

    @Test func `a file that was replaced while the agent was away is compared with the version it knew`() async throws {
        let world = try await AgentWorld()
        try await world.startAgent()
        let path = "\(world.folder.path)/c.csv"
        try write("n,kind\n" + rows(400), path)
        try await apply(world, "c", path)
        _ = try await status(world, "c", "was read") { $0["numberOfSamples"] == 400 }
        try await world.stopAgent()
        try write("n,kind\n" + rows(500, from: 100_000), path)
        try await world.startAgent()
        let replaced = try await status(world, "c", "was compared") { condition($0, "Drifted") != nil }
        #expect(replaced["version"] == 2 && replaced["drift"]?.number ?? 0 > 0.25)
        #expect(condition(replaced, "Drifted")?["status"] == "True")
        #expect(condition(replaced, "Drifted")?["message"]?.string?.contains("than in the version before") == true)
        // What it was compared with is known to the next agent too.
        try await world.stopAgent()
        try write(rows(2000), path, appending: true)
        try await world.startAgent()
        let grown = try await status(world, "c", "grew") { $0["numberOfSamples"] == 2500 }
        #expect(grown["version"] == 2 && grown["drift"]?.number ?? 9 < replaced["drift"]?.number ?? 0)
        // Once all rows are learned from there is nothing left to compare.
        try await world.client.patch(
            .dataset, ObjectKey(namespace: "default", name: "c"),
            ObjectPatch(.merge, ["metadata": ["annotations": .object([TrainedRows.annotation: "2500@2"])]]), part: .whole)
        _ = try await status(world, "c", "was learned from") { $0["drift"] == nil && condition($0, "Drifted") == nil }
        try await world.end()
    }

    @Test func `what is wrong with a file stands in a condition, and is gone once it is mended`() async throws {
        try await AgentWorld.with { world in
            let path = "\(world.folder.path)/data.csv"
            func expect(_ reason: String, _ words: String) async throws {
                let found = try await status(world, "d", "said \(reason)") { condition($0, "Readable")?["reason"]?.string == reason }
                #expect(condition(found, "Readable")?["status"] == "False")
                #expect(condition(found, "Readable")?["message"]?.string?.contains(words) == true, "\(found.text)")
            }
            try await apply(world, "d", path)
            try await expect("NotFound", "\(path): there is no such file")
            try write("n,kind\n", path)
            try await expect("Empty", "holds no row")
            try write("n,kind\n1,odd\n2\n", path)
            try await expect("BadFormat", "\(path), line 3: 1 fields, the header has 2")
            try write("n,kind\n1,odd\n2,even\n", path)
            let good = try await status(world, "d", "was mended") { condition($0, "Readable")?["status"] == "True" }
            #expect(good["numberOfSamples"] == 2)
        }
    }

    @Test func `a volume holds its range, divided by lot, and waits for rows that are not there yet`() async throws {
        try await AgentWorld.with { world in
            let path = "\(world.folder.path)/data.csv"
            try write("n,kind\n" + rows(2000), path)
            try await apply(world, "d", path)
            func pod(_ name: String, _ attributes: [String: String]) async throws {
                var spec = shell(
                    "cat /tmp/skerry-test-rows/data.csv; echo; cat /tmp/skerry-test-rows/dataset.json; echo; touch /tmp/skerry-test-rows/x",
                    restartPolicy: "Never", ["volumeMounts": [["name": "rows", "mountPath": "/tmp/skerry-test-rows"]]])
                spec["volumes"] = [WorkerContract.Volume.rows.volume("rows", attributes)]
                try await world.apply(name, spec)
            }
            let range = ["dataset": "d", "from": "1500", "to": "1600", "trainProb": "0.75", "seed": "27"]
            try await pod("train", range.merging(["part": "train"]) { $1 })
            try await pod("eval", range.merging(["part": "eval"]) { $1 })
            try await pod("late", ["dataset": "d", "from": "1999", "to": "2002"])
            var numbers: [String: [Int]] = [:]
            for name in ["train", "eval"] {
                // Writing to the volume fails: it is for reading only.
                try await world.wait(name, "ended") { $0.phase == "Failed" }
                let lines = try await world.logs(name).split(separator: "\n")
                #expect(lines[0] == "n,kind")
                numbers[name] = lines.dropFirst().compactMap { Int($0.prefix { $0 != "," }) }
                let described = lines.first { $0.hasPrefix("{") } ?? ""
                let json = try JSONParser.parse(described.utf8)
                #expect(json["rows"]?.integer == Int64(numbers[name]!.count) && json["part"]?.string == name && json["from"] == 1500)
            }
            #expect(numbers["train"]?.count == 77)
            #expect(numbers["train"]! == numbers["train"]!.sorted() && numbers["eval"]! == numbers["eval"]!.sorted())
            #expect(Set(numbers["train"]! + numbers["eval"]!) == Set(1500..<1600))
            try await world.wait("late", "waited") {
                $0.first["state"]?["waiting"]?["message"]?.string?.contains("dataset \"d\" has 2000 rows, rows 1999 to 2002 are asked for")
                    == true
            }
            try await world.wait(forEvent: "FailedMount", about: "late")
            try write(rows(2, from: 2000), path, appending: true)
            try await world.wait("late", "ended") { $0.phase == "Failed" }
            #expect(try await world.logs("late").hasPrefix("n,kind\n1999,odd\n2000,even\n2001,odd\n"))
        }
    }
}

import Learning
import Resources
import TestKit
import Testing
import Workers

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `skerry worker infer` with `ADAPT=true`: labels of the node correct what is said of its own sites, without the cloud.
@Suite(.offThePool) struct AdaptationTests {
    private static let sites = ["SITE_COLUMN": "City", "IGNORED_COLUMNS": ""]
    private static let columns = ["City", "Season", "Cooling", "ta", "rh"]

    /// Rows of a site that no model has met, where everybody votes "0".
    private static func oslo(_ rows: Range<Int>, isLabelled: Bool = true) throws -> TextTable {
        let rooms = try Rooms.table(rows)
        var table = TextTable(columns: rooms.columns, source: "oslo")
        for (place, row) in rooms.rows.enumerated() {
            var fields = row
            fields[try rooms.position(of: "City")] = "Oslo"
            fields[try rooms.position(of: "Thermal preference")] = isLabelled ? "0" : ""
            table.append(fields, line: place + 1)
        }
        return table
    }

    private static func train(_ csv: [UInt8], to output: String, in folder: TemporaryFolder) throws {
        let data = try Rooms.write(csv, folder, "train-\(csv.count).csv")
        let variables = sites.merging(["TRAIN_DATASET_URL": data, "OUTPUT_URL": output]) { $1 }
        _ = try TrainWorker.run(TrainWorkerTests.context(variables))
    }

    private static func probabilities(_ served: ServeWorkerTests.Served, _ table: TextTable) async throws -> [Float] {
        let answer = try await served.ask("POST", "/v2/models/comfort/infer", try ServeWorkerTests.inputs(table, columns))
        #expect(answer.status == 200, "\(answer.json.text.prefix(300))")
        return ServeWorkerTests.output(answer.json, "probabilities").map { Float($0.number ?? -1) }
    }

    private static func first(_ probabilities: [Float]) -> Float {
        stride(from: 0, to: probabilities.count, by: 3).reduce(0) { $0 + probabilities[$1] } / Float(max(probabilities.count / 3, 1))
    }

    @Test func `labels appended to the node's data set move its own site and no other, and are found again after a restart`() async throws {
        let kept = try TemporaryFolder()
        let votes = try Rooms.write(csvLine(Rooms.columns), kept, "votes.csv")
        try Self.train(Rooms.csv(0..<300), to: kept.path + "/model", in: kept)
        let asked = try Self.oslo(900..<930), known = try Rooms.table(930..<960)
        let variables = Self.sites.merging(["ADAPT": "true", "ADAPT_DATASET_URL": votes, "ADAPT_URL": kept.path + "/labels"]) { $1 }
        var after: [Float] = []
        try await ServeWorkerTests.with(variables, volume: { _ in kept.path + "/model" }) { served in
            let before = try await Self.probabilities(served, asked), others = try await Self.probabilities(served, known)
            let labelled = try Self.oslo(600..<615)
            Rooms.append(labelled.csv.drop { $0 != 0x0a }.dropFirst(), to: votes)
            let report = await served.recorder.first { $0.ownerInfo["adaptedSites"]?.integer == 1 }
            #expect(report?.ownerInfo["adaptationLabels"]?.integer == 15)
            #expect((report?.ownerInfo["adaptationGain"]?.number ?? -1) > 0)
            after = try await Self.probabilities(served, asked)
            let (old, new) = (Self.first(before), Self.first(after))
            #expect(new > old + 0.1, "\(old) to \(new)")
            let same = try await Self.probabilities(served, known)
            #expect(same == others)
        }
        let expected = after
        try await ServeWorkerTests.with(variables, volume: { _ in kept.path + "/model" }) { served in
            let report = await served.recorder.first { $0.ownerInfo["adaptedSites"]?.integer == 1 }
            #expect(report?.ownerInfo["adaptationLabels"]?.integer == 15)
            let again = try await Self.probabilities(served, asked)
            #expect(again == expected)
        }
    }

    @Test func `labels that are told over HTTP are kept, and a version that has learned them needs next to none`() async throws {
        let kept = try TemporaryFolder()
        try Self.train(Rooms.csv(0..<300), to: kept.path + "/1", in: kept)
        let labelled = try Self.oslo(600..<640)
        let both = Rooms.csv(0..<300) + labelled.csv.drop { $0 != 0x0a }.dropFirst()
        try Self.train(both, to: kept.path + "/2", in: kept)
        let variables = Self.sites.merging(["ADAPT": "true", "ADAPT_URL": kept.path + "/labels"]) { $1 }
        let asked = try Self.oslo(900..<930)
        var learned: [Float] = []
        try await ServeWorkerTests.with(Self.sites, volume: { _ in kept.path + "/2" }) { served in
            learned = try await Self.probabilities(served, asked)
        }
        try await ServeWorkerTests.with(variables) { folder in
            try FileManager.default.createDirectory(atPath: folder.path + "/volume", withIntermediateDirectories: true)
            try ServeWorkerTests.put(1, of: kept.path + "/1", into: folder.path + "/volume")
            return folder.path + "/volume"
        } _: { served in
            let before = Self.first(try await Self.probabilities(served, asked))
            let body = try ServeWorkerTests.inputs(labelled, Rooms.columns)
            let answer = try await served.ask("POST", "/v2/models/comfort/labels", body)
            #expect(answer.status == 200 && answer.json["taken"]?.integer == 40, "\(answer.json.text.prefix(300))")
            let adapted = Self.first(try await Self.probabilities(served, asked))
            #expect(adapted > before + 0.1, "\(before) to \(adapted)")
            try ServeWorkerTests.put(2, of: kept.path + "/2", into: served.folder.path + "/volume")
            _ = await served.recorder.first { $0.ownerInfo["modelVersion"]?.string == "2" }
            let rebased = try await Self.probabilities(served, asked)
            let (plain, corrected) = (Self.first(learned), Self.first(rebased))
            #expect(abs(plain - corrected) < (adapted - before) / 2, "the version alone \(plain), with labels \(corrected)")
        }
        let lines = try Rooms.read(kept.path + "/labels/labels.jsonl").count { $0 == 0x0a }
        #expect(lines == 40)
    }

    @Test func `a worker that does not adapt refuses labels, and one without a folder does not take what it would lose`() async throws {
        let kept = try TemporaryFolder()
        try Self.train(Rooms.csv(0..<300), to: kept.path + "/model", in: kept)
        let body = try ServeWorkerTests.inputs(try Self.oslo(600..<602), Rooms.columns)
        for (variables, words) in [(Self.sites, "ADAPT=true"), (Self.sites.merging(["ADAPT": "true"]) { $1 }, "ADAPT_URL")] {
            try await ServeWorkerTests.with(variables, volume: { _ in kept.path + "/model" }) { served in
                let answer = try await served.ask("POST", "/v2/models/comfort/labels", body)
                #expect(answer.status == 409 && answer.json["error"]?.string?.contains(words) == true, "\(answer.json.text)")
            }
        }
    }
}

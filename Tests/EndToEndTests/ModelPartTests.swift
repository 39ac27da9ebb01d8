import Resources
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Each node has the part of a job's model that it needs.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct ModelPartTests {
    /// Votes of rooms that differ by their place, and people who differ.
    private static func rows(_ place: String, _ range: Range<Int>) -> String {
        range.map { row in
            let warmth = Double((row * 37) % 200) / 10
            let vote = warmth > (place == "north" ? 8 : 12) ? "warm" : "cold"
            return "\(place),\(place)-\(row % 7),\(warmth),\((row * 61) % 100),\(vote)\n"
        }.joined()
    }

    private static func manifest(_ folder: String) -> String {
        let variables =
            "env: [{name: LABEL_COLUMN, value: vote}, {name: SITE_COLUMN, value: place}, {name: PERSON_COLUMN, value: person},"
            + " {name: ESTIMATOR, value: nearest-centres}]"
        func worker(_ kind: String) -> String {
            "template: {spec: {containers: [{name: \(kind), image: \"skerry/worker:builtin\", args: [\(kind)], \(variables)}]}}"
        }
        return """
            apiVersion: sedna.io/v1alpha1
            kind: Dataset
            metadata: {name: north}
            spec: {url: \(folder)/north.csv, format: csv, nodeName: e1}
            ---
            apiVersion: sedna.io/v1alpha1
            kind: Dataset
            metadata: {name: south}
            spec: {url: \(folder)/south.csv, format: csv, nodeName: cloud-0}
            ---
            apiVersion: sedna.io/v1alpha1
            kind: LifelongLearningJob
            metadata: {name: votes}
            spec:
              dataset: {name: north, trainProb: 0.8}
              additionalDatasets: [{name: south}]
              outputDir: \(folder)/output
              privacy: {rule: all}
              trainSpec:
                trigger: {checkPeriodSeconds: 1, condition: {operator: ">", threshold: 300, metric: num_of_samples}}
                \(worker("train"))
              evalSpec:
                \(worker("evaluate"))
              deploySpec:
                \(worker("infer"))
            """
    }

    /// Names of all files below a folder.
    private static func files(_ folder: String) -> [String] {
        (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []
    }

    @Test func `nodes get signed parts with the corrections of their own sites and persons alone`() async throws {
        try await Cloud.with(node: true) { cloud in
            let edge = try await Edge.join(cloud)
            let header = "place,person,warmth,humidity,vote\n"
            try cloud.write("north.csv", header + Self.rows("north", 0..<200))
            try cloud.write("south.csv", header + Self.rows("south", 0..<200))
            try cloud.write("votes.yaml", Self.manifest(cloud.folder))
            let applied = await cloud.kubectl("apply -f \(cloud.folder)/votes.yaml")
            #expect(applied.status == 0, "\(applied.error)")
            let deployed = await cloud.kubectl("wait ll/votes --for=condition=Deployed --timeout=120s")
            let told = await cloud.kubectl("get ll votes -o jsonpath={.status.conditions}").output
            #expect(deployed.status == 0, "\(deployed.error) \(told)")
            func field(_ path: String, _ model: String) async -> String {
                await cloud.kubectl("get model \(model) -o jsonpath={.status.versions[0].\(path)}").output
            }
            let parts = ["votes.e1", "votes.cloud-0"]
            for part in parts {
                let signed = await cloud.kubectl("wait model/\(part) --for=condition=Signed --timeout=60s")
                #expect(signed.status == 0, "\(part): \(signed.error)")
                #expect(await field("version", part) == "1")
            }
            let whole = await field("digest", "votes")
            let digests = [await field("digest", parts[0]), await field("digest", parts[1])]
            #expect(Set(digests + [whole]).count == 3 && !digests.contains(""), "\(digests) \(whole)")
            let sizes = [await field("size", "votes"), await field("size", parts[0]), await field("size", parts[1])].map { Int($0) ?? 0 }
            #expect(sizes[1] < sizes[0] && sizes[2] < sizes[0], "\(sizes)")
            // What parts are cut by is the cloud's alone.
            let places = await cloud.kubectl(["get", "model", "votes", "-o", "jsonpath={.status.versions[0].files.places\\.bin}"]).output
            #expect(places.hasPrefix("sha256:"))
            #expect(await cloud.kubectl("get model \(parts[0]) -o jsonpath={.status.versions[0].files}").output.contains("places") == false)
            let pod = await cloud.kubectl(
                "get pods -l lifelonglearningjob.sedna.io/worker-type=inference --field-selector spec.nodeName=e1 -o name"
            ).output
            let name = String(pod.split(separator: "\n").first ?? "")
            try await Edge.until("a worker at e1: \(edge.program.error)") {
                await cloud.kubectl("get \(name) -o jsonpath={.status.conditions}").output.contains(#"\"modelVersion\":\"1\""#)
            }
            let there = Self.files(cloud.folder + "/edge")
            func has(_ digest: String) -> Bool { there.contains { $0.contains(digest.dropFirst("sha256:".count)) } }
            #expect(has(digests[0]) && !has(whole) && !has(digests[1]) && !has(places))
            // A version that everybody goes back to or on with is each node's own.
            let listed = await Edge.skerry(["model", "list"], in: cloud.folder).wait()
            #expect(listed.output.contains("votes.e1"), "\(listed.output) \(listed.error)")
            let gone = await cloud.kubectl("delete ll votes")
            #expect(gone.status == 0)
            try await Edge.until("the models to go") { await cloud.kubectl("get models -o name").output.isEmpty }
            await edge.stop()
        }
    }
}

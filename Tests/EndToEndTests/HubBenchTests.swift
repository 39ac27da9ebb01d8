import TestKit
import Testing

/// `skerry bench hub` with few nodes: what it prints is of changes that came. How long anything took is told, not judged.
@Suite(.offThePool, .timeLimit(.minutes(10))) struct HubBenchTests {
    @Test func `changes by a controller and by requests come to their nodes, which come back to a killed cloud`() async throws {
        let folder = try Cloud.newFolder()
        let bench = Edge.skerry(
            ["bench", "hub", "--nodes", "12", "--seconds", "1", "--changes", "40", "--requests", "20", "--rest", "1"]
                + ["--data-dir", folder, "--output", "csv"], in: folder)
        let result = await bench.wait()
        #expect(result.status == 0, "\(result.error)")
        #expect(!result.error.contains("refused"), "\(result.error)")
        let rows = result.output.split(separator: "\n").map(String.init)
        for title in [
            "changes by a controller within the cloud, of 40 at 40/s, made", "changes by requests over TLS, of 20 at 20/s, made",
            "changes by requests over TLS, of 40 at 40/s, made", "12 sessions, all in sync after", "  all 12 back and in sync after",
        ] {
            #expect(rows.contains { $0.contains(title) }, "\(title) is missing in \(result.output)")
        }
        let lost = rows.filter { $0.contains("of them lost on the way to the node") }
        #expect(lost.count == 3)
        #expect(lost.allSatisfy { $0.contains(",0,") }, "\(lost)")
        let delays = rows.filter { $0.contains("from its answer to the node") }
        #expect(delays.count == 6, "p50 and p99 of each load: \(delays)")
    }
}

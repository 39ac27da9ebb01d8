import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Cloud and edges in one process, with everything that can go wrong; `SKERRY_SEEDS=10000` runs more, `SKERRY_SEED=n` runs one again.
@Suite(.offThePool) struct HubSimulationTests {
    private static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

    @Test func `whatever breaks, edges and cloud end up the same, nothing is lost, doubled, out of order or back from the dead`() {
        let one = Self.number("SKERRY_SEED")
        let seeds = one.map { $0..<($0 + 1) } ?? 1..<(1 + (Self.number("SKERRY_SEEDS") ?? 300))
        for seed in seeds {
            var simulation = HubSimulation(seed: seed, edgeCount: 1 + Int(seed % 3))
            let violations = simulation.run(steps: 700)
            #expect(violations.isEmpty, "SKERRY_SEED=\(seed): \(violations.prefix(4).joined(separator: "; "))")
            if !violations.isEmpty { break }
        }
    }

    @Test func `a seed replays exactly`() {
        var first = HubSimulation(seed: 27, edgeCount: 3)
        var second = HubSimulation(seed: 27, edgeCount: 3)
        #expect(first.run(steps: 500) == second.run(steps: 500))
        #expect(first.now == second.now)
        #expect(first.cloud.revision == second.cloud.revision)
        #expect(first.cloud.events == second.cloud.events)
        #expect(first.queueMax == second.queueMax)
    }
}

import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `make test` runs the suites of servers in a group of their own. None of them may hold threads of the pool that servers answer from.
@Suite struct ServerGroupTests {
    /// Rooms whose tests neither start programs nor compute for longer than a moment.
    static let quick: Set<String> = ["CloudHubTests", "HubProtocolTests", "IdentityTests", "ReconciliationTests", "ResourcesTests"]

    struct Suite: Equatable {
        var name: String
        var isOffThePool: Bool
    }

    /// The outermost types of a source text that hold tests.
    static func suites(_ source: String) -> [Suite] {
        var found: [Suite] = []
        var current: Suite?
        var attributes = ""
        for line in source.split(separator: "\n") {
            if line.hasPrefix("@") { attributes = "" }
            if !line.hasPrefix("/") { attributes += line }
            let words = line.split { " :{<".contains($0) }
            if !line.hasPrefix(" "), let place = words.firstIndex(where: { ["struct", "class", "enum", "extension"].contains($0) }),
                place + 1 < words.count
            {
                current =
                    words[place] == "extension"
                    ? nil : Suite(name: String(words[place + 1]), isOffThePool: attributes.contains(".offThePool"))
                attributes = ""
            } else if line.hasPrefix("    @Test"), let suite = current {
                found.append(suite)
                current = nil
            }
        }
        return found
    }

    @Test func `every suite that runs beside servers runs off the pool`() throws {
        let files = FileManager.default
        let makefile = try String(contentsOfFile: "Makefile", encoding: .utf8)
        let line = try #require(makefile.split(separator: "\n").first { $0.hasPrefix("SERVERS = ") })
        let group = try Regex(String(line.dropFirst("SERVERS = ".count)))
        var count = 0
        for room in try files.contentsOfDirectory(atPath: "Tests") where room.hasSuffix("Tests") && !Self.quick.contains(room) {
            for path in try files.subpathsOfDirectory(atPath: "Tests/\(room)") where path.hasSuffix(".swift") {
                let suites = Self.suites(try String(contentsOfFile: "Tests/\(room)/\(path)", encoding: .utf8))
                for suite in suites where "\(room).\(suite.name).".contains(group) {
                    #expect(suite.isOffThePool, "Tests/\(room)/\(path): write @Suite(.offThePool) before \(suite.name)")
                    count += 1
                }
            }
        }
        #expect(count > 100)
    }

    @Test func `the rule sees suites however their attributes are written`() {
        let source = """
            private struct Helper {
            }
            /// Words.
            @Suite(.offThePool, .serialized)
            struct OneTests {
                @Test func a() {}
                @Test func b() {}
            }
            @Suite(
                .serialized, .offThePool)
            final class TwoTests {
                @Test func a() {}
            }
            @Suite struct ThreeTests: Sendable {
                @Test func a() {}
            }
            struct FourTests {
                @Test func a() {}
            }
            extension OneTests {
                @Test func c() {}
            }
            """
        let expected = [("OneTests", true), ("TwoTests", true), ("ThreeTests", false), ("FourTests", false)]
        #expect(Self.suites(source) == expected.map { Suite(name: $0.0, isOffThePool: $0.1) })
    }
}

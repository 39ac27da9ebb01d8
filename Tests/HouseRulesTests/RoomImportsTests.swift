import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The walls between the rooms: which modules the files of a room may import. ARCHITECTURE.md draws the same table.
@Suite struct RoomImportsTests {
    static let platform: Set<String> = ["Glibc", "Darwin"]
    static let allowed: [String: Set<String>] = [
        "Storage": ["CSQLite", "CZlib", "Crypto", "Synchronization"] + platform,
        "Resources": ["Synchronization"],
        "Identity": ["Crypto", "SwiftASN1", "X509", "FoundationEssentials", "Foundation", "Synchronization"],
        "Network": [
            "CEpoll", "CZlib", "HubProtocol", "NIOCore", "NIOHTTP1", "NIOHTTP2", "NIOPosix", "NIOSSL", "NIOTLS", "NIOWebSocket",
            "Synchronization",
        ] + platform,
        "APIServer": ["Identity", "Network", "Resources", "Storage", "Synchronization"],
        "KubernetesClient": ["Network", "Resources", "Synchronization"],
        "EdgeAccess": ["Identity", "Network", "Reconciliation", "Resources", "Storage", "Synchronization"] + platform,
        "Reconciliation": ["Resources", "Synchronization"],
        "Controllers": ["Learning", "Reconciliation", "Resources"],
        "HubProtocol": ["Resources", "Synchronization"],
        "CloudHub": ["HubProtocol", "Resources", "Synchronization"],
        "EdgeHub": ["Crypto", "FoundationEssentials", "Foundation", "HubProtocol", "Resources", "Storage", "Synchronization"],
        "NodeAgent": ["CProcess", "Reconciliation", "Resources", "Storage", "Synchronization"] + platform,
        // The C library for logarithms only, FoundationEssentials for JSON: neither is used for files, clocks or the network.
        "Learning": ["Crypto", "FoundationEssentials", "Foundation"] + platform,
        // FoundationEssentials for JSON: it has no network and no processes.
        "KnowledgeBase": ["Storage", "Learning", "FoundationEssentials", "Foundation"],
        "Training": ["Learning", "FoundationEssentials", "Foundation"] + platform,
        "Inference": ["Learning", "COnnxRuntime", "CVectors"] + platform,
        "Serving": ["CEpoll", "Inference", "Resources", "Synchronization"] + platform,
        "Permits": ["CFutex", "Synchronization"] + platform,
        "Workers": [
            "Inference", "KnowledgeBase", "Learning", "Network", "Permits", "Resources", "Serving", "Storage", "ThermalComfort", "Training",
            "Dispatch", "Synchronization",
        ] + platform,
        "ThermalComfort": ["Learning", "Crypto", "FoundationEssentials", "Foundation"] + platform,
        "Demo": [
            "CProcess", "Inference", "KnowledgeBase", "KubernetesClient", "Learning", "Network", "Resources", "Storage", "ThermalComfort",
            "Training", "Workers", "Crypto", "Dispatch", "FoundationEssentials", "Foundation", "Synchronization",
        ] + platform,
        "skerry": [
            "APIServer", "CloudHub", "Controllers", "EdgeAccess", "EdgeHub", "HubProtocol", "Identity", "KubernetesClient", "Network",
            "NodeAgent", "Permits", "Reconciliation", "Resources", "Dispatch",
            "Synchronization", "FoundationEssentials", "Foundation", "Demo", "KnowledgeBase", "Inference", "Learning", "Storage",
            "Serving", "ThermalComfort", "Training",
            "Workers", "ArgumentParser", "Crypto",
        ] + platform,
    ]

    /// Modules that the source text imports.
    static func imports(_ source: String) -> [String] {
        source.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard let position = words.firstIndex(of: "import"), position <= 1, words.count > position + 1 else { return nil }
            return ["import", "package", "internal", "public", "@testable"].contains(String(words[0])) ? String(words[position + 1]) : nil
        }
    }

    /// Doors to C libraries are named `C` and the library: `CSQLite`.
    static func isShim(_ room: String) -> Bool { room.first == "C" && room.dropFirst().first?.isUppercase == true }

    @Test func `every room imports only what its wall allows`() throws {
        let files = FileManager.default
        let rooms = try files.contentsOfDirectory(atPath: "Sources").filter { !Self.isShim($0) }
        #expect(Set(rooms) == Set(Self.allowed.keys), "a new room needs a row in this table and in ARCHITECTURE.md")
        for room in rooms {
            let paths = try files.subpathsOfDirectory(atPath: "Sources/\(room)")
            let sources = paths.filter { $0.hasSuffix(".swift") }
            #expect(!sources.isEmpty, "\(room) is empty; rooms are created when something lives in them")
            for path in sources {
                let text = try String(contentsOfFile: "Sources/\(room)/\(path)", encoding: .utf8)
                let foreign = Set(Self.imports(text)).subtracting(Self.allowed[room]!)
                #expect(foreign.isEmpty, "\(room)/\(path) imports \(foreign.sorted())")
            }
        }
    }

    /// Rooms that are told everything: what time it is, what is drawn by lot, what a file holds.
    static let pure = [
        "Controllers", "HubProtocol", "Identity", "Inference", "KnowledgeBase", "Learning", "Reconciliation", "Resources", "ThermalComfort",
        "Training",
    ]
    /// What a pure room would have to write to find out by itself.
    static let hands = [
        "FileManager", "FileHandle", "ContinuousClock.now", "SuspendingClock", "Date()", "Date.now", "SystemRandomNumberGenerator",
        "getenv(",
        "fopen(", "clock_gettime(", "Process()", "URLSession",
    ]

    static func hands(in source: String) -> [String] {
        let code = source.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }
        let ownLots = code.contains { $0.contains(".random(in:") && !$0.contains("using:") } ? [".random(in:)"] : []
        return hands.filter { word in code.contains { $0.contains(word) } } + ownLots
    }

    @Test(arguments: pure) func `a pure room has no hands: no files, clocks, lots or surroundings`(room: String) throws {
        for path in try FileManager.default.subpathsOfDirectory(atPath: "Sources/\(room)") where path.hasSuffix(".swift") {
            let found = Self.hands(in: try String(contentsOfFile: "Sources/\(room)/\(path)", encoding: .utf8))
            #expect(found.isEmpty, "\(room)/\(path) uses \(found)")
        }
    }

    @Test func `the rule sees hands in code and not in comments`() {
        #expect(Self.hands(in: "// FileManager\nlet x = Int.random(in: 0..<3)") == [".random(in:)"])
        #expect(Self.hands(in: "let x = Int.random(in: 0..<3, using: &generator)\nlet now = Date()") == ["Date()"])
    }

    @Test func `the rule sees imports of every form and nothing else`() {
        let source = "import A\n    import B\npackage import C\n// import D\nlet importance = 1\n@testable import E"
        #expect(Self.imports(source) == ["A", "B", "C", "E"])
    }
}

extension Set {
    fileprivate static func + (left: Set, right: Set) -> Set { left.union(right) }
}

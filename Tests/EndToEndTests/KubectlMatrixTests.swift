import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Every verb of kubectl on every kind, as `kubectl-matrix.txt` lists them, against the built program over TLS. One after the other, so that
/// minutes of it leave room for other tests.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .serialized) struct KubectlMatrixTests {
    struct Kind: Sendable, CustomTestStringConvertible {
        let name: String
        let traits: Set<String>
        let manifest: String
        var testDescription: String { name }
    }

    struct Verb: Sendable {
        let title: String
        /// Kinds without this trait are skipped; empty for all.
        let trait: String
        let status: Int32
        let expected: String
        let arguments: String
    }

    static let file = "Tests/EndToEndTests/kubectl-matrix.txt"

    static let text: [Substring] = ((try? String(contentsOf: URL(filePath: file), encoding: .utf8)) ?? "").split(
        separator: "\n", omittingEmptySubsequences: false)

    /// Lines `verb | trait | exit status | expected output | arguments`.
    static let verbs: [Verb] = text.filter { $0.hasPrefix("verb ") }.map { line in
        let parts = line.dropFirst("verb ".count).split(separator: "|", maxSplits: 4, omittingEmptySubsequences: false).map { $0.trimmed }
        return Verb(title: parts[0], trait: parts[1], status: Int32(parts[2])!, expected: parts[3], arguments: parts[4])
    }

    /// Blocks `kind NAME traits…` and the manifest's lines, indented, behind it.
    static let kinds: [Kind] = {
        var result: [Kind] = []
        for (index, line) in text.enumerated() where line.hasPrefix("kind ") {
            let words = line.split(separator: " ").map(String.init)
            let manifest = text[(index + 1)...].prefix { $0.hasPrefix("  ") }.map { $0.dropFirst(2) }.joined(separator: "\n")
            result.append(Kind(name: words[1], traits: Set(words.dropFirst(2)), manifest: manifest + "\n"))
        }
        return result
    }()

    static func cells(_ kind: Kind) -> [Verb] { verbs.filter { $0.trait.isEmpty || kind.traits.contains($0.trait) } }

    @Test func `the matrix has at least 250 cells`() {
        #expect(Self.kinds.reduce(0) { $0 + Self.cells($1).count } >= 250)
    }

    /// Kinds in a few groups, each with a cloud of its own, so that kinds do not see one another's objects.
    @Test(arguments: 0..<2) func `kubectl does with every kind what it does with a real server`(group: Int) async throws {
        try await Cloud.with { cloud in
            try cloud.write("edit", "#!/bin/sh\nsed -i 's/matrix: \"*one\"*/matrix: edited/' \"$1\"\n", isExecutable: true)
            #expect(await cloud.kubectl("create namespace matrix").status == 0)
            for (index, kind) in Self.kinds.enumerated() where index % 2 == group { try await check(kind, cloud) }
        }
    }

    /// The oldest and the newest kubectl that are installed beside the first: what differs between them are the schemas they read, the form
    /// of their bodies and the patches they choose.
    @Test(
        .enabled(if: !Cloud.otherKubectls.isEmpty, "only one kubectl is installed"),
        arguments: Set([Cloud.otherKubectls.first, Cloud.otherKubectls.last].compactMap(\.self)).sorted())
    func `older and newer kubectls do the same`(client: String) async throws {
        try await Cloud.with { cloud in
            try cloud.write("edit", "#!/bin/sh\nsed -i 's/matrix: \"*one\"*/matrix: edited/' \"$1\"\n", isExecutable: true)
            #expect(await cloud.kubectl(["create", "namespace", "matrix"], by: client).status == 0)
            for kind in Self.kinds where kind.traits.contains("clients") { try await check(kind, cloud, by: client) }
        }
    }

    private func check(_ kind: Kind, _ cloud: Cloud, by client: String? = nil) async throws {
        try cloud.write("object.yaml", kind.manifest)
        try cloud.write("changed.yaml", kind.manifest.replacing("matrix: one", with: "matrix: two"))
        for verb in Self.cells(kind) {
            let line = verb.arguments.replacing("KIND", with: kind.name).replacing("FOLDER", with: cloud.folder)
            let result = await cloud.kubectl(line.split(separator: " ").map { String($0.replacing("~", with: " ")) }, by: client)
            let text = result.output + result.error
            #expect(result.status == verb.status, "\(client ?? "kubectl") \(line): \(text)")
            #expect(verb.expected.isEmpty || text.contains(verb.expected), "\(client ?? "kubectl") \(line) printed: \(text)")
        }
    }
}

extension Substring {
    fileprivate var trimmed: String { String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
}

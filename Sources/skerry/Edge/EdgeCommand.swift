import ArgumentParser
import EdgeAccess
import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `skerry edge`: a node of a cloud.
struct EdgeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "edge", abstract: "Run a node: join a cloud once, then stay its node, with or without a link to it.")

    @Option(help: "Folder of this node's identity, objects and files.")
    var dataDir: String
    @Option(help: "Token of 'skerry token create'; only the first time, or after the node was removed from the cloud.")
    var join: String?
    @Option(help: "Name of the node (default: the token's, then this machine's).")
    var name: String?

    func run() async throws {
        let signals = TerminationSignals()
        let membership = try await EdgeMembership.enter(
            folder: dataDir, token: join, name: name, hostName: Self.hostName(),
            EdgeMembership.Environment(
                now: { Int64(time(nil)) }, report: { writeError($0) }, userAgent: "skerry/\(Skerry.configuration.version)"))
        writeError("node \(membership.identity.node) of \(membership.identity.address)")
        let node = try EdgeNode(folder: dataDir, membership)
        let work = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await membership.run() }
                group.addTask { await node.run() }
            }
        }
        await signals.first()
        writeError("stopping")
        work.cancel()
        await work.value
    }

    /// This machine's name as a node may be called; empty if nothing of it can.
    static func hostName() -> String {
        var bytes = [CChar](repeating: 0, count: 256)
        guard gethostname(&bytes, bytes.count - 1) == 0 else { return "" }
        let name = String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased()
        let plain = name.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-") ? $0 : "-" }
        let ends = Set<Character>(["-", "."])
        let trimmed = String(plain.drop { ends.contains($0) }.reversed().drop { ends.contains($0) }.reversed())
        return NameRules.isSubdomain(trimmed) ? trimmed : ""
    }
}

import ArgumentParser
import KnowledgeBase
import KubernetesClient
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Which knowledge base.
struct KnowledgeFileOptions: ParsableArguments {
    static let environmentKey = "SKERRY_KB"
    static let defaultPath = "skerry-demo/knowledge.db"

    @Option(
        help:
            "The knowledge base's file (default: $\(environmentKey), then that of the cloud in $KUBECONFIG, then \(defaultPath), which the demo leaves)."
    )
    var kb: String?
    @Option(help: "Ask the cloud of this kubeconfig for a copy of its knowledge base.") var kubeconfig: String?
    @Option(help: "Context of the kubeconfig; its current one if none is named.") var context: String?
    @Option(help: "Longest wait for another program's lock, seconds.") var wait: Double = 5

    func validate() throws {
        if kb != nil, kubeconfig != nil { throw ValidationError("--kb and --kubeconfig both name a knowledge base; give one") }
        guard (0...3600).contains(wait) else { throw ValidationError("--wait \(wait) is out of bounds; give 0 to 3600 seconds") }
    }

    /// A file that is named, or the demo's.
    var path: String { namedPath ?? Self.defaultPath }

    private var namedPath: String? {
        kb ?? (kubeconfig == nil ? getenv(Self.environmentKey).map { String(cString: $0) } : nil)
    }

    private var asksCloud: Bool { kubeconfig != nil || namedPath == nil && !(environment()["KUBECONFIG"] ?? "").isEmpty }

    func reading() async throws -> KnowledgeBase {
        if asksCloud { return try await copy() }
        if namedPath == nil, access(path, F_OK) != 0 {
            throw CloudError(
                "no knowledge base is named, and \(path), which the demo leaves, is not here; give --kb FILE, set \(Self.environmentKey), or ask a cloud by --kubeconfig FILE"
            )
        }
        return try KnowledgeBase(.file(path), KnowledgeBase.readingOptions(wait: .seconds(wait)))
    }

    /// The cloud's, as it is now: a file that nobody else sees, and that is gone with this program.
    private func copy() async throws -> KnowledgeBase {
        var cluster = ClusterOptions()
        (cluster.kubeconfig, cluster.context) = (kubeconfig, context)
        let bytes = try await cluster.with { client, _ in try await client.bytes(CloudKnowledge.path) }
        var folder = Array("/tmp/skerry-kb-XXXXXX".utf8CString)
        guard mkdtemp(&folder) != nil else {
            throw CloudError("a folder for the copy cannot be made in /tmp: \(String(cString: strerror(errno)))")
        }
        let path = String(decoding: folder.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { _ = rmdir(path) }
        let file = try WholeFile(path: path + "/knowledge.db", isPrivate: true)
        defer { for end in ["", "-wal", "-shm", "-journal"] { _ = unlink(path + "/knowledge.db" + end) } }
        try file.write(bytes)
        try file.commit()
        return try KnowledgeBase(.file(path + "/knowledge.db"), KnowledgeBase.readingOptions(wait: .seconds(wait)))
    }

    func writing(_ access: SQLiteOptions.Access) throws -> KnowledgeBase {
        var options = SQLiteOptions(access)
        options.busyTimeout = .seconds(wait)
        return try KnowledgeBase(.file(path), options)
    }
}

/// How rows are printed.
struct RowOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .customLong("output")], help: "table, json or csv.") var format: RowFormat = .table

    /// Gives `body` a sink that ends on standard output.
    func print(_ body: (inout RowWriter) throws -> Void) throws {
        let output = StandardOutput()
        var writer = RowWriter(format, output.write)
        do {
            try body(&writer)
        } catch {
            try output.flush()
            throw error
        }
        try output.flush()
    }
}

/// Prints one of the program's own questions.
func printListing(_ listing: Listing, of file: KnowledgeFileOptions, _ rows: RowOptions) async throws {
    let knowledge = try await file.reading()
    try rows.print { try knowledge.list(listing, for: rows.format, into: &$0) }
}

extension RowFormat: ExpressibleByArgument {}

extension JobName: ExpressibleByArgument {
    public init?(argument: String) { try? self.init(argument) }
    public var defaultValueDescription: String { description }
}

extension RoundRecord.Sample.State: ExpressibleByArgument {
    public init?(argument: String) { self.init(name: argument) }
    public static var allValueStrings: [String] { allCases.map(\.name) }
    public var defaultValueDescription: String { name }
}

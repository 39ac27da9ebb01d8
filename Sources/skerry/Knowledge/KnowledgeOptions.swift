import ArgumentParser
import KnowledgeBase
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

    @Option(help: "The knowledge base's file (default: $\(environmentKey), then \(defaultPath), which the demo leaves).") var kb: String?
    @Option(help: "Longest wait for another program's lock, seconds.") var wait: Double = 5

    func validate() throws {
        guard (0...3600).contains(wait) else { throw ValidationError("--wait \(wait) is out of bounds; give 0 to 3600 seconds") }
    }

    var path: String { kb ?? getenv(Self.environmentKey).map { String(cString: $0) } ?? Self.defaultPath }

    func reading() throws -> KnowledgeBase { try KnowledgeBase(.file(path), KnowledgeBase.readingOptions(wait: .seconds(wait))) }

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
func printListing(_ listing: Listing, of file: KnowledgeFileOptions, _ rows: RowOptions) throws {
    let knowledge = try file.reading()
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

import ArgumentParser
import Network
import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct LabelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "label", abstract: "List the rows of a node's data set that wait for a label, or give them one.",
        discussion: """
            Runs on the node that has the rows and needs no cloud. A row with an empty label waits; the same row with its label is appended to the \
            file and counts from the next round on. The Dataset must allow it: kubectl annotate dataset NAME jobs.skerry.io/takes-labels=true
            """)

    @Argument(help: "The Dataset.") var name: String
    @Option(name: [.customShort("n"), .customLong("namespace")], help: "Its namespace.") var namespace = "default"
    @Option(help: "Where the node's agent listens, as its log says.") var edge = "http://127.0.0.1:7480"
    @Option(help: "Rows with labels: a table with the data set's columns; - is standard input.") var csv: String?
    @Option(help: "Rows with labels: a JSON object of columns, or a list of them; - is standard input.") var json: String?
    @OptionGroup var table: TableOptions

    func validate() throws {
        if csv != nil, json != nil { throw ValidationError("--csv and --json both give labels; give one") }
        for word in [name, namespace] where !NameRules.isSubdomain(word) { throw ValidationError("\(word): no Dataset is called so") }
        if place == nil { throw ValidationError("--edge \(edge): expected http://ADDRESS:PORT") }
    }

    private var place: (host: String, port: Int)? {
        guard edge.hasPrefix("http://"), let (host, port) = CloudSettings.address(String(edge.dropFirst(7))) else { return nil }
        return (host, port)
    }

    func run() async throws {
        guard let (host, port) = place else { return }
        let client = try PooledHTTPClient(host: host, port: port, trust: nil)
        let answer: JSON
        do {
            answer = try await ask(client)
            await client.close()
        } catch {
            await client.close()
            throw error
        }
        if let count = answer["appended"]?.integer { return try say("dataset/\(name): \(count) \(count == 1 ? "label" : "labels") taken") }
        let columns = (answer["columns"]?.array ?? []).compactMap(\.string)
        var rows = AlignedTable(columns, texts: Set(columns))
        rows.rows = (answer["rows"]?.array ?? []).map { ($0.array ?? []).map { $0.string ?? "" } }
        try say(rows.text(table.format))
    }

    private func ask(_ client: PooledHTTPClient) async throws -> JSON {
        var request = HTTPRequest(method: "GET", path: "/datasets/\(namespace)/\(name)/labels")
        if let file = csv ?? json {
            request.method = "POST"
            request.headers["Content-Type"] = csv == nil ? "application/json" : "text/csv"
            do { request.body = try SmallFile.read(file == "-" ? "/dev/stdin" : file, bytesMax: 3 << 20) } catch {
                throw CloudError("cannot read \(file): \(error)")
            }
        }
        let answer: HTTPAnswer
        do { answer = try await client.send(request) } catch {
            throw CloudError("no agent answers at \(edge): \(error); name its address by --edge, as its log says")
        }
        let value = (try? JSONParser.parse(answer.body, limits: .init(depthMax: 16, bytesMax: 64 << 20))) ?? .null
        guard answer.status == 200 else {
            throw CloudError(
                value["error"]?.string ?? "the agent answers \(answer.status): \(String(decoding: answer.body.prefix(300), as: UTF8.self))")
        }
        return value
    }
}

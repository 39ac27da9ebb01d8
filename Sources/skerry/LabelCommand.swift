import ArgumentParser
import KubernetesClient
import Network
import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct LabelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "label", abstract: "List the rows of a data set that wait for a label, or give them one.",
        discussion: """
            A row with an empty label waits; the same row with its label is appended to the file and counts from the next round on. With a \
            kubeconfig the cloud is asked, which asks the node that has the rows. Without one, or with --edge, the agent of this machine, which \
            needs no cloud; the Dataset must allow that: kubectl annotate dataset NAME jobs.skerry.io/takes-labels=true
            """)

    @Argument(help: "The Dataset.") var name: String
    @Option(name: [.customShort("n"), .customLong("namespace")], help: "Its namespace.") var namespace = "default"
    @OptionGroup var cluster: ClusterOptions
    @Option(help: "Where the node's agent listens, as its log says (default without a kubeconfig: http://127.0.0.1:7480).")
    var edge: String?
    @Option(help: "Rows with labels: a table with the data set's columns; - is standard input.") var csv: String?
    @Option(help: "Rows with labels: a JSON object of columns, or a list of them; - is standard input.") var json: String?
    @OptionGroup var table: TableOptions

    func validate() throws {
        if csv != nil, json != nil { throw ValidationError("--csv and --json both give labels; give one") }
        for word in [name, namespace] where !NameRules.isSubdomain(word) { throw ValidationError("\(word): no Dataset is called so") }
        if place == nil { throw ValidationError("--edge \(agent): expected http://ADDRESS:PORT") }
        if edge != nil, cluster.kubeconfig != nil { throw ValidationError("--edge and --kubeconfig both say whom to ask; give one") }
    }

    private var agent: String { edge ?? "http://127.0.0.1:7480" }
    private var asksCloud: Bool { edge == nil && !(cluster.kubeconfig ?? environment()["KUBECONFIG"] ?? "").isEmpty }

    private var place: (host: String, port: Int)? {
        guard agent.hasPrefix("http://"), let (host, port) = CloudSettings.address(String(agent.dropFirst(7))) else { return nil }
        return (host, port)
    }

    func run() async throws {
        let answer = try await answered()
        if let count = answer["appended"]?.integer { return try say("dataset/\(name): \(count) \(count == 1 ? "label" : "labels") taken") }
        if let asked = answer["asked"] {
            let order = asked["isRanked"]?.bool == true ? "the rows worth most first" : "the oldest first"
            writeError(
                "job \(asked["job"]?.string ?? "") asks for \(asked["budget"]?.text ?? "") labels a round; \(asked["answered"]?.text ?? "0") given,"
                    + " \(asked["left"]?.text ?? "0") left: \(order)")
        }
        let columns = (answer["columns"]?.array ?? []).compactMap(\.string)
        var rows = AlignedTable(columns, texts: Set(columns))
        rows.rows = (answer["rows"]?.array ?? []).map { ($0.array ?? []).map { $0.string ?? "" } }
        try say(rows.text(table.format))
    }

    /// The answer of whoever was asked, of status 200.
    private func answered() async throws -> JSON {
        let method = csv ?? json == nil ? "GET" : "POST"
        let type = method == "GET" ? "" : csv == nil ? "application/json" : "text/csv"
        var body: [UInt8] = []
        if let file = csv ?? json {
            do { body = try SmallFile.read(file == "-" ? "/dev/stdin" : file, bytesMax: 3 << 20) } catch {
                throw CloudError("cannot read \(file): \(error)")
            }
        }
        if asksCloud {
            let answer = try await cluster.with { [body] client, _ in
                try await client.ask(method, "/datasets/v1/\(namespace)/\(name)/labels", type: type, body)
            }
            return try read(answer, "the cloud")
        }
        guard let (host, port) = place else { return .null }
        let client = try PooledHTTPClient(host: host, port: port, trust: nil)
        var request = HTTPRequest(method: method, path: "/datasets/\(namespace)/\(name)/labels", body: body)
        if !type.isEmpty { request.headers["Content-Type"] = type }
        let answer: HTTPAnswer
        do { answer = try await client.send(request) } catch {
            await client.close()
            throw CloudError("no agent answers at \(agent): \(error); name its address by --edge, as its log says")
        }
        await client.close()
        return try read(answer, "the agent")
    }

    private func read(_ answer: HTTPAnswer, _ who: String) throws -> JSON {
        let value = (try? JSONParser.parse(answer.body, limits: .init(depthMax: 16, bytesMax: 64 << 20))) ?? .null
        guard answer.status == 200 else {
            throw CloudError(
                value["error"]?.string ?? value["message"]?.string
                    ?? "\(who) answers \(answer.status): \(String(decoding: answer.body.prefix(300), as: UTF8.self))")
        }
        return value
    }
}

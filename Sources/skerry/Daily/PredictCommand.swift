import ArgumentParser
import KubernetesClient
import Learning
import Network
import Resources

/// `skerry predict`: asks a model where it serves.
struct PredictCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "predict", abstract: "Ask a model that serves on a node, through the cloud.",
        discussion: """
            NAME is a model or the job that made it. Rows come from a CSV with a header, or as JSON: an object of columns, a list of such objects, \
            or a request of the Open Inference Protocol. The answer has a line for each row.
            """)

    /// Rows of one request.
    private static let rowsMax = 1024
    private static let inputBytesMax = 256 << 20

    @OptionGroup var place: NamespaceOptions
    @OptionGroup var table: TableOptions
    @Argument(help: "The model, or the job that serves it.") var name: String
    @Option(help: "Ask the worker on this node (default: the first by name).") var node: String?
    @Option(help: "A table with a header; - is standard input.") var csv: String?
    @Option(help: "The rows as JSON text, or @FILE.") var json: String?

    func validate() throws {
        guard (csv == nil) != (json == nil) else { throw ValidationError("give the rows by either --csv FILE or --json TEXT") }
    }

    func run() async throws {
        let questions = try questions()
        try await place.with { client, namespace in
            let worker = try await worker(client, namespace)
            let known = try await ask(client, worker, "GET", nil)
            var rows: [[String]] = []
            var head: [String] = []
            for question in questions {
                let body = question.body(asking: known["inputs"]?.array ?? [])
                let answer = try await ask(client, worker, "POST", body)
                let (names, lines) = try Answers.rows(answer)
                if head.isEmpty { head = names }
                rows += lines
            }
            var sheet = AlignedTable(head, texts: [])
            sheet.rows = rows
            try say(sheet.text(table.format))
        }
    }

    // MARK: Questions

    private func questions() throws -> [Question] {
        if let csv {
            let bytes = try SmallFile.read(csv == "-" ? "/dev/stdin" : csv, bytesMax: Self.inputBytesMax)
            var rest: [UInt8]? = bytes
            let rows = try TextTable(source: csv) {
                defer { rest = nil }
                return rest
            }
            guard rows.count > 0 else { throw CloudError("\(csv) has no row below its header") }
            return stride(from: 0, to: rows.count, by: Self.rowsMax).map { start in
                let part = rows.rows[start..<min(start + Self.rowsMax, rows.count)]
                return .columns(rows.columns.enumerated().map { place, name in (name, part.map { .string($0[place]) }) })
            }
        }
        var text = json ?? ""
        if text.hasPrefix("@") {
            text = String(decoding: try SmallFile.read(String(text.dropFirst()), bytesMax: Self.inputBytesMax), as: UTF8.self)
        }
        let value: JSON
        do { value = try JSON(parsing: text) } catch { throw CloudError("--json: \(error)") }
        if value["inputs"]?.array != nil { return [.request(value)] }
        let objects = value.array ?? [value]
        guard let first = objects.first?.object else {
            throw CloudError("--json: expected an object of columns, a list of them, or a request with \"inputs\"")
        }
        let names = first.map(\.0)
        for (place, object) in objects.enumerated() where Set((object.object ?? [:]).map(\.0)) != Set(names) {
            throw CloudError("--json: row \(place + 1) has other columns than the first (\(names.joined(separator: ", ")))")
        }
        return [.columns(names.map { name in (name, objects.map { $0[name] ?? .null }) })]
    }

    /// What is asked at a time.
    private enum Question {
        case columns([(name: String, values: [JSON])])
        case request(JSON)

        /// - Parameter known: the model's own inputs; what is none of them goes as text, which a worker of tables takes.
        func body(asking known: [JSON]) -> JSON {
            guard case .columns(let columns) = self else {
                if case .request(let request) = self { return request }
                return .null
            }
            return [
                "inputs": .array(
                    columns.map { name, values in
                        let input = known.first { $0["name"]?.string == name }
                        let type = input?["datatype"]?.string ?? "BYTES"
                        let isWide = (input?["shape"]?.array?.count ?? 1) > 1
                        let count = Int64(values.count)
                        return [
                            "name": .string(name), "datatype": .string(type),
                            "shape": .array(isWide ? [.integer(count), 1] : [.integer(count)]),
                            "data": .array(values.map { Self.value($0, type) }),
                        ]
                    })
            ]
        }

        private static func value(_ value: JSON, _ type: String) -> JSON {
            if type == "BYTES" { return .string(value.string ?? (value == .null ? "" : value.text)) }
            guard let text = value.string else { return value }
            let digits = text.filter { $0 != " " }
            return digits.isEmpty || digits == "NA" ? .null : (try? JSON(parsing: digits)) ?? value
        }
    }

    // MARK: Workers

    private struct Worker {
        var pod: ObjectKey
        var port: Int
        var model: String
    }

    /// The worker that serves the model: a Pod that shows it, or one of the job's that has told where it listens.
    private func worker(_ client: RESTClient, _ namespace: String) async throws -> Worker {
        let pods = try await client.listAll(.pod, ListQuery(namespace: namespace)).items
        let serving = pods.filter { JobWorkers.serves(name, $0) || JobWorkers.job(of: $0) == name }
            .sorted { ObjectKey($0) < ObjectKey($1) }
        let found = serving.filter { pod in
            guard let told = WorkerState(pod)?.report.ownerInfo["address"]?.string, told.contains(":") else { return false }
            return pod["status"]?["phase"]?.string == "Running" && (node == nil || pod["spec"]?["nodeName"]?.string == node)
        }
        guard let pod = found.first, let info = WorkerState(pod)?.report.ownerInfo,
            let port = info["address"]?.string?.split(separator: ":").last.flatMap({ Int($0) })
        else {
            let told = serving.map { pod in
                "\(ObjectKey(pod).name) on \(pod["spec"]?["nodeName"]?.string ?? "no node") (\(pod["status"]?["phase"]?.string ?? "Pending"))"
            }
            throw CloudError(
                "no worker serves \"\(name)\"\(node.map { " on node \($0)" } ?? "") in namespace \(namespace)"
                    + (told.isEmpty ? "; see skerry status" : "; there are: \(told.joined(separator: ", "))"))
        }
        let model = info["modelName"]?.string ?? JobWorkers.variable("MODEL_NAME", pod) ?? JobWorkers.job(of: pod) ?? name
        return Worker(pod: ObjectKey(pod), port: port, model: model)
    }

    private func ask(_ client: RESTClient, _ worker: Worker, _ method: String, _ body: JSON?) async throws -> JSON {
        let path = "/v2/models/\(worker.model)\(method == "POST" ? "/infer" : "")"
        let request = HTTPRequest(
            method: method, path: path, headers: body == nil ? [:] : ["Content-Type": "application/json"], body: body?.bytes() ?? [])
        let answer = try await client.ask(worker.pod, port: worker.port, request)
        let value = (try? JSONParser.parse(answer.body, limits: .init(depthMax: 64, bytesMax: 64 << 20))) ?? .null
        guard answer.status == 200 else {
            let told = value["error"]?.string ?? String(decoding: answer.body.prefix(300), as: UTF8.self)
            throw CloudError("pod \(worker.pod) answers \(answer.status): \(told)")
        }
        return value
    }
}

/// Answers of the Open Inference Protocol as rows. Pure.
enum Answers {
    /// - Returns: a column for each output, several for one that has several values a row.
    static func rows(_ answer: JSON) throws -> (head: [String], rows: [[String]]) {
        var (head, columns): ([String], [[String]]) = ([], [])
        for output in answer["outputs"]?.array ?? [] {
            let name = output["name"]?.string ?? ""
            let shape = (output["shape"]?.array ?? []).compactMap(\.integer).map { Int($0) }
            let cells = (output["data"]?.array ?? []).flatMap { $0.array ?? [$0] }.map { $0.string ?? ($0 == .null ? "" : $0.text) }
            guard let count = shape.first, count > 0, cells.count % count == 0, !cells.isEmpty else { continue }
            let width = cells.count / count
            for place in 0..<width {
                head.append(width == 1 ? name : "\(name)_\(place)")
                columns.append((0..<count).map { cells[$0 * width + place] })
            }
        }
        guard let first = columns.first, columns.allSatisfy({ $0.count == first.count }) else {
            throw CloudError("the answer has no outputs with a value for each row: \(answer.text.prefix(300))")
        }
        return (head, first.indices.map { row in columns.map { $0[row] } })
    }
}

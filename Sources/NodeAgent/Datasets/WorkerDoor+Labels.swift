import Resources

#if canImport(Glibc)
    import Glibc
#endif

/// Labels for rows of a node's own data sets, also while the cloud is away:
///
///     GET   /datasets/NAMESPACE/NAME/labels    rows that wait for one
///     POST  the same                           rows with one: CSV (text/csv) or JSON (application/json); they are appended to the file
///
/// Only for a Dataset that says so by the annotation `jobs.skerry.io/takes-labels: "true"`: whoever reaches the loopback may then label.
extension WorkerDoor {
    /// What every such path begins with.
    package static let labelsFolder = "/datasets/"
    /// Says that labels are taken on the node.
    package static let labelsAnnotation = "jobs.skerry.io/takes-labels"
    /// Bytes of a body.
    package static let labelsBytesMax = 3 << 20
    /// Bytes of a file whose rows are listed.
    private static let listedBytesMax = 64 << 20
    private static let headerBytesMax = 1 << 20
    /// Rows that a model is asked about to find those worth a label, and at a time.
    private static let rankedMax = 4096
    private static let askedAtOnce = 512

    /// Lists rows that wait, or takes labels.
    ///
    /// - Parameters:
    ///   - type: the body's media type; one that a page of a browser may send unasked is refused.
    ///   - isAllowed: somebody else has asked who asks; the annotation need not.
    /// - Returns: 200 with `columns` and `rows`, or with `appended` once they are on the disk.
    package func labels(method: String, path: String, type: String, body: [UInt8], isAllowed: Bool = false) async -> Answer {
        do throws(LabelRefusal) {
            let words = path.split(separator: "/").map(String.init)
            guard words.count == 4, words[3] == "labels" else {
                throw LabelRefusal(404, "\(path.prefix(200)): labels are at \(Self.labelsFolder)NAMESPACE/NAME/labels")
            }
            let (file, column, wish) = try await labelled(ObjectKey(namespace: words[1], name: words[2]), isAllowed)
            switch method {
            case "GET": return Answer(status: 200, body: try await waiting(file, column, wish), retryAfterSeconds: 0)
            case "POST": return Answer(status: 200, body: try Self.append(body, type, to: file, column), retryAfterSeconds: 0)
            default: throw LabelRefusal(405, "\(method): rows are asked for by GET, labels given by POST")
            }
        } catch { return Answer(status: error.code, body: ["error": .string(error.message)], retryAfterSeconds: 0) }
    }

    /// The file of a data set of this node, its label's column, and what a job asks for.
    private func labelled(
        _ key: ObjectKey, _ isAllowed: Bool
    ) async throws(LabelRefusal) -> (file: String, column: String, wish: LabelWish?) {
        let dataset: JSON
        do throws(APIStatus) { dataset = try await agent.context.client.get(.dataset, key) } catch {
            throw LabelRefusal(
                error.code == 404 ? 404 : 503, "dataset \(key): \(error.code == 404 ? "is not on this node" : error.message)")
        }
        let (spec, notes) = (dataset["spec"], dataset["metadata"]?["annotations"])
        guard spec?["nodeName"]?.string == agent.context.nodeName, let file = spec?["url"]?.string, file.hasPrefix("/") else {
            throw LabelRefusal(404, "dataset \(key) lies on node \(spec?["nodeName"]?.string ?? ""), not here")
        }
        guard spec?["format"]?.string?.lowercased() ?? "csv" == "csv" else {
            throw LabelRefusal(422, "dataset \(key) is no CSV; only rows of columns are labelled")
        }
        let said = notes?[Self.labelsAnnotation]?.string
        guard said == "true" || isAllowed && said != "false" else {
            throw LabelRefusal(
                403, "dataset \(key) takes no labels here; allow it: kubectl annotate dataset \(key.name) \(Self.labelsAnnotation)=true")
        }
        guard let column = spec?["label"]?.string ?? notes?["jobs.skerry.io/label"]?.string, !column.isEmpty else {
            throw LabelRefusal(422, "dataset \(key) does not say which column holds the label; set spec.label")
        }
        return (file, column, notes?[LabelWish.annotation]?.string.flatMap { LabelWish($0) })
    }

    // MARK: The file

    private static func read(_ path: String, bytesMax: Int) throws(LabelRefusal) -> [UInt8] {
        guard let file = fopen(path, "re") else { throw failed(path) }
        defer { fclose(file) }
        let bytes = [UInt8](unsafeUninitializedCapacity: bytesMax + 1) { buffer, count in
            count = fread(buffer.baseAddress, 1, buffer.count, file)
        }
        if ferror(file) != 0 { throw failed(path) }
        return bytes
    }

    private static func failed(_ path: String) -> LabelRefusal { LabelRefusal(503, "\(path): \(String(cString: strerror(errno)))") }

    private func waiting(_ path: String, _ column: String, _ wish: LabelWish?) async throws(LabelRefusal) -> JSON {
        let bytes = try Self.read(path, bytesMax: Self.listedBytesMax)
        guard bytes.count <= Self.listedBytesMax else {
            throw LabelRefusal(
                413, "\(path) has more than \(Self.listedBytesMax) bytes, which are not searched; labels are taken all the same")
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
        let table = try LabelTable(header: String(lines.first ?? ""), label: column)
        var answer: JSON = ["columns": .array(table.columns.map { .string($0) }), "label": .string(column)]
        var queue = table.queue(
            in: lines.dropFirst(), from: wish?.from ?? 0, listedMax: wish == nil ? LabelTable.listedMax : Self.rankedMax)
        if let wish {
            let left = max(0, wish.budget - Int64(queue.answered))
            let (rows, isRanked) = left == 0 ? ([], false) : await ranked(queue.rows, table, wish)
            queue.rows = Array(rows.prefix(Int(min(left, Int64(LabelTable.listedMax)))))
            answer["asked"] = [
                "job": .string(wish.job), "budget": .integer(wish.budget), "answered": .integer(Int64(queue.answered)),
                "left": .integer(left), "isRanked": .bool(isRanked),
            ]
        }
        answer["rows"] = .array(queue.rows.map { .array($0.map { .string($0) }) })
        return answer
    }

    /// Rows in the order of what a label is worth; in that of their age while no worker says.
    private func ranked(_ rows: [[String]], _ table: LabelTable, _ wish: LabelWish) async -> (rows: [[String]], isRanked: Bool) {
        guard let judge = agent.judge else { return (rows, false) }
        var worth: [Double] = []
        for start in stride(from: 0, to: rows.count, by: Self.askedAtOnce) {
            let part = rows[start..<min(start + Self.askedAtOnce, rows.count)]
            guard let answer = await judge(wish.model, table.question(about: part)),
                let found = LabelTable.worth(answer, count: part.count)
            else { return (rows, false) }
            worth += found
        }
        return (LabelTable.ranked(rows, by: worth), !rows.isEmpty)
    }

    private static func append(_ body: [UInt8], _ type: String, to path: String, _ column: String) throws(LabelRefusal) -> JSON {
        guard body.count <= labelsBytesMax else { throw LabelRefusal(413, "\(body.count) bytes; at most \(labelsBytesMax) are taken") }
        let rows: [[String: String]]
        switch type.prefix(while: { $0 != ";" }).lowercased() {
        case "text/csv": rows = try LabelTable.rows(csv: String(decoding: body, as: UTF8.self))
        case "application/json":
            guard let json = try? JSONParser.parse(body, limits: .init(depthMax: 4, bytesMax: labelsBytesMax)) else {
                throw LabelRefusal(400, "the body is no JSON")
            }
            rows = try LabelTable.rows(json: json)
        default: throw LabelRefusal(415, "Content-Type: found \"\(type.prefix(80))\", expected text/csv or application/json")
        }
        let head = try read(path, bytesMax: headerBytesMax).prefix { $0 != 10 }
        let lines = try LabelTable(header: String(decoding: head, as: UTF8.self), label: column).lines(rows)
        try write(lines, to: path)
        return ["appended": .integer(Int64(lines.count))]
    }

    /// One write behind whatever is there: beside other writers no row is torn.
    private static func write(_ lines: [String], to path: String) throws(LabelRefusal) {
        let descriptor = open(path, O_RDWR | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { throw failed(path) }
        defer { close(descriptor) }
        let size = lseek(descriptor, 0, SEEK_END)
        var last: UInt8 = 10
        if size > 0, pread(descriptor, &last, 1, size - 1) != 1 { throw failed(path) }
        let bytes = Array(((last == 10 ? "" : "\n") + lines.joined(separator: "\n") + "\n").utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
            let failure = failed(path)
            // Half a row is worse than none.
            if size > 0 { ftruncate(descriptor, size) }
            throw failure
        }
    }
}

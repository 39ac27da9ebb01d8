import Learning
import Network
import Resources
import ThermalComfort

/// A model that serves at an edge, asked as any program there would: by the Open Inference Protocol over HTTP.
///
/// Blocks its caller; one connection.
final class EdgeInference: Sendable {
    /// Rows of one request.
    private static let batchRows = 2000
    private let http: PooledHTTPClient
    private let model: String
    /// `127.0.0.1:PORT`.
    let address: String

    /// - Parameter address: as the worker says in its report.
    /// - Throws: `ClusterError` for what is no address.
    init(address: String, model: String) throws {
        let parts = address.split(separator: ":")
        guard parts.count == 2, let port = Int(parts[1]) else {
            throw ClusterError("a worker's address is \"\(address)\", expected HOST:PORT")
        }
        http = try PooledHTTPClient(host: String(parts[0]), port: port, trust: nil)
        (self.address, self.model) = (address, model)
    }

    func close() { _ = try? Blocking.run { [http] in await http.close() } }

    /// Version of the model that answers now; nil while none does, or nobody answers.
    func version() throws -> String? {
        guard let answer = try? send("GET", ""), answer.status == 200 else { return nil }
        return try JSONParser.parse(answer.body)["versions"]?.array?.first?.string
    }

    /// Shape [rows, classes], in the order of the rows.
    ///
    /// - Throws: `ClusterError` with what the worker answered.
    func predict(_ rows: ComfortRows) throws -> [Float] {
        var values: [Float] = []
        for start in stride(from: 0, to: rows.count, by: Self.batchRows) {
            values += try ask(rows.rows(Array(start..<min(start + Self.batchRows, rows.count)))).probabilities
        }
        return values
    }

    /// One request.
    ///
    /// - Returns: probabilities, and the version that answered.
    func ask(_ rows: ComfortRows) throws -> (probabilities: [Float], version: String) {
        let answer = try send("POST", "/infer", Self.body(rows))
        guard answer.status == 200 else {
            let said = String(decoding: answer.body.prefix(400), as: UTF8.self)
            throw ClusterError("\(address) refuses \(rows.count) votes with \(answer.status): \(said)")
        }
        let json = try JSONParser.parse(answer.body, limits: .init(depthMax: 8, bytesMax: 64 << 20))
        let output = json["outputs"]?.array?.first { $0["name"]?.string == "probabilities" }
        let values = (output?["data"]?.array ?? []).compactMap { Float($0.text) }
        guard values.count == rows.count * Preference.allCases.count else {
            throw ClusterError("\(address) answers \(values.count) probabilities for \(rows.count) votes")
        }
        return (values, json["model_version"]?.string ?? "")
    }

    /// Tells labels of votes to a worker that adapts; they count as soon as this returns.
    ///
    /// - Parameters:
    ///   - columns: names, the label's among them.
    ///   - rows: fields in the order of the columns.
    /// - Returns: labels that were taken.
    func tell(columns: [String], rows: [[String]]) throws -> Int {
        let answer = try send("POST", "/labels", JSON.object(["inputs": .array(Self.inputs(columns, rows))]).bytes())
        guard answer.status == 200 else {
            let said = String(decoding: answer.body.prefix(400), as: UTF8.self)
            throw ClusterError("\(address) refuses \(rows.count) labels with \(answer.status): \(said)")
        }
        return Int(try JSONParser.parse(answer.body)["taken"]?.integer ?? 0)
    }

    private func send(_ method: String, _ path: String, _ body: [UInt8] = []) throws -> HTTPAnswer {
        let request = HTTPRequest(
            method: method, path: "/v2/models/\(model)\(path)", headers: body.isEmpty ? [:] : ["Content-Type": "application/json"],
            body: body)
        return try Blocking.run { [http] in try await http.send(request) }
    }

    /// The columns by their names, without the votes.
    private static func body(_ rows: ComfortRows) -> [UInt8] {
        let fields = (0..<rows.count).map { ComfortStream.asked(rows.record($0), rows.building($0)) }
        let inputs = inputs(ComfortStream.askedColumns, fields)
        return JSON.object(["inputs": .array(inputs), "outputs": [["name": "probabilities"]]]).bytes()
    }

    private static func inputs(_ columns: [String], _ rows: [[String]]) -> [JSON] {
        columns.enumerated().map { place, column in
            [
                "name": .string(column), "datatype": "BYTES", "shape": [.integer(Int64(rows.count))],
                "data": .array(rows.map { .string($0[place]) }),
            ]
        }
    }
}

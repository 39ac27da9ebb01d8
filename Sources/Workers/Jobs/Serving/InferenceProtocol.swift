import Inference
import Learning
import Resources

/// Why a request is refused, with its status.
struct InferenceRefusal: Error {
    var status: Int
    var reason: String

    init(_ status: Int, _ reason: String) { (self.status, self.reason) = (status, reason) }
}

/// Words of the Open Inference Protocol.
enum InferenceProtocol {
    /// Bytes of the JSON before tensors.
    static let headerLength = "Inference-Header-Content-Length"
}

/// A request of the Open Inference Protocol (version 2, JSON): the model's own inputs, or the columns of a table by their names.
struct InferenceRequest {
    /// Rows of one request.
    static let rowsMax = 4096
    /// What is asked about.
    enum Rows {
        /// `features`, and `site`, `person`, `task` where given.
        case features(ModelRows)
        case table(TextTable)
    }

    var id: String?
    var rows: Rows
    /// Names of the outputs asked for; empty: all.
    var outputs: [String]

    /// - Parameter featureNames: the model's, in order.
    /// - Throws: `InferenceRefusal` naming the input at fault.
    init(_ body: [UInt8], featureNames: [String], modelName: String) throws {
        let json: JSON
        do {
            json = try JSONParser.parse(body, limits: JSONParser.Limits(depthMax: 8, bytesMax: 16 << 20))
        } catch {
            throw InferenceRefusal(400, "the request is no JSON: \(error)")
        }
        guard let inputs = json["inputs"]?.array, !inputs.isEmpty, inputs.count <= DeployedModel.namesMax else {
            throw InferenceRefusal(400, "model \"\(modelName)\": the request has no list \"inputs\"")
        }
        id = json["id"]?.string
        outputs = (json["outputs"]?.array ?? []).compactMap { $0["name"]?.string }
        let tensors = try inputs.map { try Tensor($0) }
        guard Set(tensors.map(\.name)).count == tensors.count else { throw InferenceRefusal(400, "an input occurs twice") }
        if let features = tensors.first(where: { $0.name == "features" }) {
            rows = .features(try Self.rows(features, tensors, featureNames))
        } else {
            rows = .table(try Self.table(tensors))
        }
    }

    private static func rows(_ features: Tensor, _ tensors: [Tensor], _ names: [String]) throws -> ModelRows {
        guard features.shape.count == 2, features.shape[1] == names.count else {
            throw InferenceRefusal(400, "input \"features\" has the shape \(features.shape); expected [rows, \(names.count)]")
        }
        let count = features.shape[0]
        var matrix = FeatureMatrix(columnNames: names)
        let values = try features.numbers()
        for row in 0..<count { matrix.append(Array(values[row * names.count..<(row + 1) * names.count])) }
        var made = ModelRows(
            features: matrix, sites: [String?](repeating: nil, count: count), persons: [String?](repeating: nil, count: count),
            tasks: [String](repeating: "", count: count))
        for tensor in tensors where tensor.name != "features" {
            guard tensor.shape.reduce(1, *) == count else {
                throw InferenceRefusal(400, "input \"\(tensor.name)\" has the shape \(tensor.shape); expected [\(count)]")
            }
            let words = try tensor.words()
            switch tensor.name {
            case "site": made.sites = words
            case "person": made.persons = words
            case "task": made.tasks = words
            default: throw InferenceRefusal(400, "the input \"\(tensor.name)\" is unknown beside \"features\"; known: site, person, task")
            }
        }
        return made
    }

    private static func table(_ tensors: [Tensor]) throws -> TextTable {
        let count = tensors[0].shape.reduce(1, *)
        var table = TextTable(columns: tensors.map(\.name), source: "the request")
        var columns: [[String]] = []
        for tensor in tensors {
            guard tensor.shape.reduce(1, *) == count else {
                throw InferenceRefusal(
                    400,
                    "input \"\(tensor.name)\" has the shape \(tensor.shape), input \"\(tensors[0].name)\" \(tensors[0].shape);"
                        + " columns have one value a row")
            }
            columns.append(try tensor.words())
        }
        for row in 0..<count { table.append(columns.map { $0[row] }, line: row + 1) }
        return table
    }

    /// An input as it was sent.
    private struct Tensor {
        var name: String
        var shape: [Int]
        var isText: Bool
        private var data: [JSON]

        init(_ json: JSON) throws {
            guard let name = json["name"]?.string, !name.isEmpty else { throw InferenceRefusal(400, "an input has no name") }
            self.name = name
            let type = json["datatype"]?.string ?? ""
            guard ["FP32", "FP64", "INT64", "INT32", "BYTES"].contains(type) else {
                throw InferenceRefusal(
                    400, "input \"\(name)\" has the datatype \"\(type.prefix(20))\"; FP32, FP64, INT32, INT64, BYTES are taken")
            }
            isText = type == "BYTES"
            let dimensions = (json["shape"]?.array ?? []).map { $0.integer ?? -1 }
            guard (1...2).contains(dimensions.count), dimensions.allSatisfy({ (0...1 << 24).contains($0) }) else {
                throw InferenceRefusal(400, "input \"\(name)\" needs a shape of one or two dimensions")
            }
            shape = dimensions.map { Int($0) }
            guard shape[0] <= InferenceRequest.rowsMax else {
                throw InferenceRefusal(400, "\(shape[0]) rows in one request; at most \(InferenceRequest.rowsMax) are answered")
            }
            var flat: [JSON] = []
            Self.flatten(json["data"] ?? .null, into: &flat)
            guard flat.count == shape.reduce(1, *) else {
                throw InferenceRefusal(
                    400, "input \"\(name)\" needs \(shape.reduce(1, *)) values for the shape \(shape), found \(flat.count)")
            }
            data = flat
        }

        private static func flatten(_ value: JSON, into flat: inout [JSON]) {
            if let items = value.array { for item in items { flatten(item, into: &flat) } } else { flat.append(value) }
        }

        /// NaN for null.
        func numbers() throws -> [Float] {
            try data.enumerated().map { place, value in
                if value.isNull { return .nan }
                guard let number = value.number, Float(number).isFinite else {
                    throw InferenceRefusal(
                        400, "value \(place) of input \"\(name)\" is \(value.text.prefix(40)); expected a number or null")
                }
                return Float(number)
            }
        }

        /// Numbers as they are written; "" for null.
        func words() throws -> [String] {
            try data.enumerated().map { place, value in
                switch value {
                case .null: return ""
                case .string(let text): return text
                case .integer, .decimal: return value.text
                default:
                    throw InferenceRefusal(400, "value \(place) of input \"\(name)\" is \(value.typeName); expected a text or a number")
                }
            }
        }
    }
}

/// An answer of the Open Inference Protocol.
struct InferenceAnswer {
    private let outputs: [JSON]
    private let id: String?
    private let version: String
    private let modelName: String

    /// - Parameters:
    ///   - marks: nil where nothing is known but the model's answer.
    ///   - tellsUnseen: false where a request brought no columns to tell unseen rows by.
    ///   - tellsWho: whether there is a large model that may have answered some rows.
    init(
        _ request: InferenceRequest, _ found: ClassProbabilities, marks: [RowJudge.Mark]?, tellsUnseen: Bool = true, tellsWho: Bool,
        classNames: [String], modelName: String, version: String
    ) {
        (id, self.modelName, self.version) = (request.id, modelName, version)
        let count = found.rowCount
        guard !classNames.isEmpty else {
            let values = found.values.map { $0.isFinite ? JSON.decimal("\($0)") : .null }
            outputs = [
                [
                    "name": "value", "datatype": "FP32", "shape": [.integer(Int64(count)), 1], "data": .array(values),
                ]
            ]
            return
        }
        let labels = (0..<count).map { found.predictedClass(row: $0) }
        func tensor(_ name: String, _ type: String, _ shape: [Int], _ data: [JSON]) -> JSON {
            [
                "name": .string(name), "datatype": .string(type), "shape": .array(shape.map { .integer(Int64($0)) }),
                "data": .array(data),
            ]
        }
        var all = [
            tensor(
                "probabilities", "FP32", [count, found.classCount],
                found.values.map { $0.isFinite ? .decimal("\($0)") : .null }),
            tensor("label", "INT64", [count], labels.map { .integer(Int64($0)) }),
            tensor("class", "BYTES", [count], labels.map { .string(classNames[$0]) }),
        ]
        if let marks {
            if tellsUnseen { all.append(tensor("unseen", "BOOL", [count], marks.map { .bool($0.isUnseen) })) }
            all.append(tensor("hard", "BOOL", [count], marks.map { .bool($0.isHard) }))
            if tellsWho {
                all.append(tensor("answered_by", "BYTES", [count], marks.map { .string($0.isFromCloud ? "cloud" : "edge") }))
            }
        }
        outputs = request.outputs.isEmpty ? all : all.filter { request.outputs.contains($0["name"]?.string ?? "") }
    }

    var json: JSON {
        var json: JSON = ["model_name": .string(modelName), "model_version": .string(version), "outputs": .array(outputs)]
        if let id { json["id"] = .string(id) }
        return json
    }
}

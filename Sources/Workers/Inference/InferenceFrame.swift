package import Inference

/// What an agent and its inference worker say to each other, on the worker's standard input and output.
///
/// A frame is a length (UInt32, of what follows), a kind (UInt8), a request's number (UInt32) and a body. Both ends run on one machine:
/// numbers are in its byte order. The worker begins with `hello` or `refusal`; then each `predict` gets `answer` or `refusal` of its number.
package enum InferenceFrame: Equatable, Sendable {
    case hello(ServedModel)
    case predict(id: UInt32, TabularRows)
    case answer(id: UInt32, WorkerAnswer)
    case refusal(id: UInt32, String)

    /// Bound on a frame: 16 MiB.
    package static let bytesMax = 16 << 20
    /// Bytes of the length.
    package static let lengthBytes = 4
    private static let headBytes = 5
    private enum Kind: UInt8 { case hello = 1, answer, refusal, predict = 16 }
    private enum Keys { static let sites: UInt8 = 1, persons: UInt8 = 2 }

    /// The whole frame, length first.
    package var encoded: [UInt8] {
        var writer = ByteWriter(expecting: roughByteCount)
        writer.append(UInt32(0))
        switch self {
        case .hello(let model):
            Self.head(&writer, .hello, 0)
            writer.append(UInt8(model.takesSites ? 1 : 0) | UInt8(model.takesPersons ? 2 : 0))
            for text in [model.version, model.featureNames.joined(separator: "\n"), model.classNames.joined(separator: "\n")] {
                writer.append(text)
            }
        case .predict(let id, let rows):
            Self.head(&writer, .predict, id)
            writer.append(UInt8((rows.sites.isEmpty ? 0 : Keys.sites) | (rows.persons.isEmpty ? 0 : Keys.persons)))
            writer.append(UInt32(rows.count))
            writer.append(rows.features)
            writer.append(rows.sites)
            writer.append(rows.persons)
        case .answer(let id, let answer):
            Self.head(&writer, .answer, id)
            writer.append(answer.nanoseconds)
            writer.append(UInt32(answer.predictions.classCount))
            writer.append(UInt32(answer.predictions.labels.count))
            writer.append(answer.predictions.probabilities)
            writer.append(answer.predictions.margins)
            for label in answer.predictions.labels { writer.append(UInt32(label)) }
        case .refusal(let id, let reason):
            Self.head(&writer, .refusal, id)
            writer.append(reason)
        }
        return writer.finishedFrame()
    }

    private var roughByteCount: Int {
        switch self {
        case .predict(_, let rows): 32 + 4 * (rows.features.count + rows.sites.count + rows.persons.count)
        case .answer(_, let answer): 64 + 8 * answer.predictions.margins.count + 4 * answer.predictions.labels.count
        case .hello, .refusal: 256
        }
    }

    private static func head(_ writer: inout ByteWriter, _ kind: Kind, _ id: UInt32) {
        writer.append(kind.rawValue)
        writer.append(id)
    }

    /// - Parameter body: a frame without its length.
    /// - Throws: `.malformedFrame`.
    package init(_ body: [UInt8]) throws(WorkersError) {
        var reader = ByteReader(body)
        let number = try reader.integer(UInt8.self)
        let id = try reader.integer(UInt32.self)
        switch Kind(rawValue: number) {
        case .hello:
            let flags = try reader.integer(UInt8.self)
            let (version, features, classes) = (try reader.text(), try reader.text(), try reader.text())
            self = .hello(
                ServedModel(
                    version: version, featureNames: features.split(separator: "\n").map(String.init),
                    classNames: classes.split(separator: "\n").map(String.init), takesSites: flags & 1 != 0, takesPersons: flags & 2 != 0))
        case .predict: self = .predict(id: id, try Self.rows(&reader))
        case .answer:
            let nanoseconds = try reader.integer(UInt64.self)
            let (classCount, count) = (Int(try reader.integer(UInt32.self)), Int(try reader.integer(UInt32.self)))
            var predictions = TabularPredictions(classCount: classCount)
            predictions.probabilities = try reader.array(Float.self, count: count, times: classCount)
            predictions.margins = try reader.array(Float.self, count: count, times: classCount)
            predictions.labels = try reader.array(UInt32.self, count: count).map { Int($0) }
            self = .answer(id: id, WorkerAnswer(predictions: predictions, nanoseconds: nanoseconds))
        case .refusal: self = .refusal(id: id, try reader.text())
        case nil: throw .malformedFrame(reason: "kind \(number) is unknown")
        }
        guard reader.isAtEnd else { throw .malformedFrame(reason: "bytes are left over after a frame of kind \(number)") }
    }

    private static func rows(_ reader: inout ByteReader) throws(WorkersError) -> TabularRows {
        let (flags, count) = (try reader.integer(UInt8.self), Int(try reader.integer(UInt32.self)))
        let keyBytes = count * MemoryLayout<UInt32>.size * (flags & 3).nonzeroBitCount
        // How many features a row has is the model's affair: they are what lies between the count and the keys.
        let featureBytes = reader.remaining - keyBytes
        guard featureBytes >= 0, featureBytes % MemoryLayout<Float>.size == 0 else {
            throw .malformedFrame(reason: "\(count) rows with \(reader.remaining) bytes")
        }
        let features = try reader.array(Float.self, count: featureBytes / MemoryLayout<Float>.size)
        let sites = flags & Keys.sites == 0 ? [] : try reader.array(UInt32.self, count: count)
        let persons = flags & Keys.persons == 0 ? [] : try reader.array(UInt32.self, count: count)
        return TabularRows(count: count, features: features, sites: sites, persons: persons)
    }
}

/// The model a worker serves.
package struct ServedModel: Equatable, Sendable {
    /// Which model this is, for people; from the metadata of its file.
    package let version: String
    /// Columns of a request's features, in order.
    package let featureNames: [String]
    /// Columns of an answer's probabilities, in order.
    package let classNames: [String]
    /// Whether rows may bring a site's hash; a request with one is refused otherwise.
    package let takesSites: Bool
    /// The same for persons.
    package let takesPersons: Bool

    /// Made by the worker from its loaded model, and by the agent from the worker's `hello`.
    package init(version: String, featureNames: [String], classNames: [String], takesSites: Bool, takesPersons: Bool) {
        self.version = version
        self.featureNames = featureNames
        self.classNames = classNames
        self.takesSites = takesSites
        self.takesPersons = takesPersons
    }
}

/// A worker's predictions and what they cost there.
package struct WorkerAnswer: Equatable, Sendable {
    /// One row of it for each row asked, in order.
    package var predictions: TabularPredictions
    /// Time within the worker from the whole request to the answer, without its way through the pipe.
    package var nanoseconds: UInt64

    /// Made by the worker, and by the agent when it joins the answers of several requests.
    package init(predictions: TabularPredictions, nanoseconds: UInt64) {
        self.predictions = predictions
        self.nanoseconds = nanoseconds
    }
}

#if canImport(FoundationEssentials)
    package import FoundationEssentials
#else
    package import Foundation
#endif

/// The JSON of a round record, as `skerry kb record` reads it. Keys are in snake case; what may be missing has a default; an unknown key is
/// refused, because a misspelt one would be lost without a word.
extension RoundRecord: Decodable {
    /// Largest file that is read, bytes.
    package static let jsonBytesMax = 256 << 20

    /// - Parameter name: of the file, for messages.
    /// - Throws: `.invalidRecord` naming the file and the line or the field.
    package init(json: Data, name: String) throws(KnowledgeError) {
        do {
            self = try JSONDecoder().decode(Self.self, from: json)
        } catch {
            throw KnowledgeError(.invalidRecord, "\(name): \(JSONSyntax.fault(in: json) ?? Self.explanation(of: error))")
        }
    }

    /// As `init(json:name:)`, of a file's bytes.
    package init(json bytes: [UInt8], name: String) throws(KnowledgeError) { try self.init(json: Data(bytes), name: name) }

    private static func explanation(of error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .keyNotFound(let key, let context): return "\(path(context.codingPath)) has no field \"\(key.stringValue)\"; add it"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            return "\(path(context.codingPath)): \(context.debugDescription)"
        @unknown default: return "\(error)"
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        keys.isEmpty ? "the record" : keys.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined().drop { $0 == "." } + ""
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case job, round, pod, datasets, tasks, models, adapters, samples, relations, decisions, metrics
    }

    /// `job` is text, `NS/NAME`; `job`, `round` and `pod` are needed, all else may be missing and is then empty.
    package init(from decoder: any Decoder) throws {
        let fields = try decoder.fields(CodingKeys.self)
        let job = try JobName(try fields.decode(String.self, forKey: .job))
        self.init(job: job, round: try fields.decode(Int.self, forKey: .round), pod: try fields.decode(String.self, forKey: .pod))
        datasets = try fields.list(.datasets)
        tasks = try fields.list(.tasks)
        models = try fields.list(.models)
        adapters = try fields.list(.adapters)
        samples = try fields.list(.samples)
        relations = try fields.list(.relations)
        decisions = try fields.list(.decisions)
        metrics = try fields.decodeIfPresent([String: Double].self, forKey: .metrics) ?? [:]
    }
}

extension RoundRecord.Dataset: Decodable {
    enum CodingKeys: String, CodingKey, CaseIterable {
        case name
        case digest = "sha256"
        case rowCount = "rows"
    }

    /// The digest is called `sha256`, the count `rows`; all fields are needed.
    package init(from decoder: any Decoder) throws {
        let fields = try decoder.fields(CodingKeys.self)
        self.init(
            name: try fields.decode(String.self, forKey: .name), digest: try fields.decode(String.self, forKey: .digest),
            rowCount: try fields.decode(Int.self, forKey: .rowCount))
    }
}

extension RoundRecord.Task: Decodable {
    enum CodingKeys: String, CodingKey, CaseIterable {
        case name, attributes, metrics
        case sampleCount = "samples"
    }

    /// Only `name` is needed; the count is called `samples`, 0 where missing.
    package init(from decoder: any Decoder) throws {
        let fields = try decoder.fields(CodingKeys.self)
        self.init(
            name: try fields.decode(String.self, forKey: .name),
            attributes: try fields.decodeIfPresent([String: String].self, forKey: .attributes) ?? [:],
            sampleCount: try fields.decodeIfPresent(Int.self, forKey: .sampleCount) ?? 0,
            metrics: try fields.decodeIfPresent([String: Double].self, forKey: .metrics) ?? [:])
    }
}

extension RoundRecord.Model: Decodable {
    enum CodingKeys: String, CodingKey, CaseIterable {
        case name, format, tasks, parents, datasets, metrics
        case digest = "sha256"
        case sizeBytes = "size_bytes"
    }

    /// Needs `sha256`, `name` and `size_bytes`; the format is "onnx" where missing.
    package init(from decoder: any Decoder) throws {
        let fields = try decoder.fields(CodingKeys.self)
        self.init(
            digest: try fields.decode(String.self, forKey: .digest), name: try fields.decode(String.self, forKey: .name),
            format: try fields.decodeIfPresent(String.self, forKey: .format) ?? "onnx",
            sizeBytes: try fields.decode(Int.self, forKey: .sizeBytes), tasks: try fields.list(.tasks), parents: try fields.list(.parents),
            datasets: try fields.list(.datasets), metrics: try fields.decodeIfPresent([String: Double].self, forKey: .metrics) ?? [:])
    }
}

extension RoundRecord.Adapter: Decodable {
    enum CodingKeys: String, CodingKey, CaseIterable {
        case kind, subject, task, model, weights
        case sampleCount = "samples"
    }

    /// Needs `kind`, `subject` and `weights`; the count is called `samples`, 0 where missing.
    package init(from decoder: any Decoder) throws {
        let fields = try decoder.fields(CodingKeys.self)
        self.init(
            kind: try fields.decode(String.self, forKey: .kind), subject: try fields.decode(String.self, forKey: .subject),
            task: try fields.decodeIfPresent(String.self, forKey: .task), model: try fields.decodeIfPresent(String.self, forKey: .model),
            sampleCount: try fields.decodeIfPresent(Int.self, forKey: .sampleCount) ?? 0,
            weights: try fields.decode([Float].self, forKey: .weights))
    }
}

extension RoundRecord.Sample: Decodable {
    enum CodingKeys: String, CodingKey, CaseIterable { case dataset, key, state, task, score }

    /// The state is a word; an unknown one is refused with those that are known.
    package init(from decoder: any Decoder) throws {
        let fields = try decoder.fields(CodingKeys.self)
        let word = try fields.decode(String.self, forKey: .state)
        guard let state = State(name: word) else {
            throw DecodingError.dataCorruptedError(
                forKey: .state, in: fields,
                debugDescription: "\"\(word)\" is no state; give one of \(State.allCases.map(\.name).joined(separator: ", "))")
        }
        self.init(
            dataset: try fields.decode(String.self, forKey: .dataset), key: try fields.decode(Key.self, forKey: .key), state: state,
            task: try fields.decodeIfPresent(String.self, forKey: .task), score: try fields.decodeIfPresent(Double.self, forKey: .score))
    }
}

extension RoundRecord.Sample.Key: Decodable {
    /// A whole number or a text: `7` and `"7"` are two keys.
    package init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let number = try? value.decode(Int64.self) {
            self = .number(number)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else {
            throw DecodingError.dataCorruptedError(in: value, debugDescription: "a key is a text or a whole number of at most 64 bits")
        }
    }
}

extension RoundRecord.Relation: Decodable {
    enum CodingKeys: String, CodingKey, CaseIterable {
        case kind, from, to, value
        case rowCount = "rows"
    }

    /// All but `rows` are needed.
    package init(from decoder: any Decoder) throws {
        let fields = try decoder.fields(CodingKeys.self)
        self.init(
            kind: try fields.decode(String.self, forKey: .kind), from: try fields.decode(String.self, forKey: .from),
            to: try fields.decode(String.self, forKey: .to), value: try fields.decode(Double.self, forKey: .value),
            rowCount: try fields.decodeIfPresent(Int.self, forKey: .rowCount))
    }
}

extension RoundRecord.Decision: Decodable {
    enum CodingKeys: String, CodingKey, CaseIterable { case action, task, model, subject, before, after, reason, figures }

    /// Needs `action` and `reason`.
    package init(from decoder: any Decoder) throws {
        let fields = try decoder.fields(CodingKeys.self)
        self.init(
            action: try fields.decode(String.self, forKey: .action), task: try fields.decodeIfPresent(String.self, forKey: .task),
            model: try fields.decodeIfPresent(String.self, forKey: .model),
            subject: try fields.decodeIfPresent(String.self, forKey: .subject),
            before: try fields.decodeIfPresent(Double.self, forKey: .before),
            after: try fields.decodeIfPresent(Double.self, forKey: .after), reason: try fields.decode(String.self, forKey: .reason),
            figures: try fields.decodeIfPresent([String: Double].self, forKey: .figures) ?? [:])
    }
}

extension Decoder {
    /// The fields of an object, after refusing those that `Key` does not know.
    fileprivate func fields<Key: CodingKey & CaseIterable>(_ keys: Key.Type) throws -> KeyedDecodingContainer<Key> {
        for key in try container(keyedBy: AnyKey.self).allKeys where Key(stringValue: key.stringValue) == nil {
            let known = Key.allCases.map(\.stringValue).joined(separator: ", ")
            throw DecodingError.dataCorrupted(
                .init(codingPath: codingPath, debugDescription: "unknown field \"\(key.stringValue)\"; the fields are \(known)"))
        }
        return try container(keyedBy: Key.self)
    }
}

extension KeyedDecodingContainer {
    fileprivate func list<Item: Decodable>(_ key: Key) throws -> [Item] { try decodeIfPresent([Item].self, forKey: key) ?? [] }
}

/// Any key of an object.
private struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

import Learning
import Resources

/// A row of a source, as it is to be answered.
struct StreamRecord: Sendable, Equatable {
    /// What it holds.
    enum Content: Sendable, Equatable {
        /// Values in words, by column.
        case words(columns: [String], values: [String])
        /// A list or an object is among the values.
        case values(JSON)
        /// Why it is none.
        case unreadable(String)
    }

    /// Bytes of a row that a dead letter shows.
    static let shownBytesMax = 64 << 10

    /// The file or broker, as the Model names it.
    var source: String
    var topic: String?
    /// In its file, from 1.
    var line: Int?
    var id: JSON?
    var content: Content
    /// As it came, cut.
    var raw: [UInt8]

    /// Where it stands, for messages.
    var place: String { line.map { "\(source), line \($0)" } ?? "\(source), topic \(topic ?? "")" }

    /// A row of CSV.
    ///
    /// - Parameters:
    ///   - bytes: without the line break at its end.
    ///   - idColumn: passed on, and no input of the model.
    init(csv bytes: [UInt8], columns: [String], idColumn: String?, source: String, line: Int) {
        (self.source, self.line, raw) = (source, line, Array(bytes.prefix(Self.shownBytesMax)))
        do {
            var fields = try Self.fields(bytes)
            var columns = columns
            guard fields.count == columns.count else {
                content = .unreadable("\(fields.count) fields, the header has \(columns.count)")
                return
            }
            if let idColumn {
                guard let place = columns.firstIndex(of: idColumn) else {
                    content = .unreadable("there is no column \"\(idColumn)\", which the source's id names")
                    return
                }
                id = .string(fields.remove(at: place))
                columns.remove(at: place)
            }
            content = .words(columns: columns, values: fields)
        } catch {
            content = .unreadable("\(error)")
        }
    }

    /// A row as a JSON object.
    init(json bytes: [UInt8], idColumn: String?, source: String, topic: String? = nil, line: Int? = nil) {
        (self.source, self.topic, self.line, raw) = (source, topic, line, Array(bytes.prefix(Self.shownBytesMax)))
        do {
            let json = try JSONParser.parse(bytes, limits: JSONParser.Limits(depthMax: 16, bytesMax: MQTTConnection.payloadBytesMax))
            guard var members = json.object, members.count > 0 else {
                content = .unreadable("\(json.typeName) where an object with values by column was expected")
                return
            }
            if let idColumn {
                id = members[idColumn]
                guard id != nil else {
                    content = .unreadable("there is no value \"\(idColumn)\", which the source's id names")
                    return
                }
                members[idColumn] = nil
            }
            content = Self.content(members)
        } catch {
            content = .unreadable("no JSON object: \(error)")
        }
    }

    /// A row that cannot even be looked at.
    init(unreadable reason: String, raw: [UInt8], source: String, topic: String? = nil, line: Int? = nil) {
        (self.source, self.topic, self.line, self.raw) = (source, topic, line, Array(raw.prefix(Self.shownBytesMax)))
        content = .unreadable(reason)
    }

    private static func content(_ members: JSONObject) -> Content {
        var (columns, values): ([String], [String]) = ([], [])
        for (name, value) in members {
            switch value {
            case .null: values.append("")
            case .string(let text): values.append(text)
            case .bool(let flag): values.append(flag ? "true" : "false")
            case .integer, .decimal: values.append(value.text)
            case .array, .object: return .values(.object(members))
            }
            columns.append(name)
        }
        return .words(columns: columns, values: values)
    }

    /// - Throws: `CSVError` without a line's number that means something: a row is read alone.
    static func fields(_ bytes: [UInt8]) throws -> [String] {
        var (parser, found): (CSVParser, [String]?) = (CSVParser(), nil)
        try parser.consume(bytes) { _, fields in found = fields }
        try parser.finish { _, fields in found = found ?? fields }
        guard let found else { throw StreamFault("an empty line") }
        return found
    }

    /// The row as an object, for a model of inputs of its own; nil for a row that is none.
    var object: JSON? {
        switch content {
        case .unreadable: nil
        case .values(let json): json
        case .words(let columns, let values): .object(JSONObject(zip(columns, values.map { StreamAnswer.value($0) })))
        }
    }
}

/// What became of a row: an answer, or why there is none.
struct StreamAnswer: Sendable, Equatable {
    /// Names and values in order; those that every answer has come first.
    var fields: [(name: String, value: JSON)]

    static func == (one: StreamAnswer, other: StreamAnswer) -> Bool {
        one.fields.map(\.name) == other.fields.map(\.name) && one.fields.map(\.value) == other.fields.map(\.value)
    }

    init(to record: StreamRecord, model: String, version: String, _ found: [(name: String, value: JSON)]) {
        fields = Self.origin(record) + [("model", .string(model)), ("version", .string(version))] + found
    }

    /// A dead letter.
    init(refusing record: StreamRecord, model: String, _ reason: String) {
        fields =
            Self.origin(record) + [
                ("model", .string(model)), ("reason", .string(reason)), ("row", .string(String(decoding: record.raw, as: UTF8.self))),
            ]
    }

    private static func origin(_ record: StreamRecord) -> [(name: String, value: JSON)] {
        [
            ("source", .string(record.source)), ("topic", record.topic.map { .string($0) } ?? .null),
            ("line", record.line.map { .integer(Int64($0)) } ?? .null), ("id", record.id ?? .null),
        ]
    }

    /// One line of JSON without its end; what does not apply is left out.
    var json: [UInt8] { JSON.object(JSONObject(fields.filter { !$0.value.isNull }.map { ($0.name, $0.value) })).bytes() }

    /// One text a field.
    var words: [String] {
        fields.map { _, value in
            switch value {
            case .null: ""
            case .string(let text): text
            default: value.text
            }
        }
    }

    /// A word as the number, truth or text that it is.
    static func value(_ word: String) -> JSON {
        if word.isEmpty { return .null }
        if word == "true" || word == "false" { return .bool(word == "true") }
        if let json = try? JSONParser.parse(Array(word.utf8)), json.number != nil { return json }
        return .string(word)
    }
}

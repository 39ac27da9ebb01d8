import Resources
import Storage

/// How stored objects are shown to one client: which version, as what, and which of them.
struct ObjectView: Sendable {
    let definition: KindDefinition
    let service: ObjectService
    var format = AnswerFormat.json
    var labels = LabelSelector()
    var fields = FieldSelector()
    /// Of a table: `None`, `Metadata` or `Object`.
    var includeObject = "Metadata"

    var isFiltered: Bool { !labels.isEmpty || !fields.isEmpty }

    func matches(_ object: JSON) -> Bool {
        labels.matches(object["metadata"]?["labels"]?.object)
            && fields.requirements.allSatisfy { (definition.selectedValue($0.field, of: object) == $0.value) == $0.isEqual }
    }

    func matches(_ value: RevisionedValue) throws(APIStatus) -> Bool {
        guard isFiltered else { return true }
        // A name alone, as `kubectl wait` asks for, is told by the key.
        if labels.isEmpty, fields.requirements.count == 1, let name = fields.required("metadata.name") {
            return value.name == name || value.name.hasSuffix("/" + name)
        }
        return matches(try service.decode(value, definition))
    }

    /// One object as JSON text.
    ///
    /// - Parameter revision: another resource version than the object's own, for deletions.
    func write(_ value: RevisionedValue, revision: Int64? = nil, into result: inout [UInt8]) throws(APIStatus) {
        if format == .json, ObjectBytes.isStored(value, in: definition) {
            ObjectBytes.text(value, revision: revision, into: &result)
            return
        }
        var object = try service.decode(value, definition)
        if let revision { object[path: ["metadata", "resourceVersion"]] = .string(String(revision)) }
        switch format {
        case .json, .discovery: result += object.bytes()
        case .partial: result += Self.partial(object).bytes()
        case .table: result += table([object], resourceVersion: object["metadata"]?["resourceVersion"], hasColumns: true).bytes()
        }
    }

    static func partial(_ object: JSON) -> JSON {
        ["kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] ?? [:]]
    }

    private var columnDefinitions: JSON {
        .array(
            definition.columns.map { column in
                [
                    "name": .string(column.name), "type": .string(column.type), "format": .string(column.format),
                    "description": .string(column.description), "priority": column.isWide ? 1 : 0,
                ]
            })
    }

    private var tableVersion: JSON {
        let version = if case .table(let version) = format { version } else { "v1" }
        return .string("meta.k8s.io/\(version)")
    }

    func table(_ objects: [JSON], resourceVersion: JSON?, hasColumns: Bool) -> JSON {
        let now = service.environment.now()
        let rows = objects.map { object -> JSON in
            var row: JSON = ["cells": .array(definition.columns.map { $0.cell(object, now) })]
            switch includeObject {
            case "None": break
            case "Object": row["object"] = object
            default: row["object"] = Self.partial(object)
            }
            return row
        }
        return [
            "kind": "Table", "apiVersion": tableVersion, "metadata": ["resourceVersion": resourceVersion ?? ""],
            "columnDefinitions": hasColumns ? columnDefinitions : .null, "rows": .array(rows),
        ]
    }

    /// A table of stored objects as text, written row by row: the metadata of most is never more than text.
    func tableText(_ values: [RevisionedValue], metadata: JSON) throws(APIStatus) -> [UInt8] {
        let now = service.environment.now()
        var writer = JSONWriter(capacityBytes: values.reduce(4096) { $0 + $1.bytes.count })
        writer.raw("{\"kind\":\"Table\",\"apiVersion\":")
        writer.write(tableVersion)
        writer.raw(",\"metadata\":")
        writer.write(metadata)
        writer.raw(",\"columnDefinitions\":")
        writer.write(columnDefinitions)
        writer.raw(",\"rows\":[")
        for (index, value) in values.enumerated() {
            if index > 0 { writer.raw(",") }
            try writeRow(value, now, &writer)
        }
        writer.raw("]}")
        return writer.bytes
    }

    private func writeRow(_ value: RevisionedValue, _ now: Timestamp, _ writer: inout JSONWriter) throws(APIStatus) {
        let isStored = ObjectBytes.isStored(value, in: definition)
        // A column of a custom kind may show anything; none of ours shows who owns fields.
        let object =
            isStored && definition.customSchema == nil ? try ObjectBytes.decodeWithoutOwners(value) : try service.decode(value, definition)
        writer.raw("{\"cells\":[")
        for (index, column) in definition.columns.enumerated() {
            if index > 0 { writer.raw(",") }
            writer.write(column.cell(object, now))
        }
        writer.raw("]")
        switch includeObject {
        case "None": break
        case "Object":
            var text: [UInt8] = []
            var view = self
            view.format = .json
            try view.write(value, into: &text)
            writer.raw(",\"object\":")
            writer.raw(text)
        default:
            writer.raw(",\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":")
            if isStored { ObjectBytes.metadata(value, into: &writer) } else { writer.write(object["metadata"] ?? [:]) }
            writer.raw("}")
        }
        writer.raw("}")
    }
}

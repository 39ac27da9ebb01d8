/// One kind of object as data: what the API serves, checks, selects, prints and explains of it.
package struct KindDefinition: Sendable {
    /// A column of `kubectl get`.
    package struct Column: Sendable {
        package let name: String
        /// OpenAPI's word: `string`, `integer`, `number`, `boolean`, `date`.
        package let type: String
        package let format: String
        package let description: String
        /// Shown with `-o wide` only.
        package let isWide: Bool
        /// The cell for an object at a moment.
        package let cell: @Sendable (JSON, Timestamp) -> JSON

        package init(
            _ name: String, type: String = "string", format: String = "", isWide: Bool = false, description: String = "",
            cell: @escaping @Sendable (JSON, Timestamp) -> JSON
        ) {
            self.name = name
            self.type = type
            self.format = format
            self.description = description
            self.isWide = isWide
            self.cell = cell
        }
    }

    /// Paths of the numbers that the `scale` subresource reads and writes.
    package struct ScalePaths: Sendable, Equatable {
        package var specReplicas: [String]
        package var statusReplicas: [String]
        /// Path of a selector: a text, or an object with `matchLabels`.
        package var selector: [String]?

        package init(specReplicas: [String], statusReplicas: [String], selector: [String]?) {
            self.specReplicas = specReplicas
            self.statusReplicas = statusReplicas
            self.selector = selector
        }
    }

    /// How names of the kind are checked.
    package enum NameRule: Sendable { case subdomain, label, pathSegment }

    package var group: String
    package var version: String
    package var kind: String
    package var plural: String
    package var singular: String
    package var shortNames: [String] = []
    package var categories: [String] = []
    package var isNamespaced = true
    /// Verbs of the collection and its objects; `create` alone for reviews.
    package var verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    package var nameRule = NameRule.subdomain
    /// The schema of the whole object.
    package var schema: Schema
    /// The kind is one of Kubernetes' own: strategic merge patches apply, and required fields are what `validate` says.
    package var isTyped: Bool
    package var hasStatus = false
    /// The object has `spec`, so that `metadata.generation` counts its changes.
    package var countsGenerations = false
    package var scale: ScalePaths?
    package var columns: [Column] = []
    /// Fields beyond `metadata.name` and `metadata.namespace` that a field selector may name.
    package var selectableFields: [String] = []
    /// Fills in what a new object leaves open, beyond the schema's defaults.
    package var defaulting: @Sendable (inout JSON) -> Void = { _ in }
    /// Checks beyond the schema; the old object is nil for a new one.
    package var validation: @Sendable (_ new: JSON, _ old: JSON?) -> [FieldError] = { _, _ in [] }
    /// Of a custom kind: its definition's schema as it was given.
    package var customSchema: JSON?

    package var groupVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    /// `datasets.sedna.io`, or `pods` in the core group.
    package var resourceName: String { group.isEmpty ? plural : "\(plural).\(group)" }
    package var listKind: String { kind + "List" }
    /// What error messages call the kind: `Dataset.sedna.io`, `Pod`.
    package var qualifiedKind: String { group.isEmpty ? kind : "\(kind).\(group)" }

    package init(
        group: String, version: String, kind: String, plural: String, singular: String? = nil, schema: Schema, isTyped: Bool
    ) {
        self.group = group
        self.version = version
        self.kind = kind
        self.plural = plural
        self.singular = singular ?? kind.lowercased()
        self.schema = schema
        self.isTyped = isTyped
    }

    /// The text a field selector compares.
    package func selectedValue(_ field: String, of object: JSON) -> String? {
        guard ["metadata.name", "metadata.namespace"].contains(field) || selectableFields.contains(field) else { return nil }
        let value = object[path: field.split(separator: ".").map(String.init)]
        switch value {
        case .string(let text): return text
        case .integer(let number): return String(number)
        case .bool(let bool): return String(bool)
        default: return ""
        }
    }
}

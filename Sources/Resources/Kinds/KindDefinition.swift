/// One kind of object as data: what the API serves, checks, selects, prints and explains of it.
package struct KindDefinition: Sendable {
    /// A column of `kubectl get`.
    package struct Column: Sendable {
        /// Its heading; kubectl prints it in capitals.
        package let name: String
        /// OpenAPI's word: `string`, `integer`, `number`, `boolean`, `date`.
        package let type: String
        /// OpenAPI's format of the type; `name` marks the column that names the row.
        package let format: String
        /// What it shows, for people; sent with the table.
        package let description: String
        /// Shown with `-o wide` only.
        package let isWide: Bool
        /// The cell for an object at a moment.
        package let cell: @Sendable (JSON, Timestamp) -> JSON

        /// By default a column of text that is always shown.
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
        /// Keys on the way to the wanted number: `spec`, `replicas`.
        package var specReplicas: [String]
        /// Keys on the way to the number there is: `status`, `replicas`.
        package var statusReplicas: [String]
        /// Path of a selector: a text, or an object with `matchLabels`.
        package var selector: [String]?

        /// No path is checked against the kind's schema; without a selector the `Scale` object has none.
        package init(specReplicas: [String], statusReplicas: [String], selector: [String]?) {
            self.specReplicas = specReplicas
            self.statusReplicas = statusReplicas
            self.selector = selector
        }
    }

    /// Where the objects of a kind lie that are another kind's objects under other field names, and how they are turned.
    package struct StoredForm: Sendable {
        /// `apiVersion` of the kind as it is stored: `v1`.
        package let groupVersion: String
        /// Plural of the kind as it is stored; its group is that of `groupVersion`.
        package let plural: String
        /// The object as this kind has it, made of a stored one; everything in `metadata` is the same.
        package let shown: @Sendable (JSON) -> JSON
        /// The object as it is stored, made of one of this kind; `stored(shown(object))` says what the object said.
        package let stored: @Sendable (JSON) -> JSON

        /// Nothing is checked: the kind that is named must be served too.
        package init(
            groupVersion: String, plural: String, shown: @escaping @Sendable (JSON) -> JSON, stored: @escaping @Sendable (JSON) -> JSON
        ) {
            self.groupVersion = groupVersion
            self.plural = plural
            self.shown = shown
            self.stored = stored
        }

        /// `events`, or with a group `deployments.apps`.
        package var resourceName: String {
            let group = groupVersion.split(separator: "/").dropLast().first ?? ""
            return group.isEmpty ? plural : "\(plural).\(group)"
        }
    }

    /// How names of the kind are checked.
    package enum NameRule: Sendable { case subdomain, label, pathSegment }

    /// The API group: `sedna.io`; empty for the core group.
    package var group: String
    /// `v1`, `v1alpha1`; a kind served in two versions has two definitions.
    package var version: String
    /// As in an object's `kind`: `Dataset`.
    package var kind: String
    /// As in a URL: `datasets`.
    package var plural: String
    /// As kubectl takes one object's kind: `dataset`.
    package var singular: String
    /// What kubectl takes instead of the plural: `po`, `deploy`.
    package var shortNames: [String] = []
    /// Groups of kinds that kubectl takes as one word: `all`.
    package var categories: [String] = []
    /// False for kinds whose objects belong to the whole cluster.
    package var isNamespaced = true
    /// Verbs of the collection and its objects; `create` alone for reviews.
    package var verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    /// A subdomain for nearly every kind; labels where a name becomes part of a host name, path segments for roles and their bindings.
    package var nameRule = NameRule.subdomain
    /// The schema of the whole object.
    package var schema: Schema
    /// The kind is one of Kubernetes' own: strategic merge patches apply, and required fields are what `validate` says.
    package var isTyped: Bool
    /// The status is a part of its own: a write of the object leaves it, a write of the part changes nothing else.
    package var hasStatus = false
    /// The object has `spec`, so that `metadata.generation` counts its changes.
    package var countsGenerations = false
    /// Nil for a kind that is not scaled by kubectl or an autoscaler.
    package var scale: ScalePaths?
    /// In the order they are shown.
    package var columns: [Column] = []
    /// Fields beyond `metadata.name` and `metadata.namespace` that a field selector may name.
    package var selectableFields: [String] = []
    /// Fills in what a new object leaves open, beyond the schema's defaults.
    package var defaulting: @Sendable (inout JSON) -> Void = { _ in }
    /// Checks beyond the schema; the old object is nil for a new one.
    package var validation: @Sendable (_ new: JSON, _ old: JSON?) -> [FieldError] = { _, _ in [] }
    /// Of a kind that is another view of a stored kind; nil for every kind whose objects are stored as they are shown.
    package var storedForm: StoredForm?
    /// Of a custom kind: its definition's schema as it was given.
    package var customSchema: JSON?

    /// As in an object's `apiVersion`: `v1`, `apps/v1`.
    package var groupVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    /// `datasets.sedna.io`, or `pods` in the core group.
    package var resourceName: String { group.isEmpty ? plural : "\(plural).\(group)" }
    /// `kind` of a list of its objects: `DatasetList`.
    package var listKind: String { kind + "List" }
    /// What error messages call the kind: `Dataset.sedna.io`, `Pod`.
    package var qualifiedKind: String { group.isEmpty ? kind : "\(kind).\(group)" }

    /// Everything else begins at its default; without a singular it is the kind in lower case.
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

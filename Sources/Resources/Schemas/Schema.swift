/// What a field of an object may hold: its type, text, list semantics and bounds; a tree whose leaves may name another tree.
///
/// The same value drives validation, unknown fields, defaulting, pruning, both list-aware patches, `kubectl explain` and the decoding
/// of protobuf bodies. Built-in kinds come from `SchemaCatalog`, custom ones from their definition's `openAPIV3Schema`.
package final class Schema: Sendable {
    /// The JSON types a value may have.
    package enum Shape: Sendable, Equatable {
        case string, integer, number, boolean, intOrString
        /// A quantity like `500m`; written as a string or a number.
        case quantity
        /// Bytes, in base64.
        case bytes
        case object, array
        /// Anything at all; nothing below is known.
        case any
    }

    /// How a list, a map or an object is merged by its owners.
    package enum Merge: Sendable, Equatable {
        /// Elements have no identity: the list or object is replaced as one.
        case atomic
        /// A list of scalars without repetition.
        case set
        /// A list of objects told apart by these fields.
        case map(keys: [String])
        /// An object owned field by field.
        case granular
    }

    /// A field of an object.
    package struct Property: Sendable {
        /// As in JSON: `containerPort`.
        package let name: String
        /// What the field holds; often only a reference to another tree.
        package let schema: Schema
        /// Number of the field in the protobuf message; 0 if it has none.
        package let protobufNumber: Int
        /// Messages on the way to it, for fields that JSON lifts out of an embedded message.
        package let protobufVia: [Int]
        /// As FieldsV1 has the name: `f:containerPort`.
        let ownedName: String

        /// Nothing is checked.
        init(name: String, schema: Schema, protobufNumber: Int, protobufVia: [Int]) {
            self.name = name
            self.schema = schema
            self.protobufNumber = protobufNumber
            self.protobufVia = protobufVia
            ownedName = "f:" + name
        }
    }

    /// What is checked of the value itself; `.object` for a schema that names another tree.
    package let shape: Shape
    /// For `kubectl explain`; may be empty.
    package let description: String
    /// Name of the tree in the catalog that describes this value.
    package let reference: String?
    /// The named fields of an object, each name once, in the order they are explained.
    package let properties: [Property]
    private let index: NameIndex
    /// The tree that `reference` names, in the catalog that was asked last.
    private let found = FoundTree()
    /// Whether there is a default below, in the catalog that was asked last.
    let defaultsBelow = FoundDefaults()
    /// Names of the fields that have a default, in the order of `properties`.
    let defaults: [String]
    /// What members beyond `properties` hold; nil if there are none.
    package let additional: Schema?
    /// What each element of an array holds; nil where nothing is known of them.
    package let items: Schema?
    /// Names of fields that may not be missing. Of Kubernetes' own kinds they are only explained: the kind's validation checks them.
    package let required: [String]
    /// How server-side apply divides the value among its owners.
    package let merge: Merge
    /// Field that tells list elements apart in a strategic merge patch, where the list is merged at all.
    package let patchMergeKey: String?
    /// A list that a strategic merge patch adds to (`merge`), or an object it replaces (`replace`).
    package let patchStrategy: String
    /// What a missing field becomes when an object is stored; nil for none.
    package let defaultValue: JSON?
    /// The only values that are taken; empty for any. Kubernetes' own kinds take the empty text as well, as Go's zero value.
    package let allowed: [JSON]
    /// The field is absent, not zero, when it is not given.
    package let isPointer: Bool
    /// A null is taken as a value, OpenAPI's `nullable`. In other fields of a custom kind it is refused, unless a default replaces it.
    package let isNullable: Bool
    /// Fields the schema does not name stay, `x-kubernetes-preserve-unknown-fields`; elsewhere they are pruned.
    package let keepsUnknown: Bool
    /// The value is a whole object: `apiVersion`, `kind` and `metadata` stay, `x-kubernetes-embedded-resource`.
    package let isEmbeddedResource: Bool
    /// OpenAPI's format: `int32`, `int64`, `date-time`; only `int32` is checked. Empty for none.
    package let format: String
    /// Bounds of a custom kind's schema.
    package let bounds: SchemaBounds?

    /// Made by the catalog, by custom kinds' definitions and by tests. Of properties named twice the first counts; without `merge` lists
    /// are atomic and objects granular.
    package init(
        _ shape: Shape, description: String = "", reference: String? = nil, properties: [Property] = [], additional: Schema? = nil,
        items: Schema? = nil, required: [String] = [], merge: Merge? = nil, patchMergeKey: String? = nil, patchStrategy: String = "",
        defaultValue: JSON? = nil, allowed: [JSON] = [], isPointer: Bool = false, isNullable: Bool = false, keepsUnknown: Bool = false,
        isEmbeddedResource: Bool = false, format: String = "", bounds: SchemaBounds? = nil
    ) {
        self.shape = shape
        self.description = description
        self.reference = reference
        self.properties = properties
        index = NameIndex(properties.map(\.name))
        defaults = properties.filter { $0.schema.defaultValue != nil }.map(\.name)
        self.additional = additional
        self.items = items
        self.required = required
        self.merge = merge ?? (shape == .array ? .atomic : .granular)
        self.patchMergeKey = patchMergeKey
        self.patchStrategy = patchStrategy
        self.defaultValue = defaultValue
        self.allowed = allowed
        self.isPointer = isPointer
        self.isNullable = isNullable
        self.keepsUnknown = keepsUnknown
        self.isEmbeddedResource = isEmbeddedResource
        self.format = format
        self.bounds = bounds
    }

    /// The schema of a named field, nil for others. Does not follow `reference`: resolve the schema first.
    package func property(_ name: String) -> Schema? { index.position(of: name).map { properties[$0].schema } }

    /// The named field itself; nil where there is none of the name.
    func field(_ name: String) -> Property? { index.position(of: name).map { properties[$0] } }

    /// What `reference` names in a catalog, as it was found before; nil if nobody has looked there yet.
    func treeFound(in catalog: UInt64) -> Schema? { found.tree(in: catalog) }

    /// Remembers the tree for the first catalog that is asked; there is seldom another one.
    func note(_ tree: Schema, foundIn catalog: UInt64) { found.note(tree, of: catalog) }

    /// The schema of a member of an object: a named field, or what maps hold.
    package func member(_ name: String, in catalog: SchemaCatalog) -> Schema? {
        let tree = catalog.resolved(self)
        return tree.property(name) ?? tree.additional
    }
}

/// Bounds and alternatives of a custom kind's schema; JSON Schema's words.
package struct SchemaBounds: Sendable {
    /// The least number; nil for none.
    package var minimum: Double?
    /// The greatest number; nil for none.
    package var maximum: Double?
    /// The least number itself is refused.
    package var isMinimumExclusive = false
    /// The greatest number itself is refused.
    package var isMaximumExclusive = false
    /// Unicode scalars a text has at least; nil for no bound.
    package var lengthMin: Int64?
    /// Unicode scalars a text has at most; nil for no bound.
    package var lengthMax: Int64?
    /// Elements an array has at least; nil for no bound.
    package var itemsMin: Int64?
    /// Elements an array has at most; nil for no bound.
    package var itemsMax: Int64?
    /// Members an object has at least; nil for no bound.
    package var propertiesMin: Int64?
    /// Members an object has at most; nil for no bound.
    package var propertiesMax: Int64?
    /// A regular expression that some part of a text must match; definitions with one that is none are refused.
    package var pattern: String?
    /// Numbers must be whole multiples of it; nil, or one not above zero, asks nothing.
    package var multipleOf: Double?
    /// Every one must hold, each reported by itself.
    package var allOf: [Schema] = []
    /// At least one must hold; empty asks nothing.
    package var anyOf: [Schema] = []
    /// Exactly one must hold; empty asks nothing.
    package var oneOf: [Schema] = []
    /// Must not hold; nil asks nothing.
    package var not: Schema?
}

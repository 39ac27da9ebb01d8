/// What a field of an object may hold: its type, text, list semantics and bounds; a tree whose leaves may name another tree.
///
/// The same value drives validation, unknown fields, defaulting, pruning, both list-aware patches, `kubectl explain` and the decoding
/// of protobuf bodies. Built-in kinds come from `SchemaCatalog`, custom ones from their definition's `openAPIV3Schema`.
package final class Schema: Sendable {
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

    package struct Property: Sendable {
        package let name: String
        package let schema: Schema
        /// Number of the field in the protobuf message; 0 if it has none.
        package let protobufNumber: Int
        /// Messages on the way to it, for fields that JSON lifts out of an embedded message.
        package let protobufVia: [Int]
    }

    package let shape: Shape
    package let description: String
    /// Name of the tree in the catalog that describes this value.
    package let reference: String?
    package let properties: [Property]
    private let index: [String: Int]
    /// What members beyond `properties` hold; nil if there are none.
    package let additional: Schema?
    package let items: Schema?
    package let required: [String]
    package let merge: Merge
    /// Field that tells list elements apart in a strategic merge patch, where the list is merged at all.
    package let patchMergeKey: String?
    /// A list that a strategic merge patch adds to (`merge`), or an object it replaces (`replace`).
    package let patchStrategy: String
    package let defaultValue: JSON?
    package let allowed: [JSON]
    /// The field is absent, not zero, when it is not given.
    package let isPointer: Bool
    package let isNullable: Bool
    package let keepsUnknown: Bool
    package let isEmbeddedResource: Bool
    package let format: String
    /// Bounds of a custom kind's schema.
    package let bounds: SchemaBounds?

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
        index = Dictionary(properties.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
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

    package func property(_ name: String) -> Schema? { index[name].map { properties[$0].schema } }

    /// The schema of a member of an object: a named field, or what maps hold.
    package func member(_ name: String, in catalog: SchemaCatalog) -> Schema? {
        let tree = catalog.resolved(self)
        return tree.property(name) ?? tree.additional
    }
}

/// Bounds and alternatives of a custom kind's schema; JSON Schema's words.
package struct SchemaBounds: Sendable {
    package var minimum: Double?
    package var maximum: Double?
    package var isMinimumExclusive = false
    package var isMaximumExclusive = false
    package var lengthMin: Int64?
    package var lengthMax: Int64?
    package var itemsMin: Int64?
    package var itemsMax: Int64?
    package var propertiesMin: Int64?
    package var propertiesMax: Int64?
    package var pattern: String?
    package var multipleOf: Double?
    package var allOf: [Schema] = []
    package var anyOf: [Schema] = []
    package var oneOf: [Schema] = []
    package var not: Schema?
}

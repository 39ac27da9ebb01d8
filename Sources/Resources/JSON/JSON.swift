/// A JSON value; what every object is while it is in memory.
///
/// Integers that fit 64 bits are integers; every other number keeps the text it was written with, so nothing is rounded on the way
/// through. Objects keep the order of their keys and compare without it.
package enum JSON: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// Any other number, as its JSON text: `1.50`, `1e400`, `18446744073709551616`.
    case decimal(String)
    case string(String)
    case array([JSON])
    case object(JSONObject)
}

// Not by nil: `object[key] = condition ? nil : value` would store a null instead of removing the member.
extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    /// A literal string is a string, never read as JSON text.
    package init(stringLiteral value: String) { self = .string(value) }
    /// A literal number is an integer. Fractions have no literal: write `.decimal`.
    package init(integerLiteral value: Int64) { self = .integer(value) }
    /// `true` or `false`.
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A literal list, elements in its order.
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    /// A literal object, members in its order; of a key given twice the last value stays.
    package init(dictionaryLiteral elements: (String, JSON)...) { self = .object(JSONObject(elements)) }
}

extension JSON {
    /// The text of a string; nil for every other type.
    package var string: String? { if case .string(let value) = self { value } else { nil } }
    /// The value of an integer; nil for every other type and for numbers with a fraction.
    package var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
    /// The value of any number, rounded to a double.
    package var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .decimal(let text): Double(text)
        default: nil
        }
    }
    /// The value of a boolean; nil for every other type, the texts `true` and `false` among them.
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The elements of an array; nil for every other type.
    package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    /// The members of an object; nil for every other type.
    package var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
    /// True for a null that is written; a member that is missing is nil, not null.
    package var isNull: Bool { if case .null = self { true } else { false } }

    /// Whether this is null, or one is anywhere inside.
    package var holdsNull: Bool {
        switch self {
        case .null: true
        case .object(let object): object.members.contains { $0.value.holdsNull }
        case .array(let elements): elements.contains(where: \.holdsNull)
        default: false
        }
    }

    /// Whether both are one object or one array that lies at one place, and so are equal. False is no verdict.
    package func isShared(with other: JSON) -> Bool {
        switch (self, other) {
        case (.object(let object), .object(let other)): object.isShared(with: other)
        case (.array(let elements), .array(let others)):
            elements.withUnsafeBufferPointer { mine in
                others.withUnsafeBufferPointer { mine.baseAddress == $0.baseAddress && mine.count == $0.count }
            }
        default: false
        }
    }

    /// The value of a key of an object; nil if there is none or this is no object. Setting nil removes the key; setting on anything that
    /// is no object makes it one.
    package subscript(key: String) -> JSON? {
        get { if case .object(let object) = self { object[key] } else { nil } }
        set {
            if case .object(var object) = self {
                self = .null
                object[key] = newValue
                self = .object(object)
            } else if let newValue {
                self = .object([key: newValue])
            }
        }
    }

    /// Adds those members to an object whose keys are none yet, in the given order. What is no object stays as it is.
    package mutating func fill(_ defaults: [(key: String, value: JSON)]) {
        guard case .object(var object) = self else { return }
        self = .null
        object.fill(defaults)
        self = .object(object)
    }

    /// The value at a path of keys; nil as soon as one is missing. Setting makes the objects on the way.
    package subscript(path path: [String]) -> JSON? {
        get {
            var value = self
            for key in path {
                guard let next = value[key] else { return nil }
                value = next
            }
            return value
        }
        set { set(path[...], newValue) }
    }

    /// Changes what lies on the path where it lies: nothing beside the path is copied.
    private mutating func set(_ path: ArraySlice<String>, _ value: JSON?) {
        guard let key = path.first else {
            if let value { self = value }
            return
        }
        if path.count == 1 {
            self[key] = value
            return
        }
        var object = JSONObject()
        if case .object(let members) = self { object = members } else if value == nil { return }
        self = .null
        if let position = object.position(of: key) {
            object.change(at: position) { $0.set(path.dropFirst(), value) }
        } else if let value {
            var inner = JSON.object([:])
            inner.set(path.dropFirst(), value)
            object[key] = inner
        }
        self = .object(object)
    }

    /// The word the API uses for a value's type in its messages.
    package var typeName: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .integer: "integer"
        case .decimal: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }
}

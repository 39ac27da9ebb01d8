/// A value in a SQLite column, in the five types SQLite knows.
package enum SQLiteValue: Hashable, Sendable {
    case null
    case integer(Int64)
    /// Never NaN: SQLite would store it as NULL, so binding it is refused.
    case real(Double)
    /// May hold NUL characters; SQL functions such as `length` stop at the first.
    case text(String)
    case blob([UInt8])

    /// Never null, and a name of its own so that an `Int` needs no optional.
    package init(_ value: Int) { self = .integer(Int64(value)) }
    /// Nil becomes null.
    package init(_ value: Int?) { self = value.map { .integer(Int64($0)) } ?? .null }
    /// Nil becomes null; NaN is refused later, when it is bound.
    package init(_ value: Double?) { self = value.map { .real($0) } ?? .null }
    /// Nil becomes null, the empty text stays text.
    package init(_ value: String?) { self = value.map { .text($0) } ?? .null }
    /// Nil becomes null, no bytes stay a blob.
    package init(_ value: [UInt8]?) { self = value.map { .blob($0) } ?? .null }
    /// 1 or 0: SQLite has no type for truth.
    package init(_ value: Bool) { self = .integer(value ? 1 : 0) }

    /// The type's name for messages.
    package var typeName: String {
        switch self {
        case .null: "null"
        case .integer: "integer"
        case .real: "real"
        case .text: "text"
        case .blob: "blob"
        }
    }
}

/// Not by nil: `condition ? value : nil` would be null where it is meant to be nothing.
extension SQLiteValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral {
    /// For values written in the code, such as `[1, name]`.
    package init(integerLiteral value: Int64) { self = .integer(value) }
    /// For values written in the code; a literal is never NaN.
    package init(floatLiteral value: Double) { self = .real(value) }
    /// For values written in the code; use it for values only, never for parts of a statement.
    package init(stringLiteral value: String) { self = .text(value) }
}

/// A value in a SQLite column, in the five types SQLite knows.
package enum SQLiteValue: Hashable, Sendable {
    case null
    case integer(Int64)
    /// Never NaN: SQLite would store it as NULL, so binding it is refused.
    case real(Double)
    /// May hold NUL characters; SQL functions such as `length` stop at the first.
    case text(String)
    case blob([UInt8])

    package init(_ value: Int) { self = .integer(Int64(value)) }
    package init(_ value: Int?) { self = value.map { .integer(Int64($0)) } ?? .null }
    package init(_ value: Double?) { self = value.map { .real($0) } ?? .null }
    package init(_ value: String?) { self = value.map { .text($0) } ?? .null }
    package init(_ value: [UInt8]?) { self = value.map { .blob($0) } ?? .null }
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
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(floatLiteral value: Double) { self = .real(value) }
    package init(stringLiteral value: String) { self = .text(value) }
}

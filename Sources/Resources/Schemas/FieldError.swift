/// Why a field of an object is refused; the causes of a `Status` with reason Invalid.
package struct FieldError: Sendable, Equatable {
    /// Kubernetes' words for the sort of a refusal.
    package enum Reason: String, Sendable {
        case required = "FieldValueRequired"
        case invalid = "FieldValueInvalid"
        case notSupported = "FieldValueNotSupported"
        case duplicate = "FieldValueDuplicate"
        case forbidden = "FieldValueForbidden"
        case tooLong = "FieldValueTooLong"
        case tooMany = "FieldValueTooMany"
        case typeInvalid = "FieldValueTypeInvalid"
    }

    /// Path of the field: `spec.containers[0].name`.
    package let field: String
    /// For programs; the cause's `reason`.
    package let reason: Reason
    /// What is wrong, without the field: `Required value`.
    package let message: String

    /// The message is taken as it is; the functions below write Kubernetes' texts.
    package init(_ field: String, _ reason: Reason, _ message: String) {
        self.field = field
        self.reason = reason
        self.message = message
    }

    /// The field is missing or empty and may not be.
    package static func required(_ field: String, _ detail: String = "") -> FieldError {
        FieldError(field, .required, detail.isEmpty ? "Required value" : "Required value: \(detail)")
    }

    /// The value is of the right type but not allowed; the message shows its first 200 characters.
    package static func invalid(_ field: String, _ value: JSON, _ detail: String) -> FieldError {
        FieldError(field, .invalid, "Invalid value: \(value.text.prefixShortened(200)): \(detail)")
    }

    /// The field may not be set at all here, or not be changed.
    package static func forbidden(_ field: String, _ detail: String) -> FieldError {
        FieldError(field, .forbidden, "Forbidden: \(detail)")
    }

    /// The value is none of a list, which the message gives.
    package static func notSupported(_ field: String, _ value: JSON, _ supported: [String]) -> FieldError {
        FieldError(
            field, .notSupported,
            "Unsupported value: \(value.text.prefixShortened(200)): supported values: \(supported.map { "\"\($0)\"" }.joined(separator: ", "))"
        )
    }

    /// The value stands in the list before; `field` is the later place.
    package static func duplicate(_ field: String, _ value: JSON) -> FieldError {
        FieldError(field, .duplicate, "Duplicate value: \(value.text.prefixShortened(200))")
    }
}

extension String {
    /// The text, or its first characters with an ellipsis if it is longer.
    func prefixShortened(_ countMax: Int) -> String { count > countMax ? prefix(countMax) + "…" : self }
}

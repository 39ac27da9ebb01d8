/// Which objects a query means by their labels: `app=web,tier in (a,b),!old`.
package struct LabelSelector: Sendable, Equatable {
    /// What must hold of one label. An object without the label meets `notIn` and `absent` only; `greater` and `less` hold only of whole
    /// numbers.
    package enum Requirement: Sendable, Equatable {
        case `in`(key: String, values: [String])
        case notIn(key: String, values: [String])
        case exists(key: String)
        case absent(key: String)
        case greater(key: String, than: Int64)
        case less(key: String, than: Int64)
    }

    /// A selector with more requirements is refused.
    package static let requirementsMax = 100
    /// All of them must hold.
    package var requirements: [Requirement] = []

    /// Selects everything.
    package init() {}

    /// No requirements: it selects everything.
    package var isEmpty: Bool { requirements.isEmpty }

    /// - Throws: `SelectorError` naming the text that is no requirement.
    package init(_ text: String) throws(SelectorError) {
        var parser = SelectorTokens(text)
        guard !parser.isAtEnd else { return }
        repeat {
            guard requirements.count < Self.requirementsMax else {
                throw SelectorError(text: text, reason: "more than \(Self.requirementsMax) requirements")
            }
            requirements.append(try parser.requirement())
        } while try parser.comma()
    }

    /// The selector of an object's `spec.selector`: `matchLabels` and `matchExpressions`. Nil when an operator is unknown.
    package init?(_ value: JSON?) {
        for (key, label) in value?["matchLabels"]?.object ?? [:] { requirements.append(.in(key: key, values: [label.string ?? ""])) }
        for expression in value?["matchExpressions"]?.array ?? [] {
            let key = expression["key"]?.string ?? ""
            let values = (expression["values"]?.array ?? []).compactMap(\.string)
            switch expression["operator"]?.string {
            case "In": requirements.append(.in(key: key, values: values))
            case "NotIn": requirements.append(.notIn(key: key, values: values))
            case "Exists": requirements.append(.exists(key: key))
            case "DoesNotExist": requirements.append(.absent(key: key))
            default: return nil
            }
        }
    }

    /// Whether all requirements hold of an object's labels; nil is an object without any.
    package func matches(_ labels: JSONObject?) -> Bool {
        requirements.allSatisfy { requirement in
            switch requirement {
            case .in(let key, let values): labels?[key]?.string.map(values.contains) ?? false
            case .notIn(let key, let values): labels?[key]?.string.map { !values.contains($0) } ?? true
            case .exists(let key): labels?[key] != nil
            case .absent(let key): labels?[key] == nil
            case .greater(let key, let bound): labels?[key]?.string.flatMap { Int64($0) }.map { $0 > bound } ?? false
            case .less(let key, let bound): labels?[key]?.string.flatMap { Int64($0) }.map { $0 < bound } ?? false
            }
        }
    }
}

/// Which objects a query means by fields their kind selects on: `metadata.name=a,status.phase!=Running`.
package struct FieldSelector: Sendable, Equatable {
    /// What must hold of one field.
    package struct Requirement: Sendable, Equatable {
        /// Its path with dots: `status.phase`.
        package let field: String
        /// Compared as text, without escapes.
        package let value: String
        /// `=`, otherwise `!=`.
        package let isEqual: Bool

        /// The field is not checked here; the kind decides which it selects on.
        package init(field: String, value: String, isEqual: Bool) {
            self.field = field
            self.value = value
            self.isEqual = isEqual
        }
    }

    /// A selector with more requirements is refused.
    package static let requirementsMax = 100
    /// All of them must hold.
    package var requirements: [Requirement] = []

    /// Selects everything.
    package init() {}

    /// No requirements: it selects everything.
    package var isEmpty: Bool { requirements.isEmpty }

    /// The value a field must have, if one requirement says so: `metadata.name=a` makes a list one object.
    package func required(_ field: String) -> String? { requirements.first { $0.isEqual && $0.field == field }?.value }

    /// - Throws: `SelectorError` naming the part that has no `=`, `==` or `!=`.
    package init(_ text: String) throws(SelectorError) {
        for part in Self.parts(text) where !part.isEmpty {
            guard requirements.count < Self.requirementsMax else {
                throw SelectorError(text: text, reason: "more than \(Self.requirementsMax) requirements")
            }
            guard let sign = part.firstIndex(of: "=") else {
                throw SelectorError(text: text, reason: "invalid selector: '\(text)'; can't understand '\(part)'")
            }
            let isUnequal = sign > part.startIndex && part[part.index(before: sign)] == "!"
            let field = isUnequal ? part[..<part.index(before: sign)] : part[..<sign]
            var value = part[part.index(after: sign)...]
            if !isUnequal && value.first == "=" { value = value.dropFirst() }
            requirements.append(Requirement(field: String(field), value: Self.unescaped(value), isEqual: !isUnequal))
        }
    }

    /// The parts between commas that are not escaped.
    private static func parts(_ text: String) -> [String] {
        var result = [""]
        var isEscaped = false
        for character in text {
            if character == "," && !isEscaped {
                result.append("")
            } else {
                result[result.count - 1].append(character)
            }
            isEscaped = character == "\\" && !isEscaped
        }
        return result
    }

    private static func unescaped(_ text: Substring) -> String {
        var result = ""
        var isEscaped = false
        for character in text {
            if character == "\\" && !isEscaped {
                isEscaped = true
            } else {
                result.append(character)
                isEscaped = false
            }
        }
        return result
    }
}

/// Why a text is no selector.
package struct SelectorError: Error, Equatable, CustomStringConvertible {
    /// The whole selector as it was given.
    package let text: String
    /// What is wrong, with the part that was found.
    package let reason: String
    /// Kubernetes' sentence, for a 400 answer.
    package var description: String { "unable to parse requirement: \(reason)" }
}

/// Reads the requirements of a label selector.
private struct SelectorTokens {
    private let text: String
    private var rest: Substring

    init(_ text: String) {
        self.text = text
        rest = text[...]
        skipSpace()
    }

    var isAtEnd: Bool { rest.isEmpty }

    private mutating func skipSpace() { rest = rest.drop { $0 == " " || $0 == "\t" } }

    private mutating func take(_ symbol: String) -> Bool {
        guard rest.hasPrefix(symbol) else { return false }
        rest = rest.dropFirst(symbol.count)
        skipSpace()
        return true
    }

    private mutating func word() -> String {
        let taken = rest.prefix { !" \t,=!()<>".contains($0) }
        rest = rest.dropFirst(taken.count)
        skipSpace()
        return String(taken)
    }

    private func failure(_ reason: String) -> SelectorError { SelectorError(text: text, reason: reason) }

    mutating func comma() throws(SelectorError) -> Bool {
        if isAtEnd { return false }
        guard take(",") else { throw failure("found '\(rest.first.map(String.init) ?? "")', expected: ',' or 'end of string'") }
        return true
    }

    mutating func requirement() throws(SelectorError) -> LabelSelector.Requirement {
        if take("!") { return .absent(key: try key()) }
        let key = try key()
        if take("!=") { return .notIn(key: key, values: [try value()]) }
        if take("==") || take("=") { return .in(key: key, values: [try value()]) }
        if take(">") { return .greater(key: key, than: try number()) }
        if take("<") { return .less(key: key, than: try number()) }
        if rest.isEmpty || rest.first == "," { return .exists(key: key) }
        let operation = word()
        guard operation == "in" || operation == "notin" else {
            throw failure("found '\(operation)', expected: in, notin, =, ==, !=, gt, lt")
        }
        guard take("(") else { throw failure("expected '(' after '\(operation)'") }
        var values: [String] = []
        repeat { values.append(try value()) } while take(",")
        guard take(")") else { throw failure("expected ')' after the values of '\(key)'") }
        return operation == "in" ? .in(key: key, values: values) : .notIn(key: key, values: values)
    }

    private mutating func key() throws(SelectorError) -> String {
        let key = word()
        guard NameRules.isQualifiedName(key) else { throw failure("<nil>: Invalid value: \"\(key)\": \(NameRules.qualifiedNameText)") }
        return key
    }

    private mutating func value() throws(SelectorError) -> String {
        let value = word()
        guard NameRules.isLabelValue(value) else { throw failure("values[0]: Invalid value: \"\(value)\": \(NameRules.labelValueText)") }
        return value
    }

    private mutating func number() throws(SelectorError) -> Int64 {
        let text = word()
        guard let value = Int64(text) else { throw failure("for 'Gt', 'Lt' operators, the value must be an integer, found '\(text)'") }
        return value
    }
}

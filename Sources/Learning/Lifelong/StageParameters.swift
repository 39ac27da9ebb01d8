#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Parameters of a stage by name, as a job gives them; every reading checks type and range.
package struct StageParameters: Sendable, Equatable {
    /// A parameter's value.
    package enum Value: Sendable, Equatable, Decodable {
        case number(Double)
        case text(String)
        case list([String])

        /// A JSON number, text or list of texts; anything else is refused.
        package init(from decoder: any Decoder) throws {
            let box = try decoder.singleValueContainer()
            if let number = try? box.decode(Double.self) {
                self = .number(number)
            } else if let text = try? box.decode(String.self) {
                self = .text(text)
            } else {
                self = .list(try box.decode([String].self))
            }
        }

        var described: String {
            switch self {
            case .number(let number): "the number \(number)"
            case .text(let text): "the text \"\(text)\""
            case .list(let list): "a list of \(list.count)"
            }
        }
    }

    /// The stage's name, for messages.
    package let stage: String
    /// As the job gave them, unread ones included; reading checks.
    package let values: [String: Value]

    /// Nothing is checked before a value is read.
    package init(stage: String, values: [String: Value] = [:]) {
        self.stage = stage
        self.values = values
    }

    /// Reads a text such as `AtLeastAsGood:{"noise": 2}`.
    ///
    /// - Parameter whole: the text that a message quotes, if this is a part of one.
    /// - Throws: `StageError.badText`.
    package init(text: some StringProtocol, in whole: String? = nil) throws(StageError) {
        let name = text.prefix { $0 != ":" }
        let json = text.dropFirst(name.count + 1)
        var values: [String: Value] = [:]
        if !json.isEmpty {
            do {
                values = try JSONDecoder().decode([String: Value].self, from: Data(json.utf8))
            } catch {
                throw .badText(
                    whole ?? String(text), reason: "its parameters are not a JSON object of numbers, texts and lists of texts")
            }
        }
        self.init(stage: String(name), values: values)
    }

    /// - Throws: `StageError.unknownParameter` for one that nobody would read.
    package func refuseStrays(_ known: [String]) throws(StageError) {
        guard let stray = values.keys.sorted().first(where: { !known.contains($0) }) else { return }
        throw .unknownParameter(stage: stage, name: stray, known: known)
    }

    /// A finite number.
    package func number(_ name: String, default usual: Double, in range: ClosedRange<Double>) throws(StageError) -> Double {
        guard let value = values[name] else { return usual }
        let expected = "a number in \(range.lowerBound) ... \(range.upperBound)"
        guard case .number(let number) = value, range.contains(number) else {
            throw .badParameter(stage: stage, name: name, expected: expected, found: value.described)
        }
        return number
    }

    /// A list of texts; one text counts as a list of one.
    package func list(_ name: String, default usual: [String]) throws(StageError) -> [String] {
        switch values[name] {
        case nil: return usual
        case .list(let list): return list
        case .text(let text): return [text]
        case .number(let number):
            throw .badParameter(stage: stage, name: name, expected: "a list of texts", found: Value.number(number).described)
        }
    }

    /// - Throws: `StageError.badParameter` where a value that was read is unusable.
    package func require(_ holds: Bool, _ name: String, _ expected: String) throws(StageError) {
        guard !holds else { return }
        throw .badParameter(stage: stage, name: name, expected: expected, found: values[name]?.described ?? "nothing")
    }
}

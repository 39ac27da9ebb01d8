/// The small part of kubectl's JSON path that printer columns use: `.spec.items[0].name`, `.a['b.c']`, `.list[?(@.type=="Ready")].status`.
package struct JSONPath: Sendable, Equatable {
    enum Step: Sendable, Equatable {
        case key(String)
        case index(Int)
        case all
        case filter(path: [String], value: JSON)
    }

    /// A path of more steps is refused.
    package static let stepsMax = 64
    let steps: [Step]

    /// Nil for text that is outside that part.
    package init?(_ text: String) {
        var rest = text[...]
        if rest.hasPrefix("{"), rest.hasSuffix("}") { rest = rest.dropFirst().dropLast() }
        if rest.hasPrefix("$") { rest = rest.dropFirst() }
        var steps: [Step] = []
        while !rest.isEmpty {
            guard steps.count < Self.stepsMax else { return nil }
            if rest.hasPrefix("[") {
                guard let step = Self.bracket(&rest) else { return nil }
                steps.append(step)
            } else {
                if rest.hasPrefix(".") { rest = rest.dropFirst() }
                var key = ""
                while let character = rest.first, character != ".", character != "[" {
                    rest = rest.dropFirst()
                    if character == "\\", let escaped = rest.first {
                        key.append(escaped)
                        rest = rest.dropFirst()
                    } else {
                        key.append(character)
                    }
                }
                if key.isEmpty { if rest.isEmpty && steps.isEmpty { break } else { return nil } }
                steps.append(key == "*" ? .all : .key(key))
            }
        }
        self.steps = steps
    }

    private static func bracket(_ rest: inout Substring) -> Step? {
        var isQuoted = false
        var end: Substring.Index?
        var quote: Character = "'"
        for index in rest.indices.dropFirst() {
            let character = rest[index]
            if isQuoted {
                if character == quote { isQuoted = false }
            } else if character == "'" || character == "\"" {
                isQuoted = true
                quote = character
            } else if character == "]" {
                end = index
                break
            }
        }
        guard let end else { return nil }
        let inner = rest[rest.index(after: rest.startIndex)..<end]
        rest = rest[rest.index(after: end)...]
        if inner == "*" { return .all }
        if let index = Int(inner) { return .index(index) }
        if let first = inner.first, first == "'" || first == "\"", inner.last == first, inner.count >= 2 {
            return .key(String(inner.dropFirst().dropLast()))
        }
        guard inner.hasPrefix("?(@."), inner.hasSuffix(")"), let sign = inner.range(ofText: "==") else { return nil }
        let path = inner[inner.index(inner.startIndex, offsetBy: 4)..<sign.lowerBound]
        var value = inner[sign.upperBound...].dropLast().drop { $0 == " " }
        while value.last == " " { value = value.dropLast() }
        let keys = path.split(separator: ".").map { $0.filter { $0 != " " } }
        if let first = value.first, first == "'" || first == "\"", value.last == first {
            return .filter(path: keys, value: .string(String(value.dropFirst().dropLast())))
        }
        guard let parsed = try? JSON(parsing: String(value)) else { return nil }
        return .filter(path: keys, value: parsed)
    }

    /// Every value the path leads to.
    package func values(in object: JSON) -> [JSON] {
        var current = [object]
        for step in steps {
            current = current.flatMap { value -> [JSON] in
                switch step {
                case .key(let key): return value[key].map { [$0] } ?? []
                case .index(let index):
                    guard let elements = value.array else { return [] }
                    let position = index < 0 ? elements.count + index : index
                    return elements.indices.contains(position) ? [elements[position]] : []
                case .all: return value.array ?? value.object?.values ?? []
                case .filter(let path, let wanted): return (value.array ?? []).filter { $0[path: path] == wanted }
                }
            }
        }
        return current
    }

    /// The path as keys, where it is one.
    package var keys: [String]? {
        var result: [String] = []
        for step in steps {
            guard case .key(let key) = step else { return nil }
            result.append(key)
        }
        return result
    }
}

extension Substring {
    fileprivate func range(ofText text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}

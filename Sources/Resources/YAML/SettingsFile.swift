/// Why a file of settings is refused: names the file, the line, the setting, what was found and what is taken.
package struct SettingsError: Error, Equatable, CustomStringConvertible {
    /// One sentence.
    package let description: String
    init(_ description: String) { self.description = description }
}

/// A file of settings in YAML or JSON, from which a program takes the values it knows, each within its bounds. What it does not know is
/// refused, so that no misspelt setting is ignored.
///
/// A setting is named by the path of its keys: `http.bodyBytesMax`. One that is missing or null is nil.
package struct SettingsFile {
    /// Bytes of a file; a longer one is refused.
    package static let bytesMax = 256 << 10
    private let name: String
    private let lines: [Substring]
    private let root: JSON
    private var known: [[String]] = []

    /// - Parameter name: of the file, for messages.
    /// - Throws: for text that is no strict YAML, or no collection of settings.
    package init(_ bytes: [UInt8], name: String) throws(SettingsError) {
        var limits = YAMLParser.Limits()
        limits.bytesMax = Self.bytesMax
        limits.depthMax = 8
        do throws(YAMLParseError) { root = try YAMLParser.parse(bytes, limits: limits) } catch { throw SettingsError("\(name): \(error)") }
        guard root.object != nil || root.isNull else {
            throw SettingsError("\(name): expected settings as 'name: value', found \(Self.shown(root))")
        }
        self.name = name
        lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    }

    // MARK: Taking

    private mutating func value(_ setting: String) throws(SettingsError) -> JSON? {
        let path = setting.split(separator: ".").map(String.init)
        known.append(path)
        var value = root
        for (depth, key) in path.enumerated() {
            if value.isNull { return nil }
            guard value.object != nil else {
                throw refusal(Array(path[..<depth]), "expected settings below it", found: value)
            }
            guard let next = value[key] else { return nil }
            value = next
        }
        return value.isNull ? nil : value
    }

    /// A text that is not empty.
    package mutating func text(_ setting: String) throws(SettingsError) -> String? {
        guard let value = try value(setting) else { return nil }
        guard let text = value.string, !text.isEmpty else { throw refusal(setting, "expected a text", found: value) }
        return text
    }

    /// A list of texts, none of them empty.
    package mutating func texts(_ setting: String, countMax: Int) throws(SettingsError) -> [String]? {
        guard let value = try value(setting) else { return nil }
        let texts = (value.array ?? []).compactMap(\.string).filter { !$0.isEmpty }
        guard let elements = value.array, elements.count == texts.count, texts.count <= countMax else {
            throw refusal(setting, "expected a list of at most \(countMax) texts, as [a, b]", found: value)
        }
        return texts
    }

    /// `true` or `false`.
    package mutating func flag(_ setting: String) throws(SettingsError) -> Bool? {
        guard let value = try value(setting) else { return nil }
        guard let flag = value.bool else { throw refusal(setting, "expected true or false", found: value) }
        return flag
    }

    /// A whole number within bounds.
    package mutating func count(_ setting: String, in range: ClosedRange<Int>) throws(SettingsError) -> Int? {
        guard let value = try value(setting) else { return nil }
        guard let number = value.integer, range.contains(Int(number)) else {
            throw refusal(setting, "expected a whole number from \(range.lowerBound) to \(range.upperBound)", found: value)
        }
        return Int(number)
    }

    /// A number of bytes within bounds, as a number or with a suffix: `3145728`, `3Mi`.
    package mutating func bytes(_ setting: String, in range: ClosedRange<Int>) throws(SettingsError) -> Int? {
        guard let value = try value(setting) else { return nil }
        guard let number = Quantity(value)?.value, number == number.rounded(), abs(number) < 9e15, range.contains(Int(number)) else {
            throw refusal(
                setting, "expected a number of bytes, as 65536 or 64Ki, from \(range.lowerBound) to \(range.upperBound)", found: value)
        }
        return Int(number)
    }

    /// A time within bounds, a number with its unit: `250ms`, `30s`, `5m`, `2h`.
    package mutating func duration(_ setting: String, in range: ClosedRange<Duration>) throws(SettingsError) -> Duration? {
        guard let value = try value(setting) else { return nil }
        guard let time = value.string.flatMap(Self.duration), range.contains(time) else {
            throw refusal(
                setting,
                "expected a time with its unit, as 250ms, 30s, 5m or 2h, from \(Self.text(range.lowerBound)) to \(Self.text(range.upperBound))",
                found: value)
        }
        return time
    }

    private static let units: [(name: String, milliseconds: Int64)] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]

    private static func duration(_ text: String) -> Duration? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        // Nine digits of hours are no overflow.
        guard digits.count <= 9, let number = Int64(digits), let unit = units.first(where: { $0.name == text.dropFirst(digits.count) })
        else { return nil }
        return .milliseconds(number * unit.milliseconds)
    }

    private static func text(_ time: Duration) -> String {
        let milliseconds = time.components.seconds * 1000 + time.components.attoseconds / 1_000_000_000_000_000
        let unit = units.last { milliseconds % $0.milliseconds == 0 } ?? units[0]
        return "\(milliseconds / unit.milliseconds)\(unit.name)"
    }

    // MARK: Refusing

    /// Refuses a value that was taken as a text and is none of what it should be.
    ///
    /// - Parameter expected: what is taken: `expected ADDRESS:PORT, as 127.0.0.1:7443`.
    package func refusal(_ setting: String, _ expected: String, found: JSON) -> SettingsError {
        refusal(setting.split(separator: ".").map(String.init), expected, found: found)
    }

    private func refusal(_ path: [String], _ expected: String, found: JSON) -> SettingsError {
        SettingsError("\(place(of: path)): \(expected), found \(Self.shown(found))")
    }

    private static func shown(_ value: JSON) -> String { value.text.prefixShortened(80) }

    private func place(of path: [String]) -> String {
        line(of: path).map { "\(name), line \($0): \(path.joined(separator: "."))" } ?? "\(name): \(path.joined(separator: "."))"
    }

    private static func indent(_ line: Substring) -> Int { line.prefix { $0 == " " }.count }

    /// The line on which a setting stands, from 1; nil unless there is but one that it can be.
    private func line(of path: [String]) -> Int? {
        var region = lines.startIndex..<lines.endIndex
        var found: Int?
        for key in path {
            let named = region.filter { Self.begins(lines[$0], with: key) }
            let least = named.map { Self.indent(lines[$0]) }.min()
            let outermost = named.filter { Self.indent(lines[$0]) == least }
            guard outermost.count == 1, let line = outermost.first else {
                // A section in one line: `audit: {filesMax: 4}`.
                return found.flatMap { lines[$0].contains(key) ? $0 + 1 : nil }
            }
            found = line
            let end = lines[(line + 1)...].firstIndex { text in
                !text.allSatisfy(\.isWhitespace) && text.first != "#" && Self.indent(text) <= Self.indent(lines[line])
            }
            region = line + 1..<(end ?? lines.endIndex)
        }
        return found.map { $0 + 1 }
    }

    private static func begins(_ line: Substring, with key: String) -> Bool {
        let text = line.drop { $0 == " " || $0 == "{" }
        return [key, "\"\(key)\"", "'\(key)'"].contains { text.hasPrefix($0) && text.dropFirst($0.count).drop { $0 == " " }.first == ":" }
    }

    /// To be called last: refuses what no setting was taken of.
    package func finish() throws(SettingsError) { try check(root, []) }

    private func check(_ value: JSON, _ path: [String]) throws(SettingsError) {
        guard let object = value.object, !known.contains(path) else { return }
        for (key, member) in object {
            let place = path + [key]
            guard known.contains(where: { $0.starts(with: place) }) else {
                let here = known.filter { $0.count > path.count && $0.starts(with: path) }.map { $0[path.count] }
                let names = here.enumerated().filter { here.firstIndex(of: $1) == $0 }.map(\.element)
                throw SettingsError(
                    "\(self.place(of: place)): there is no such setting; \(path.isEmpty ? "" : "of \(path.joined(separator: ".")) ")there are \(names.joined(separator: ", "))"
                )
            }
            try check(member, place)
        }
    }
}

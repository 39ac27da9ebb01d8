extension YAMLParser {
    // MARK: Plain words

    /// A plain word of a block; lines that follow further in are joined to it by spaces.
    mutating func plain(indent: Int) throws(YAMLParseError) -> String {
        var lines = [try plainLine()]
        var emptyCount = 0
        while true {
            let back = position
            guard byte == 0x0a else { break }
            position += 1
            let start = position
            skipSpaces()
            if byte == 0x0a {
                emptyCount += 1
                continue
            }
            guard !isAtEnd, position - start >= indent, indent > 0, byte != UInt8(ascii: "#") else {
                position = back
                break
            }
            lines.append(String(repeating: "\n", count: emptyCount))
            emptyCount = 0
            lines.append(try plainLine())
        }
        return Self.folded(lines)
    }

    /// Joins lines; between two of them stands the text of their gap: breaks, or nothing for a space.
    private static func folded(_ parts: [String]) -> String {
        parts.enumerated().map { $0 % 2 == 1 && $1.isEmpty ? " " : $1 }.joined()
    }

    private mutating func plainLine() throws(YAMLParseError) -> String {
        if let colon = colon(from: position) { throw failure("a colon within a value; put the value in quotes", at: colon) }
        let start = position
        var end = start
        while end < bytes.count, bytes[end] != 0x0a {
            if bytes[end] == UInt8(ascii: "#"), end > start, isSpace(bytes[end - 1]) { break }
            end += 1
        }
        position = lineEnd(of: end)
        return try text(bytes[start..<end])
    }

    // MARK: Quotes

    /// A scalar in quotes; goes behind it.
    mutating func quoted() throws(YAMLParseError) -> String {
        let quote = byte!
        let start = position
        position += 1
        var result: [UInt8] = []
        while let next = byte {
            position += 1
            switch next {
            case quote where quote == UInt8(ascii: "'") && byte == quote:
                position += 1
                result.append(quote)
            case quote:
                guard let text = String(validating: result, as: UTF8.self) else { throw failure("bytes that are no UTF-8", at: start) }
                return text
            case UInt8(ascii: "\\") where quote == UInt8(ascii: "\""): try escape(into: &result)
            case 0x0a: fold(into: &result)
            default: result.append(next)
            }
        }
        throw failure("a quote that is not closed", at: start)
    }

    /// A break within quotes is a space; empty lines are breaks.
    private mutating func fold(into result: inout [UInt8]) {
        while let last = result.last, isSpace(last) { result.removeLast() }
        var breaks = 0
        skipSpaces()
        while byte == 0x0a {
            breaks += 1
            position += 1
            skipSpaces()
        }
        result += breaks == 0 ? [0x20] : [UInt8](repeating: 0x0a, count: breaks)
    }

    private static let escapes: [UInt8: [UInt8]] = [
        UInt8(ascii: "0"): [0], UInt8(ascii: "a"): [7], UInt8(ascii: "b"): [8], UInt8(ascii: "t"): [9], 9: [9], UInt8(ascii: "n"): [10],
        UInt8(ascii: "v"): [11], UInt8(ascii: "f"): [12], UInt8(ascii: "r"): [13], UInt8(ascii: "e"): [27], 32: [32],
        UInt8(ascii: "\""): [34], UInt8(ascii: "/"): [47], UInt8(ascii: "\\"): [92], UInt8(ascii: "N"): [0xc2, 0x85],
        UInt8(ascii: "_"): [0xc2, 0xa0], UInt8(ascii: "L"): [0xe2, 0x80, 0xa8], UInt8(ascii: "P"): [0xe2, 0x80, 0xa9],
    ]

    private mutating func escape(into result: inout [UInt8]) throws(YAMLParseError) {
        guard let letter = byte else { throw failure("a quote that is not closed") }
        position += 1
        if let bytes = Self.escapes[letter] { return result += bytes }
        switch letter {
        case 0x0a: skipSpaces()
        case UInt8(ascii: "x"): result += Array(try scalar(digits: 2).utf8)
        case UInt8(ascii: "U"): result += Array(try scalar(digits: 8).utf8)
        case UInt8(ascii: "u"):
            let high = try number(digits: 4)
            // JSON, which is YAML, writes characters beyond 16 bits in two halves.
            if (0xd800..<0xdc00).contains(high), bytes[position...].starts(with: "\\u".utf8) {
                position += 2
                let low = try number(digits: 4)
                guard (0xdc00..<0xe000).contains(low) else { throw failure("half a character in \\u") }
                result += Array(try character(0x10000 + (high - 0xd800) << 10 + (low - 0xdc00)).utf8)
            } else {
                result += Array(try character(high).utf8)
            }
        default: throw failure("an unknown escape \\\(String(decoding: [letter], as: UTF8.self))", at: position - 2)
        }
    }

    private mutating func scalar(digits: Int) throws(YAMLParseError) -> String { try character(try number(digits: digits)) }

    private mutating func number(digits: Int) throws(YAMLParseError) -> UInt32 {
        let end = position + digits
        guard end <= bytes.count, bytes[position..<end].allSatisfy({ Self.isHexadecimal($0) }),
            let value = UInt32(String(decoding: bytes[position..<end], as: UTF8.self), radix: 16)
        else { throw failure("an escape without its \(digits) hexadecimal digits") }
        position = end
        return value
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): true
        default: false
        }
    }

    private func character(_ value: UInt32) throws(YAMLParseError) -> String {
        guard let scalar = Unicode.Scalar(value) else { throw failure("an escape of a character that does not exist") }
        return String(Character(scalar))
    }

    // MARK: Block scalars

    /// A literal (`|`) or folded (`>`) text of lines that stand at least `indent` in.
    mutating func blockScalar(indent: Int) throws(YAMLParseError) -> String {
        let isFolded = byte == UInt8(ascii: ">")
        position += 1
        var chomp: UInt8?
        var depth: Int?
        while let next = byte, !isBreak(position) {
            switch next {
            case UInt8(ascii: "-"), UInt8(ascii: "+"): chomp = next
            case UInt8(ascii: "1")...UInt8(ascii: "9"): depth = max(indent - 1, 0) + Int(next - UInt8(ascii: "0"))
            default: throw failure("an unknown sign behind '|' or '>'")
            }
            position += 1
        }
        guard skipToLineEnd() else { throw failure("text on the line of '|' or '>'") }
        var lines = try blockLines(least: depth ?? indent, isFixed: depth != nil)
        var trailing = 0
        while lines.last == "" {
            lines.removeLast()
            trailing += 1
        }
        let body = isFolded ? Self.foldedBlock(lines) : lines.joined(separator: "\n")
        switch chomp {
        case UInt8(ascii: "-"): return body
        case UInt8(ascii: "+"): return body + String(repeating: "\n", count: lines.isEmpty ? trailing : trailing + 1)
        default: return lines.isEmpty ? "" : body + "\n"
        }
    }

    private mutating func blockLines(least: Int, isFixed: Bool) throws(YAMLParseError) -> [String] {
        var lines: [String] = []
        var own = isFixed ? least : nil
        while byte == 0x0a {
            let back = position
            position += 1
            guard position < bytes.count else { break }
            let start = position
            let end = lineEnd(of: start)
            let content = bytes[start..<end].firstIndex { $0 != 0x20 } ?? end
            if content == end || bytes[content...end - 1].allSatisfy({ $0 == 0x0d }) {
                lines.append(own.map { String(repeating: " ", count: max(0, end - start - $0)) } ?? "")
                position = end
                continue
            }
            let depth = own ?? (content - start)
            guard depth >= max(least, 1), content - start >= depth else {
                position = back
                break
            }
            own = depth
            var line = bytes[(start + depth)..<end]
            if line.last == 0x0d { line.removeLast() }
            guard let text = String(validating: line, as: UTF8.self) else { throw failure("bytes that are no UTF-8", at: start) }
            lines.append(text)
            position = end
        }
        return lines
    }

    /// Lines joined by spaces; empty lines are breaks, and lines that are indented further stay as they are.
    private static func foldedBlock(_ lines: [String]) -> String {
        var result = ""
        var breaks = 0
        var wasText = false
        for line in lines {
            if line.isEmpty {
                breaks += 1
                continue
            }
            let isText = !line.hasPrefix(" ") && !line.hasPrefix("\t")
            if !result.isEmpty || breaks > 0 {
                let isJoined = wasText && isText
                if isJoined && breaks == 0 {
                    result += " "
                } else {
                    result += String(repeating: "\n", count: isJoined || result.isEmpty ? breaks : breaks + 1)
                }
            }
            result += line
            breaks = 0
            wasText = isText
        }
        return result
    }

    // MARK: Flow collections

    /// `[…]`, `{…}`, or a scalar within one.
    mutating func flow(depth: Int) throws(YAMLParseError) -> JSON {
        try checkDepth(depth)
        try skipToContent()
        try refuseIndicators()
        switch byte {
        case UInt8(ascii: "["): return try flowSequence(depth: depth)
        case UInt8(ascii: "{"): return try flowMapping(depth: depth)
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return .string(try quoted())
        default: return YAMLWord.value(try flowWord())
        }
    }

    private mutating func flowSequence(depth: Int) throws(YAMLParseError) -> JSON {
        let start = position
        position += 1
        var items: [JSON] = []
        while true {
            try skipToContent()
            if byte == UInt8(ascii: "]") { break }
            guard !isAtEnd else { throw failure("a '[' that is not closed", at: start) }
            items.append(try flow(depth: depth + 1))
            try separate(before: UInt8(ascii: "]"), opened: start)
        }
        position += 1
        return .array(items)
    }

    private mutating func flowMapping(depth: Int) throws(YAMLParseError) -> JSON {
        let start = position
        position += 1
        var members = JSONObject()
        while true {
            try skipToContent()
            if byte == UInt8(ascii: "}") { break }
            guard !isAtEnd else { throw failure("a '{' that is not closed", at: start) }
            let place = position
            try refuseIndicators()
            let key = byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") ? try quoted() : try flowWord()
            if key == "<<" { throw failure("a merge key; write the members out", at: place) }
            if members.position(of: key) != nil { throw failure("key \"\(key)\" a second time", at: place) }
            try skipToContent()
            var value = JSON.null
            if byte == UInt8(ascii: ":") {
                position += 1
                try skipToContent()
                if byte != UInt8(ascii: ","), byte != UInt8(ascii: "}") { value = try flow(depth: depth + 1) }
            }
            members[key] = value
            try separate(before: UInt8(ascii: "}"), opened: start)
        }
        position += 1
        return .object(members)
    }

    /// Goes over a comma; without one only the end may follow.
    private mutating func separate(before end: UInt8, opened start: Int) throws(YAMLParseError) {
        try skipToContent()
        if byte == UInt8(ascii: ",") {
            position += 1
        } else if byte != end {
            throw isAtEnd
                ? failure("a bracket that is not closed", at: start)
                : failure("neither ',' nor '\(String(decoding: [end], as: UTF8.self))' behind a value")
        }
    }

    /// A plain word within brackets, on one line.
    private mutating func flowWord() throws(YAMLParseError) -> String {
        let start = position
        while let byte, byte != 0x0a {
            if ",[]{}".utf8.contains(byte) { break }
            if byte == UInt8(ascii: "#"), position > start, isSpace(bytes[position - 1]) { break }
            if byte == UInt8(ascii: ":"), isBreak(position + 1) || ",[]{}".utf8.contains(bytes[position + 1]) { break }
            position += 1
        }
        guard position > start else { throw failure("a value is missing") }
        return try text(bytes[start..<position])
    }
}

/// What a plain word means.
enum YAMLWord {
    private static let words: [String: JSON] = {
        var words: [String: JSON] = ["": .null, "~": .null]
        for (lower, value) in [
            ("null", JSON.null), ("true", true), ("false", false), ("yes", true), ("no", false), ("on", true), ("off", false),
        ] {
            let upper = lower.uppercased()
            for word in [lower, upper, String(upper.prefix(1)) + lower.dropFirst()] { words[word] = value }
        }
        return words
    }()

    static func value(_ word: String) -> JSON { words[word] ?? number(word) ?? .string(word) }

    private static func number(_ word: String) -> JSON? {
        guard let first = word.utf8.first, "+-.0123456789".utf8.contains(first) else { return nil }
        var digits = Substring(word)
        let isNegative = digits.first == "-"
        if isNegative || digits.first == "+" { digits.removeFirst() }
        guard let head = digits.utf8.first, "0123456789.".utf8.contains(head) else { return nil }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where digits.hasPrefix(prefix) {
            return integer(digits.dropFirst(2), radix, isNegative)
        }
        if digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            // A number that begins with 0 is octal, as file modes are; one that can't be is a text.
            if digits.count > 1, head == UInt8(ascii: "0") { return integer(digits.dropFirst(), 8, isNegative) }
            return integer(digits, 10, isNegative) ?? .decimal((isNegative ? "-" : "") + digits)
        }
        return decimal(digits, isNegative)
    }

    private static func integer(_ digits: Substring, _ radix: Int, _ isNegative: Bool) -> JSON? {
        guard digits.utf8.first.map({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) ?? false else { return nil }
        return Int64((isNegative ? "-" : "") + digits, radix: radix).map { .integer($0) }
    }

    /// A number with a point or an exponent, as JSON writes it.
    private static func decimal(_ digits: Substring, _ isNegative: Bool) -> JSON? {
        let parts = digits.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        let halves = parts[0].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        func isDigits(_ text: Substring) -> Bool { text.utf8.allSatisfy { (0x30...0x39).contains($0) } }
        guard halves.allSatisfy(isDigits), halves.contains(where: { !$0.isEmpty }) else { return nil }
        var exponent = ""
        if parts.count == 2 {
            var power = parts[1]
            let sign = power.first == "-" || power.first == "+" ? String(power.removeFirst()) : ""
            guard !power.isEmpty, isDigits(power) else { return nil }
            exponent = "e\(sign)\(power)"
        }
        var whole = halves[0].drop { $0 == "0" }
        if whole.isEmpty { whole = "0" }
        let fraction = halves.count == 2 && !halves[1].isEmpty ? ".\(halves[1])" : ""
        return .decimal((isNegative ? "-" : "") + whole + fraction + exponent)
    }
}

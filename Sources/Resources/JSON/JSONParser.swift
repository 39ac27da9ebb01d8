/// Why a text is no JSON, with the byte where it goes wrong.
package struct JSONParseError: Error, Equatable, CustomStringConvertible {
    /// What does not fit, without the place.
    package let reason: String
    /// Offset of the first byte that does not fit.
    package let byteOffset: Int
    /// The reason and the byte where it holds.
    package var description: String { "\(reason) at byte \(byteOffset)" }
}

/// Reads one JSON text (RFC 8259) within named limits.
package struct JSONParser {
    /// Bounds that hold before memory is taken; beyond them a text is refused.
    package struct Limits: Sendable {
        /// Arrays and objects inside one another.
        package var depthMax = 256
        /// Length of the whole text.
        package var bytesMax = 3 << 20
        /// 256 levels and 3 MiB, the size Kubernetes takes in one request.
        package init() {}
        /// Both limits are inclusive.
        package init(depthMax: Int, bytesMax: Int) {
            self.depthMax = depthMax
            self.bytesMax = bytesMax
        }
    }

    /// At most so many repeated keys are remembered by name.
    private static let duplicatesMax = 16
    private let bytes: UnsafeBufferPointer<UInt8>
    private let limits: Limits
    private var position = 0
    private var duplicates: [String] = []
    /// Key of members that are passed over, in objects that are themselves a member of the whole.
    private let leftOut: String?

    private init(_ bytes: UnsafeBufferPointer<UInt8>, _ limits: Limits, leavingOut leftOut: String? = nil) {
        self.bytes = bytes
        self.limits = limits
        self.leftOut = leftOut
    }

    /// The value of a text; of a key that stands twice in an object the last value stays.
    ///
    /// - Throws: `JSONParseError` for text that is no JSON, is no valid UTF-8, or passes a limit.
    package static func parse(_ text: some Sequence<UInt8>, limits: Limits = Limits()) throws(JSONParseError) -> JSON {
        try parseReportingDuplicates(text, limits: limits).value
    }

    /// The value of a text, and the paths of keys that stand more than once in their object (the first 16): `spec.replicas`.
    package static func parseReportingDuplicates(
        _ text: some Sequence<UInt8>, limits: Limits = Limits()
    ) throws(JSONParseError) -> (value: JSON, duplicates: [String]) {
        let bytes = ContiguousArray(text)
        let result = bytes.withUnsafeBufferPointer { buffer -> Result<(JSON, [String]), JSONParseError> in
            var parser = JSONParser(buffer, limits)
            do throws(JSONParseError) {
                return .success((try parser.document(), parser.duplicates))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// The value of a text that `JSONWriter` has written, without the members of one key in the objects that are themselves members of the
    /// whole: `managedFields` of `metadata`. What is left out is not looked at but for its end.
    package static func parse(written text: [UInt8], limits: Limits, leavingOut key: String) throws(JSONParseError) -> JSON {
        try text.withUnsafeBufferPointer { buffer -> Result<JSON, JSONParseError> in
            var parser = JSONParser(buffer, limits, leavingOut: key)
            do throws(JSONParseError) { return .success(try parser.document()) } catch { return .failure(error) }
        }.get()
    }

    /// Where an object, or an array, ends that `JSONWriter` has written: behind its brace. Nil if it does not.
    ///
    /// - Parameter start: where it begins.
    package static func end(ofObjectFrom start: Int, in text: [UInt8]) -> Int? {
        text.withUnsafeBufferPointer { JSONParser($0, Limits()).end(from: start) }
    }

    private func end(from start: Int) -> Int? {
        var place = start
        var depth = 0
        while place < bytes.count {
            switch bytes[place] {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth <= 0 { return place + 1 }
            case UInt8(ascii: "\""):
                place += 1
                while place < bytes.count, bytes[place] != UInt8(ascii: "\"") { place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1 }
            default: break
            }
            place += 1
        }
        return nil
    }

    private func failure(_ reason: String) -> JSONParseError { JSONParseError(reason: reason, byteOffset: position) }

    private mutating func document() throws(JSONParseError) -> JSON {
        guard bytes.count <= limits.bytesMax else {
            throw failure("the text has \(bytes.count) bytes, at most \(limits.bytesMax) are read")
        }
        let result = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw failure("text after the end of the value") }
        return result
    }

    private mutating func skipSpace() {
        while position < bytes.count, case let byte = bytes[position], byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
            position += 1
        }
    }

    private mutating func value(depth: Int) throws(JSONParseError) -> JSON {
        skipSpace()
        guard position < bytes.count else { throw failure("the text ends where a value is expected") }
        guard depth <= limits.depthMax else { throw failure("more than \(limits.depthMax) arrays and objects inside one another") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(_ text: StaticString, _ value: JSON) throws(JSONParseError) -> JSON {
        for index in 0..<text.utf8CodeUnitCount {
            guard position < bytes.count, bytes[position] == text.utf8Start[index] else { throw failure("expected '\(text)'") }
            position += 1
        }
        return value
    }

    private mutating func object(depth: Int) throws(JSONParseError) -> JSON {
        var result = JSONObject()
        position += 1
        skipSpace()
        if position < bytes.count, bytes[position] == UInt8(ascii: "}") {
            position += 1
            return .object(result)
        }
        // A bit for each kind of key that has come: a key whose bit is not there cannot have come before.
        var seen: UInt64 = 0
        while true {
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw failure("expected a key in quotes") }
            let start = position
            let key = try string()
            let bit = mark(start..<position)
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else { throw failure("expected ':' after a key") }
            position += 1
            if depth == 1, key == leftOut, position < bytes.count, bytes[position] == UInt8(ascii: "[") {
                position = end(from: position) ?? bytes.count
            } else {
                let known = duplicates.count
                let member = try value(depth: depth + 1)
                for index in known..<duplicates.count { duplicates[index] = "\(key).\(duplicates[index])" }
                if seen & bit == 0 {
                    result.add(differing: key, member)
                } else if result.put(key, member), duplicates.count < Self.duplicatesMax {
                    duplicates.append(key)
                }
                seen |= bit
            }
            skipSpace()
            guard position < bytes.count else { throw failure("the text ends inside an object") }
            if bytes[position] == UInt8(ascii: ",") {
                position += 1
            } else if bytes[position] == UInt8(ascii: "}") {
                position += 1
                return .object(result)
            } else {
                throw failure("expected ',' or '}' in an object")
            }
        }
    }

    /// One bit of 64, by the text of a key in its quotes; a key with escapes or beyond ASCII has all of them: other bytes may be the same key.
    private func mark(_ text: Range<Int>) -> UInt64 {
        var hash: UInt32 = 0
        for byte in bytes[text] {
            if byte == UInt8(ascii: "\\") || byte >= 0x80 { return .max }
            hash = hash &* 31 &+ UInt32(byte)
        }
        return 1 << UInt64((hash &* 0x9e37_79b1) >> 26)
    }

    private mutating func array(depth: Int) throws(JSONParseError) -> JSON {
        var result: [JSON] = []
        position += 1
        skipSpace()
        if position < bytes.count, bytes[position] == UInt8(ascii: "]") {
            position += 1
            return .array(result)
        }
        while true {
            result.append(try value(depth: depth + 1))
            skipSpace()
            guard position < bytes.count else { throw failure("the text ends inside an array") }
            if bytes[position] == UInt8(ascii: ",") {
                position += 1
            } else if bytes[position] == UInt8(ascii: "]") {
                position += 1
                return .array(result)
            } else {
                throw failure("expected ',' or ']' in an array")
            }
        }
    }

    private mutating func string() throws(JSONParseError) -> String {
        position += 1
        let start = position
        var high: UInt8 = 0
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                let part = UnsafeBufferPointer(rebasing: bytes[start..<position])
                // What is ASCII is valid, and need not be looked at again by whoever is strict.
                let text = high < 0x80 ? String(decoding: part, as: UTF8.self) : try validated(part)
                position += 1
                return text
            }
            guard byte >= 0x20 else { throw failure("an unescaped control character in a string") }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            high |= byte
            position += 1
        }
        throw failure("the text ends inside a string")
    }

    private func validated(_ text: UnsafeBufferPointer<UInt8>) throws(JSONParseError) -> String {
        guard let result = String(validating: text, as: UTF8.self) else { throw failure("a string is no valid UTF-8") }
        return result
    }

    private mutating func escapedString(from start: Int) throws(JSONParseError) -> String {
        var text = [UInt8](bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            guard byte >= 0x20 else { throw failure("an unescaped control character in a string") }
            position += 1
            if byte == UInt8(ascii: "\"") {
                return try text.withUnsafeBufferPointer { (buffer) throws(JSONParseError) in try validated(buffer) }
            }
            guard byte == UInt8(ascii: "\\") else {
                text.append(byte)
                continue
            }
            guard position < bytes.count else { break }
            let escape = bytes[position]
            position += 1
            switch escape {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0c)
            case UInt8(ascii: "n"): text.append(0x0a)
            case UInt8(ascii: "r"): text.append(0x0d)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "u"): text.append(contentsOf: String(Character(try unicodeScalar())).utf8)
            default: throw failure("an unknown escape in a string")
            }
        }
        throw failure("the text ends inside a string")
    }

    /// What follows `\u`. A surrogate without its partner becomes U+FFFD, as every large JSON library has it.
    private mutating func unicodeScalar() throws(JSONParseError) -> Unicode.Scalar {
        let first = try hexQuad()
        guard (0xd800...0xdbff).contains(first) else { return Unicode.Scalar(first) ?? "\u{fffd}" }
        guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"), bytes[position + 1] == UInt8(ascii: "u") else {
            return "\u{fffd}"
        }
        let before = position
        position += 2
        let second = try hexQuad()
        guard (0xdc00...0xdfff).contains(second) else {
            position = before
            return "\u{fffd}"
        }
        return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00)) ?? "\u{fffd}"
    }

    private mutating func hexQuad() throws(JSONParseError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw failure("the text ends inside an escape") }
        var result: UInt32 = 0
        for _ in 0..<4 {
            let digit: UInt8
            switch bytes[position] {
            case let byte where byte >= 0x30 && byte <= 0x39: digit = byte - 0x30
            case let byte where byte >= 0x41 && byte <= 0x46: digit = byte - 0x41 + 10
            case let byte where byte >= 0x61 && byte <= 0x66: digit = byte - 0x61 + 10
            default: throw failure("expected four hexadecimal digits after \\u")
            }
            result = result << 4 | UInt32(digit)
            position += 1
        }
        return result
    }

    private mutating func digits() -> Int {
        let start = position
        while position < bytes.count, bytes[position] >= 0x30, bytes[position] <= 0x39 { position += 1 }
        return position - start
    }

    private mutating func number() throws(JSONParseError) -> JSON {
        let start = position
        var isInteger = true
        if bytes[position] == UInt8(ascii: "-") { position += 1 }
        let leading = position
        let count = digits()
        guard count > 0 else { throw failure("expected a value") }
        guard count == 1 || bytes[leading] != 0x30 else { throw failure("a number with a leading zero") }
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            guard digits() > 0 else { throw failure("expected digits after the decimal point") }
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            position += 1
            if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") { position += 1 }
            guard digits() > 0 else { throw failure("expected digits in the exponent") }
        }
        // Eighteen digits always fit.
        if isInteger, position - leading <= 18 {
            var value: Int64 = 0
            for byte in bytes[leading..<position] { value = value * 10 + Int64(byte & 15) }
            return .integer(leading > start ? -value : value)
        }
        let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<position]), as: UTF8.self)
        if isInteger, let value = Int64(text) { return .integer(value) }
        return .decimal(text)
    }
}

extension JSON {
    /// The value of a JSON text; for texts of this program's own making and of tests.
    package init(parsing text: String) throws(JSONParseError) {
        self = try JSONParser.parse(text.utf8)
    }
}

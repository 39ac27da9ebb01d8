/// Finds where a text stops being JSON: the decoder of FoundationEssentials only says that it does.
struct JSONSyntax {
    /// Deeper values are a fault.
    static let depthMax = 128

    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    private struct Fault: Error {
        var message: String
    }

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// "line 3, column 5: …", counted from 1, columns in bytes; nil for JSON.
    static func fault(in bytes: some Sequence<UInt8>) -> String? {
        var syntax = JSONSyntax(Array(bytes))
        do {
            try syntax.document()
            return nil
        } catch {
            let before = syntax.bytes[..<min(syntax.position, syntax.bytes.count)]
            let line = before.count { $0 == 0x0a } + 1
            let column = before.count - (before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0) + 1
            return "line \(line), column \(column): \((error as? Fault)?.message ?? "\(error)")"
        }
    }

    private mutating func document() throws {
        try value()
        skipBlanks()
        guard position == bytes.count else { throw expected("the end") }
    }

    private mutating func value() throws {
        skipBlanks()
        switch peek {
        case UInt8(ascii: "{"): try list(UInt8(ascii: "}")) { syntax throws in try syntax.member() }
        case UInt8(ascii: "["): try list(UInt8(ascii: "]")) { syntax throws in try syntax.value() }
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "t"): try word("true")
        case UInt8(ascii: "f"): try word("false")
        case UInt8(ascii: "n"): try word("null")
        default: try number()
        }
    }

    private mutating func list(_ end: UInt8, _ item: (inout JSONSyntax) throws -> Void) throws {
        depth += 1
        guard depth <= Self.depthMax else { throw Fault(message: "more than \(Self.depthMax) values inside each other") }
        position += 1
        skipBlanks()
        if peek == end {
            position += 1
        } else {
            while true {
                try item(&self)
                skipBlanks()
                if peek == end { break }
                guard peek == UInt8(ascii: ",") else { throw expected("',' or '\(Character(Unicode.Scalar(end)))'") }
                position += 1
            }
            position += 1
        }
        depth -= 1
    }

    private mutating func member() throws {
        skipBlanks()
        guard peek == UInt8(ascii: "\"") else { throw expected("a name in \"quotes\"") }
        try string()
        skipBlanks()
        guard peek == UInt8(ascii: ":") else { throw expected("':'") }
        position += 1
        try value()
    }

    private mutating func string() throws {
        position += 1
        while let byte = peek, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw Fault(message: "a control character in a text; write it as \\n or \\u00..") }
            position += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        guard peek != nil else { throw expected("'\"'") }
        position += 1
    }

    private mutating func number() throws {
        let start = position
        while let byte = peek, "+-.0123456789eE".utf8.contains(byte) { position += 1 }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        guard let first = text.first, first == "-" || first.isNumber, Double(text) != nil else {
            position = start
            throw expected("a value")
        }
    }

    private mutating func word(_ word: String) throws {
        guard bytes[position...].starts(with: word.utf8) else { throw expected("a value") }
        position += word.utf8.count
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipBlanks() { while let byte = peek, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { position += 1 } }

    private func expected(_ what: String) -> Fault {
        let found = peek.map { (0x21..<0x7f).contains($0) ? "'\(Character(Unicode.Scalar($0)))'" : "byte \($0)" } ?? "the end"
        return Fault(message: "\(what) is expected, \(found) is found")
    }
}

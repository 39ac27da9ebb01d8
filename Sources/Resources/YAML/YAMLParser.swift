/// Why a text is not the YAML that is read here, with the place where it goes wrong.
package struct YAMLParseError: Error, Equatable, CustomStringConvertible {
    /// What does not fit or is refused, without the place.
    package let reason: String
    /// From 1.
    package let line: Int
    /// In bytes, from 1.
    package let column: Int
    /// The reason and its place, both numbers from 1.
    package var description: String { "\(reason) at line \(line), column \(column)" }
}

/// Reads one YAML document as Kubernetes' files are written: block and flow collections, the five forms of scalars, comments.
///
/// What makes YAML dangerous or ambiguous is refused by name and never guessed: anchors and aliases (they multiply), tags, merge keys,
/// keys that are no scalars, keys given twice, tabs as indentation, a second document. Plain words become what Kubernetes makes of them:
/// `yes` is true and `0644` is octal.
package struct YAMLParser {
    /// Bounds that hold before memory is taken; beyond them a text is refused.
    package struct Limits: Sendable {
        /// Collections inside one another.
        package var depthMax = 64
        /// Length of the whole text.
        package var bytesMax = 3 << 20
        /// 64 levels, 3 MiB.
        package init() {}
    }

    let bytes: [UInt8]
    private let limits: Limits
    var position = 0

    private init(_ bytes: [UInt8], _ limits: Limits) {
        self.bytes = bytes
        self.limits = limits
    }

    /// The value of a document; null for one without content.
    ///
    /// - Throws: `YAMLParseError` for text that is no YAML, uses what is refused here, is no valid UTF-8, or passes a limit.
    package static func parse(_ text: some Sequence<UInt8>, limits: Limits = Limits()) throws(YAMLParseError) -> JSON {
        var bytes = Array(text)
        guard bytes.count <= limits.bytesMax else {
            throw YAMLParseError(reason: "the text has \(bytes.count) bytes, at most \(limits.bytesMax) are read", line: 1, column: 1)
        }
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { bytes.removeFirst(3) }
        var parser = YAMLParser(bytes, limits)
        return try parser.document()
    }

    func failure(_ reason: String, at offset: Int? = nil) -> YAMLParseError {
        let place = min(offset ?? position, bytes.count)
        let start = lineStart(of: place)
        return YAMLParseError(
            reason: reason, line: bytes[..<start].reduce(1) { $0 + ($1 == UInt8(ascii: "\n") ? 1 : 0) }, column: place - start + 1)
    }

    // MARK: Places

    func lineStart(of place: Int) -> Int { bytes[..<place].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0 }

    func lineEnd(of place: Int) -> Int { bytes[place...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count }

    /// Bytes before the position on its line.
    var column: Int { position - lineStart(of: position) }

    var byte: UInt8? { position < bytes.count ? bytes[position] : nil }

    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d }

    /// Whether nothing, or white space, stands at a place.
    func isBreak(_ place: Int) -> Bool { place >= bytes.count || bytes[place] == 0x0a || isSpace(bytes[place]) }

    mutating func skipSpaces() { while let byte, isSpace(byte) { position += 1 } }

    /// Goes over white space and a comment to the end of the line.
    ///
    /// - Returns: whether the line ends there.
    mutating func skipToLineEnd() -> Bool {
        skipSpaces()
        if byte == UInt8(ascii: "#"), position == 0 || isBreak(position - 1) { position = lineEnd(of: position) }
        return byte == nil || byte == 0x0a
    }

    /// Goes to the next word, over lines that are empty or hold comments.
    mutating func skipToContent() throws(YAMLParseError) {
        while skipToLineEnd(), byte != nil { position += 1 }
        let start = lineStart(of: position)
        if byte != nil, bytes[start..<position].allSatisfy(isSpace), bytes[start..<position].contains(0x09) {
            throw failure("a tab as indentation; use spaces", at: start)
        }
    }

    /// Whether a line `---` or `...` begins at the position.
    private func isMarker(_ mark: String) -> Bool {
        column == 0 && bytes[position...].starts(with: mark.utf8) && isBreak(position + 3)
    }

    /// Whether the content ends here.
    var isAtEnd: Bool { byte == nil || isMarker("---") || isMarker("...") }

    // MARK: The document

    private mutating func document() throws(YAMLParseError) -> JSON {
        try skipToContent()
        if byte == UInt8(ascii: "%") { throw failure("a directive; leave it out") }
        if isMarker("---") { position += 3 }
        let value = try block(indent: 0, depth: 0)
        try skipToContent()
        if isMarker("...") {
            position += 3
            try skipToContent()
        }
        guard byte == nil else {
            throw failure(isMarker("---") ? "a second document; one is read" : "text that belongs to nothing before it")
        }
        return value
    }

    func checkDepth(_ depth: Int) throws(YAMLParseError) {
        guard depth < limits.depthMax else { throw failure("more than \(limits.depthMax) collections inside one another") }
    }

    // MARK: Blocks

    /// A value that begins at the next word, if that stands at least `indent` bytes from its line's start; else null.
    private mutating func block(indent: Int, depth: Int) throws(YAMLParseError) -> JSON {
        try skipToContent()
        guard !isAtEnd, column >= indent else { return .null }
        try checkDepth(depth)
        if isEntry { return try sequence(column: column, depth: depth) }
        if try isKey() { return try mapping(column: column, depth: depth) }
        return try inline(indent: indent, depth: depth)
    }

    /// Whether a `- ` begins here.
    private var isEntry: Bool { byte == UInt8(ascii: "-") && isBreak(position + 1) }

    private mutating func sequence(column own: Int, depth: Int) throws(YAMLParseError) -> JSON {
        var items: [JSON] = []
        while true {
            try skipToContent()
            guard !isAtEnd, column == own, isEntry else { break }
            position += 1
            items.append(try block(indent: own + 1, depth: depth + 1))
        }
        // A key as far left goes on with the mapping around.
        if column > own { try checkEnd(of: own) }
        return .array(items)
    }

    private mutating func mapping(column own: Int, depth: Int) throws(YAMLParseError) -> JSON {
        var members = JSONObject()
        while true {
            try skipToContent()
            guard !isAtEnd, column == own, try isKey() else { break }
            let start = position
            let key = try self.key()
            if key == "<<" { throw failure("a merge key; write the members out", at: start) }
            if members.position(of: key) != nil { throw failure("key \"\(key)\" a second time", at: start) }
            members[key] = try member(of: own, depth: depth)
        }
        try checkEnd(of: own)
        return .object(members)
    }

    /// What stands behind a key and its colon.
    private mutating func member(of own: Int, depth: Int) throws(YAMLParseError) -> JSON {
        guard skipToLineEnd() else { return try inline(indent: own + 1, depth: depth + 1) }
        try skipToContent()
        // The entries of a sequence may stand as far left as their key.
        if !isAtEnd, column == own, isEntry {
            try checkDepth(depth + 1)
            return try sequence(column: own, depth: depth + 1)
        }
        return try block(indent: own + 1, depth: depth + 1)
    }

    /// After a collection only what belongs further left may follow.
    private func checkEnd(of own: Int) throws(YAMLParseError) {
        guard !isAtEnd, column >= own else { return }
        throw failure(
            column > own ? "indented by \(column), but \(own) is what its neighbours have" : "neither a key with a colon nor an entry")
    }

    /// A value that begins on this line and is no block collection.
    private mutating func inline(indent: Int, depth: Int) throws(YAMLParseError) -> JSON {
        try refuseIndicators()
        let value: JSON
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["): value = try flow(depth: depth)
        case UInt8(ascii: "|"), UInt8(ascii: ">"): return .string(try blockScalar(indent: indent))
        case UInt8(ascii: "\""), UInt8(ascii: "'"): value = .string(try quoted())
        default: return YAMLWord.value(try plain(indent: indent))
        }
        guard skipToLineEnd() else { throw failure("text behind a value that has ended") }
        return value
    }

    /// Throws where something begins that is not read here.
    func refuseIndicators() throws(YAMLParseError) {
        switch byte {
        case UInt8(ascii: "&"): throw failure("an anchor; write the value out where it is used")
        case UInt8(ascii: "*"): throw failure("an alias; write the value out")
        case UInt8(ascii: "!"): throw failure("a tag; leave it out")
        case UInt8(ascii: "?") where isBreak(position + 1): throw failure("a key that is no plain or quoted word")
        case UInt8(ascii: "@"), UInt8(ascii: "`"), UInt8(ascii: "%"), UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}"):
            throw failure("a word that begins with '\(String(decoding: [byte!], as: UTF8.self))'; put it in quotes")
        case UInt8(ascii: "-") where isBreak(position + 1): throw failure("an entry of a sequence on the line of its key")
        default: break
        }
    }

    // MARK: Keys

    /// Whether a key and its colon stand here.
    private func isKey() throws(YAMLParseError) -> Bool {
        var look = self
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            let end = lineEnd(of: position)
            _ = try look.quoted()
            look.skipSpaces()
            return look.position <= end && look.byte == UInt8(ascii: ":") && isBreak(look.position + 1)
        case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "|"), UInt8(ascii: ">"), UInt8(ascii: "#"): return false
        default: return colon(from: position) != nil
        }
    }

    /// The colon that ends a plain key on this line.
    func colon(from start: Int) -> Int? {
        var place = start
        while place < bytes.count, bytes[place] != 0x0a {
            if bytes[place] == UInt8(ascii: ":"), isBreak(place + 1) { return place }
            if bytes[place] == UInt8(ascii: "#"), place > start, isSpace(bytes[place - 1]) { return nil }
            place += 1
        }
        return nil
    }

    /// Reads a key and goes behind its colon.
    private mutating func key() throws(YAMLParseError) -> String {
        try refuseIndicators()
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
            let key = try quoted()
            skipSpaces()
            position += 1
            return key
        }
        let end = colon(from: position)!
        let key = try text(bytes[position..<end])
        position = end + 1
        return key
    }

    /// The text of bytes without white space around them.
    func text(_ slice: ArraySlice<UInt8>) throws(YAMLParseError) -> String {
        var slice = slice
        while let last = slice.last, isSpace(last) { slice.removeLast() }
        while let first = slice.first, isSpace(first) { slice.removeFirst() }
        guard let text = String(validating: slice, as: UTF8.self) else { throw failure("bytes that are no UTF-8", at: slice.startIndex) }
        return text
    }
}

/// The head of an HTTP/1.1 request (RFC 9112), as far as a server of models needs it.
package struct LoopHead: Equatable, Sendable {
    /// In capitals, as it is sent.
    package var method = ""
    /// The target before `?`, percent-encoded as it was sent.
    package var path = ""
    /// The target behind `?`; empty without one.
    package var query = ""
    /// Nil where none is said; then the body is empty, or in chunks.
    package var contentLength: Int?
    /// Whether the body comes in chunks.
    package var isChunked = false
    /// Whether the connection stays open behind the answer.
    package var keepsAlive = true
    /// Whether the peer waits for `100 Continue`.
    package var expectsContinue = false
    /// Of the binary tensor data extension: bytes of JSON at the body's beginning.
    package var inferenceHeaderLength: Int?
    /// In small letters, without parameters; empty where none is said.
    package var contentType = ""
    /// Whether the body is compressed, which is not served.
    package var isEncoded = false

    /// Nothing said yet.
    package init() {}
}

extension LoopHead {
    private static let fieldsMax = 100

    /// - Parameter bytes: up to and with the empty line.
    /// - Throws: what is wrong, with the status to answer.
    init(_ bytes: UnsafeBufferPointer<UInt8>) throws(ServingRefusal) {
        var place = 0
        let first = try Self.line(bytes, &place)
        try readRequestLine(first)
        var fields = 0
        while place < bytes.count {
            let line = try Self.line(bytes, &place)
            if line.isEmpty { break }
            fields += 1
            guard fields <= Self.fieldsMax else { throw ServingRefusal(431, "the request has more than \(Self.fieldsMax) header fields") }
            try readField(line)
        }
        if isChunked, contentLength != nil { throw ServingRefusal(400, "the request has both Content-Length and Transfer-Encoding") }
    }

    private static func line(_ bytes: UnsafeBufferPointer<UInt8>, _ place: inout Int) throws(ServingRefusal) -> Slice<
        UnsafeBufferPointer<UInt8>
    > {
        let start = place
        while place < bytes.count, bytes[place] != 0x0a { place += 1 }
        guard place < bytes.count, place > start, bytes[place - 1] == 0x0d else {
            throw ServingRefusal(400, "line at byte \(start) of the request's head does not end with CR LF")
        }
        defer { place += 1 }
        return bytes[start..<place - 1]
    }

    private mutating func readRequestLine(_ line: Slice<UnsafeBufferPointer<UInt8>>) throws(ServingRefusal) {
        let wrong = ServingRefusal(400, "the request line must be a method, a path and HTTP/1.1")
        guard let space = line.firstIndex(of: 0x20), space > line.startIndex, space - line.startIndex <= 16,
            let last = line.lastIndex(of: 0x20), last > space + 1
        else { throw wrong }
        guard line[..<space].allSatisfy({ 0x41...0x5a ~= $0 }) else { throw wrong }
        let target = line[(space + 1)..<last], version = line[(last + 1)...]
        guard target.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { throw wrong }
        let isNew = version.elementsEqual("HTTP/1.1".utf8)
        guard isNew || version.elementsEqual("HTTP/1.0".utf8) else {
            throw ServingRefusal(505, "HTTP version \"\(String(decoding: version.prefix(20), as: UTF8.self))\"; 1.1 and 1.0 are spoken")
        }
        keepsAlive = isNew
        method = String(decoding: line[..<space], as: UTF8.self)
        let mark = target.firstIndex(of: 0x3f) ?? target.endIndex
        path = String(decoding: target[..<mark], as: UTF8.self)
        if mark < target.endIndex { query = String(decoding: target[(mark + 1)...], as: UTF8.self) }
    }

    private mutating func readField(_ line: Slice<UnsafeBufferPointer<UInt8>>) throws(ServingRefusal) {
        guard let colon = line.firstIndex(of: 0x3a), colon > line.startIndex, line[line.startIndex] > 0x20, line[colon - 1] > 0x20 else {
            throw ServingRefusal(400, "a header field must be a name, \":\" without a space before it, and a value")
        }
        let name = line[..<colon]
        var value = line[(colon + 1)...]
        while let byte = value.first, byte == 0x20 || byte == 0x09 { value.removeFirst() }
        while let byte = value.last, byte == 0x20 || byte == 0x09 { value.removeLast() }
        guard !value.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f }) else {
            throw ServingRefusal(400, "a header field has a control character")
        }
        // By length and first letter: most fields are of no concern.
        switch name.count {
        case 14 where Self.isSame(name, "content-length"):
            let found = try Self.number(value, "Content-Length")
            if let contentLength, contentLength != found { throw ServingRefusal(400, "the request has two values of Content-Length") }
            contentLength = found
        case 17 where Self.isSame(name, "transfer-encoding"):
            guard Self.isSame(value, "chunked"), !isChunked else {
                throw ServingRefusal(501, "Transfer-Encoding must be \"chunked\" alone")
            }
            isChunked = true
        case 10 where Self.isSame(name, "connection"):
            if Self.isSame(value, "close") { keepsAlive = false } else if Self.isSame(value, "keep-alive") { keepsAlive = true }
        case 6 where Self.isSame(name, "expect"): expectsContinue = Self.isSame(value, "100-continue")
        case 12 where Self.isSame(name, "content-type"):
            let word = value[..<(value.firstIndex(of: 0x3b) ?? value.endIndex)]
            contentType = String(decoding: word.prefix(100).map { 0x41...0x5a ~= $0 ? $0 | 0x20 : $0 }.filter { $0 != 0x20 }, as: UTF8.self)
        case 16 where Self.isSame(name, "content-encoding"): isEncoded = !Self.isSame(value, "identity")
        case 31 where Self.isSame(name, "inference-header-content-length"):
            inferenceHeaderLength = try Self.number(value, "Inference-Header-Content-Length")
        default: break
        }
    }

    private static func isSame(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, _ word: StaticString) -> Bool {
        guard bytes.count == word.utf8CodeUnitCount else { return false }
        var place = word.utf8Start
        for byte in bytes {
            if (0x41...0x5a ~= byte ? byte | 0x20 : byte) != place.pointee { return false }
            place += 1
        }
        return true
    }

    private static func number(_ value: Slice<UnsafeBufferPointer<UInt8>>, _ name: String) throws(ServingRefusal) -> Int {
        guard (1...15).contains(value.count), value.allSatisfy({ $0 &- 0x30 < 10 }) else {
            throw ServingRefusal(400, "\(name) is \"\(String(decoding: value.prefix(20), as: UTF8.self))\"; expected a number of bytes")
        }
        return value.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
}

/// The end of a request's head among bytes that have arrived.
enum HeadEnd {
    /// - Parameter from: bytes that were looked at before.
    /// - Returns: where the body begins; nil while the head is not whole.
    static func find(_ bytes: UnsafeBufferPointer<UInt8>, from: Int) -> Int? {
        var place = max(from - 3, 0)
        while place + 3 < bytes.count {
            // CR LF CR LF, looked for from its end, as most bytes are neither.
            switch bytes[place + 3] {
            case 0x0a where bytes[place] == 0x0d && bytes[place + 1] == 0x0a && bytes[place + 2] == 0x0d: return place + 4
            case 0x0a, 0x0d: place += 1
            default: place += 4
            }
        }
        return nil
    }
}

/// Takes a body out of its chunks (RFC 9112, 7.1), piece by piece.
struct ChunkReader {
    private enum State: Equatable { case size, data(Int), dataEnd, trailer, done }
    private static let lineBytesMax = 1024
    private var state = State.size
    private var line: [UInt8] = []
    private var trailerBytes = 0

    var isDone: Bool { state == .done }

    /// - Returns: bytes that were taken; the rest belongs to the next request.
    mutating func consume(_ bytes: UnsafeRawBufferPointer, _ data: (UnsafeRawBufferPointer) -> Void) throws(ServingRefusal) -> Int {
        var place = 0
        while place < bytes.count, state != .done {
            if case .data(let left) = state {
                let count = min(left, bytes.count - place)
                data(UnsafeRawBufferPointer(rebasing: bytes[place..<place + count]))
                place += count
                state = count == left ? .dataEnd : .data(left - count)
                continue
            }
            let byte = bytes[place]
            place += 1
            guard byte == 0x0a else {
                line.append(byte)
                guard line.count <= Self.lineBytesMax else {
                    throw ServingRefusal(400, "a line between chunks has more than \(Self.lineBytesMax) bytes")
                }
                continue
            }
            guard line.popLast() == 0x0d else { throw ServingRefusal(400, "a line between chunks does not end with CR LF") }
            try endLine()
        }
        return place
    }

    private mutating func endLine() throws(ServingRefusal) {
        defer { line.removeAll(keepingCapacity: true) }
        switch state {
        case .size:
            let digits = line.prefix { $0 != 0x3b && $0 != 0x20 }
            guard (1...8).contains(digits.count), let size = Int(String(decoding: digits, as: UTF8.self), radix: 16), size >= 0,
                digits.first != 0x2b
            else { throw ServingRefusal(400, "a chunk's size is \"\(String(decoding: line.prefix(20), as: UTF8.self))\"") }
            state = size == 0 ? .trailer : .data(size)
        case .dataEnd:
            guard line.isEmpty else { throw ServingRefusal(400, "a chunk is longer than its size") }
            state = .size
        case .trailer:
            trailerBytes += line.count
            guard trailerBytes <= Self.lineBytesMax else { throw ServingRefusal(431, "the fields behind the chunks are too long") }
            if line.isEmpty { state = .done }
        case .data, .done: break
        }
    }
}

/// Why a data set cannot be read, or rows of it cannot be had.
struct DatasetFault: Error, Sendable, Hashable, CustomStringConvertible {
    /// What the condition `Readable` says in one word.
    enum Reason: String, Sendable, Hashable {
        case notFound = "NotFound"
        case permissionDenied = "PermissionDenied"
        case badFormat = "BadFormat"
        case tooLarge = "TooLarge"
        case empty = "Empty"
        case notSupported = "NotSupported"
        case readError = "ReadError"
        /// Not a fault of the data: rows that are not there yet, or no more.
        case rowsMissing = "RowsMissing"
    }

    var reason: Reason
    /// One sentence: the data set or the line, what was found, the remedy.
    var message: String

    var description: String { message }

    init(_ reason: Reason, _ message: String) { (self.reason, self.message) = (reason, message) }
}

/// How the index file of a data set is to be read.
enum DatasetFormat: String, Sendable, Hashable {
    /// Line 1 names the columns (RFC 4180); quoted fields may hold line breaks.
    case csv
    /// A line a sample.
    case txt
}

/// Finds the records of a file that comes in pieces, with the bytes where they begin: what `Learning`'s parser of rows does not tell, and what
/// going on behind the last look and copying a range without reading what is before it need. Blank lines are no records.
struct RecordScanner: Sendable {
    /// One record: its bytes without the line break, where it begins, and its line, from 1.
    struct Record {
        var bytes: UnsafeBufferPointer<UInt8>
        var offset: Int64
        var line: Int64
    }

    /// Bytes of one record.
    static let recordBytesMax = 1 << 20

    private enum State: Sendable { case fieldStart, plain, quoted, quoteInQuoted }
    private let format: DatasetFormat
    private var state = State.fieldStart
    /// Of the record that is under way.
    private var pending: [UInt8] = []
    private var recordLine: Int64
    private var line: Int64
    private var recordOffset: Int64
    /// Of the next byte to come.
    private(set) var offset: Int64

    /// - Parameters:
    ///   - offset: where in the file the first byte stands: at the beginning of a record.
    ///   - line: of that record.
    init(_ format: DatasetFormat, offset: Int64 = 0, line: Int64 = 1) {
        self.format = format
        (self.offset, recordOffset) = (offset, offset)
        (self.line, recordLine) = (line, line)
    }

    /// Something has come behind the last line break.
    var hasUnfinished: Bool { !pending.isEmpty }

    /// Takes the next bytes, and hands over every record that ends in them.
    mutating func consume(
        _ bytes: UnsafeRawBufferPointer, _ body: (Record) throws(DatasetFault) -> Void
    ) throws(DatasetFault) {
        let bytes = bytes.bindMemory(to: UInt8.self)
        var start = 0
        // A mark at the beginning of the file is none of its text.
        if offset == 0, bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF {
            start = 3
            recordOffset = 3
        }
        for index in start..<bytes.count where try ends(bytes[index]) {
            try end(UnsafeBufferPointer(rebasing: bytes[start..<index]), body)
            start = index + 1
            recordOffset = offset + Int64(start)
            recordLine = line
        }
        guard pending.count + bytes.count - start <= Self.recordBytesMax else { throw tooLong }
        pending += bytes[start...]
        offset += Int64(bytes.count)
    }

    /// Hands over a last record that no line break ends.
    mutating func finish(_ body: (Record) throws(DatasetFault) -> Void) throws(DatasetFault) {
        guard hasUnfinished else { return }
        if state == .quoted { throw DatasetFault(.badFormat, "line \(recordLine): a quoted field is never closed") }
        try end(UnsafeBufferPointer(start: nil, count: 0), body)
    }

    private var tooLong: DatasetFault {
        DatasetFault(.tooLarge, "line \(recordLine): a row is longer than \(Self.recordBytesMax) bytes; is a quote missing?")
    }

    /// Whether a byte is the line break that ends a record.
    private mutating func ends(_ byte: UInt8) throws(DatasetFault) -> Bool {
        let isBreak = byte == UInt8(ascii: "\n")
        if isBreak { line += 1 }
        guard format == .csv else { return isBreak }
        switch state {
        case .fieldStart:
            if isBreak { return true }
            if byte == UInt8(ascii: "\"") { state = .quoted } else if byte != UInt8(ascii: ",") { state = .plain }
        case .plain:
            if isBreak { return true }
            if byte == UInt8(ascii: ",") { state = .fieldStart }
        case .quoted: if byte == UInt8(ascii: "\"") { state = .quoteInQuoted }
        case .quoteInQuoted:
            switch byte {
            case UInt8(ascii: "\n"): return true
            case UInt8(ascii: ","): state = .fieldStart
            case UInt8(ascii: "\""): state = .quoted
            case UInt8(ascii: "\r"): break
            default:
                throw DatasetFault(.badFormat, "line \(line): text follows a closing quote; write a quote inside a field twice")
            }
        }
        return false
    }

    private mutating func end(
        _ rest: UnsafeBufferPointer<UInt8>, _ body: (Record) throws(DatasetFault) -> Void
    ) throws(DatasetFault) {
        state = .fieldStart
        guard pending.count + rest.count <= Self.recordBytesMax else { throw tooLong }
        if pending.isEmpty { return try hand(rest, body) }
        pending += rest
        let whole = pending
        pending = []
        try whole.withUnsafeBufferPointer { (buffer) throws(DatasetFault) in try hand(buffer, body) }
    }

    private func hand(
        _ bytes: UnsafeBufferPointer<UInt8>, _ body: (Record) throws(DatasetFault) -> Void
    ) throws(DatasetFault) {
        var bytes = bytes
        if bytes.last == UInt8(ascii: "\r") { bytes = UnsafeBufferPointer(rebasing: bytes[..<(bytes.count - 1)]) }
        guard !bytes.isEmpty else { return }
        if !Self.isUTF8(bytes) { throw DatasetFault(.badFormat, "line \(recordLine): not valid UTF-8; save the file as UTF-8") }
        try body(Record(bytes: bytes, offset: recordOffset, line: recordLine))
    }

    private static func isUTF8(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        bytes.allSatisfy { $0 < 0x80 } || String(validating: bytes, as: UTF8.self) != nil
    }

    /// The fields of a row of `csv`, quotes taken off.
    ///
    /// - Returns: how many there are.
    static func fields(_ bytes: UnsafeBufferPointer<UInt8>, _ body: (Int, UnsafeBufferPointer<UInt8>) -> Void) -> Int {
        let (quote, comma) = (UInt8(ascii: "\""), UInt8(ascii: ","))
        var index = 0
        var count = 0
        while true {
            if index < bytes.count, bytes[index] == quote {
                var text: [UInt8] = []
                index += 1
                while index < bytes.count {
                    if bytes[index] == quote {
                        guard index + 1 < bytes.count, bytes[index + 1] == quote else { break }
                        index += 1
                    }
                    text.append(bytes[index])
                    index += 1
                }
                text.withUnsafeBufferPointer { body(count, $0) }
                while index < bytes.count, bytes[index] != comma { index += 1 }
            } else {
                let start = index
                while index < bytes.count, bytes[index] != comma { index += 1 }
                body(count, UnsafeBufferPointer(rebasing: bytes[start..<index]))
            }
            count += 1
            guard index < bytes.count else { return count }
            index += 1
        }
    }
}

package import Resources

/// A frame with its place in the order of a link.
///
///     byte 0     type
///     1…4        number, little-endian: from 1, one more with each frame; heartbeats and goodbyes repeat the last one
///     5…         content; texts and bytes behind their length
package struct NumberedFrame: Sendable, Equatable {
    /// The frame's number; of a heartbeat or goodbye that of the last frame before it.
    package var number: UInt32
    /// What is said.
    package var frame: Frame

    /// A frame to be sent.
    package init(_ number: UInt32, _ frame: Frame) {
        self.number = number
        self.frame = frame
    }

    /// As it travels.
    package var message: [UInt8] {
        var writer = FrameWriter(capacity: 5 + frame.sizeHint)
        writer.byte(frame.type)
        writer.integer(number)
        frame.write(into: &writer)
        return writer.bytes
    }

    /// Reads a message; nothing is taken on trust: a length is compared with what is there before anything is made of it.
    package init(_ message: [UInt8]) throws(FrameError) {
        guard message.count <= HubLimits.frameBytesMax else {
            throw FrameError("a frame has \(message.count) bytes, at most \(HubLimits.frameBytesMax) are read")
        }
        var reader = FrameReader(message)
        let type = try reader.byte()
        number = try reader.integer()
        frame = try Frame(type: type, &reader)
        guard reader.isAtEnd else { throw FrameError("a frame of type \(type) goes on behind its end, at byte \(reader.position)") }
    }
}

/// Why a message is no frame.
package struct FrameError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was found, and where.
    package let description: String
    init(_ description: String) { self.description = description }
}

struct FrameWriter {
    var bytes: [UInt8] = []

    init(capacity: Int) { bytes.reserveCapacity(capacity) }

    mutating func byte(_ value: UInt8) { bytes.append(value) }

    mutating func integer<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// A text of at most 255 bytes; longer ones are cut at a character.
    mutating func short(_ text: String) {
        let cut = Self.cut(text, 255)
        byte(UInt8(cut.utf8.count))
        bytes.append(contentsOf: cut.utf8)
    }

    mutating func text(_ text: String) {
        let cut = Self.cut(text, HubLimits.messageBytesMax)
        integer(UInt16(cut.utf8.count))
        bytes.append(contentsOf: cut.utf8)
    }

    mutating func blob(_ value: [UInt8]) {
        precondition(value.count <= HubLimits.frameBytesMax, "a body beyond the limit must be refused where it is made")
        integer(UInt32(value.count))
        bytes.append(contentsOf: value)
    }

    private static func cut(_ text: String, _ bytesMax: Int) -> Substring {
        var end = text.endIndex
        if text.utf8.count > bytesMax {
            end = text.utf8.index(text.startIndex, offsetBy: bytesMax)
            while String.Index(end, within: text) == nil { end = text.utf8.index(before: end) }
        }
        return text[..<end]
    }
}

struct FrameReader {
    private let bytes: [UInt8]
    private(set) var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }
    private var rest: Int { bytes.count - position }

    mutating func byte() throws(FrameError) -> UInt8 { try integer() }

    mutating func integer<Value: FixedWidthInteger>() throws(FrameError) -> Value {
        let size = MemoryLayout<Value>.size
        guard rest >= size else { throw FrameError("a frame ends at byte \(bytes.count), within a number of \(size) bytes") }
        defer { position += size }
        return bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: Value.self)) }
    }

    mutating func short() throws(FrameError) -> String { try string(Int(try byte())) }

    mutating func text() throws(FrameError) -> String {
        let length: UInt16 = try integer()
        guard length <= HubLimits.messageBytesMax else {
            throw FrameError("a text of \(length) bytes, at most \(HubLimits.messageBytesMax)")
        }
        return try string(Int(length))
    }

    mutating func blob(bytesMax: Int) throws(FrameError) -> [UInt8] {
        let length: UInt32 = try integer()
        guard length <= bytesMax else { throw FrameError("a body of \(length) bytes, at most \(bytesMax) are read") }
        return Array(try slice(Int(length)))
    }

    /// A number of entries of a size, of which there must be enough bytes.
    mutating func count(of size: Int, countMax: Int) throws(FrameError) -> Int {
        let count: UInt16 = try integer()
        guard count <= countMax, Int(count) * size <= rest else {
            throw FrameError("\(count) entries of at least \(size) bytes in \(rest) bytes, at most \(countMax) are read")
        }
        return Int(count)
    }

    private mutating func string(_ length: Int) throws(FrameError) -> String {
        guard let text = String(validating: try slice(length), as: UTF8.self) else {
            throw FrameError("the text before byte \(position) is no UTF-8")
        }
        return text
    }

    private mutating func slice(_ length: Int) throws(FrameError) -> ArraySlice<UInt8> {
        guard length <= rest else { throw FrameError("\(length) bytes are announced at byte \(position), \(rest) are there") }
        defer { position += length }
        return bytes[position..<(position + length)]
    }
}

extension Frame {
    fileprivate var type: UInt8 {
        switch self {
        case .hello: 1
        case .welcome: 2
        case .inventory: 3
        case .change: 4
        case .gone: 5
        case .drop: 6
        case .ack: 7
        case .report: 8
        case .results: 9
        case .heartbeat: 10
        case .digest: 11
        case .open: 12
        case .data: 13
        case .credit: 14
        case .close: 15
        case .goodbye: 16
        }
    }

    fileprivate var sizeHint: Int {
        switch self {
        case .change(_, _, let bytes): bytes.count + 160
        case .report(let report): report.body.count + 200
        case .data(_, .data(_, let bytes)): bytes.count + 16
        case .open(_, let bytes), .close(_, let bytes): bytes.count + 16
        case .inventory(let entries, _), .drop(let entries): entries.count * 24 + 8
        default: 64
        }
    }

    fileprivate func write(into writer: inout FrameWriter) {
        switch self {
        case .hello(let hello):
            writer.integer(hello.versions.lowerBound)
            writer.integer(hello.versions.upperBound)
            writer.integer(hello.store)
            if Hello.tellsLife(hello.versions) { writer.integer(hello.life) }
            hello.digest.write(into: &writer)
            writer.short(hello.program)
        case .welcome(let welcome):
            writer.integer(welcome.version)
            writer.integer(welcome.seed)
            writer.byte(welcome.wantsInventory ? 1 : 0)
            writer.integer(welcome.heartbeatSeconds)
            writer.integer(welcome.timeSeconds)
        case .inventory(let entries, let isLast):
            writer.byte(isLast ? 1 : 0)
            Self.write(entries, into: &writer)
        case .drop(let entries): Self.write(entries, into: &writer)
        case .change(let ref, let stamp, let bytes):
            ref.write(into: &writer)
            stamp.write(into: &writer)
            writer.blob(bytes)
        case .gone(let ref): ref.write(into: &writer)
        case .ack(let number): writer.integer(number)
        case .report(let report): report.write(into: &writer)
        case .results(let results):
            writer.integer(UInt16(results.count))
            for result in results { result.write(into: &writer) }
        case .heartbeat: break
        case .digest(let digest): digest.write(into: &writer)
        case .open(let stream, let call):
            writer.integer(stream)
            writer.blob(call)
        case .data(let stream, .data(let channel, let bytes)):
            writer.integer(stream)
            writer.byte(channel.rawValue)
            writer.blob(bytes)
        case .data(let stream, .end(let channel)):
            writer.integer(stream)
            writer.byte(channel.rawValue | 0x80)
        case .credit(let stream, let bytes):
            writer.integer(stream)
            writer.integer(bytes)
        case .close(let stream, let status):
            writer.integer(stream)
            writer.blob(status)
        case .goodbye(let goodbye):
            writer.byte(goodbye.reason.rawValue)
            writer.integer(goodbye.retryAfterSeconds)
            writer.text(goodbye.message)
        }
    }

    private static func write(_ entries: [HeldEntry], into writer: inout FrameWriter) {
        writer.integer(UInt16(entries.count))
        for entry in entries {
            writer.integer(entry.number)
            entry.stamp.write(into: &writer)
        }
    }

    fileprivate init(type: UInt8, _ reader: inout FrameReader) throws(FrameError) {
        switch type {
        case 1: self = .hello(try Hello(&reader))
        case 2: self = .welcome(try Welcome(&reader))
        case 3:
            let isLast = try reader.flag()
            self = .inventory(try reader.entries(), isLast: isLast)
        case 4:
            let ref = try ObjectRef(&reader)
            let stamp = try Stamp(&reader)
            self = .change(ref, stamp, try reader.blob(bytesMax: HubLimits.bodyBytesMax))
        case 5: self = .gone(try ObjectRef(&reader))
        case 6: self = .drop(try reader.entries())
        case 7: self = .ack(through: try reader.integer())
        case 8: self = .report(try Report(&reader))
        case 9:
            var results: [ReportResult] = []
            for _ in 0..<(try reader.count(of: 9, countMax: HubLimits.resultsMax)) { results.append(try ReportResult(&reader)) }
            self = .results(results)
        case 10: self = .heartbeat
        case 11: self = .digest(try HoldingsDigest(&reader))
        case 12:
            let stream: UInt32 = try reader.integer()
            self = .open(stream: stream, call: try reader.blob(bytesMax: HubLimits.callBytesMax))
        case 13:
            let stream: UInt32 = try reader.integer()
            let byte = try reader.byte()
            guard let channel = CallChannel(rawValue: byte & 0x7f) else { throw FrameError("channel \(byte & 0x7f) of a call") }
            self = .data(
                stream: stream, byte & 0x80 != 0 ? .end(channel) : .data(channel, try reader.blob(bytesMax: CallFrame.bytesMax)))
        case 14:
            let stream: UInt32 = try reader.integer()
            self = .credit(stream: stream, bytes: try reader.integer())
        case 15:
            let stream: UInt32 = try reader.integer()
            self = .close(stream: stream, status: try reader.blob(bytesMax: 64 << 10))
        case 16: self = .goodbye(try Goodbye(&reader))
        default: throw FrameError("a frame of type \(type), known are 1 to 16")
        }
    }
}

extension FrameReader {
    fileprivate mutating func flag() throws(FrameError) -> Bool {
        let value = try byte()
        guard value <= 1 else { throw FrameError("\(value) at byte \(position - 1), where 0 or 1 stands") }
        return value == 1
    }

    fileprivate mutating func entries() throws(FrameError) -> [HeldEntry] {
        let count = try count(of: 24, countMax: HubLimits.entriesMax)
        var entries: [HeldEntry] = []
        entries.reserveCapacity(count)
        for _ in 0..<count {
            let number: UInt64 = try integer()
            entries.append(HeldEntry(number: number, stamp: try Stamp(&self)))
        }
        return entries
    }
}

extension Hello {
    fileprivate init(_ reader: inout FrameReader) throws(FrameError) {
        let from: UInt16 = try reader.integer()
        let to: UInt16 = try reader.integer()
        guard from <= to else { throw FrameError("versions from \(from) to \(to)") }
        let store: UInt64 = try reader.integer()
        let life: UInt64 = Self.tellsLife(from...to) ? try reader.integer() : 0
        let digest = try HoldingsDigest(&reader)
        self.init(versions: from...to, store: store, life: life, digest: digest, program: try reader.short())
    }

    /// Who speaks no version but the first says nothing of its life.
    fileprivate static func tellsLife(_ versions: ClosedRange<UInt16>) -> Bool { versions.upperBound >= 2 }
}

extension Welcome {
    fileprivate init(_ reader: inout FrameReader) throws(FrameError) {
        let version: UInt16 = try reader.integer()
        let seed: UInt64 = try reader.integer()
        let wantsInventory = try reader.flag()
        let heartbeat: UInt16 = try reader.integer()
        guard (1...3600).contains(heartbeat) else { throw FrameError("a heartbeat every \(heartbeat) seconds, 1 to 3600 are allowed") }
        self.init(
            version: version, seed: seed, wantsInventory: wantsInventory, heartbeatSeconds: heartbeat, timeSeconds: try reader.integer())
    }
}

extension ObjectRef {
    fileprivate func write(into writer: inout FrameWriter) {
        for text in [kind.group, kind.version, kind.kind, kind.plural] { writer.short(text) }
        writer.byte(kind.isNamespaced ? 1 : 0)
        writer.short(key.namespace)
        writer.short(key.name)
    }

    fileprivate init(_ reader: inout FrameReader) throws(FrameError) {
        let group = try reader.short()
        let version = try reader.short()
        let kind = try reader.short()
        let plural = try reader.short()
        let isNamespaced = try reader.flag()
        let namespace = try reader.short()
        self.init(
            ResourceKind(group: group, version: version, kind: kind, plural: plural, isNamespaced: isNamespaced),
            ObjectKey(namespace: namespace, name: try reader.short()))
    }
}

extension Stamp {
    fileprivate func write(into writer: inout FrameWriter) {
        writer.integer(body)
        writer.integer(status)
    }

    fileprivate init(_ reader: inout FrameReader) throws(FrameError) {
        let body: UInt64 = try reader.integer()
        self.init(body: body, status: try reader.integer())
    }
}

extension HoldingsDigest {
    fileprivate func write(into writer: inout FrameWriter) {
        writer.integer(count)
        writer.integer(sums.0)
        writer.integer(sums.1)
    }

    fileprivate init(_ reader: inout FrameReader) throws(FrameError) {
        let count: UInt32 = try reader.integer()
        let first: UInt64 = try reader.integer()
        self.init(count: count, sums: (first, try reader.integer()))
    }
}

extension Report {
    fileprivate func write(into writer: inout FrameWriter) {
        writer.integer(id)
        writer.byte(topic.rawValue)
        writer.byte(verb.rawValue)
        writer.byte(part == .status ? 1 : 0)
        ref.write(into: &writer)
        writer.short(uid)
        writer.integer(expected)
        writer.blob(body)
    }

    fileprivate init(_ reader: inout FrameReader) throws(FrameError) {
        let id: UInt64 = try reader.integer()
        let (topicByte, verbByte, isStatus) = (try reader.byte(), try reader.byte(), try reader.flag())
        guard let topic = Topic(rawValue: topicByte), let verb = Verb(rawValue: verbByte) else {
            throw FrameError("a report of topic \(topicByte) and verb \(verbByte)")
        }
        let ref = try ObjectRef(&reader)
        let uid = try reader.short()
        let expected: UInt64 = try reader.integer()
        self.init(
            id: id, topic: topic, verb: verb, ref: ref, part: isStatus ? .status : .whole, uid: uid, expected: expected,
            body: try reader.blob(bytesMax: HubLimits.bodyBytesMax))
    }
}

extension ReportResult {
    fileprivate func write(into writer: inout FrameWriter) {
        writer.integer(id)
        switch outcome {
        case .done(let isExpected): writer.byte(isExpected ? 1 : 0)
        case .refused(let code, let message):
            writer.byte(2)
            writer.integer(code)
            writer.text(message)
        case .later(let seconds):
            writer.byte(3)
            writer.integer(seconds)
        }
    }

    fileprivate init(_ reader: inout FrameReader) throws(FrameError) {
        let id: UInt64 = try reader.integer()
        switch try reader.byte() {
        case 0: self.init(id: id, .done(isExpected: false))
        case 1: self.init(id: id, .done(isExpected: true))
        case 2:
            let code: UInt16 = try reader.integer()
            self.init(id: id, .refused(code: code, message: try reader.text()))
        case 3: self.init(id: id, .later(seconds: try reader.integer()))
        case let other: throw FrameError("a result of kind \(other)")
        }
    }
}

extension Goodbye {
    fileprivate init(_ reader: inout FrameReader) throws(FrameError) {
        let byte = try reader.byte()
        guard let reason = Reason(rawValue: byte) else { throw FrameError("a goodbye of reason \(byte)") }
        let wait: UInt16 = try reader.integer()
        self.init(reason, try reader.text(), retryAfterSeconds: min(wait, 3600))
    }
}

/// The order of the frames of one link, as each side keeps it.
///
/// A frame that was seen is ignored, one that is missing ends the link.
struct FrameOrder: Sendable, Equatable {
    private(set) var sent: UInt32 = 0
    private(set) var received: UInt32 = 0

    enum Judgement: Equatable { case new, seen, missing }

    /// The message of the next frame.
    mutating func number(_ frame: Frame) -> [UInt8] {
        switch frame {
        case .heartbeat, .goodbye: break
        // Frames of one link never come to this many: 2^32 are years of full load.
        default: sent += 1
        }
        return NumberedFrame(sent, frame).message
    }

    mutating func judge(_ frame: NumberedFrame) -> Judgement {
        switch frame.frame {
        case .goodbye: return .new
        case .heartbeat: return frame.number > received ? .missing : .new
        default:
            if frame.number <= received { return .seen }
            guard frame.number == received + 1 else { return .missing }
            received += 1
            return .new
        }
    }
}

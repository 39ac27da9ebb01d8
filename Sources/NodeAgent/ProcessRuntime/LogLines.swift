import Resources

/// What a process prints, as lines of the log format of Kubernetes' container runtime interface:
/// `2026-11-20T23:30:05.000000000Z stdout F text`; a line longer than `lineBytesMax` comes in parts, marked `P` up to its last.
struct LogLines: Sendable {
    static let lineBytesMax = 16 << 10
    private let word: String
    private var open: [UInt8] = []

    /// - Parameter stream: `stdout` or `stderr`.
    init(stream: String) { word = stream }

    /// Takes what was printed.
    ///
    /// - Parameter nanoseconds: time of the day.
    /// - Returns: whole lines for the log; what has no end yet is kept.
    mutating func take(_ bytes: some Collection<UInt8>, nanoseconds: Int64) -> [UInt8] {
        var result: [UInt8] = []
        let head = Self.time(nanoseconds) + " \(word) "
        var rest = bytes[...]
        while let end = rest.firstIndex(of: 0x0a) {
            open += rest[..<end]
            rest = rest[rest.index(after: end)...]
            flushParts(head, &result, keeping: Self.lineBytesMax)
            write(head, "F ", open, &result)
            open = []
        }
        open += rest
        flushParts(head, &result, keeping: Self.lineBytesMax)
        return result
    }

    /// The line that has no end, at the end of the stream; empty if there is none.
    mutating func finish(nanoseconds: Int64) -> [UInt8] {
        guard !open.isEmpty else { return [] }
        var result: [UInt8] = []
        // Its newline was never printed: a reader joins parts and prints none either.
        write(Self.time(nanoseconds) + " \(word) ", "P ", open, &result)
        open = []
        return result
    }

    private mutating func flushParts(_ head: String, _ result: inout [UInt8], keeping: Int) {
        while open.count > keeping {
            write(head, "P ", Array(open[..<Self.lineBytesMax]), &result)
            open.removeFirst(Self.lineBytesMax)
        }
    }

    private func write(_ head: String, _ tag: String, _ text: [UInt8], _ result: inout [UInt8]) {
        result += Array(head.utf8)
        result += Array(tag.utf8)
        result += text
        result.append(0x0a)
    }

    /// RFC 3339 with nanoseconds.
    static func time(_ nanoseconds: Int64) -> String {
        let seconds = Timestamp(seconds: nanoseconds / 1_000_000_000).text.dropLast()
        let fraction = String(nanoseconds % 1_000_000_000)
        return seconds + "." + String(repeating: "0", count: max(0, 9 - fraction.count)) + fraction + "Z"
    }
}

/// One line of a log file.
struct LogEntry: Sendable, Hashable {
    /// RFC 3339 with nanoseconds, as it is written.
    var time: Substring
    var isError: Bool
    /// Ends its line: the newline was printed.
    var isWhole: Bool
    var text: ArraySlice<UInt8>

    /// Nil for a line that is none of the format's.
    init?(_ line: ArraySlice<UInt8>) {
        guard let first = line.firstIndex(of: 0x20), let second = line[(first + 1)...].firstIndex(of: 0x20),
            let third = line[(second + 1)...].firstIndex(of: 0x20)
        else { return nil }
        time = Substring(decoding: line[..<first], as: UTF8.self)
        let stream = line[(first + 1)..<second]
        guard stream.elementsEqual("stdout".utf8) || stream.elementsEqual("stderr".utf8) else { return nil }
        isError = stream.elementsEqual("stderr".utf8)
        isWhole = line[(second + 1)..<third].elementsEqual("F".utf8)
        text = line[(third + 1)...]
    }
}

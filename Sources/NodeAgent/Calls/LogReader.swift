import Resources

#if canImport(Glibc)
    import Glibc
#endif

/// Reads the log of one life of a container as it was asked for, in bounded memory, and goes on with what is added.
struct LogReader: Sendable {
    /// Time from look to look while nothing is added.
    private static let followPeriod: Duration = .milliseconds(100)
    private static let chunkBytes = 64 << 10

    let query: LogQuery
    /// By the clock of the lines; nil for all.
    private let since: String?

    /// - Parameter now: for what is asked for in seconds before it.
    /// - Throws: 400 for a time that is none.
    init(_ query: LogQuery, now: Timestamp) throws(APIStatus) {
        self.query = query
        if let text = query.sinceTime {
            guard let time = Timestamp(text) else {
                throw .badRequest("sinceTime: found \"\(text)\"; must be RFC 3339, as 2026-11-20T23:30:05Z")
            }
            since = LogLines.time(time.seconds * 1_000_000_000)
        } else {
            since = query.sinceSeconds.map { LogLines.time(max(0, now.seconds - $0) * 1_000_000_000) }
        }
    }

    /// What a line is printed as; nil for one that was not asked for.
    func text(_ line: ArraySlice<UInt8>, atLineStart: Bool) -> [UInt8]? {
        guard let entry = LogEntry(line) else { return nil }
        if let since, entry.time < since { return nil }
        var result: [UInt8] = []
        if query.timestamps, atLineStart { result = Array((entry.time + " ").utf8) }
        result += entry.text
        if entry.isWhole { result.append(0x0a) }
        return result
    }

    /// Sends what was asked for.
    ///
    /// - Parameters:
    ///   - files: the log's, oldest first, as they are now.
    ///   - isOver: whether nothing more can come.
    ///   - send: takes bytes, and whether they were printed on standard error.
    func run(
        files: @Sendable () -> [String], isOver: @Sendable () -> Bool, send: @Sendable ([UInt8], Bool) async throws(APIStatus) -> Void
    ) async throws(APIStatus) {
        var cursor = LogCursor(files: files(), tailLines: query.tailLines)
        defer { cursor.close() }
        var left = query.limitBytes ?? .max
        var atLineStart = true
        while !Task.isCancelled {
            // Asked before reading: what is written until the end is read after it.
            let wasOver = isOver()
            var isRead = false
            while let lines = cursor.next(Self.chunkBytes, files: files) {
                isRead = true
                // Pieces of one stream, in the order they were printed.
                var pieces: [(bytes: [UInt8], isError: Bool)] = []
                for line in lines {
                    let entry = LogEntry(line)
                    if var text = text(line, atLineStart: atLineStart) {
                        if text.count > left { text.removeLast(text.count - left) }
                        left -= text.count
                        let isError = entry?.isError ?? false
                        let isNew = pieces.last.map { $0.isError != isError || $0.bytes.count + text.count > CallFrame.bytesMax } ?? true
                        if isNew { pieces.append((text, isError)) } else { pieces[pieces.count - 1].bytes += text }
                    }
                    atLineStart = entry?.isWhole ?? true
                }
                for piece in pieces where !piece.bytes.isEmpty { try await send(piece.bytes, piece.isError) }
                if left == 0 { return }
            }
            if isRead { continue }
            if !query.follows || wasOver { return }
            try? await Task.sleep(for: Self.followPeriod)
        }
    }
}

/// A place in a log that is rotated while it is read: files in order, each to its end, then the next.
private struct LogCursor {
    private var descriptor: Int32 = -1
    /// Of the file that is open; files are renamed, never copied.
    private var inode: UInt64 = 0
    /// The file that is open has been renamed: nothing is added to it any more.
    private var isLast = false
    /// Read, and not yet a whole line.
    private var rest: [UInt8] = []

    /// - Parameter tailLines: begins before so many lines at the end; nil for the beginning.
    init(files: [String], tailLines: Int?) {
        guard let tailLines else {
            if let first = files.first { open(first) }
            return
        }
        // Lines are counted from the end; parts of a long line count as one.
        var missing = tailLines
        for path in files.reversed() {
            open(path)
            guard descriptor >= 0 else { continue }
            let (place, counted) = Self.place(descriptor, before: missing)
            missing -= counted
            lseek(descriptor, place, SEEK_SET)
            if missing <= 0 { return }
        }
    }

    /// Where the last lines of a file begin.
    ///
    /// - Returns: the place, and how many lines there are behind it, at most `wanted`.
    private static func place(_ descriptor: Int32, before wanted: Int) -> (off_t, Int) {
        let end = lseek(descriptor, 0, SEEK_END)
        if wanted <= 0 { return (end, 0) }
        var position = end
        var later: [UInt8] = []
        var count = 0
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        /// Where the line begins whose head is being looked at; lines are taken from the last to the first.
        var lineEnd = end
        while position > 0 {
            let size = min(off_t(buffer.count), position)
            position -= size
            guard pread(descriptor, &buffer, Int(size), position) == Int(size) else { break }
            var block = Array(buffer[..<Int(size)]) + later
            // A newline before the end of what is known begins a line behind it.
            while block.count > 1, let cut = block[..<(block.count - 1)].lastIndex(of: 0x0a) {
                let line = block[(cut + 1)...]
                lineEnd = position + off_t(cut) + 1
                // A part that is not the last of its line belongs to the line counted before.
                if LogEntry(line.last == 0x0a ? line.dropLast() : line)?.isWhole ?? true {
                    if count == wanted { return (lineEnd + off_t(line.count), count) }
                    count += 1
                }
                block.removeLast(block.count - cut - 1)
            }
            later = block
        }
        if !later.isEmpty {
            if LogEntry(later.last == 0x0a ? later.dropLast() : later[...])?.isWhole ?? true {
                if count == wanted { return (off_t(later.count), count) }
                count += 1
            }
        }
        return (0, count)
    }

    private mutating func open(_ path: String) {
        close()
        isLast = false
        descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        var status = stat()
        inode = descriptor >= 0 && fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : 0
    }

    mutating func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    /// Whole lines of about so many bytes, from where the reading stands; nil if there are none now.
    mutating func next(_ bytesMax: Int, files: () -> [String]) -> [ArraySlice<UInt8>]? {
        while true {
            if descriptor >= 0 {
                var buffer = [UInt8](repeating: 0, count: bytesMax)
                let count = read(descriptor, &buffer, buffer.count)
                if count > 0 {
                    rest += buffer[..<count]
                    guard let end = rest.lastIndex(of: 0x0a) else { continue }
                    let lines = rest[..<end].split(separator: 0x0a, omittingEmptySubsequences: true)
                    rest = Array(rest[(end + 1)...])
                    return lines
                }
            }
            let files = files()
            guard hasNext(files) else { return nil }
            // Between the last reading and the renaming a line may have come; none comes any more.
            guard descriptor < 0 || isLast else {
                isLast = true
                continue
            }
            guard openNext(files) else { return nil }
        }
    }

    private func hasNext(_ files: [String]) -> Bool { descriptor < 0 ? !files.isEmpty : next(files) < files.count }

    /// Which of the files comes behind the one that is open. One that is not there any more was the oldest: the oldest there is follows it.
    private func next(_ files: [String]) -> Int {
        let inodes = files.map { path -> UInt64 in
            var status = stat()
            return stat(path, &status) == 0 ? UInt64(status.st_ino) : 0
        }
        return inodes.firstIndex(of: inode).map { $0 + 1 } ?? 0
    }

    /// Goes on with the file behind the one that is read to its end.
    private mutating func openNext(_ files: [String]) -> Bool {
        guard descriptor >= 0 else {
            guard let first = files.first else { return false }
            open(first)
            return descriptor >= 0
        }
        let place = next(files)
        guard place < files.count else { return false }
        open(files[place])
        return descriptor >= 0
    }
}

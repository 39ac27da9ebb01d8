import Learning
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where answers go. Used on one queue.
protocol StreamSink: AnyObject {
    /// As the Model has it.
    var name: String { get }
    /// Takes answers; they are safe once it returns.
    ///
    /// - Throws: some may have arrived; all are to be given again.
    func write(_ answers: [StreamAnswer]) throws
    /// Called now and then while there is nothing to write.
    func idle()
}

/// Appends answers to a file, a line each, and has them on the disk before it returns. A file that is full, or has other columns, gets the
/// name with `.1`; one that somebody has renamed is begun anew.
final class FileSink: StreamSink {
    /// Bytes at a file's end that are searched for the last whole line.
    private static let tornBytesMax = 2 << 20
    let name: String
    private let file: ModelStreams.File
    private var descriptor: Int32 = -1
    private var size = 0
    private var columns: [String]?

    init(_ file: ModelStreams.File, name: String) { (self.file, self.name) = (file, name) }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func idle() {}

    func write(_ answers: [StreamAnswer]) throws {
        guard !answers.isEmpty else { return }
        var rest = answers[...]
        // Rows of one kind together: a new version of the model may answer with other columns.
        while let next = rest.first {
            let names = next.fields.map(\.name)
            let group = file.format == .json ? rest : rest.prefix { $0.fields.map(\.name) == names }
            try write(group, columns: names)
            rest = rest.dropFirst(group.count)
        }
        guard fdatasync(descriptor) == 0 else { throw fault("cannot be forced to the disk") }
    }

    private func write(_ answers: ArraySlice<StreamAnswer>, columns names: [String]) throws {
        if descriptor < 0 || !isThere { try open() }
        var bytes: [UInt8] = []
        for answer in answers {
            bytes += file.format == .csv ? csvLine(answer.words) : answer.json + [0x0a]
        }
        let isOther = file.format == .csv && columns != nil && columns != names
        if size > 0, isOther || size + bytes.count > file.bytesMax {
            guard rename(file.path, "\(file.path).1") == 0 else { throw fault("cannot be renamed to \(name).1") }
            try open()
        }
        if file.format == .csv, size == 0 {
            bytes = csvLine(names) + bytes
            columns = names
        }
        try append(bytes)
    }

    private func append(_ bytes: [UInt8]) throws {
        let written = bytes.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress!, $0.count) }
        guard written == bytes.count else {
            let error = fault("cannot be written")
            // No half of a line stays.
            if written > 0 { ftruncate(descriptor, off_t(size)) }
            throw error
        }
        size += bytes.count
    }

    /// Whether the path still names the file that is open.
    private var isThere: Bool {
        var (own, named) = (stat(), stat())
        return fstat(descriptor, &own) == 0 && stat(file.path, &named) == 0 && own.st_ino == named.st_ino && own.st_dev == named.st_dev
    }

    private func open() throws {
        if descriptor >= 0 { close(descriptor) }
        descriptor = systemOpen(file.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else { throw fault("cannot be opened") }
        size = Int(status.st_size)
        columns = nil
        if size > 0 { try mend() }
        if size > 0, file.format == .csv { columns = try header() }
    }

    /// Cuts what a power failure has left of a line: it was not acknowledged.
    private func mend() throws {
        let count = min(size, Self.tornBytesMax)
        let tail = try bytes(at: size - count, count)
        guard tail.last != 0x0a else { return }
        guard let end = tail.lastIndex(of: 0x0a) else {
            if count < size { throw StreamFault("\(name) holds no lines; is it a file of this sink?") }
            return try cut(to: 0)
        }
        try cut(to: size - count + end + 1)
    }

    private func cut(to length: Int) throws {
        guard ftruncate(descriptor, off_t(length)) == 0 else { throw fault("cannot be cut to its last whole line") }
        size = length
    }

    private func header() throws -> [String] {
        let head = try bytes(at: 0, min(size, 1 << 16))
        guard let end = head.firstIndex(of: 0x0a), let names = try? StreamRecord.fields(Array(head[..<end])) else {
            throw StreamFault("\(name) does not begin with a line of columns; is it a file of this sink?")
        }
        return names
    }

    private func bytes(at offset: Int, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let found = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress!, count, off_t(offset)) }
        guard found == count else { throw fault("cannot be read") }
        return bytes
    }

    private func fault(_ what: String) -> StreamFault {
        StreamFault("\(name) \(what): \(String(cString: strerror(errno))); free space there, or let the worker write it")
    }
}

private func systemOpen(_ path: String, _ flags: Int32) -> Int32 { open(path, flags, 0o644) }
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int { write(descriptor, bytes, count) }

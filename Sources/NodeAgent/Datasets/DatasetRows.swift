import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#endif

/// Rows of a data set that are to be copied into a folder: everything that is needed to find them again in the file.
struct DatasetRows: Sendable {
    let wanted: NodeVolume.Rows
    /// The first row that is not wanted.
    let to: Int64
    let path: String
    let format: DatasetFormat
    let facts: FileFacts
    /// Line 1 of `csv`.
    let header: [UInt8]
    /// Where to begin to read: byte, line, row.
    let offset: Int64
    let line: Int64
    let firstRow: Int64

    private struct Done: Error {}

    /// Writes `data.csv` or `data.txt`, and `dataset.json` that describes it.
    ///
    /// - Returns: the names of the files.
    /// - Throws: `ContainerRefusal` if the file is no longer the one that was read, `SystemFiles.Failure`.
    func write(to folder: String) throws -> [String] {
        let reading = open(path, O_RDONLY | O_CLOEXEC)
        guard reading >= 0 else { throw SystemFiles.Failure(what: "cannot read \(path)", code: errno) }
        defer { close(reading) }
        var status = stat()
        guard fstat(reading, &status) == 0, case let now = FileFacts(status), now.inode == facts.inode, now.device == facts.device,
            now.size >= facts.size
        else { throw ContainerRefusal("ContainerCreating", "dataset \"\(wanted.dataset)\": \(path) was replaced while rows were copied") }
        let name = "data.\(format.rawValue)"
        let target = "\(folder)/\(name)"
        let writing = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard writing >= 0 else { throw SystemFiles.Failure(what: "cannot create \(target)", code: errno) }
        defer { close(writing) }
        let (count, digest) = try copy(from: reading, to: writing, target)
        let description: JSON = [
            "dataset": .string(wanted.dataset), "from": .integer(wanted.from), "to": .integer(to), "part": .string(wanted.part.rawValue),
            "rows": .integer(count), "digest": .string(digest.description),
        ]
        let file = open("\(folder)/dataset.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { throw SystemFiles.Failure(what: "cannot create \(folder)/dataset.json", code: errno) }
        defer { close(file) }
        guard SystemFiles.write(description.bytes(), to: file) else {
            throw SystemFiles.Failure(what: "cannot write \(folder)/dataset.json", code: errno)
        }
        return [name, "dataset.json"]
    }

    private func copy(from reading: Int32, to writing: Int32, _ target: String) throws -> (Int64, ArtifactDigest) {
        var members: [Bool] = []
        if wanted.part != .all {
            members = DatasetSplit.members(
                of: wanted.part, count: Int(to - wanted.from), trainShare: wanted.trainShare, seed: wanted.seed)
        }
        var (row, count, digest) = (firstRow, Int64(0), RollingDigest())
        var buffer: [UInt8] = []
        func flush() throws(SystemFiles.Failure) {
            buffer.withUnsafeBytes { digest.update($0) }
            guard SystemFiles.write(buffer, to: writing) else { throw SystemFiles.Failure(what: "cannot write \(target)", code: errno) }
            buffer.removeAll(keepingCapacity: true)
        }
        if format == .csv { buffer = header + [UInt8(ascii: "\n")] }
        func take(_ record: RecordScanner.Record) {
            if row >= wanted.from, row < to, members.isEmpty || members[Int(row - wanted.from)] {
                buffer += record.bytes
                buffer.append(UInt8(ascii: "\n"))
                count += 1
            }
            row += 1
        }
        var scanner = RecordScanner(format, offset: offset, line: line)
        // Without rows the place is the header's.
        if format == .csv, offset == 0 { row = -1 }
        var bytes = [UInt8](repeating: 0, count: 256 << 10)
        while row < to {
            let got = bytes.withUnsafeMutableBytes { pread(reading, $0.baseAddress, $0.count, off_t(scanner.offset)) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw SystemFiles.Failure(what: "cannot read \(path)", code: errno) }
            if got == 0 {
                try scanner.finish { record throws(DatasetFault) in take(record) }
                break
            }
            try bytes.withUnsafeBytes {
                try scanner.consume(UnsafeRawBufferPointer(rebasing: $0[..<got])) { record throws(DatasetFault) in take(record) }
            }
            try flush()
        }
        try flush()
        guard row >= to else {
            throw ContainerRefusal("ContainerCreating", "dataset \"\(wanted.dataset)\": \(path) became shorter while rows were copied")
        }
        return (count, digest.value)
    }
}

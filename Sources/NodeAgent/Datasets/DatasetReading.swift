import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#endif

/// Which file a path leads to, and how far it has been written.
struct FileFacts: Sendable, Hashable {
    var device: UInt64
    var inode: UInt64
    var size: Int64
    /// Nanoseconds since 1970.
    var modifiedAt: Int64

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        modifiedAt = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }
}

/// What is known of a data set's file after having read it up to some byte; a copy can go on from there.
struct DatasetReading: Sendable {
    /// Rows between two places that are remembered.
    private static let indexStep: Int64 = 1024
    private static let fieldsMax = 4096

    /// What the reading depends on beside the file.
    struct Wish: Sendable, Hashable {
        var path: String
        var format: DatasetFormat
        /// The column with the label.
        var label: String?
        /// Rows that have been learned from: what comes after is compared with them.
        var trainedRows: Int64?
    }

    let wish: Wish
    private(set) var scanner: RecordScanner
    /// Names of the columns; nil before the header, and for `txt`.
    private(set) var header: [String]?
    private var headerText: [UInt8] = []
    private(set) var rowCount: Int64 = 0
    /// Of header and rows, each with one line feed at its end.
    private(set) var digest = RollingDigest()
    /// Of all rows.
    private(set) var profile: DatasetProfile?
    /// Of the rows that have been learned from, and of those after them.
    private(set) var trained: DatasetProfile?
    private(set) var untrained: DatasetProfile?
    /// Where every so many rows begins: byte and line.
    private var places: [(offset: Int64, line: Int64)] = []
    /// After so many rows the digest is remembered.
    private let checkAt: Int64?
    private(set) var checkedDigest: ArtifactDigest?
    /// Bytes before the place that was read to, to see whether the file is still the same up to there.
    private(set) var tail: [UInt8] = []

    /// - Parameter checkAt: rows after which `checkedDigest` is to say what has been read.
    init(_ wish: Wish, checkAt: Int64?) {
        self.wish = wish
        self.checkAt = checkAt
        scanner = RecordScanner(wish.format)
    }

    /// Bytes that have been read.
    var byteCount: Int64 { scanner.offset }

    /// Takes the next bytes of the file.
    mutating func consume(_ bytes: UnsafeRawBufferPointer) throws(DatasetFault) {
        var scanner = scanner
        try scanner.consume(bytes) { record throws(DatasetFault) in try take(record) }
        self.scanner = scanner
        tail = Array((tail + bytes.suffix(4096)).suffix(4096))
    }

    /// As if the file's last line were whole though no line break ends it.
    func finished() throws(DatasetFault) -> DatasetReading {
        guard scanner.hasUnfinished else { return self }
        var copy = self
        var scanner = scanner
        try scanner.finish { record throws(DatasetFault) in try copy.take(record) }
        copy.scanner = scanner
        return copy
    }

    private mutating func take(_ record: RecordScanner.Record) throws(DatasetFault) {
        if wish.format == .csv, header == nil {
            try takeHeader(record)
        } else {
            try takeRow(record)
        }
        digest.update(UnsafeRawBufferPointer(record.bytes))
        withUnsafeBytes(of: UInt8(ascii: "\n")) { digest.update($0) }
        if rowCount == checkAt, checkedDigest == nil { checkedDigest = digest.value }
    }

    private mutating func takeHeader(_ record: RecordScanner.Record) throws(DatasetFault) {
        var names: [String] = []
        let count = RecordScanner.fields(record.bytes) { _, field in names.append(String(decoding: field, as: UTF8.self)) }
        guard count <= Self.fieldsMax else {
            throw DatasetFault(.tooLarge, "line \(record.line): \(count) columns, at most \(Self.fieldsMax) are read")
        }
        var known: Set<String> = []
        if let twice = names.first(where: { !known.insert($0).inserted }) {
            throw DatasetFault(.badFormat, "line \(record.line): column \"\(twice.prefix(80))\" occurs twice; fix the header")
        }
        if let label = wish.label, !known.contains(label) {
            throw DatasetFault(
                .badFormat,
                "line \(record.line): no column \"\(label)\" for the label (found: \(names.prefix(40).joined(separator: ", "))); fix the header, or the Dataset's label"
            )
        }
        header = names
        headerText = Array(record.bytes)
        profile = DatasetProfile(names, label: wish.label)
        if wish.trainedRows != nil {
            trained = DatasetProfile(names, label: nil)
            untrained = trained
        }
    }

    private mutating func takeRow(_ record: RecordScanner.Record) throws(DatasetFault) {
        if rowCount % Self.indexStep == 0 { places.append((record.offset, record.line)) }
        if let header {
            let count = profile!.take(record.bytes)
            guard count == header.count else {
                throw DatasetFault(.badFormat, "line \(record.line): \(count) fields, the header has \(header.count)")
            }
            if let rows = wish.trainedRows {
                if rowCount < rows { _ = trained!.take(record.bytes) } else { _ = untrained!.take(record.bytes) }
            }
        }
        rowCount += 1
    }

    /// Columns that are distributed otherwise than in the rows that were learned from, or else than in the version before.
    func drift(since before: DatasetProfile?) -> (columns: [(column: String, index: Double)], since: String)? {
        if wish.trainedRows != nil {
            guard let trained, let untrained else { return nil }
            return untrained.drift(since: trained).map { ($0, "the rows that were trained on") }
        }
        guard let before, let profile else { return nil }
        return profile.drift(since: before).map { ($0, "the version before") }
    }

    /// How much the column that changed most has changed, by population stability index; nil where nothing can be said.
    func driftIndex(since before: DatasetProfile?) -> Double? {
        if wish.trainedRows != nil { return trained.flatMap { untrained?.indexes(since: $0)?.first?.index } }
        return before.flatMap { profile?.indexes(since: $0)?.first?.index }
    }

    // MARK: Rows

    /// A range of rows, to be copied.
    ///
    /// - Parameters:
    ///   - facts: of the file that was read.
    ///   - name: of the Dataset.
    func rows(_ rows: NodeVolume.Rows, facts: FileFacts) throws(DatasetFault) -> DatasetRows {
        let to = rows.to ?? rowCount
        guard to <= rowCount, rows.from <= to else {
            throw DatasetFault(
                .rowsMissing,
                "dataset \"\(rows.dataset)\" has \(rowCount) rows, rows \(rows.from) to \(rows.to.map { "\($0)" } ?? "the last") are asked for"
            )
        }
        let place = places.isEmpty ? (offset: Int64(0), line: Int64(1)) : places[min(places.count - 1, Int(rows.from / Self.indexStep))]
        return DatasetRows(
            wanted: rows, to: to, path: wish.path, format: wish.format, facts: facts, header: headerText, offset: place.offset,
            line: place.line, firstRow: rows.from / Self.indexStep * Self.indexStep)
    }
}

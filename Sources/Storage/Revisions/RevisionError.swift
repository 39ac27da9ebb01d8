/// Why the revision store refuses.
package enum RevisionError: Error, Equatable, CustomStringConvertible {
    /// A create of a name that exists, at this revision.
    case exists(revision: Int64)
    /// A change or deletion of a name that does not exist.
    case missing
    /// The name's revision is another than expected.
    case changed(revision: Int64)
    /// The revision asked for is no longer kept; the oldest that can be read is `oldest`.
    case compacted(oldest: Int64)
    /// The revision asked for does not exist yet; the newest is `newest`.
    case future(newest: Int64)
    /// The values together would exceed the store's limit.
    case full(bytesMax: Int)
    /// A row of the log is not what was written; the store does not open.
    case damaged(revision: Int64, file: String)
    /// Another process has the store open.
    case inUse(file: String)
    /// The disk failed at a commit; nothing is acknowledged any more until the store is opened again.
    case failed(String)
    case closed

    /// One line: the revision or file at fault and, where a person can act, the remedy.
    package var description: String {
        switch self {
        case .exists(let revision): "the name exists, at revision \(revision)"
        case .missing: "there is no such name"
        case .changed(let revision): "the name has been changed, its revision is \(revision)"
        case .compacted(let oldest): "the revision is no longer kept, the oldest is \(oldest)"
        case .future(let newest): "the revision does not exist yet, the newest is \(newest)"
        case .full(let bytesMax): "the store is full: its values may have \(bytesMax) bytes together; delete objects"
        case .damaged(let revision, let file):
            "\(file): the checksum of revision \(revision) does not match, so the file is damaged; restore it from a backup (skerry cloud restore)"
        case .inUse(let file): "\(file) is in use by another process; stop it, or name another data directory"
        case .failed(let reason): "the store failed and takes no more writes: \(reason); check the disk and start again"
        case .closed: "the store is closed"
        }
    }
}

package import Storage

/// What a job knows: its rounds with their tasks, models, adapters, samples, relations and decisions, in one SQLite file.
///
/// A round is recorded in one transaction; recording it twice is recording it once. One writer a file, any number of readers. Not shared
/// between threads: keep it in an actor. What is recorded is never changed, only added to.
package final class KnowledgeBase {
    let database: SQLiteDatabase

    /// Opens the file, makes it when `options` allow, and brings an older one to the newest version when it may be written.
    ///
    /// - Throws: a `SQLiteError` when the file is missing, damaged, locked, something else or of a newer program; `.empty` and
    ///   `.olderSchema` for a file that is opened for reading and has no tables, or not all.
    package init(_ location: SQLiteLocation, _ options: SQLiteOptions = SQLiteOptions()) throws {
        database = try SQLiteDatabase(location, options)
        if options.access == .readOnly {
            try checkVersion()
        } else {
            try database.migrate(to: KnowledgeSchema.schema)
        }
    }

    /// Versions of the file that this program knows: 1 to this.
    package static var schemaVersion: Int { KnowledgeSchema.schema.version }

    /// Writes one state of the knowledge base into a new file, which is whole and checked or not there; writers may go on.
    ///
    /// The file can be read from a read-only medium.
    ///
    /// - Parameter replace: whether a file of this name may be replaced.
    /// - Throws: `SQLiteError`: `.cannotOpen`, `.full`, `.busy`, `.corrupt`.
    package func export(to path: String, replace: Bool = false) throws {
        try database.backup(to: path, replace: replace)
    }

    /// The bytes of a file with this knowledge base, which lives in memory.
    ///
    /// - Throws: `SQLiteError.outOfMemory`.
    package func bytes() throws -> [UInt8] { try database.serialized() }

    /// Pages of the file times their size, bytes.
    package func sizeBytes() throws -> Int {
        guard case .integer(let pages)? = try database.value("PRAGMA page_count"),
            case .integer(let size)? = try database.value("PRAGMA page_size")
        else { return 0 }
        return Int(pages * size)
    }

    private func checkVersion() throws {
        try Self.checkReadable(version: try database.version(of: KnowledgeSchema.schema), of: database.name)
    }

    /// Judges a file that is opened for reading only; one of a newer version was refused before.
    ///
    /// - Throws: `.empty` for version 0, `.olderSchema`.
    package static func checkReadable(version: Int, of name: String) throws(KnowledgeError) {
        if version == 0 {
            throw KnowledgeError(.empty, "\(name) holds no knowledge base yet; record a round into it, or name another file")
        }
        guard version == schemaVersion else {
            throw KnowledgeError(
                .olderSchema,
                "\(name) is a knowledge base of version \(version), this program reads version \(schemaVersion);"
                    + " bring it up with: skerry kb upgrade --kb \(name)")
        }
    }
}

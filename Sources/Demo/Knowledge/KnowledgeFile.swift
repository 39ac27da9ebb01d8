package import KnowledgeBase
import Storage

/// A knowledge base made of the records of one run.
package enum KnowledgeFile {
    /// The bytes of a file that stands alone; made in memory, so that a run that is stopped leaves nothing.
    ///
    /// - Parameter time: seconds since 1970.
    /// - Throws: `KnowledgeError`, `SQLiteError`.
    package static func bytes(_ records: [RoundRecord], at time: Int64) throws -> [UInt8] {
        let knowledge = try KnowledgeBase(.memory)
        for record in records { try knowledge.record(record, at: time) }
        return try knowledge.bytes()
    }
}

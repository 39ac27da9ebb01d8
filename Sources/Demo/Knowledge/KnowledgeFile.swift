package import KnowledgeBase
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A knowledge base made of the records of one run, or of a cloud's.
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

    /// As the other, of a file that is there already.
    static func bytes(_ path: String, adding records: [RoundRecord], at time: Int64) throws -> [UInt8] {
        let knowledge = try KnowledgeBase(.file(path))
        for record in records { try knowledge.record(record, at: time) }
        // Whole and without a log beside it.
        let copy = path + ".copy"
        defer { unlink(copy) }
        try knowledge.export(to: copy, replace: true)
        return [UInt8](try Data(contentsOf: URL(filePath: copy)))
    }

    /// The rounds of a job, oldest first.
    static func records(_ path: String, of job: JobName) throws -> [RoundRecord] {
        let knowledge = try KnowledgeBase(.file(path))
        return try knowledge.roundNames().filter { $0.job == job }.sorted { $0.round < $1.round }.compactMap {
            try knowledge.round($0.job, $0.round, pod: $0.pod)
        }
    }

    /// Puts a file there, in place of another.
    static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try WholeFile(path: path, isPrivate: true)
        try file.write(bytes)
        try file.prepare()
        try file.commit()
    }
}

/// Why the knowledge base refused; names the object, the value found, and what to do.
///
/// Failures of the file itself (missing, damaged, locked, full disk, of a newer program) are `SQLiteError`s.
package struct KnowledgeError: Error, Equatable, CustomStringConvertible {
    /// What callers may switch on.
    package enum Code: Equatable, Sendable {
        /// A round record contradicts itself, or a value is out of its bounds.
        case invalidRecord
        /// The (job, round, pod) is known with another content.
        case differentContent
        /// A task, model or data set is known with other facts.
        case redefined
        /// A query would do more than read, or is no query.
        case refusedQuery
        /// A query ran longer than it may.
        case timeLimit
        /// A query's result is larger than it may be.
        case sizeLimit
        /// The file was made by an older program and is opened for reading only.
        case olderSchema
        /// The file holds no knowledge base.
        case empty
    }

    /// Decides what a caller does; the message is for people.
    package var code: Code
    /// One sentence: the object, the value found, and the remedy.
    package var message: String

    /// Made by this room, and by the program for a record's file that is too large to be read.
    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The message as it is: it names its object itself.
    package var description: String { message }
}

/// Where a database lives.
package enum SQLiteLocation: Equatable, Sendable {
    /// Path of a file; special names of SQLite (`:memory:`, `file:…`) are taken as plain file names.
    case file(String)
    /// A database of this connection only, gone with it.
    case memory

    /// The name for messages.
    package var name: String {
        switch self {
        case .file(let path): path
        case .memory: "the database in memory"
        }
    }
}

/// How a connection behaves.
package struct SQLiteOptions: Equatable, Sendable {
    /// Whether the connection may write, and whether it may create the file.
    package enum Access: Equatable, Sendable {
        /// Reads and writes; creates a missing file.
        case create
        /// Reads and writes an existing file.
        case readWrite
        /// Only reads an existing file. In WAL mode the folder must be writable or a writer be open.
        case readOnly
    }

    /// Checked at opening: `.cannotOpen` for a missing file that must exist, `.readOnly` at a write that is not allowed.
    package var access: Access
    /// How long a statement waits for another connection's lock before it fails with `.busy`.
    package var busyTimeout: Duration = .seconds(5)
    /// Memory for pages of this connection, in KiB.
    package var cacheKiB = 1024
    /// Largest size of the file in pages of 4 KiB; a write beyond it fails with `.full`. Nil: no limit but the disk.
    package var pageCountMax: Int?
    /// Whether a file that is created can be read by its owner only (mode 0600); its WAL gets the same mode.
    package var isPrivate = false
    /// Bounds on what statements of this connection may hold and do.
    package var limits = SQLiteLimits()
    /// Name of the file system, of those registered with SQLite, that holds the file; nil for the platform's own. Tests give one that fails.
    package var fileSystem: String?

    /// Everything but the access begins with the value shown at its property.
    package init(_ access: Access = .create) { self.access = access }
}

/// Bounds that the connection refuses to cross, with `.tooBig` or an error of the statement.
package struct SQLiteLimits: Equatable, Sendable {
    /// Largest text, blob or row, in bytes.
    package var valueBytesMax = 16 << 20
    /// Longest statement, in bytes.
    package var statementBytesMax = 256 << 10
    /// Most columns of a table, a result or an expression list.
    package var columnsMax = 200
    /// Deepest expression.
    package var expressionDepthMax = 200
    /// Most instructions a statement compiles to.
    package var instructionsMax = 50_000
    /// Most SELECTs in one compound statement.
    package var compoundMax = 50
    /// Most placeholders in one statement.
    package var placeholdersMax = 1000
    /// Longest pattern of LIKE and GLOB, in bytes.
    package var patternBytesMax = 1000

    /// The bounds shown at the properties, meant for our own statements; tighten them for statements of strangers.
    package init() {}
}

/// What a database file is for, and the steps that make its tables; the file remembers how many steps it has seen.
///
/// A step that has been released is never changed: another is added behind it.
package struct SQLiteSchema: Sendable {
    /// What a person calls such a file, as in "is no knowledge base".
    package var purpose: String
    /// Marks files of this purpose (SQLite's `application_id`); 1 or more.
    package var applicationID: Int32
    /// SQL scripts; step 0 makes the first version.
    package var steps: [String]

    /// The schema itself is not checked: a wrong script fails when a file is migrated.
    package init(purpose: String, applicationID: Int32, steps: [String]) {
        self.purpose = purpose
        self.applicationID = applicationID
        self.steps = steps
    }

    /// The version of a file that has seen all steps.
    package var version: Int { steps.count }
}

extension SQLiteDatabase {
    /// Brings the file to the newest version: every missing step in one transaction of its own. Calling it again changes nothing.
    ///
    /// - Throws: `.foreignSchema`, `.newerSchema`, failures of a step, after which the file has the version before that step.
    package func migrate(to schema: SQLiteSchema) throws {
        while try version(of: schema) < schema.version {
            try transaction {
                // Asked again under the write lock: another process may have been faster.
                let version = try version(of: schema)
                guard version < schema.version else { return }
                try executeScript(schema.steps[version])
                try execute("PRAGMA application_id = \(schema.applicationID)")
                try execute("PRAGMA user_version = \(version + 1)")
            }
        }
    }

    /// Steps of `schema` that the file has seen; 0 for an empty file.
    ///
    /// - Throws: `.foreignSchema` for a database of another purpose, `.newerSchema` for one of a newer program.
    package func version(of schema: SQLiteSchema) throws(SQLiteError) -> Int {
        guard case .integer(let id)? = try value("PRAGMA application_id"), case .integer(let version)? = try value("PRAGMA user_version"),
            case .integer(let tables)? = try value("SELECT count(*) FROM sqlite_master")
        else { return 0 }
        if id == 0, version == 0, tables == 0 { return 0 }
        guard id == schema.applicationID, version >= 0 else {
            throw SQLiteError(
                .foreignSchema, "\(name) is a SQLite database but no \(schema.purpose); name another file", database: name)
        }
        guard version <= schema.version else {
            throw SQLiteError(
                .newerSchema,
                "\(name) is a \(schema.purpose) of version \(version), this program knows versions up to \(schema.version);"
                    + " use the newer program that wrote it", database: name)
        }
        return Int(version)
    }
}

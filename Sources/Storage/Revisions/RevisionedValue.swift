/// One state of one name: the bytes and the revisions at which it was made and last changed.
package struct RevisionedValue: Sendable, Equatable {
    /// Unique within its collection; lists are in the order of names.
    package let name: String
    /// What the writer gave, unread by the store.
    package let bytes: [UInt8]
    /// Revision that created the name, kept through its changes.
    package let created: Int64
    /// Revision of this state.
    package let revision: Int64

    /// Made by the store alone, from a row of its log.
    package init(name: String, bytes: [UInt8], created: Int64, revision: Int64) {
        self.name = name
        self.bytes = bytes
        self.created = created
        self.revision = revision
    }
}

/// One change of a collection, as watchers see it.
package struct RevisionEvent: Sendable {
    /// The revision of the change itself, also where it deleted the name.
    package let revision: Int64
    /// The name that changed; several events may be of the same name.
    package let name: String
    /// The new state; nil when the name was deleted.
    package let value: RevisionedValue?
    /// The state before; nil when the name was created.
    package let previous: RevisionedValue?
}

/// A wanted change of one name.
package struct RevisionWrite: Sendable {
    /// What must be true of the name at the moment of the write; else the write is refused and changes nothing.
    package enum Expectation: Sendable, Equatable {
        /// The name must not exist.
        case absent
        /// The name must exist at this revision.
        case revision(Int64)
    }

    /// Any text; a collection exists as long as it holds a name.
    package let collection: String
    /// Unique within the collection.
    package let name: String
    /// Judged against the newest state on the commit thread, after the writes accepted before this one.
    package let expectation: Expectation
    /// The new bytes; nil deletes the name.
    package let bytes: [UInt8]?

    /// Makes a name that does not exist.
    package static func create(_ collection: String, _ name: String, _ bytes: [UInt8]) -> RevisionWrite {
        RevisionWrite(collection: collection, name: name, expectation: .absent, bytes: bytes)
    }

    /// Replaces the state that has `revision`.
    package static func update(_ collection: String, _ name: String, _ bytes: [UInt8], from revision: Int64) -> RevisionWrite {
        RevisionWrite(collection: collection, name: name, expectation: .revision(revision), bytes: bytes)
    }

    /// Deletes the state that has `revision`.
    package static func delete(_ collection: String, _ name: String, from revision: Int64) -> RevisionWrite {
        RevisionWrite(collection: collection, name: name, expectation: .revision(revision), bytes: nil)
    }
}

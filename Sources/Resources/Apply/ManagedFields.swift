/// Who set which fields of an object: the value of `metadata.managedFields`.
package struct ManagedFields: Sendable, Equatable {
    /// An object with more managers merges its oldest updaters into one entry of this name.
    package static let updatersMax = 10
    private static let mergedUpdaters = "ancient-changes"

    /// One author's fields; of applies, whatever their API version.
    package struct Entry: Sendable, Equatable {
        /// The client's `fieldManager`: `kubectl`, or the first part of its user agent.
        package let manager: String
        /// True for server-side apply, false for every other write.
        package let isApply: Bool
        /// The part of the object that was written: `status`, `scale`; empty for the object itself.
        package let subresource: String
        /// Version of the API that the fields' names are of: `apps/v1`.
        package let apiVersion: String
        /// RFC 3339.
        package var time: String
        /// What the author owns, from the object's root. Entries without fields are taken out after each write.
        package var fields: FieldSet
    }

    /// In the order of `metadata.managedFields`: a new author comes last.
    package var entries: [Entry]

    /// Reads the field; entries that are none are left out.
    package init(_ value: JSON?) {
        entries = (value?.array ?? []).compactMap { entry in
            guard let operation = entry["operation"]?.string, let fields = entry["fieldsV1"] else { return nil }
            return Entry(
                manager: entry["manager"]?.string ?? "", isApply: operation == "Apply", subresource: entry["subresource"]?.string ?? "",
                apiVersion: entry["apiVersion"]?.string ?? "", time: entry["time"]?.string ?? "", fields: FieldSet(fieldsV1: fields))
        }
    }

    /// The field's value; nil when nobody owns anything, as the field is then absent.
    package var json: JSON? {
        entries.isEmpty
            ? nil
            : .array(
                entries.map { entry in
                    let author = Author(
                        manager: entry.manager, isApply: entry.isApply, subresource: entry.subresource, apiVersion: entry.apiVersion)
                    return Self.json(author, time: entry.time, fields: entry.fields.fieldsV1)
                })
    }

    /// What of a manager's work is one entry.
    package struct Author: Sendable, Equatable {
        /// The client's `fieldManager`.
        package let manager: String
        /// True for server-side apply, false for every other write.
        package let isApply: Bool
        /// `status`, `scale`; empty for the object itself.
        package let subresource: String
        /// Version of the API the write came by. It tells updates apart, but not applies: those move to the new version.
        package let apiVersion: String

        /// Made by the object service for each write.
        package init(manager: String, isApply: Bool, subresource: String, apiVersion: String) {
            self.manager = manager
            self.isApply = isApply
            self.subresource = subresource
            self.apiVersion = apiVersion
        }
    }

    private func position(of author: Author) -> Int? {
        entries.firstIndex {
            $0.manager == author.manager && $0.isApply == author.isApply && $0.subresource == author.subresource
                && (author.isApply || $0.apiVersion == author.apiVersion)
        }
    }

    /// The fields an author owns.
    package func fields(of author: Author) -> FieldSet { position(of: author).map { entries[$0].fields } ?? FieldSet() }

    private mutating func set(_ fields: FieldSet, for author: Author, time: String) {
        let entry = Entry(
            manager: author.manager, isApply: author.isApply, subresource: author.subresource, apiVersion: author.apiVersion, time: time,
            fields: fields)
        if let found = position(of: author) {
            if entries[found].fields == fields && entries[found].apiVersion == author.apiVersion { return }
            entries[found] = entry
        } else {
            entries.append(entry)
        }
    }

    private static func json(_ author: Author, time: String, fields: JSON) -> JSON {
        var result: JSON = [
            "manager": .string(author.manager), "operation": author.isApply ? "Apply" : "Update",
            "apiVersion": .string(author.apiVersion), "time": .string(time), "fieldsType": "FieldsV1", "fieldsV1": fields,
        ]
        if !author.subresource.isEmpty { result["subresource"] = .string(author.subresource) }
        return result
    }

    /// The field's value for an object that its author has just made, by other means than an apply; nil if there is nothing to own.
    package static func json(ofNew object: JSON, author: Author, schema: Schema, walk: FieldWalk, time: String) -> JSON? {
        json(owning: walk.fieldsOfNew(object, schema: schema), author: author, time: time)
    }

    /// The field's value for an object whose fields, as FieldsV1 has them, all belong to one author; nil if there are none.
    package static func json(owning fields: JSON, author: Author, time: String) -> JSON? {
        fields == [:] ? nil : .array([json(author, time: time, fields: fields)])
    }

    /// Fields that never have an owner.
    package static let unowned: FieldSet = {
        var metadata = FieldSet()
        for name in unownedMetadata { metadata[.field(name)] = .itself }
        var result = FieldSet()
        result[.field("metadata")] = metadata.union(.itself).subtracting(.itself)
        for name in unownedKeys { result[.field(name)] = .itself }
        return result
    }()

    /// Of those, the keys of the object itself.
    static let unownedKeys: Set<String> = ["apiVersion", "kind"]
    /// Of those, the keys of its metadata.
    static let unownedMetadata: Set<String> = [
        "name", "namespace", "generateName", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
        "deletionGracePeriodSeconds", "selfLink", "managedFields",
    ]

    private static func owned(_ fields: FieldSet) -> FieldSet {
        if fields.isEmpty { return fields }
        var metadata = FieldSet()
        metadata[.field("metadata")] = .itself
        return fields.subtractingTrees(unowned).subtracting(metadata).subtracting(.itself)
    }

    /// Records a write that was no apply: the author owns what it changed, and nobody owns what it removed.
    package mutating func recordUpdate(
        from old: JSON?, to new: JSON, author: Author, schema: Schema, walk: FieldWalk, time: String
    ) {
        let (changed, removed) = walk.difference(from: old ?? .object([:]), to: new, schema: schema)
        let mine = Self.owned(changed)
        for index in entries.indices {
            entries[index].fields = entries[index].fields.subtracting(mine).subtractingTrees(Self.owned(removed))
        }
        let fields = self.fields(of: author).union(mine)
        if !mine.isEmpty || position(of: author) != nil { set(fields, for: author, time: time) }
        entries.removeAll { $0.fields.isEmpty }
        mergeOldUpdaters()
    }

    /// The field's entries after an update that leaves every owner what it has: its author owned all that it changed, nobody else any of it, and
    /// it took nothing away. Most updates are such, as each renewal of a Lease is: only the author's time is then new, and who owns what need
    /// neither be read nor written. Nil is no verdict.
    package static func renewed(
        _ value: JSON?, from old: JSON, to new: JSON, author: Author, schema: Schema, walk: FieldWalk, time: String
    ) -> [JSON]? {
        let (changed, removed) = walk.difference(from: old, to: new, schema: schema)
        let mine = owned(changed)
        guard owned(removed).isEmpty else { return nil }
        var entries = value?.array ?? []
        if mine.isEmpty { return entries }
        var own: Int?
        for (index, entry) in entries.enumerated() {
            let fields = entry["fieldsV1"] ?? .null
            if isEntry(entry, of: author) {
                guard own == nil, mine.isHeld(byFieldsV1: fields) else { return nil }
                own = index
            } else if mine.meets(fieldsV1: fields) {
                return nil
            }
        }
        guard let own else { return nil }
        entries[own]["time"] = .string(time)
        return entries
    }

    private static func isEntry(_ entry: JSON, of author: Author) -> Bool {
        entry["manager"]?.string == author.manager && (entry["operation"]?.string == "Apply") == author.isApply
            && entry["subresource"]?.string ?? "" == author.subresource && entry["apiVersion"]?.string == author.apiVersion
    }

    private mutating func mergeOldUpdaters() {
        let updaters = entries.indices.filter { !entries[$0].isApply }
        guard updaters.count > Self.updatersMax else { return }
        let oldest = updaters.sorted { entries[$0].time < entries[$1].time }.prefix(updaters.count - Self.updatersMax + 1)
        guard let first = oldest.first else { return }
        let fields = oldest.reduce(FieldSet()) { $0.union(entries[$1].fields) }
        let merged = Entry(
            manager: Self.mergedUpdaters, isApply: false, subresource: "", apiVersion: entries[first].apiVersion, time: entries[first].time,
            fields: fields)
        for index in oldest.sorted(by: >) { entries.remove(at: index) }
        entries.append(merged)
    }

    /// Another manager's claim on a field that an applied configuration would change.
    package struct Conflict: Sendable, Equatable {
        /// Who owns the field.
        package let manager: String
        /// Whether the owner got it by server-side apply; otherwise messages also name its API version.
        package let isApply: Bool
        /// Where the owner wrote it: `status`, `scale`; empty for the object itself.
        package let subresource: String
        /// Version of the API the owner wrote by.
        package let apiVersion: String
        /// RFC 3339: the owner's last write that changed what it owns.
        package let time: String
        /// `.spec.url`
        package let path: String
    }

    /// Why an apply is refused: each field that another manager owns with another value.
    package struct Conflicts: Error, Equatable {
        /// Never empty; by owner in the order of the entries, then by path.
        package let conflicts: [Conflict]
    }

    /// Lays an applied configuration over the live object, takes away what the author applied before and no longer does, and records the
    /// new owners.
    ///
    /// - Parameter isForced: takes contested fields over instead of failing.
    /// - Throws: `Conflicts` naming each contested field.
    package mutating func apply(
        _ configuration: JSON, to live: JSON?, author: Author, isForced: Bool, schema: Schema, walk: FieldWalk, time: String
    ) throws(Conflicts) -> JSON {
        let applied = Self.owned(walk.fields(of: configuration, schema: schema))
        var result = walk.merged(configuration, over: live, schema: schema)
        let changed = Self.owned(walk.difference(from: live, to: result, schema: schema).changed)
        var conflicts: [Conflict] = []
        for (index, entry) in entries.enumerated() where position(of: author) != index {
            let contested = entry.fields.intersection(changed)
            guard !contested.isEmpty else { continue }
            if isForced {
                entries[index].fields = entry.fields.subtracting(contested)
            } else {
                conflicts += contested.paths.map { path in
                    Conflict(
                        manager: entry.manager, isApply: entry.isApply, subresource: entry.subresource, apiVersion: entry.apiVersion,
                        time: entry.time, path: path.map(\.pathText).joined())
                }
            }
        }
        guard conflicts.isEmpty else { throw Conflicts(conflicts: conflicts) }
        let others = entries.indices.filter { position(of: author) != $0 }.reduce(FieldSet()) { $0.union(entries[$1].fields) }
        let gone = fields(of: author).subtracting(applied).subtracting(others)
        result = walk.removing(gone, keeping: applied.union(others), from: result, schema: schema) ?? .object([:])
        set(applied, for: author, time: time)
        entries.removeAll { $0.fields.isEmpty }
        return result
    }
}

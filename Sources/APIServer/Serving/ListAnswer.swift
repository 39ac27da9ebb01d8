import Resources
import Storage

/// What part of a collection a list asks for.
struct ListQuery: Sendable {
    var namespace = ""
    var limit: Int?
    /// Revision to read at; nil for the newest.
    var revision: Int64?
    /// The last name that was given out before.
    var after: String?

    /// Reads `limit`, `continue`, `resourceVersion` and `resourceVersionMatch`.
    ///
    /// - Throws: `APIStatus`: 400, 410 for a token that is too old, 504 for a revision that does not exist yet.
    init(_ target: RequestTarget, namespace: String, newest: Int64) throws(APIStatus) {
        self.namespace = namespace
        if let text = target["limit"], !text.isEmpty {
            guard let limit = Int(text), limit >= 0 else {
                throw .badRequest("limit: invalid value \"\(text)\": must be a number of 0 or more")
            }
            self.limit = limit == 0 ? nil : limit
        }
        let version = try Self.revision(target["resourceVersion"])
        if let token = target["continue"], !token.isEmpty {
            (revision, after) = try Self.read(token)
            return
        }
        switch target["resourceVersionMatch"] ?? "" {
        case "Exact":
            guard let version, version > 0 else {
                throw .badRequest("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\" or none")
            }
            revision = version
        case "NotOlderThan", "": break
        case let other:
            throw .badRequest("resourceVersionMatch: Unsupported value: \"\(other)\": supported values: \"Exact\", \"NotOlderThan\"")
        }
        if let version, version > newest {
            throw .tooLargeRevision(version, newest: newest)
        }
    }

    static func revision(_ text: String?) throws(APIStatus) -> Int64? {
        guard let text, !text.isEmpty else { return nil }
        guard let value = Int64(text), value >= 0 else {
            throw .badRequest("resourceVersion: Invalid value: \"\(text)\": must be a number")
        }
        return value
    }

    static func token(revision: Int64, after: String) -> String {
        Base64.encode(JSON.object(["v": "meta.k8s.io/v1", "rv": .integer(revision), "start": .string(after)]).bytes())
    }

    private static func read(_ token: String) throws(APIStatus) -> (Int64, String) {
        guard token.utf8.count <= 4096, let bytes = Base64.decode(token), let value = try? JSONParser.parse(bytes),
            value["v"] == "meta.k8s.io/v1",
            let revision = value["rv"]?.integer, let after = value["start"]?.string
        else { throw .badRequest("invalid continue token: continue key is not valid") }
        return (revision, after)
    }
}

extension ObjectView {
    /// Values read at once from the store while a filter looks for enough of them.
    private static let pageMax = 2000

    /// A list as JSON text.
    func list(_ query: ListQuery) throws(APIStatus) -> [UInt8] {
        let prefix = query.namespace.isEmpty ? "" : query.namespace + "/"
        var found: [RevisionedValue] = []
        var revision = query.revision
        var after = query.after
        var hasMore = true
        while hasMore, query.limit.map({ found.count < $0 }) ?? true {
            let page = try page(prefix, revision, after, isFiltered ? Self.pageMax : query.limit)
            for value in page.values {
                if let limit = query.limit, found.count == limit {
                    hasMore = true
                    break
                }
                if try matches(value) { found.append(value) }
                after = value.name
                hasMore = page.hasMore || value.name != page.values.last?.name
            }
            if page.values.isEmpty { hasMore = false }
            revision = page.revision
        }
        let metadata = metadata(query, revision ?? service.store.revision, hasMore ? after : nil, prefix, found.count)
        return try text(found, metadata)
    }

    private func page(_ prefix: String, _ revision: Int64?, _ after: String?, _ limit: Int?) throws(APIStatus) -> (
        values: [RevisionedValue], revision: Int64, hasMore: Bool
    ) {
        do {
            return try service.store.list(definition.collection, prefix: prefix, at: revision, after: after, limit: limit)
        } catch .compacted {
            throw .expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
            )
        } catch .future(let newest) {
            throw .badRequest("the resource version \(revision ?? 0) does not exist yet, the newest is \(newest)")
        } catch {
            throw .internalError("\(error)")
        }
    }

    private func metadata(_ query: ListQuery, _ revision: Int64, _ after: String?, _ prefix: String, _ count: Int) -> JSON {
        var metadata: JSON = ["resourceVersion": .string(String(revision))]
        if let after {
            metadata["continue"] = .string(ListQuery.token(revision: revision, after: after))
            if !isFiltered, query.after == nil, prefix.isEmpty {
                metadata["remainingItemCount"] = .integer(Int64(max(0, service.store.count(definition.collection) - count)))
            }
        }
        return metadata
    }

    private func text(_ values: [RevisionedValue], _ metadata: JSON) throws(APIStatus) -> [UInt8] {
        if case .table = format { return try tableText(values, metadata: metadata) }
        let kind = format == .partial ? "PartialObjectMetadataList" : definition.listKind
        let version = format == .partial ? "meta.k8s.io/v1" : definition.groupVersion
        var result = Array("{\"kind\":\"\(kind)\",\"apiVersion\":\"\(version)\",\"metadata\":".utf8)
        result.reserveCapacity(values.reduce(256) { $0 + $1.bytes.count + 64 })
        result += metadata.bytes()
        result += Array(",\"items\":[".utf8)
        for (index, value) in values.enumerated() {
            if index > 0 { result.append(UInt8(ascii: ",")) }
            try write(value, into: &result)
        }
        result += Array("]}\n".utf8)
        return result
    }
}

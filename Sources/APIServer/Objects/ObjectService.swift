package import Identity
package import Resources
package import Storage
import Synchronization

/// The only writer of objects: every verb of the API, from clients and from this program, ends here.
///
/// Objects are values in the store; a write reads one, makes its successor and stores it at the revision it read, again if somebody was
/// faster and the request named no revision itself.
package final class ObjectService: Sendable {
    /// A write without a revision of its own is tried so often against faster writers.
    static let attemptsMax = 12
    /// Where the objects lie, by collection. Read by anyone; objects are written by this service alone.
    package let store: RevisionStore
    /// The schemas that the kinds' own schemas refer to.
    package let catalog = SchemaCatalog.kubernetes
    /// Clock and randomness: times of creation, uids, generated names.
    package let environment: APIEnvironment
    /// What watches of the same changes share.
    let watchLines = WatchLines()
    let watchChunks = WatchChunks()
    /// How often watches have looked for changes: of a server with nothing to tell it stays as it is.
    let watchLooks = Atomic(0)
    private let decoded = DecodedObjects()
    let owners = KnownOwners()
    private let registryBox: Mutex<KindRegistry>
    private let bookBox = Mutex<AccessBook?>(nil)

    /// Reads the definitions of custom kinds, so that these are served from the first request on.
    ///
    /// - Throws: what the store throws, or for a stored definition that is no JSON.
    package init(store: RevisionStore, environment: APIEnvironment) throws {
        self.store = store
        self.environment = environment
        registryBox = Mutex(KindRegistry())
        try reloadKinds()
    }

    /// The kinds as they are now; another value after a write of a definition. One request takes it once.
    package var registry: KindRegistry { registryBox.withLock { $0 } }

    private static let definitions = BuiltInKinds.customResourceDefinition

    private func reloadKinds() throws {
        var custom: [JSON] = []
        for value in try store.list(Self.definitions.collection).values { custom.append(try ObjectBytes.decode(value)) }
        let registry = KindRegistry(custom: custom)
        registryBox.withLock { $0 = registry }
    }

    /// What follows from a stored change before its writer is answered.
    func changed(_ definition: KindDefinition) throws(APIStatus) {
        if definition.collection == Self.definitions.collection {
            do { try reloadKinds() } catch { throw .internalError("reading definitions: \(error)") }
        }
        if definition.group == "rbac.authorization.k8s.io" { bookBox.withLock { $0 = nil } }
    }

    /// Roles and bindings as they are now.
    package func accessBook() throws(APIStatus) -> AccessBook {
        if let book = bookBox.withLock({ $0 }) { return book }
        let book = try AccessBook(reading: self)
        bookBox.withLock { $0 = book }
        return book
    }

    // MARK: Reading

    /// An object in the version of `definition`.
    ///
    /// - Throws: `APIStatus` 404.
    package func get(_ definition: KindDefinition, namespace: String, name: String) throws(APIStatus) -> JSON {
        guard let value = store.get(definition.collection, definition.key(namespace: namespace, name: name)) else {
            throw .notFound(definition, name: name)
        }
        return try decode(value, definition)
    }

    /// A stored object in the version of `definition`.
    func decode(_ value: RevisionedValue, _ definition: KindDefinition) throws(APIStatus) -> JSON {
        var object = try stored(value)
        guard !ObjectBytes.isStored(value, in: definition) else { return object }
        if let form = definition.storedForm { return form.shown(object) }
        object["apiVersion"] = .string(definition.groupVersion)
        return definition.schema.defaulted(definition.schema.pruned(object, catalog: catalog).value, catalog: catalog)
    }

    /// A stored object as it lies there, with its resource version.
    private func stored(_ value: RevisionedValue) throws(APIStatus) -> JSON {
        if var object = decoded.object(of: value.bytes) {
            object[path: ["metadata", "resourceVersion"]] = .string(String(value.revision))
            return object
        }
        let object = try ObjectBytes.decode(value)
        decoded.keep(object, of: value.bytes)
        return object
    }

    /// Every object of a kind, or of one namespace of it, at the newest revision.
    package func all(_ definition: KindDefinition, namespace: String = "") throws(APIStatus) -> [JSON] {
        try first(.max, of: definition, namespace: namespace)
    }

    /// So many objects of a kind, by their names, the others unread.
    func first(_ count: Int, of definition: KindDefinition, namespace: String = "") throws(APIStatus) -> [JSON] {
        var objects: [JSON] = []
        do {
            for value in try store.list(definition.collection, prefix: namespace.isEmpty ? "" : namespace + "/", limit: count).values {
                objects.append(try decode(value, definition))
            }
        } catch let error as APIStatus {
            throw error
        } catch {
            throw .internalError("\(error)")
        }
        return objects
    }

    // MARK: Writing

    func admission(_ definition: KindDefinition) -> ObjectAdmission {
        ObjectAdmission(definition: definition, catalog: catalog, environment: environment)
    }

    /// Writes the successor of a stored object.
    ///
    /// - Returns: the object with its new resource version; nil if somebody else changed it meanwhile.
    func replace(_ definition: KindDefinition, key: String, _ object: JSON, from revision: Int64) async throws(APIStatus) -> JSON? {
        do {
            let new = try await store.write(
                .update(definition.collection, key, bytes(of: object, definition), from: revision))
            try changed(definition)
            return Self.versioned(object, new)
        } catch RevisionError.changed, RevisionError.missing {
            return nil
        } catch let status as APIStatus {
            throw status
        } catch {
            throw Self.status(error)
        }
    }

    /// Most bytes of one stored object, as etcd has it: what a real cluster refuses is refused here.
    private static let objectBytesMax = 1536 << 10

    private func bytes(of object: JSON, _ definition: KindDefinition, owned: [UInt8]? = nil) throws(APIStatus) -> [UInt8] {
        let stored = storable(object, definition)
        let bytes = ObjectBytes.encode(stored, owned: owned)
        guard bytes.count <= Self.objectBytesMax else {
            throw APIStatus(
                code: 413, reason: "RequestEntityTooLarge",
                message:
                    "\(definition.plural) \"\(object["metadata"]?["name"]?.string ?? "")\" has \(bytes.count) bytes as it is stored, at most \(Self.objectBytesMax) are kept; make it smaller"
            )
        }
        // Watches within this process hear of it at once.
        decoded.keep(stored, of: bytes)
        return bytes
    }

    /// Removes a stored object.
    ///
    /// - Returns: the revision of the removal; nil if somebody else changed the object meanwhile.
    func remove(_ definition: KindDefinition, key: String, from revision: Int64) async throws(APIStatus) -> Int64? {
        do {
            let new = try await store.write(.delete(definition.collection, key, from: revision))
            try changed(definition)
            return new
        } catch RevisionError.changed, RevisionError.missing {
            return nil
        } catch {
            throw Self.status(error)
        }
    }

    /// - Parameter owned: what the object's only author owns, as JSON, where it is known.
    func insert(_ definition: KindDefinition, key: String, _ object: JSON, owned: [UInt8]? = nil) async throws(APIStatus) -> JSON {
        do {
            let new = try await store.write(.create(definition.collection, key, bytes(of: object, definition, owned: owned)))
            try changed(definition)
            return Self.versioned(object, new)
        } catch RevisionError.exists {
            throw .alreadyExists(definition, name: object["metadata"]?["name"]?.string ?? "")
        } catch let status as APIStatus {
            throw status
        } catch {
            throw Self.status(error)
        }
    }

    private func storable(_ object: JSON, _ definition: KindDefinition) -> JSON {
        var object = definition.storedForm?.stored(object) ?? object
        let version = registry.storedGroupVersion(definition)
        // Mostly the version it has: then nothing is copied.
        if object["apiVersion"]?.string != version { object["apiVersion"] = .string(version) }
        return object
    }

    static func versioned(_ object: JSON, _ revision: Int64) -> JSON {
        var object = object
        object[path: ["metadata", "resourceVersion"]] = .string(String(revision))
        return object
    }

    /// The store's refusals as answers; a full disk may have room again later.
    static func status(_ error: any Error) -> APIStatus {
        switch error {
        case let status as APIStatus: status
        case let error as SQLiteError where error.isRetryable: unavailable("\(error)")
        case RevisionError.full, RevisionError.closed, RevisionError.failed: unavailable("\(error)")
        default: .internalError("\(error)")
        }
    }

    private static func unavailable(_ message: String) -> APIStatus {
        var status = APIStatus(code: 503, reason: "ServiceUnavailable", message: message)
        status.retryAfterSeconds = 1
        return status
    }
}

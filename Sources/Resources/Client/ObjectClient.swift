/// The verbs of a Kubernetes API as a controller uses them, over any kind; nothing here that a real API server would not give.
///
/// Two servers stand behind it: the embedded one in process, and any Kubernetes by REST. Every failure is the server's `Status`; of a
/// server that can't be reached it is 503 `ServiceUnavailable`. All methods end early when their task is cancelled.
package protocol ObjectClient: Sendable {
    /// Every kind that can be listed and deleted, each once in its preferred version (discovery).
    func kinds() async throws(APIStatus) -> [ResourceKind]

    /// - Throws: 404 `NotFound`.
    func get(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON

    /// One page of a kind's objects; each carries `apiVersion` and `kind`.
    ///
    /// - Throws: 410 `Expired` if a page or revision is asked for that is no longer known.
    func list(_ kind: ResourceKind, _ query: ListQuery) async throws(APIStatus) -> ObjectList

    /// What happens to a kind's objects after a revision. The sequence ends when the server closes the stream; a new watch then goes on
    /// from the last revision seen. It throws 410 `Expired`, at once or later, if that revision is no longer known: list again.
    func watch(_ kind: ResourceKind, _ query: WatchQuery) async throws(APIStatus) -> ObjectWatch

    /// Makes an object where its metadata says; with a part, posts to that part of the object, as a `Binding` to a Pod.
    ///
    /// - Returns: the object as stored. For parts, whatever the server answers.
    /// - Throws: 409 `AlreadyExists`, 403 in a namespace that ends, 404 in one that does not exist, 422.
    func create(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON

    /// Replaces an object or a part of it. With `metadata.resourceVersion` only if that is its revision still.
    ///
    /// - Throws: 409 `Conflict`, 404, 422.
    func update(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON

    /// Changes an object or a part of it by a patch.
    ///
    /// - Throws: 404, 409 if the patch names another resource version or uid than the object has, 422.
    func patch(_ kind: ResourceKind, _ key: ObjectKey, _ patch: ObjectPatch, part: ObjectPart) async throws(APIStatus) -> JSON

    /// Deletes an object, or begins to: finalizers and grace hold it back.
    ///
    /// - Throws: 404, 409 if a precondition does not hold.
    func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion) async throws(APIStatus)
}

extension ObjectClient {
    /// Makes an object where its metadata says.
    @discardableResult
    package func create(_ kind: ResourceKind, _ object: JSON) async throws(APIStatus) -> JSON {
        try await create(kind, object, part: .whole)
    }

    /// Replaces an object; with `metadata.resourceVersion` only if that is its revision still.
    @discardableResult
    package func update(_ kind: ResourceKind, _ object: JSON) async throws(APIStatus) -> JSON {
        try await update(kind, object, part: .whole)
    }

    /// Replaces an object's status and nothing else of it.
    @discardableResult
    package func updateStatus(_ kind: ResourceKind, _ object: JSON) async throws(APIStatus) -> JSON {
        try await update(kind, object, part: .status)
    }

    /// Every object of a kind, page by page at one revision.
    ///
    /// - Throws: 410 `Expired` if the pages took so long that their revision was compacted: begin again.
    package func listAll(_ kind: ResourceKind, _ query: ListQuery = ListQuery()) async throws(APIStatus) -> ObjectList {
        var query = query
        var all = try await list(kind, query)
        while !all.continueToken.isEmpty {
            query.continueToken = all.continueToken
            // A continue token carries its revision; naming one as well is refused.
            query.resourceVersion = ""
            let page = try await list(kind, query)
            all.items += page.items
            all.continueToken = page.continueToken
        }
        return all
    }
}

/// What of an object a request is about: the last word of its URL.
package enum ObjectPart: String, Sendable, Hashable {
    case whole = ""
    case status
    case scale
    /// `spec.finalizers` of a namespace.
    case finalize
    /// The node of a Pod.
    case binding
}

/// What to list.
package struct ListQuery: Sendable, Hashable {
    /// Empty for all.
    package var namespace = ""
    /// `app=web,tier in (a,b)`; empty for all.
    package var labelSelector = ""
    /// `spec.nodeName=edge-1`; empty for all.
    package var fieldSelector = ""
    /// Objects a page; 0 for all at once.
    package var limit = 0
    /// Where the page before ended, as its list gave it; empty for the first page. Servers refuse it together with `resourceVersion`.
    package var continueToken = ""
    /// Empty for the newest state; `0` for any that the server has at hand; else one at least as new.
    package var resourceVersion = ""

    /// All objects of the kind in their newest state, at once.
    package init() {}

    /// Objects in their newest state, from the first page on.
    package init(namespace: String = "", labelSelector: String = "", fieldSelector: String = "", limit: Int = 0) {
        self.namespace = namespace
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
        self.limit = limit
    }
}

/// A page of objects.
package struct ObjectList: Sendable, Equatable {
    /// In the server's order, each with `apiVersion` and `kind`.
    package var items: [JSON]
    /// The revision that the page shows, to watch from.
    package var resourceVersion: String
    /// Of the next page; empty at the end.
    package var continueToken: String

    /// Made by a client from a server's answer; tests make their own.
    package init(items: [JSON], resourceVersion: String, continueToken: String = "") {
        self.items = items
        self.resourceVersion = resourceVersion
        self.continueToken = continueToken
    }
}

/// What to watch.
package struct WatchQuery: Sendable, Hashable {
    /// Empty for all.
    package var namespace = ""
    /// `app=web,tier in (a,b)`; empty for all.
    package var labelSelector = ""
    /// `spec.nodeName=edge-1`; empty for all.
    package var fieldSelector = ""
    /// Events after this revision.
    package var resourceVersion: String
    /// Seconds after which the server ends the stream; 0 leaves it to the server.
    package var timeoutSeconds = 0

    /// Watches all objects of the kind; narrow it by setting the fields.
    package init(from resourceVersion: String) { self.resourceVersion = resourceVersion }
}

/// One line of a watch.
package enum WatchEvent: Sendable, Hashable {
    case added(JSON)
    case modified(JSON)
    /// The object's last state; its resource version is that of the deletion.
    case deleted(JSON)
    /// Nothing happened up to this revision that the watch would have shown.
    case bookmark(resourceVersion: String)

    /// The revision after which a watch goes on behind this event.
    package var resourceVersion: String {
        switch self {
        case .added(let object), .modified(let object), .deleted(let object): object["metadata"]?["resourceVersion"]?.string ?? ""
        case .bookmark(let version): version
        }
    }
}

/// A running watch. Read by one task; a reader that is slow holds the server back, which ends the stream rather than buffer without bound.
package struct ObjectWatch: AsyncSequence, Sendable {
    /// What one line of the stream says.
    package typealias Element = WatchEvent
    /// A server's `Status`; 410 `Expired` when the revision to go on from is no longer known.
    package typealias Failure = APIStatus
    private let nextEvents: @Sendable () async throws(APIStatus) -> [WatchEvent]?

    /// - Parameter next: the next event; nil at the end of the stream and when its task is cancelled.
    package init(next: @escaping @Sendable () async throws(APIStatus) -> WatchEvent?) {
        nextEvents = { () async throws(APIStatus) in try await next().map { [$0] } }
    }

    /// - Parameter batches: the next events that are there, at least one, in their order; nil at the end of the stream and when its task is
    ///   cancelled. A reader is given them one by one, and leaves the thread it runs on once for all of them.
    package init(batches: @escaping @Sendable () async throws(APIStatus) -> [WatchEvent]?) { nextEvents = batches }

    /// Every iterator reads the same stream: two of them share its events between them.
    package func makeAsyncIterator() -> Iterator { Iterator(nextEvents: nextEvents) }

    /// Reads the watch's one stream, some events ahead of its reader.
    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let nextEvents: @Sendable () async throws(APIStatus) -> [WatchEvent]?
        private var ready: ArraySlice<WatchEvent> = []

        fileprivate init(nextEvents: @escaping @Sendable () async throws(APIStatus) -> [WatchEvent]?) { self.nextEvents = nextEvents }

        /// The next event; nil at the end.
        package mutating func next() async throws(APIStatus) -> WatchEvent? { try await next(isolation: nil) }

        /// The next event; nil at the end. Where it runs makes no difference.
        package mutating func next(isolation actor: isolated (any Actor)?) async throws(APIStatus) -> WatchEvent? {
            while true {
                if let event = ready.popFirst() { return event }
                guard let events = try await nextEvents() else { return nil }
                ready = events[...]
            }
        }
    }
}

/// A change of an object.
package struct ObjectPatch: Sendable, Hashable {
    /// How the body is meant; the value is its media type.
    package enum Form: String, Sendable, Hashable {
        case json = "application/json-patch+json"
        case merge = "application/merge-patch+json"
        /// Only for Kubernetes' own kinds.
        case strategic = "application/strategic-merge-patch+json"
        /// Server-side apply.
        case apply = "application/apply-patch+yaml"
    }

    /// Also the `Content-Type` the body is sent with.
    package var form: Form
    /// An array of operations for `.json` (RFC 6902); for every other form an object.
    package var body: JSON
    /// Who the fields belong to; apply demands it.
    package var fieldManager: String
    /// Of an apply: take fields from other managers.
    package var isForced: Bool

    /// Nothing is checked here: the server refuses a body that does not fit its form.
    package init(_ form: Form, _ body: JSON, fieldManager: String = "", isForced: Bool = false) {
        self.form = form
        self.body = body
        self.fieldManager = fieldManager
        self.isForced = isForced
    }
}

/// How an object is to be deleted.
package struct Deletion: Sendable, Hashable {
    /// What becomes of the objects it owns.
    package enum Propagation: String, Sendable, Hashable {
        case background = "Background"
        case foreground = "Foreground"
        case orphan = "Orphan"
    }

    /// Nil leaves it to the server: background for nearly every kind.
    package var propagation: Propagation?
    /// Seconds a Pod has to end; nil for what the Pod says, 0 for none.
    package var gracePeriodSeconds: Int64?
    /// Delete only the object of this uid.
    package var uid: String?
    /// Delete only this revision.
    package var resourceVersion: String?

    /// By default the server's own choice in everything, and no preconditions.
    package init(
        propagation: Propagation? = nil, gracePeriodSeconds: Int64? = nil, uid: String? = nil, resourceVersion: String? = nil
    ) {
        self.propagation = propagation
        self.gracePeriodSeconds = gracePeriodSeconds
        self.uid = uid
        self.resourceVersion = resourceVersion
    }

    /// `DeleteOptions`, the body of the request.
    package var json: JSON {
        var body: JSON = ["apiVersion": "v1", "kind": "DeleteOptions"]
        if let propagation { body["propagationPolicy"] = .string(propagation.rawValue) }
        if let gracePeriodSeconds { body["gracePeriodSeconds"] = .integer(gracePeriodSeconds) }
        if let uid { body[path: ["preconditions", "uid"]] = .string(uid) }
        if let resourceVersion { body[path: ["preconditions", "resourceVersion"]] = .string(resourceVersion) }
        return body
    }
}

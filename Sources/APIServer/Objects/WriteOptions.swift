package import Identity
package import Resources

/// How a write is to be done; the query of a request.
package struct WriteOptions: Sendable {
    /// What becomes of fields that the kind does not know, or that stand twice: refused with 400, dropped with a warning, or dropped in
    /// silence.
    package enum FieldValidation: String, Sendable {
        case strict = "Strict"
        case warn = "Warn"
        case ignore = "Ignore"
    }

    /// Who writes. Rights are checked before; here only a node's user is held to what is the node's own.
    package var user: User
    /// Everything happens but the write.
    package var isDryRun = false
    /// Who the fields set by this write belong to.
    package var fieldManager = ""
    /// `Warn` is what Kubernetes does unless asked.
    package var fieldValidation = FieldValidation.warn
    /// Of server-side apply: take fields from other managers.
    package var isForced = false
    /// Keys that stood twice in the body.
    package var duplicates: [String] = []
    /// Looks at what a patch makes, before it is written; nil if all of it is permitted. Called again for each newer state.
    var permits: (@Sendable (JSON) throws(APIStatus) -> Void)?

    /// A plain write: no dry run, no manager, nothing forced.
    package init(user: User) { self.user = user }
}

/// What a write has made.
package struct WriteResult: Sendable {
    /// As it is stored now; of a dry run as it would be.
    package var object: JSON
    /// The object did not exist before.
    package var isNew = false
    /// What the client should be warned of.
    package var warnings: [String] = []

    /// Made by the service for each write.
    package init(object: JSON, isNew: Bool = false, warnings: [String] = []) {
        self.object = object
        self.isNew = isNew
        self.warnings = warnings
    }
}

/// How an object is deleted; the body of a DELETE.
package struct DeleteOptions: Sendable {
    /// What becomes of the objects it owns, which name it in `ownerReferences`.
    package enum Propagation: String, Sendable {
        case background = "Background"
        case foreground = "Foreground"
        case orphan = "Orphan"
    }

    /// Background: the object does not wait for what it owns, which is collected later.
    package var propagation = Propagation.background
    /// Seconds a Pod has to end; nil for what the Pod says, 30 if it says nothing. Without effect for every other kind.
    package var gracePeriodSeconds: Int64?
    /// Delete only the object of this uid, otherwise 409; nil for any.
    package var uid: String?
    /// Delete only this revision, otherwise 409; nil for any.
    package var resourceVersion: String?
    /// Everything is checked, nothing is deleted.
    package var isDryRun = false

    /// In the background, without preconditions.
    package init() {}

    /// - Throws: `APIStatus` 400 for a propagation policy that is none, a grace period below zero, or a dry run of what is not all.
    package init(_ body: JSON?) throws(APIStatus) {
        if let text = body?["propagationPolicy"]?.string {
            guard let policy = Propagation(rawValue: text) else {
                throw .badRequest(
                    "propagationPolicy: Unsupported value: \"\(text)\": supported values: \"Background\", \"Foreground\", \"Orphan\"")
            }
            propagation = policy
        } else if body?["orphanDependents"]?.bool == true {
            propagation = .orphan
        }
        gracePeriodSeconds = body?["gracePeriodSeconds"]?.integer
        if let seconds = gracePeriodSeconds, seconds < 0 { throw .badRequest("gracePeriodSeconds: must be greater than or equal to 0") }
        uid = body?["preconditions"]?["uid"]?.string
        resourceVersion = body?["preconditions"]?["resourceVersion"]?.string
        let dryRun = body?["dryRun"]?.array ?? []
        if let other = dryRun.first(where: { $0 != "All" }) {
            throw .badRequest("dryRun: Unsupported value: \(other.text): supported values: \"All\"")
        }
        isDryRun = !dryRun.isEmpty
    }
}

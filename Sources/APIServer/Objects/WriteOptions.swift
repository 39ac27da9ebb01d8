package import Identity
package import Resources

/// How a write is to be done; the query of a request.
package struct WriteOptions: Sendable {
    package enum FieldValidation: String, Sendable {
        case strict = "Strict"
        case warn = "Warn"
        case ignore = "Ignore"
    }

    package var user: User
    /// Everything happens but the write.
    package var isDryRun = false
    /// Who the fields set by this write belong to.
    package var fieldManager = ""
    package var fieldValidation = FieldValidation.warn
    /// Of server-side apply: take fields from other managers.
    package var isForced = false
    /// Keys that stood twice in the body.
    package var duplicates: [String] = []

    package init(user: User) { self.user = user }
}

/// What a write has made.
package struct WriteResult: Sendable {
    package var object: JSON
    /// The object did not exist before.
    package var isNew = false
    /// What the client should be warned of.
    package var warnings: [String] = []

    package init(object: JSON, isNew: Bool = false, warnings: [String] = []) {
        self.object = object
        self.isNew = isNew
        self.warnings = warnings
    }
}

/// How an object is deleted; the body of a DELETE.
package struct DeleteOptions: Sendable {
    package enum Propagation: String, Sendable {
        case background = "Background"
        case foreground = "Foreground"
        case orphan = "Orphan"
    }

    package var propagation = Propagation.background
    package var gracePeriodSeconds: Int64?
    package var uid: String?
    package var resourceVersion: String?
    package var isDryRun = false

    package init() {}

    /// - Throws: `APIStatus` 422 for a propagation policy that is none.
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
        isDryRun = body?["dryRun"]?.array?.contains("All") ?? false
    }
}

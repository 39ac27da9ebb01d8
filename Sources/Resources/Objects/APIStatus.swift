/// An answer that is no object: Kubernetes' `Status`, which is also the error every verb throws.
package struct APIStatus: Error, Sendable, Equatable, CustomStringConvertible {
    /// One of several things that are wrong, mostly one for each field.
    package struct Cause: Sendable, Equatable {
        /// A word for programs: `FieldValueRequired`, `FieldManagerConflict`.
        package let reason: String
        /// For people, without the field.
        package let message: String
        /// Path of the field: `spec.containers[0].name`; empty if it is about none.
        package let field: String

        /// From a refused field, a contested one, or another server's answer.
        package init(reason: String, message: String, field: String) {
            self.reason = reason
            self.message = message
            self.field = field
        }
    }

    /// HTTP status code.
    package var code: Int
    /// Kubernetes' word: `NotFound`, `Conflict`, …
    package var reason: String
    /// One sentence for people. Texts follow kube-apiserver's, which tools and their users search for.
    package var message: String
    /// Of the object it is about; empty if it is about none.
    package var name = ""
    /// Of the object's kind; empty for the core group.
    package var group = ""
    /// Plural, or the kind for refusals of content.
    package var kind = ""
    /// Of the object that was deleted; empty in refusals.
    package var uid = ""
    /// What is wrong field by field, where more than the message can be said.
    package var causes: [Cause] = []
    /// Seconds after which the client may try again; 0 for no advice.
    package var retryAfterSeconds = 0
    /// The answer is no refusal: `status` is `Success`, and there is no code in it.
    package var isSuccess = false
    /// `details` is written even when nothing stands in it.
    private var hasDetails = false

    /// A refusal that is about no object; fill in the fields for one.
    package init(code: Int, reason: String, message: String) {
        self.code = code
        self.reason = reason
        self.message = message
    }

    /// The message alone: it names the object.
    package var description: String { message }

    /// The object as it is sent: kind `Status` of `v1`, with `details` only where something is in them.
    package var json: JSON {
        var result: JSON = ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": isSuccess ? "Success" : "Failure"]
        if !message.isEmpty { result["message"] = .string(message) }
        if !reason.isEmpty { result["reason"] = .string(reason) }
        var details = JSONObject()
        if !name.isEmpty { details["name"] = .string(name) }
        if !group.isEmpty { details["group"] = .string(group) }
        if !kind.isEmpty { details["kind"] = .string(kind) }
        if !uid.isEmpty { details["uid"] = .string(uid) }
        if !causes.isEmpty {
            details["causes"] = .array(
                causes.map { cause in
                    var entry: JSON = ["reason": .string(cause.reason), "message": .string(cause.message)]
                    if !cause.field.isEmpty { entry["field"] = .string(cause.field) }
                    return entry
                })
        }
        if retryAfterSeconds > 0 { details["retryAfterSeconds"] = .integer(Int64(retryAfterSeconds)) }
        if !details.isEmpty || hasDetails { result["details"] = .object(details) }
        if !isSuccess { result["code"] = .integer(Int64(code)) }
        return result
    }

    private static func about(_ definition: KindDefinition, _ name: String, _ status: APIStatus) -> APIStatus {
        var status = status
        status.name = name
        status.group = definition.group
        status.kind = definition.plural
        return status
    }

    /// 200: an object is deleted for good.
    package static func success(_ definition: KindDefinition, name: String, uid: String) -> APIStatus {
        var status = about(definition, name, APIStatus(code: 200, reason: "", message: ""))
        status.uid = uid
        status.isSuccess = true
        return status
    }

    /// 404 `NotFound`: the kind is served, the object is not there.
    package static func notFound(_ definition: KindDefinition, name: String) -> APIStatus {
        about(definition, name, APIStatus(code: 404, reason: "NotFound", message: "\(definition.resourceName) \"\(name)\" not found"))
    }

    /// 409 `AlreadyExists`: a new object has the name of another.
    package static func alreadyExists(_ definition: KindDefinition, name: String) -> APIStatus {
        about(
            definition, name,
            APIStatus(code: 409, reason: "AlreadyExists", message: "\(definition.resourceName) \"\(name)\" already exists"))
    }

    /// 409 `Conflict`: the object is at another revision than the writer read, or a precondition fails.
    ///
    /// - Parameter reason: Nil for the text about another revision, which clients take as the advice to read again.
    package static func conflict(_ definition: KindDefinition, name: String, _ reason: String? = nil) -> APIStatus {
        let reason = reason ?? "the object has been modified; please apply your changes to the latest version and try again"
        return about(
            definition, name,
            APIStatus(
                code: 409, reason: "Conflict", message: "Operation cannot be fulfilled on \(definition.resourceName) \"\(name)\": \(reason)"
            ))
    }

    /// 403 `Forbidden`: a rule of the API stands against it, whoever asks. An empty name is about all objects of the kind.
    package static func forbidden(_ definition: KindDefinition, name: String, _ reason: String) -> APIStatus {
        let object = name.isEmpty ? definition.resourceName : "\(definition.resourceName) \"\(name)\""
        return about(definition, name, APIStatus(code: 403, reason: "Forbidden", message: "\(object) is forbidden: \(reason)"))
    }

    /// 422 `Invalid` with a cause for each error; the message joins them.
    package static func invalid(_ definition: KindDefinition, name: String, _ errors: [FieldError]) -> APIStatus {
        let texts = errors.map { $0.field.isEmpty ? $0.message : "\($0.field): \($0.message)" }
        let joined = texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]"
        var status = APIStatus(code: 422, reason: "Invalid", message: "\(definition.qualifiedKind) \"\(name)\" is invalid: \(joined)")
        status.name = name
        status.group = definition.group
        status.kind = definition.kind
        status.causes = errors.map { Cause(reason: $0.reason.rawValue, message: $0.message, field: $0.field) }
        return status
    }

    /// 400 `BadRequest`: the request can't be read or contradicts itself.
    package static func badRequest(_ message: String) -> APIStatus { APIStatus(code: 400, reason: "BadRequest", message: message) }

    /// The object does not fit its kind at all, or a strict request names unknown fields.
    package static func undecodable(_ definition: KindDefinition, _ reason: String) -> APIStatus {
        badRequest("\(definition.kind) in version \"\(definition.version)\" cannot be handled as a \(definition.kind): \(reason)")
    }

    /// 409 `Conflict`: an apply meets fields of other managers. A cause for each field; the message groups them by manager.
    package static func applyConflicts(_ conflicts: [ManagedFields.Conflict]) -> APIStatus {
        func text(_ conflict: ManagedFields.Conflict) -> String {
            let subresource = conflict.subresource.isEmpty ? "" : " with subresource \"\(conflict.subresource)\""
            return conflict.isApply
                ? "conflict with \"\(conflict.manager)\"\(subresource)"
                : "conflict with \"\(conflict.manager)\"\(subresource) using \(conflict.apiVersion)"
        }
        var status = APIStatus(code: 409, reason: "Conflict", message: "")
        status.causes = conflicts.map { Cause(reason: "FieldManagerConflict", message: text($0), field: $0.path) }
        let head = "Apply failed with \(conflicts.count) conflict\(conflicts.count == 1 ? "" : "s"): "
        var groups: [(String, [String])] = []
        for conflict in conflicts {
            if let found = groups.firstIndex(where: { $0.0 == text(conflict) }) {
                groups[found].1.append(conflict.path)
            } else {
                groups.append((text(conflict), [conflict.path]))
            }
        }
        let body = groups.map { $0.1.count == 1 ? "\($0.0): \($0.1[0])" : "\($0.0):\n" + $0.1.map { "- \($0)" }.joined(separator: "\n") }
        status.message = (groups.count == 1 ? head : "Apply failed with \(conflicts.count) conflicts: ") + body.joined(separator: "\n")
        return status
    }

    /// 410 `Expired`: a revision or a page that is no longer kept. Clients list anew.
    package static func expired(_ message: String) -> APIStatus { APIStatus(code: 410, reason: "Expired", message: message) }

    /// 405 `MethodNotAllowed`: the path exists, the verb does not apply to it.
    package static let methodNotAllowed: APIStatus = {
        var status = APIStatus(
            code: 405, reason: "MethodNotAllowed", message: "the server does not allow this method on the requested resource")
        status.hasDetails = true
        return status
    }()

    /// 401 `Unauthorized`: the request gives credentials that prove nobody. It says no more, as Kubernetes does.
    package static let unauthorized = APIStatus(code: 401, reason: "Unauthorized", message: "Unauthorized")

    /// 415 `UnsupportedMediaType`; the message names the types the path takes.
    package static func unsupportedMediaType(_ accepted: [String]) -> APIStatus {
        APIStatus(
            code: 415, reason: "UnsupportedMediaType",
            message: "the body of the request was in an unknown format - accepted media types include: \(accepted.joined(separator: ", "))")
    }

    /// 429 `TooManyRequests`; the client is to wait for so many seconds.
    package static func tooManyRequests(retryAfterSeconds: Int) -> APIStatus {
        var status = APIStatus(code: 429, reason: "TooManyRequests", message: "too many requests, please try again later")
        status.retryAfterSeconds = retryAfterSeconds
        return status
    }

    /// 500 `InternalError`: this program or its disk failed. The reason goes to the client.
    package static func internalError(_ reason: String) -> APIStatus {
        APIStatus(code: 500, reason: "InternalError", message: "Internal error occurred: \(reason)")
    }

    /// 404 `NotFound`: the path names no kind or part that is served.
    package static let noSuchPath: APIStatus = {
        var status = APIStatus(code: 404, reason: "NotFound", message: "the server could not find the requested resource")
        status.hasDetails = true
        return status
    }()
}

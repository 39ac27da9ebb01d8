import Identity
import Resources

/// Answers the kinds that are questions: who am I, may I, may they, whose token is this.
struct Reviews {
    let service: ObjectService
    let authenticator: Authenticator

    /// - Throws: `APIStatus` 422 for a question that is none.
    func answer(_ definition: KindDefinition, namespace: String, _ question: JSON, _ user: User) throws(APIStatus) -> JSON {
        var answer = question
        answer["apiVersion"] = .string(definition.groupVersion)
        answer["kind"] = .string(definition.kind)
        if answer["metadata"] == nil { answer["metadata"] = ["creationTimestamp": .null] }
        let spec = question["spec"] ?? [:]
        switch definition.kind {
        case "SelfSubjectReview": answer["status"] = ["userInfo": Self.json(user)]
        case "SelfSubjectAccessReview": answer["status"] = try verdict(definition, spec, user)
        case "SubjectAccessReview", "LocalSubjectAccessReview":
            let subject = User(
                name: spec["user"]?.string ?? "", uid: spec["uid"]?.string ?? "", groups: (spec["groups"]?.array ?? []).compactMap(\.string)
            )
            guard !subject.name.isEmpty || !subject.groups.isEmpty else {
                throw .invalid(definition, name: "", [.invalid("spec.user", "", "at least one of user or group must be specified")])
            }
            answer["status"] = try verdict(definition, spec, subject)
        case "SelfSubjectRulesReview": answer["status"] = try rules(spec["namespace"]?.string ?? "", user)
        case "TokenReview":
            var audiences = (spec["audiences"]?.array ?? []).compactMap(\.string)
            if audiences.isEmpty { audiences = [ServiceTokens.issuer] }
            let token = spec["token"]?.string ?? ""
            // One by one: the answer names those that the token was made for.
            let met = audiences.filter { authenticator.user(token: token, audiences: [$0]) != nil }
            answer["status"] =
                authenticator.user(token: token, audiences: audiences).map {
                    ["authenticated": true, "user": Self.json($0), "audiences": .array(met.map { .string($0) })]
                } ?? ["authenticated": false, "error": "the token is unknown, expired or made for another audience"]
            answer[path: ["spec", "token"]] = nil
        default: throw .noSuchPath
        }
        return answer
    }

    private static func json(_ user: User) -> JSON {
        var result: JSON = ["username": .string(user.name), "groups": .array(user.groups.map { .string($0) })]
        if !user.uid.isEmpty { result["uid"] = .string(user.uid) }
        if !user.extra.isEmpty {
            result["extra"] = .object(JSONObject(user.extra.sorted { $0.key < $1.key }.map { ($0, .array($1.map { .string($0) })) }))
        }
        return result
    }

    private func verdict(_ definition: KindDefinition, _ spec: JSON, _ user: User) throws(APIStatus) -> JSON {
        func text(_ value: JSON?, _ key: String) -> String { value?[key]?.string ?? "" }
        let request: AccessRequest
        if let resource = spec["resourceAttributes"] {
            request = AccessRequest(
                verb: text(resource, "verb"), group: text(resource, "group"), resource: text(resource, "resource"),
                subresource: text(resource, "subresource"), name: text(resource, "name"), namespace: text(resource, "namespace"))
        } else if let path = spec["nonResourceAttributes"] {
            request = AccessRequest(verb: text(path, "verb"), path: text(path, "path"))
        } else {
            throw .invalid(
                definition, name: "",
                [.invalid("spec.resourceAttributes", .null, "exactly one of nonResourceAttributes or resourceAttributes must be specified")]
            )
        }
        let isAllowed = try Authorizer(service: service).allows(user, request, fieldSelector: FieldSelector())
        return isAllowed ? ["allowed": true] : ["allowed": false, "reason": "no role allows it"]
    }

    private func rules(_ namespace: String, _ user: User) throws(APIStatus) -> JSON {
        let everything = AccessRule(verbs: ["*"], groups: ["*"], resources: ["*"])
        let rules =
            user.isMaster
            ? [everything, AccessRule(verbs: ["*"], paths: ["*"])] : try service.accessBook().rules(of: user, in: namespace)
        func texts(_ list: [String]) -> JSON { .array(list.map { .string($0) }) }
        let resources = rules.filter { !$0.resources.isEmpty }.map { rule -> JSON in
            var entry: JSON = ["verbs": texts(rule.verbs), "apiGroups": texts(rule.groups), "resources": texts(rule.resources)]
            if !rule.names.isEmpty { entry["resourceNames"] = texts(rule.names) }
            return entry
        }
        let paths = rules.filter { !$0.paths.isEmpty }.map { ["verbs": texts($0.verbs), "nonResourceURLs": texts($0.paths)] as JSON }
        return ["resourceRules": .array(resources), "nonResourceRules": .array(paths), "incomplete": .bool(user.nodeName != nil)]
    }
}

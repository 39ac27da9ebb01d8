/// What must hold of `metadata` for every kind.
package enum MetadataRules {
    /// Total of keys and values.
    package static let annotationBytesMax = 256 << 10

    /// What is wrong in an object's `metadata`: its name by the kind's rule, keys and values of labels, keys and size of annotations,
    /// finalizers, owners.
    package static func errors(_ object: JSON, definition: KindDefinition) -> [FieldError] {
        guard let metadata = object["metadata"], metadata.object != nil else { return [.required("metadata")] }
        var errors: [FieldError] = []
        let name = metadata["name"]?.string ?? ""
        if name.isEmpty {
            errors.append(.required("metadata.name", "name or generateName is required"))
        } else {
            let isValid: Bool
            let text: String
            switch definition.nameRule {
            case .subdomain: (isValid, text) = (NameRules.isSubdomain(name), NameRules.subdomainText)
            case .label: (isValid, text) = (NameRules.isLabel(name), NameRules.labelText)
            case .pathSegment: (isValid, text) = (NameRules.isPathSegment(name), "may not be '.', '..', nor contain '/' or '%'")
            }
            if !isValid { errors.append(.invalid("metadata.name", .string(name), text)) }
        }
        for (key, value) in metadata["labels"]?.object ?? [:] {
            if !NameRules.isQualifiedName(key) { errors.append(.invalid("metadata.labels", .string(key), NameRules.qualifiedNameText)) }
            if !NameRules.isLabelValue(value.string ?? "") {
                errors.append(.invalid("metadata.labels", value, NameRules.labelValueText))
            }
        }
        var bytes = 0
        for (key, value) in metadata["annotations"]?.object ?? [:] {
            if !NameRules.isQualifiedName(key.lowercased()) {
                errors.append(.invalid("metadata.annotations", .string(key), NameRules.qualifiedNameText))
            }
            bytes += key.utf8.count + (value.string?.utf8.count ?? 0)
        }
        if bytes > annotationBytesMax {
            errors.append(FieldError("metadata.annotations", .tooLong, "Too long: may not be more than \(annotationBytesMax) bytes"))
        }
        for (index, finalizer) in (metadata["finalizers"]?.array ?? []).enumerated() {
            if !NameRules.isQualifiedName(finalizer.string ?? "") {
                errors.append(.invalid("metadata.finalizers[\(index)]", finalizer, NameRules.qualifiedNameText))
            }
        }
        return errors + ownerErrors(metadata)
    }

    private static func ownerErrors(_ metadata: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        var controllers = 0
        for (index, owner) in (metadata["ownerReferences"]?.array ?? []).enumerated() {
            for key in ["apiVersion", "kind", "name", "uid"] where (owner[key]?.string ?? "").isEmpty {
                errors.append(.required("metadata.ownerReferences[\(index)].\(key)", "must not be empty"))
            }
            if owner["controller"]?.bool == true { controllers += 1 }
        }
        if controllers > 1 {
            errors.append(
                .invalid("metadata.ownerReferences", .integer(Int64(controllers)), "Only one reference can have Controller set to true"))
        }
        return errors
    }
}

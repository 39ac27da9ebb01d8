extension Schema {
    /// At most so many refusals are listed for one object.
    private static let errorsMax = 32

    /// What does not fit the schema: types, required fields, allowed values, bounds, repeated list keys.
    ///
    /// - Parameter checksRequired: false for Kubernetes' own kinds, whose required fields are checked kind by kind.
    package func errors(in value: JSON, at path: String = "", catalog: SchemaCatalog, checksRequired: Bool = true) -> [FieldError] {
        var place = FieldPlace(path)
        var found: [FieldError] = []
        check(value, &place, catalog, checksRequired, &found)
        return found
    }

    /// Whether a value holds no null and nothing unknown, and `errors` would find nothing: said in one walk that writes nothing down. False is
    /// no verdict: whoever gets it looks closer.
    ///
    /// - Parameters:
    ///   - checksRequired: as for `errors`.
    ///   - isRoot: the value is a whole object, whose `apiVersion`, `kind` and `metadata` need no field.
    ///   - known: a plain value of this schema, as the object is that a patch began with; what was taken over from it is not walked again.
    package func isPlain(
        _ value: JSON, catalog: SchemaCatalog, checksRequired: Bool, isRoot: Bool = true, known: JSON? = nil
    ) -> Bool {
        if let known, value.isShared(with: known) { return true }
        let tree = catalog.resolved(self)
        guard bounds == nil, tree.fits(value, isStrict: !checksRequired) else { return false }
        if !allowed.isEmpty, !allowed.contains(value), checksRequired || value != "" { return false }
        switch value {
        case .object(let object):
            if checksRequired, tree.required.contains(where: { object[$0] == nil }) { return false }
            let before = known?.object
            for (place, member) in object.members.enumerated() {
                let other = before?.value(of: member.key, near: place)
                if let other, member.value.isShared(with: other) { continue }
                if let schema = tree.property(member.key) ?? tree.additional {
                    guard schema.isPlain(member.value, catalog: catalog, checksRequired: checksRequired, isRoot: false, known: other) else {
                        return false
                    }
                } else {
                    guard tree.shape == .any || tree.keeps(member.key, isRoot: isRoot, isEmbedded: isEmbeddedResource),
                        !member.value.holdsNull
                    else { return false }
                }
            }
            return true
        case .array(let elements):
            guard let items = tree.items else { return !value.holdsNull }
            let before = known?.array ?? []
            for (place, element) in elements.enumerated() {
                let other = place < before.count ? before[place] : nil
                guard items.isPlain(element, catalog: catalog, checksRequired: checksRequired, isRoot: false, known: other) else {
                    return false
                }
            }
            var found: [FieldError] = []
            checkKeys(elements, FieldPlace(""), catalog, &found)
            return found.isEmpty
        case .null: return false
        default: return true
        }
    }

    private func check(
        _ value: JSON, _ place: inout FieldPlace, _ catalog: SchemaCatalog, _ checksRequired: Bool, _ found: inout [FieldError]
    ) {
        guard found.count < Self.errorsMax else { return }
        let tree = catalog.resolved(self)
        guard tree.fits(value, isStrict: !checksRequired) else {
            if value.isNull && (isNullable || !checksRequired) { return }
            let path = place.text
            found.append(
                FieldError(
                    path, .typeInvalid,
                    "Invalid value: \"\(value.typeName)\": \(path.isEmpty ? "body" : path) in body must be of type \(value.integer == nil || tree.format.isEmpty ? tree.typeWord : tree.format): \"\(value.typeName)\""
                ))
            return
        }
        if !allowed.isEmpty, !allowed.contains(value), checksRequired || value != "" {
            found.append(.notSupported(place.text, value, allowed.map { $0.string ?? $0.text }))
        }
        if let bounds { check(value, bounds, place.text, catalog, &found) }
        switch value {
        case .object(let object): tree.checkMembers(object, &place, catalog, checksRequired, &found)
        case .array(let elements):
            if let items = tree.items {
                for (index, element) in elements.enumerated() {
                    place.steps.append(.element(index))
                    items.check(element, &place, catalog, checksRequired, &found)
                    place.steps.removeLast()
                }
            }
            checkKeys(elements, place, catalog, &found)
        default: break
        }
    }

    private func checkMembers(
        _ object: JSONObject, _ place: inout FieldPlace, _ catalog: SchemaCatalog, _ checksRequired: Bool, _ found: inout [FieldError]
    ) {
        for member in object.members {
            guard let schema = property(member.key) ?? additional else { continue }
            place.steps.append(.member(member.key))
            schema.check(member.value, &place, catalog, checksRequired, &found)
            place.steps.removeLast()
        }
        guard checksRequired else { return }
        for key in required where object[key] == nil || (object[key]!.isNull && property(key)?.isNullable != true) {
            var missing = place
            missing.steps.append(.member(key))
            found.append(.required(missing.text))
        }
    }

    private func checkKeys(_ elements: [JSON], _ place: FieldPlace, _ catalog: SchemaCatalog, _ found: inout [FieldError]) {
        // One element is no other's double.
        guard elements.count > 1 else { return }
        var seen: Set<JSON> = []
        for (index, element) in elements.enumerated() {
            let identity: JSON
            switch merge {
            case .set: identity = element
            case .map(let keys): identity = ListIdentity(of: element, keys: keys, schema: items, catalog: catalog).value
            default: return
            }
            guard found.count < Self.errorsMax else { return }
            if !seen.insert(identity).inserted { found.append(.duplicate("\(place.text)[\(index)]", identity)) }
        }
    }

    /// Whether a value is of the schema's type.
    ///
    /// - Parameter isStrict: as Go reads Kubernetes' own kinds: no fraction or exponent in an integer, even if its value is whole.
    func fits(_ value: JSON, isStrict: Bool = false) -> Bool {
        switch (shape, value) {
        case (.any, _): true
        case (_, .null): false
        case (.string, .string), (.bytes, .string), (.boolean, .bool), (.object, .object), (.array, .array): true
        case (.number, .integer), (.number, .decimal): true
        case (.intOrString, .string), (.intOrString, .integer): true
        case (.quantity, .string), (.quantity, .integer), (.quantity, .decimal): true
        case (.integer, .integer(let number)): format != "int32" || Int32(exactly: number) != nil
        case (.integer, .decimal(let text)): !isStrict && Double(text).map { $0 == $0.rounded() && abs($0) < 9e15 } ?? false
        default: false
        }
    }

    /// The schema's type in OpenAPI's words.
    package var typeWord: String {
        switch shape {
        case .string, .bytes, .quantity, .intOrString: "string"
        case .integer: "integer"
        case .number: "number"
        case .boolean: "boolean"
        case .object, .any: "object"
        case .array: "array"
        }
    }

    private func check(_ value: JSON, _ bounds: SchemaBounds, _ path: String, _ catalog: SchemaCatalog, _ found: inout [FieldError]) {
        if let number = value.number { bounds.check(number, value, path, &found) }
        if let text = value.string { bounds.check(text, path, &found) }
        if let elements = value.array { bounds.check(elements, path, &found) }
        if let object = value.object { bounds.check(object, path, &found) }
        func holds(_ schema: Schema) -> Bool { schema.errors(in: value, at: path, catalog: catalog).isEmpty }
        var place = FieldPlace(path)
        for schema in bounds.allOf { schema.check(value, &place, catalog, true, &found) }
        if !bounds.anyOf.isEmpty, !bounds.anyOf.contains(where: holds) {
            found.append(.invalid(path, value, "\(path) in body must validate at least one schema (anyOf)"))
        }
        if !bounds.oneOf.isEmpty, bounds.oneOf.count(where: holds) != 1 {
            found.append(.invalid(path, value, "\(path) in body must validate one and only one schema (oneOf)"))
        }
        if let not = bounds.not, holds(not) { found.append(.invalid(path, value, "\(path) in body must not validate the schema (not)")) }
    }
}

/// Where in an object a check is; written as text for refusals only.
private struct FieldPlace {
    enum Step {
        case member(String)
        case element(Int)
    }

    private let base: String
    var steps: [Step] = []

    init(_ base: String) { self.base = base }

    /// `spec.containers[0].name`
    var text: String {
        steps.reduce(into: base) { text, step in
            switch step {
            case .member(let key): text += text.isEmpty ? key : "." + key
            case .element(let index): text += "[\(index)]"
            }
        }
    }
}

extension SchemaBounds {
    fileprivate func check(_ number: Double, _ value: JSON, _ path: String, _ found: inout [FieldError]) {
        if let minimum, isMinimumExclusive ? number <= minimum : number < minimum {
            found.append(
                .invalid(path, value, "\(path) in body should be greater than \(isMinimumExclusive ? "" : "or equal to ")\(minimum.short)"))
        }
        if let maximum, isMaximumExclusive ? number >= maximum : number > maximum {
            found.append(
                .invalid(path, value, "\(path) in body should be less than \(isMaximumExclusive ? "" : "or equal to ")\(maximum.short)"))
        }
        if let multipleOf, multipleOf > 0, (number / multipleOf).rounded() != number / multipleOf {
            found.append(.invalid(path, value, "\(path) in body should be a multiple of \(multipleOf.short)"))
        }
    }

    fileprivate func check(_ text: String, _ path: String, _ found: inout [FieldError]) {
        let count = Int64(text.unicodeScalars.count)
        if let lengthMin, count < lengthMin {
            found.append(.invalid(path, .string(text), "\(path) in body should be at least \(lengthMin) chars long"))
        }
        if let lengthMax, count > lengthMax {
            found.append(FieldError(path, .tooLong, "Too long: may not be more than \(lengthMax) characters, found \(count)"))
        }
        if let pattern, let expression = try? Regex(pattern), text.firstMatch(of: expression) == nil {
            found.append(.invalid(path, .string(text), "\(path) in body should match '\(pattern)'"))
        }
    }

    fileprivate func check(_ elements: [JSON], _ path: String, _ found: inout [FieldError]) {
        if let itemsMin, elements.count < itemsMin {
            found.append(.invalid(path, .integer(Int64(elements.count)), "\(path) in body should have at least \(itemsMin) items"))
        }
        if let itemsMax, elements.count > itemsMax {
            found.append(FieldError(path, .tooMany, "Too many: \(elements.count): must have at most \(itemsMax) items"))
        }
    }

    fileprivate func check(_ object: JSONObject, _ path: String, _ found: inout [FieldError]) {
        if let propertiesMin, object.count < propertiesMin {
            found.append(.invalid(path, .integer(Int64(object.count)), "\(path) in body should have at least \(propertiesMin) properties"))
        }
        if let propertiesMax, object.count > propertiesMax {
            found.append(FieldError(path, .tooMany, "Too many: \(object.count): must have at most \(propertiesMax) items"))
        }
    }
}

extension Double {
    /// Without a fraction of zero: `3`, `0.5`.
    fileprivate var short: String { self == rounded() && abs(self) < 1e15 ? String(Int64(self)) : String(self) }
}

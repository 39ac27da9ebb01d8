/// A set of fields of an object: what `managedFields` says a manager owns. Written as Kubernetes' FieldsV1.
package struct FieldSet: Sendable, Equatable {
    /// One step of a path.
    package enum Step: Sendable, Hashable {
        case field(String)
        /// The list element with these identifying fields.
        case key(JSON)
        /// The list element that is this value.
        case value(JSON)
    }

    /// The field this set stands for is itself a member, written `.`.
    package private(set) var isMember = false
    /// What is in the set below this field, by the next step of the path.
    package private(set) var children: [Step: FieldSet] = [:]

    /// A set of nothing.
    package init() {}

    /// A set of one member: the field it stands for.
    package static let itself: FieldSet = {
        var set = FieldSet()
        set.isMember = true
        return set
    }()

    /// This field is no member, and no step leads below it.
    package var isEmpty: Bool { !isMember && children.isEmpty }

    /// The part of the set below a step; the empty set where there is none. Setting an empty one takes the step away.
    package subscript(step: Step) -> FieldSet {
        get { children[step] ?? FieldSet() }
        set { children[step] = newValue.isEmpty ? nil : newValue }
    }

    /// Makes the field this set stands for a member.
    package mutating func insertItself() { isMember = true }

    /// Whether the field at a path is itself a member; having members below it does not count. The empty path asks for this field.
    package func contains(_ path: [Step]) -> Bool {
        guard let step = path.first else { return isMember }
        return children[step]?.contains(Array(path.dropFirst())) ?? false
    }

    /// The members of either set.
    package func union(_ other: FieldSet) -> FieldSet {
        var result = self
        result.isMember = isMember || other.isMember
        for (step, set) in other.children { result[step] = self[step].union(set) }
        return result
    }

    /// The members of both sets. A member of one that lies below a member of the other is none of both.
    package func intersection(_ other: FieldSet) -> FieldSet {
        var result = FieldSet()
        result.isMember = isMember && other.isMember
        for (step, set) in children where other.children[step] != nil { result[step] = set.intersection(other[step]) }
        return result
    }

    /// The set without the other's members; what lies below them stays, unlike `subtractingTrees`.
    package func subtracting(_ other: FieldSet) -> FieldSet {
        var result = self
        result.isMember = isMember && !other.isMember
        for (step, set) in other.children where children[step] != nil { result[step] = self[step].subtracting(set) }
        return result
    }

    /// The set without the trees below the members of another set, nor those members.
    package func subtractingTrees(_ other: FieldSet) -> FieldSet {
        if other.isMember { return FieldSet() }
        var result = self
        for (step, set) in other.children where children[step] != nil { result[step] = self[step].subtractingTrees(set) }
        return result
    }

    /// Every member's path, in the order of its text.
    package var paths: [[Step]] {
        var result: [[Step]] = isMember ? [[]] : []
        for (step, set) in children.sorted(by: { $0.key.text < $1.key.text }) { result += set.paths.map { [step] + $0 } }
        return result
    }
}

extension FieldSet.Step {
    /// As FieldsV1 has it: `f:name`, `k:{"name":"a"}`, `v:"a"`.
    package var text: String {
        switch self {
        case .field(let name): "f:" + name
        case .key(let value): "k:" + value.text
        case .value(let value): "v:" + value.text
        }
    }

    init?(text: String) {
        let rest = String(text.dropFirst(2))
        switch text.prefix(2) {
        case "f:": self = .field(rest)
        case "k:":
            guard let value = try? JSON(parsing: rest) else { return nil }
            self = .key(value)
        case "v:":
            guard let value = try? JSON(parsing: rest) else { return nil }
            self = .value(value)
        default: return nil
        }
    }

    /// As error messages have it: `.name`, `[name="a"]`, `[="a"]`.
    package var pathText: String {
        switch self {
        case .field(let name): "." + name
        case .key(let value): "[" + (value.object?.map { "\($0)=\($1.text)" }.joined(separator: ",") ?? "") + "]"
        case .value(let value): "[=\(value.text)]"
        }
    }
}

extension FieldSet {
    /// The set as FieldsV1.
    package var fieldsV1: JSON {
        var result = JSONObject()
        if isMember && !children.isEmpty { result["."] = [:] }
        // Each step is written once, not once a comparison.
        for (text, set) in children.map({ ($0.key.text, $0.value) }).sorted(by: { $0.0 < $1.0 }) { result[text] = set.fieldsV1 }
        return .object(result)
    }

    /// Whether every member is one of the set that FieldsV1 describes.
    func isHeld(byFieldsV1 other: JSON, isRoot: Bool = true) -> Bool {
        if isMember, isRoot || !Self.isMember(other) { return false }
        return children.allSatisfy { step, set in
            guard let inner = other[step.text] else { return false }
            return set.isHeld(byFieldsV1: inner, isRoot: false)
        }
    }

    /// Whether some member is one of the set that FieldsV1 describes.
    func meets(fieldsV1 other: JSON, isRoot: Bool = true) -> Bool {
        if isMember, !isRoot, Self.isMember(other) { return true }
        return children.contains { step, set in other[step.text].map { set.meets(fieldsV1: $0, isRoot: false) } ?? false }
    }

    private static func isMember(_ fieldsV1: JSON) -> Bool { fieldsV1.object?.isEmpty == true || fieldsV1["."] != nil }

    /// Reads FieldsV1; steps this program does not know (indices) are left out.
    package init(fieldsV1: JSON, isRoot: Bool = true) {
        guard let object = fieldsV1.object else { return }
        isMember = !isRoot && (object.isEmpty || object["."] != nil)
        for (key, value) in object where key != "." {
            if let step = Step(text: key) { children[step] = FieldSet(fieldsV1: value, isRoot: false) }
        }
    }
}

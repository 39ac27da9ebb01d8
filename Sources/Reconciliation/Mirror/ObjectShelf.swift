package import Resources

/// The objects of one kind by namespace and name, in order.
///
/// Objects lie here as text and are parsed whenever they are asked for: a tree takes several times the memory of its text, and most
/// objects of a large cluster are looked at once in a long while. Who owns their fields is left out: no reconciler asks for it.
package struct ObjectShelf: Sendable {
    private struct Space: Sendable {
        /// Sorted.
        var names: [String] = []
        var objects: [String: ShelvedObject] = [:]
    }

    private var spaces: [String: Space] = [:]
    /// Objects in all namespaces.
    package private(set) var count = 0

    /// Holds nothing.
    package init() {}

    /// All keys in order.
    package var keys: [ObjectKey] {
        spaces.keys.sorted().flatMap { space in spaces[space]!.names.map { ObjectKey(namespace: space, name: $0) } }
    }

    /// The keys of a name in all namespaces.
    func keys(named name: String) -> [ObjectKey] {
        spaces.filter { $0.value.objects[name] != nil }.map { ObjectKey(namespace: $0.key, name: name) }
    }

    /// All objects in the order of their keys.
    package var objects: [JSON] { spaces.keys.sorted().flatMap { objects(in: $0) } }

    /// The objects of a namespace in the order of their names; of kinds without namespaces, those of `""`.
    package func objects(in namespace: String) -> [JSON] {
        guard let space = spaces[namespace] else { return [] }
        return space.names.map { space.objects[$0]!.object }
    }

    /// Whether a namespace holds anything.
    package func isEmpty(_ namespace: String) -> Bool { spaces[namespace] == nil }

    /// The revision of an object; nil for one that is not here.
    func revision(of key: ObjectKey) -> String? { spaces[key.namespace]?.objects[key.name]?.revision }

    /// Whether there is such an object and its deletion has begun: known without reading its text.
    func isBeingDeleted(_ key: ObjectKey) -> Bool { spaces[key.namespace]?.objects[key.name]?.isBeingDeleted ?? false }

    /// The object of a key, nil if there is none. Setting adds or replaces it; nil takes it away.
    package subscript(key: ObjectKey) -> JSON? {
        get { spaces[key.namespace]?.objects[key.name]?.object }
        set {
            var space = spaces.removeValue(forKey: key.namespace) ?? Space()
            let isKnown = space.objects[key.name] != nil
            space.objects[key.name] = newValue.map { ShelvedObject($0) }
            if isKnown != (newValue != nil) {
                let index = Self.position(of: key.name, in: space.names)
                if isKnown { space.names.remove(at: index) } else { space.names.insert(key.name, at: index) }
                count += isKnown ? -1 : 1
            }
            if !space.names.isEmpty { spaces[key.namespace] = space }
        }
    }

    private static func position(of name: String, in names: [String]) -> Int {
        var low = 0
        var high = names.count
        while low < high {
            let middle = (low + high) / 2
            if names[middle] < name { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// One object as text.
private struct ShelvedObject: Sendable {
    /// Empty for an object without one.
    let revision: String
    let isBeingDeleted: Bool
    private let text: [UInt8]

    init(_ object: JSON) {
        revision = object["metadata"]?["resourceVersion"]?.string ?? ""
        isBeingDeleted = object["metadata"]?["deletionTimestamp"] != nil
        // Written into a buffer that grew; kept in one that fits.
        text = Array(object.bytes()[...])
    }

    var object: JSON {
        do throws(JSONParseError) { return try JSONParser.parse(text, limits: .init(depthMax: 512, bytesMax: .max)) } catch {
            preconditionFailure("an object that was written here cannot be read: \(error)")
        }
    }
}

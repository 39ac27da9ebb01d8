/// An object's members in the order they were written, each key once.
///
/// Up to `indexedAbove` members a key is found by comparing; above, by an index, so that a wide object costs no more than its size.
package struct JSONObject: Sendable {
    private static let indexedAbove = 12
    package private(set) var keys: [String] = []
    package private(set) var values: [JSON] = []
    private var index: [String: Int]?

    package init() {}

    /// Members in the given order; of a key given twice the last value stays.
    package init(_ members: some Sequence<(String, JSON)>) {
        for (key, value) in members { self[key] = value }
    }

    package var count: Int { keys.count }
    package var isEmpty: Bool { keys.isEmpty }

    package func position(of key: String) -> Int? {
        if let index { return index[key] }
        return keys.firstIndex(of: key)
    }

    /// The value of a key; setting nil removes the member.
    package subscript(key: String) -> JSON? {
        get { position(of: key).map { values[$0] } }
        set {
            guard let found = position(of: key) else {
                if let newValue { append(key, newValue) }
                return
            }
            if let newValue {
                values[found] = newValue
            } else {
                keys.remove(at: found)
                values.remove(at: found)
                if index != nil { rebuildIndex() }
            }
        }
    }

    private mutating func append(_ key: String, _ value: JSON) {
        keys.append(key)
        values.append(value)
        if index != nil {
            index?[key] = keys.count - 1
        } else if keys.count > Self.indexedAbove {
            rebuildIndex()
        }
    }

    private mutating func rebuildIndex() {
        guard keys.count > Self.indexedAbove else { return index = nil }
        index = Dictionary(uniqueKeysWithValues: keys.enumerated().map { ($1, $0) })
    }

    /// The same members, every value replaced by what the closure returns; members for which it returns nil are dropped.
    package func compactMapValues(_ transform: (String, JSON) -> JSON?) -> JSONObject {
        var result = JSONObject()
        for (key, value) in self { if let new = transform(key, value) { result[key] = new } }
        return result
    }
}

extension JSONObject: Sequence {
    package func makeIterator() -> some IteratorProtocol<(String, JSON)> { zip(keys, values).lazy.map { ($0, $1) }.makeIterator() }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, JSON)...) { self.init(elements) }
}

extension JSONObject: Hashable {
    package static func == (left: JSONObject, right: JSONObject) -> Bool {
        guard left.count == right.count else { return false }
        return left.keys.indices.allSatisfy { right[left.keys[$0]] == left.values[$0] }
    }

    package func hash(into hasher: inout Hasher) {
        var sum = 0
        for (key, value) in self {
            var member = Hasher()
            member.combine(key)
            member.combine(value)
            sum ^= member.finalize()
        }
        hasher.combine(sum)
    }
}

/// An object's members in the order they were written, each key once.
///
/// Up to `indexedAbove` members a key is found by comparing; above, by an index, so that a wide object costs no more than its size.
package struct JSONObject: Sendable {
    private static let indexedAbove = 12
    /// In the order they were first written, each once.
    package private(set) var keys: [String] = []
    /// Of the keys, at the same positions.
    package private(set) var values: [JSON] = []
    /// Of a wide object: the number each key got when it came, and those numbers in the order of the members. A member that goes leaves
    /// the numbers of the others as they are, so that nothing is hashed again.
    private var index: [String: Int]?
    private var numbers: [Int] = []

    /// An object without members: `{}`.
    package init() {}

    /// Members in the given order; of a key given twice the last value stays.
    package init(_ members: some Sequence<(String, JSON)>) {
        for (key, value) in members { self[key] = value }
    }

    /// Number of members.
    package var count: Int { keys.count }
    /// The object is `{}`.
    package var isEmpty: Bool { keys.isEmpty }

    /// Where a key stands in `keys` and `values`; nil if it is no member. Compares up to 12 keys, or looks once into the index and halves.
    package func position(of key: String) -> Int? {
        guard let index else { return keys.firstIndex(of: key) }
        guard let number = index[key] else { return nil }
        // A number is never below its place: without removals it is the place.
        var (low, high) = (0, Swift.min(number, numbers.count - 1))
        while low < high {
            let middle = (low + high + 1) / 2
            if numbers[middle] <= number { low = middle } else { high = middle - 1 }
        }
        return low
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
                if index != nil {
                    index?[key] = nil
                    numbers.remove(at: found)
                }
            }
        }
    }

    private mutating func append(_ key: String, _ value: JSON) {
        keys.append(key)
        values.append(value)
        if index != nil {
            let number = (numbers.last ?? -1) + 1
            index?[key] = number
            numbers.append(number)
        } else if keys.count > Self.indexedAbove {
            rebuildIndex()
        }
    }

    private mutating func rebuildIndex() {
        numbers = Array(keys.indices)
        index = Dictionary(uniqueKeysWithValues: keys.enumerated().map { ($1, $0) })
    }

    /// The members whose keys are not among these, in their order.
    package func without(_ gone: Set<String>) -> JSONObject {
        gone.isEmpty ? self : JSONObject(lazy.filter { !gone.contains($0.0) })
    }

    /// The same members, every value replaced by what the closure returns; members for which it returns nil are dropped.
    package func compactMapValues(_ transform: (String, JSON) -> JSON?) -> JSONObject {
        var result = JSONObject()
        for (key, value) in self { if let new = transform(key, value) { result[key] = new } }
        return result
    }
}

extension JSONObject: Sequence {
    /// Members in their order, as they are when the walk begins.
    package func makeIterator() -> some IteratorProtocol<(String, JSON)> { zip(keys, values).lazy.map { ($0, $1) }.makeIterator() }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// Members in the literal's order; of a key given twice the last value stays.
    package init(dictionaryLiteral elements: (String, JSON)...) { self.init(elements) }
}

extension JSONObject: Hashable {
    /// The same members whatever their order.
    package static func == (left: JSONObject, right: JSONObject) -> Bool {
        guard left.count == right.count else { return false }
        return left.keys.indices.allSatisfy { right[left.keys[$0]] == left.values[$0] }
    }

    /// Does not depend on the order of the members, as equality does not.
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

/// An object's members in the order they were written, each key once.
///
/// Up to `indexedAbove` members a key is found by comparing; above, by an index, so that a wide object costs no more than its size.
package struct JSONObject: Sendable {
    /// A key and its value.
    package struct Member: Sendable {
        /// Unique in its object.
        package let key: String
        /// Null is a value.
        package fileprivate(set) var value: JSON

        init(key: String, value: JSON) {
            self.key = key
            self.value = value
        }
    }

    private static let indexedAbove = 12
    /// In the order the keys were first written.
    package private(set) var members: [Member] = []
    /// Of a wide object only: values of this type are many, and most are narrow.
    private var index: JSONObjectIndex?

    /// An object without members: `{}`.
    package init() {}

    /// Members in the given order; of a key given twice the last value stays.
    package init(_ members: some Sequence<(String, JSON)>) {
        for (key, value) in members { self[key] = value }
    }

    /// Members in the given order, for keys that are known to differ: nothing is looked up.
    ///
    /// - Precondition: no key stands twice.
    init(differing members: [Member]) {
        self.members = members
        if members.count > Self.indexedAbove { index = JSONObjectIndex(members) }
    }

    /// Number of members.
    package var count: Int { members.count }
    /// The object is `{}`.
    package var isEmpty: Bool { members.isEmpty }
    /// In the order they were first written, each once.
    package var keys: [String] { members.map(\.key) }
    /// Of the keys, at the same positions.
    package var values: [JSON] { members.map(\.value) }

    /// Where a key stands in `members`; nil if it is no member. Compares up to 12 keys, or looks once into the index and halves.
    package func position(of key: String) -> Int? {
        if let index { return index.position(of: key) }
        return members.withUnsafeBufferPointer { members in
            for position in members.indices where members[position].key == key { return position }
            return nil
        }
    }

    /// The value of a key; setting nil removes the member.
    package subscript(key: String) -> JSON? {
        get { position(of: key).map { members[$0].value } }
        set {
            guard let found = position(of: key) else {
                if let newValue { append(key, newValue) }
                return
            }
            if let newValue {
                members[found].value = newValue
            } else {
                members.remove(at: found)
                if index != nil { ownIndex().remove(key, at: found) }
            }
        }
    }

    /// Adds a member, or replaces the value of the one there is.
    ///
    /// - Returns: whether the key was there.
    package mutating func put(_ key: String, _ value: JSON) -> Bool {
        if let found = position(of: key) {
            members[found].value = value
            return true
        }
        append(key, value)
        return false
    }

    /// The value of a key, looked for at a position first: there it stands in an object that was made of this one.
    func value(of key: String, near position: Int) -> JSON? {
        if position < members.count, members[position].key == key { return members[position].value }
        return self[key]
    }

    /// Whether both lie at one place: copies of which neither was changed do, and are equal. False is no verdict.
    package func isShared(with other: JSONObject) -> Bool {
        members.withUnsafeBufferPointer { mine in
            other.members.withUnsafeBufferPointer { mine.baseAddress == $0.baseAddress && mine.count == $0.count }
        }
    }

    /// Changes the value at a position of `members` where it lies.
    package mutating func change<Result>(at position: Int, _ body: (inout JSON) throws -> Result) rethrows -> Result {
        try body(&members[position].value)
    }

    /// Adds those members whose keys are none yet, in the given order, and makes room for them at once.
    package mutating func fill(_ defaults: [(key: String, value: JSON)]) {
        var isRoomy = false
        for (key, value) in defaults where position(of: key) == nil {
            if !isRoomy { members.reserveCapacity(members.count + defaults.count) }
            isRoomy = true
            append(key, value)
        }
    }

    /// Adds a member whose key is known to be none yet: nothing is looked up.
    mutating func add(differing key: String, _ value: JSON) { append(key, value) }

    /// For keys that are no member yet.
    private mutating func append(_ key: String, _ value: JSON) {
        members.append(Member(key: key, value: value))
        if index != nil {
            ownIndex().append(key)
        } else if members.count > Self.indexedAbove {
            index = JSONObjectIndex(members)
        }
    }

    /// The index, shared with no copy of this object.
    private mutating func ownIndex() -> JSONObjectIndex {
        if !isKnownUniquelyReferenced(&index) { index = index?.copy() }
        return index!
    }

    /// The members whose keys are not among these, in their order.
    package func without(_ gone: Set<String>) -> JSONObject {
        gone.isEmpty ? self : compactMapValues { key, value in gone.contains(key) ? nil : value }
    }

    /// The same members, every value replaced by what the closure returns; members for which it returns nil are dropped.
    package func compactMapValues(_ transform: (String, JSON) -> JSON?) -> JSONObject {
        var result = JSONObject()
        result.members.reserveCapacity(members.count)
        for member in members { if let new = transform(member.key, member.value) { result.append(member.key, new) } }
        return result
    }
}

/// Where the keys of a wide object stand: the number each key got when it came, and those numbers in the order of the members. A member
/// that goes leaves the numbers of the others as they are, so that nothing is hashed again.
///
/// Unchecked: changed only by the one object that refers to it (`JSONObject.ownIndex`).
private final class JSONObjectIndex: @unchecked Sendable {
    private var numberOfKey: [String: Int]
    private var numbers: [Int]

    init(_ members: [JSONObject.Member]) {
        numbers = Array(members.indices)
        numberOfKey = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.key, $0) })
    }

    private init(_ other: JSONObjectIndex) {
        numberOfKey = other.numberOfKey
        numbers = other.numbers
    }

    func copy() -> JSONObjectIndex { JSONObjectIndex(self) }

    func position(of key: String) -> Int? {
        guard let number = numberOfKey[key] else { return nil }
        // A number is never below its place: without removals it is the place.
        var (low, high) = (0, min(number, numbers.count - 1))
        while low < high {
            let middle = (low + high + 1) / 2
            if numbers[middle] <= number { low = middle } else { high = middle - 1 }
        }
        return low
    }

    func append(_ key: String) {
        let number = (numbers.last ?? -1) + 1
        numberOfKey[key] = number
        numbers.append(number)
    }

    func remove(_ key: String, at position: Int) {
        numberOfKey[key] = nil
        numbers.remove(at: position)
    }
}

extension JSONObject: Sequence {
    /// Members in their order, as they are when the walk begins.
    package struct Iterator: IteratorProtocol {
        private var members: IndexingIterator<[Member]>

        fileprivate init(_ members: [Member]) { self.members = members.makeIterator() }

        /// The next key and its value.
        package mutating func next() -> (String, JSON)? { members.next().map { ($0.key, $0.value) } }
    }

    /// Members in their order, as they are when the walk begins.
    package func makeIterator() -> Iterator { Iterator(members) }

    /// Exact.
    package var underestimatedCount: Int { members.count }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// Members in the literal's order; of a key given twice the last value stays.
    package init(dictionaryLiteral elements: (String, JSON)...) { self.init(elements) }
}

extension JSONObject: Hashable {
    /// The same members whatever their order.
    package static func == (left: JSONObject, right: JSONObject) -> Bool {
        guard left.count == right.count else { return false }
        // Of an object and its successor most parts are the same.
        if left.isShared(with: right) { return true }
        for (position, member) in left.members.enumerated() {
            // Mostly the order is the same too.
            let other = right.members[position]
            if other.key == member.key {
                if other.value != member.value { return false }
            } else if right[member.key] != member.value {
                return false
            }
        }
        return true
    }

    /// Does not depend on the order of the members, as equality does not.
    package func hash(into hasher: inout Hasher) {
        var sum = 0
        for member in members {
            var inner = Hasher()
            inner.combine(member.key)
            inner.combine(member.value)
            sum ^= inner.finalize()
        }
        hasher.combine(sum)
    }
}

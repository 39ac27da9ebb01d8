/// Keys by the time at which they are due, each once.
///
/// A key is looked up once for each change; what moves within the heap is its number.
struct DueHeap<Key: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let due: Duration
        /// Of equal times the one added first.
        let order: UInt64
        /// The key's place in `keys` and `positions`.
        let number: Int
    }

    private var entries: [Entry] = []
    private var numbers: [Key: Int] = [:]
    private var keys: [Key?] = []
    /// By number: where its entry is.
    private var positions: [Int] = []
    private var unused: [Int] = []
    private var added: UInt64 = 0

    var count: Int { entries.count }
    /// Of the keys that are due first the one added first.
    var first: (key: Key, due: Duration)? { entries.first.map { (keys[$0.number]!, $0.due) } }

    func contains(_ key: Key) -> Bool { numbers[key] != nil }

    /// Adds a key, or makes it due earlier; a later time than it has is ignored.
    mutating func add(_ key: Key, at due: Duration) {
        if let number = numbers[key] {
            let found = positions[number]
            guard due < entries[found].due else { return }
            entries[found] = Entry(due: due, order: entries[found].order, number: number)
            rise(found)
            return
        }
        let number = newNumber(key)
        positions[number] = entries.count
        entries.append(Entry(due: due, order: added, number: number))
        added += 1
        rise(entries.count - 1)
    }

    private mutating func newNumber(_ key: Key) -> Int {
        let number: Int
        if let free = unused.popLast() {
            keys[free] = key
            number = free
        } else {
            number = keys.count
            keys.append(key)
            positions.append(0)
        }
        numbers[key] = number
        return number
    }

    mutating func remove(_ key: Key) {
        guard let number = numbers.removeValue(forKey: key) else { return }
        let found = positions[number]
        keys[number] = nil
        unused.append(number)
        swap(found, entries.count - 1)
        entries.removeLast()
        guard found < entries.count else { return }
        rise(found)
        sink(found)
    }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        let (left, right) = (entries[left], entries[right])
        return left.due == right.due ? left.order < right.order : left.due < right.due
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        entries.swapAt(left, right)
        positions[entries[left].number] = left
        positions[entries[right].number] = right
    }

    private mutating func rise(_ start: Int) {
        var index = start
        while index > 0, isBefore(index, (index - 1) / 2) {
            swap(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func sink(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in 2 * index + 1...2 * index + 2 where child < entries.count && isBefore(child, least) { least = child }
            if least == index { return }
            swap(index, least)
            index = least
        }
    }
}

/// Keys by the time at which they are due, each once.
struct DueHeap<Key: Hashable & Sendable>: Sendable {
    struct Entry: Sendable {
        let due: Duration
        let key: Key
        /// Of equal times the one added first.
        let order: UInt64
    }

    private var entries: [Entry] = []
    private var position: [Key: Int] = [:]
    private var added: UInt64 = 0

    var count: Int { entries.count }
    var first: Entry? { entries.first }

    func contains(_ key: Key) -> Bool { position[key] != nil }

    /// Adds a key, or makes it due earlier; a later time than it has is ignored.
    mutating func add(_ key: Key, at due: Duration) {
        if let found = position[key] {
            guard due < entries[found].due else { return }
            entries[found] = Entry(due: due, key: key, order: entries[found].order)
            rise(found)
            return
        }
        entries.append(Entry(due: due, key: key, order: added))
        added += 1
        position[key] = entries.count - 1
        rise(entries.count - 1)
    }

    mutating func remove(_ key: Key) {
        guard let found = position[key] else { return }
        swap(found, entries.count - 1)
        entries.removeLast()
        position[key] = nil
        guard found < entries.count else { return }
        rise(found)
        sink(found)
    }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        (entries[left].due, entries[left].order) < (entries[right].due, entries[right].order)
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        entries.swapAt(left, right)
        position[entries[left].key] = left
        position[entries[right].key] = right
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
            for child in [2 * index + 1, 2 * index + 2] where child < entries.count && isBefore(child, least) { least = child }
            if least == index { return }
            swap(index, least)
            index = least
        }
    }
}

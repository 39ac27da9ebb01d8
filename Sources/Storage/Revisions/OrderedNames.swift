/// Values by name, in the order of the names' bytes; a copy costs nothing until one of the two is changed.
///
/// Names live in leaves of at most `leafMax`: an insertion moves one leaf, and a reader's copy keeps the leaves it has.
struct OrderedNames: Sendable {
    private static let leafMax = 256
    private var leaves: [[RevisionedValue]] = []
    private(set) var count = 0

    /// Position of the leaf that holds, or would hold, a name.
    private func leaf(of name: String) -> Int {
        var low = 0
        var high = leaves.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if leaves[middle][0].name <= name { low = middle } else { high = middle }
        }
        return low
    }

    /// First position in a leaf whose name is not below `name`.
    private static func position(of name: String, in leaf: [RevisionedValue]) -> Int {
        var low = 0
        var high = leaf.count
        while low < high {
            let middle = (low + high) / 2
            if leaf[middle].name < name { low = middle + 1 } else { high = middle }
        }
        return low
    }

    subscript(name: String) -> RevisionedValue? {
        guard !leaves.isEmpty else { return nil }
        let found = leaves[leaf(of: name)]
        let position = Self.position(of: name, in: found)
        return position < found.count && found[position].name == name ? found[position] : nil
    }

    mutating func insert(_ value: RevisionedValue) {
        guard !leaves.isEmpty else {
            leaves = [[value]]
            count = 1
            return
        }
        let index = leaf(of: value.name)
        let position = Self.position(of: value.name, in: leaves[index])
        if position < leaves[index].count, leaves[index][position].name == value.name {
            leaves[index][position] = value
            return
        }
        leaves[index].insert(value, at: position)
        count += 1
        guard leaves[index].count > Self.leafMax else { return }
        // Names that only grow, as generated ones do, leave full leaves behind.
        let cut = position == Self.leafMax ? Self.leafMax : Self.leafMax / 2
        let upper = Array(leaves[index][cut...])
        leaves[index].removeLast(upper.count)
        leaves.insert(upper, at: index + 1)
    }

    mutating func remove(_ name: String) {
        guard !leaves.isEmpty else { return }
        let index = leaf(of: name)
        let position = Self.position(of: name, in: leaves[index])
        guard position < leaves[index].count, leaves[index][position].name == name else { return }
        leaves[index].remove(at: position)
        count -= 1
        if leaves[index].isEmpty { leaves.remove(at: index) }
    }

    /// Gives every value whose name begins with `prefix` and is above `after`, in order, until `body` returns false.
    func forEachWhile(prefix: String, after: String?, _ body: (RevisionedValue) throws -> Bool) rethrows {
        guard !leaves.isEmpty else { return }
        let start = max(prefix, after ?? "")
        var index = leaf(of: start)
        var position = Self.position(of: start, in: leaves[index])
        while index < leaves.count {
            let current = leaves[index]
            while position < current.count {
                let value = current[position]
                position += 1
                if value.name == after { continue }
                guard value.name.hasPrefix(prefix) else {
                    if value.name > prefix { return }
                    continue
                }
                if try !body(value) { return }
            }
            index += 1
            position = 0
        }
    }
}

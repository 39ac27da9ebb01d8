/// Where the names of a schema's fields stand. Asked for every field of every object that comes in, so it hashes by a few bytes only; names
/// come from definitions, not from requests.
struct NameIndex: Sendable {
    private let names: [String]
    /// Positions in `names`, -1 for none, at the place of the name's hash or behind; at most half of them are taken.
    private let slots: [Int16]

    /// Of names that stand twice the first counts; beyond 32,767 names none is found.
    init(_ names: [String]) {
        self.names = names
        var size = 4
        while size < names.count * 2, size < 1 << 16 { size *= 2 }
        var slots = [Int16](repeating: -1, count: size)
        for (position, name) in names.prefix(Int(Int16.max)).enumerated() {
            var slot = Self.hash(name) & (size - 1)
            while slots[slot] >= 0, names[Int(slots[slot])] != name { slot = (slot + 1) & (size - 1) }
            if slots[slot] < 0 { slots[slot] = Int16(position) }
        }
        self.slots = slots
    }

    /// Nil for a name that is none.
    func position(of name: String) -> Int? {
        slots.withUnsafeBufferPointer { slots in
            var slot = Self.hash(name) & (slots.count - 1)
            while slots[slot] >= 0 {
                let position = Int(slots[slot])
                if names[position] == name { return position }
                slot = (slot + 1) & (slots.count - 1)
            }
            return nil
        }
    }

    private static func hash(_ name: String) -> Int {
        var name = name
        return name.withUTF8 { bytes in
            guard let first = bytes.first, let last = bytes.last else { return 0 }
            let ends = UInt32(first) &* 0x85eb_ca6b ^ UInt32(last) &* 0xc2b2_ae35
            let hash = ends ^ UInt32(bytes.count) &* 0x9e37_79b1 ^ UInt32(bytes[bytes.count / 2]) &* 0x27d4_eb2f
            return Int((hash ^ hash >> 15) &* 0x2c1b_3c6d >> 8)
        }
    }
}

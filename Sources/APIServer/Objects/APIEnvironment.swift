package import Resources

/// What the server asks of the world besides its store.
package struct APIEnvironment: Sendable {
    /// The moment, in whole seconds.
    package var now: @Sendable () -> Timestamp
    /// 64 random bits.
    package var random: @Sendable () -> UInt64

    /// The program gives the system's clock and generator; tests and simulations give their own.
    package init(now: @escaping @Sendable () -> Timestamp, random: @escaping @Sendable () -> UInt64) {
        self.now = now
        self.random = random
    }

    /// A random UUID, version 4, in lower case.
    package func newUID() -> String {
        let high = random() & ~0xf000 | 0x4000
        let low = random() & ~(3 << 62) | 2 << 62
        return String(unsafeUninitializedCapacity: 36) { text in
            for place in 0..<36 {
                if place == 8 || place == 13 || place == 18 || place == 23 {
                    text[place] = UInt8(ascii: "-")
                    continue
                }
                // The dashes before the place are no digits.
                let digit = place - (place > 23 ? 4 : place > 18 ? 3 : place > 13 ? 2 : place > 8 ? 1 : 0)
                let bits = digit < 16 ? high >> (60 - 4 * UInt64(digit)) : low >> (60 - 4 * UInt64(digit - 16))
                let value = UInt8(truncatingIfNeeded: bits & 15)
                text[place] = value < 10 ? 0x30 + value : 0x57 + value
            }
            return 36
        }
    }

    /// Five letters and digits that make no words, as Kubernetes ends generated names.
    package func nameSuffix() -> String {
        let letters = Array("bcdfghjklmnpqrstvwxz2456789")
        var bits = random()
        return String(
            (0..<5).map { _ in
                defer { bits /= UInt64(letters.count) }
                return letters[Int(bits % UInt64(letters.count))]
            })
    }
}

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
        func hex(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: max(0, digits - text.count)) + text.suffix(digits)
        }
        return
            "\(hex(high >> 32, 8))-\(hex(high >> 16 & 0xffff, 4))-\(hex(high & 0xffff, 4))-\(hex(low >> 48, 4))-\(hex(low & 0xffff_ffff_ffff, 12))"
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

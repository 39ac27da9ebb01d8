/// Decimal fractions of many digits, as programs write numbers of 32 bits: 16 to 19 of them.
enum DecimalQuotient {
    /// Digits behind the point, and in all, that `nearest` takes.
    static let digitsMax = 19

    private static let powers: [UInt64] = (0..<20).map { count in (0..<count).reduce(1) { power, _ in power * 10 } }

    /// The 64-bit number nearest to `digits` / 10^`fraction`, to even where two are: the C library's.
    ///
    /// One division of 128 bits by 64 gives at least 63 bits of the quotient; what is left over shows in the last of them, which is far below what
    /// the rounding to 53 bits looks at.
    ///
    /// - Parameter fraction: 0 to `digitsMax`.
    @inline(__always) static func nearest(_ digits: UInt64, fraction: Int) -> Double {
        guard digits > 0 else { return 0 }
        let power = powers[fraction]
        let (up, down) = (digits.leadingZeroBitCount, power.leadingZeroBitCount)
        let dividend = digits << UInt64(up)
        // The dividend's first half is below the divisor, whose first bit is set: the quotient has 64 bits at most.
        let (quotient, rest) = (power << UInt64(down)).dividingFullWidth((dividend >> 1, dividend << 63))
        // From 2^-126 to 1: far from where powers of two end.
        let scale = Double(bitPattern: UInt64(1023 + down - up - 63) << 52)
        return Double(rest == 0 ? quotient : quotient | 1) * scale
    }
}

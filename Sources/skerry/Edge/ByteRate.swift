import ArgumentParser

/// Bytes a second as people write them: `64k`, `2M`, `1500000`.
struct ByteRate: ExpressibleByArgument, Equatable {
    /// 1,000 to 1,000,000,000,000.
    let bytesPerSecond: Int64

    /// Nil for anything but digits with `k`, `M`, `G` or nothing behind them, and for what is out of bounds.
    init?(argument: String) {
        let units: [Character: Int64] = ["k": 1_000, "M": 1_000_000, "G": 1_000_000_000]
        let unit = argument.last.flatMap { units[$0] }
        let digits = unit == nil ? argument[...] : argument.dropLast()
        guard !digits.isEmpty, digits.utf8.count <= 13, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let count = Int64(digits)
        else { return nil }
        let (rate, overflows) = count.multipliedReportingOverflow(by: unit ?? 1)
        guard !overflows, (1_000...1_000_000_000_000).contains(rate) else { return nil }
        bytesPerSecond = rate
    }
}

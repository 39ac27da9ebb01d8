/// A moment in whole seconds, written as RFC 3339 in UTC: `2026-11-20T23:30:05Z`.
package struct Timestamp: Sendable, Hashable, Comparable {
    /// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
    package let seconds: Int64

    /// Any moment; years beyond 0 to 9999 have no RFC 3339.
    package init(seconds: Int64) { self.seconds = seconds }

    /// The earlier moment is less.
    package static func < (left: Timestamp, right: Timestamp) -> Bool { left.seconds < right.seconds }

    /// Reads RFC 3339 with any offset; a fraction of a second is dropped. Nil for anything else.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int64? {
            guard range.upperBound <= bytes.count, bytes[range].allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
            return bytes[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) }
        }
        guard bytes.count >= 20, bytes[4] == 0x2d, bytes[7] == 0x2d, bytes[10] | 0x20 == 0x74, bytes[13] == 0x3a, bytes[16] == 0x3a,
            let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), (1...12).contains(month), (1...31).contains(day), hour < 24,
            minute < 60,
            second <= 60
        else { return nil }
        var position = 19
        if bytes[position] == 0x2e {
            position += 1
            while position < bytes.count, bytes[position] >= 0x30, bytes[position] <= 0x39 { position += 1 }
        }
        guard position < bytes.count else { return nil }
        var offset: Int64 = 0
        if bytes[position] | 0x20 == 0x7a {
            guard bytes.count == position + 1 else { return nil }
        } else {
            guard bytes.count == position + 6, bytes[position] == 0x2b || bytes[position] == 0x2d, bytes[position + 3] == 0x3a,
                let hours = number(position + 1..<position + 3), let minutes = number(position + 4..<position + 6)
            else { return nil }
            offset = (hours * 3600 + minutes * 60) * (bytes[position] == 0x2d ? -1 : 1)
        }
        seconds = Self.days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    }

    /// Days from 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant's algorithm).
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// RFC 3339 in UTC without a fraction, as `metadata.creationTimestamp` has it.
    package var text: String {
        let days = seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400
        let rest = seconds - days * 86400
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * dayOfYear + 2) / 153
        let month = part < 10 ? part + 3 : part - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let day = dayOfYear - (153 * part + 2) / 5 + 1
        guard (0...9999).contains(year) else { return Self.text(year, month, day, rest) }
        return String(unsafeUninitializedCapacity: 20) { text in
            func write(_ value: Int64, _ count: Int, at place: Int, behind mark: Unicode.Scalar) {
                var value = value
                for offset in (0..<count).reversed() {
                    text[place + offset] = UInt8(ascii: "0") + UInt8(value % 10)
                    value /= 10
                }
                text[place + count] = UInt8(ascii: mark)
            }
            write(year, 4, at: 0, behind: "-")
            write(month, 2, at: 5, behind: "-")
            write(day, 2, at: 8, behind: "T")
            write(rest / 3600, 2, at: 11, behind: ":")
            write(rest % 3600 / 60, 2, at: 14, behind: ":")
            write(rest % 60, 2, at: 17, behind: "Z")
            return 20
        }
    }

    /// Beyond the years that RFC 3339 has.
    private static func text(_ year: Int64, _ month: Int64, _ day: Int64, _ rest: Int64) -> String {
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let years = String(repeating: "0", count: max(0, 4 - String(year).count)) + String(year)
        return "\(years)-\(two(month))-\(two(day))T\(two(rest / 3600)):\(two(rest % 3600 / 60)):\(two(rest % 60))Z"
    }

    /// The time since this moment as tables have it: `45s`, `5m3s`, `3h2m`, `2d4h`, `3y20d`.
    package func age(at now: Timestamp) -> String {
        let elapsed = now.seconds - seconds
        if elapsed < -1 { return "<invalid>" }
        let total = max(0, elapsed)
        if total < 120 { return "\(total)s" }
        let minutes = total / 60
        if minutes < 10 { return total % 60 == 0 ? "\(minutes)m" : "\(minutes)m\(total % 60)s" }
        if minutes < 180 { return "\(minutes)m" }
        let hours = minutes / 60
        if hours < 8 { return minutes % 60 == 0 ? "\(hours)h" : "\(hours)h\(minutes % 60)m" }
        if hours < 48 { return "\(hours)h" }
        let days = hours / 24
        if days < 8 { return hours % 24 == 0 ? "\(days)d" : "\(days)d\(hours % 24)h" }
        if days < 365 * 2 { return "\(days)d" }
        let years = days / 365
        return years < 8 && days % 365 != 0 ? "\(years)y\(days % 365)d" : "\(years)y"
    }
}

/// Text made safe for HTML, XHTML and SVG, in content and in quoted attributes.
///
/// Names come from files of strangers: nothing in them may become markup. Characters that XML forbids become U+FFFD.
func escaped(_ text: String) -> String {
    var safe = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "&": safe += "&amp;"
        case "<": safe += "&lt;"
        case ">": safe += "&gt;"
        case "\"": safe += "&quot;"
        case "'": safe += "&#39;"
        case "\t", "\n", "\r": safe += " "
        case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{fffe}", "\u{ffff}": safe += "\u{fffd}"
        // Direction overrides would let a name rearrange the words around it.
        case "\u{202a}"..."\u{202e}", "\u{2066}"..."\u{2069}": safe += "\u{fffd}"
        default: safe.unicodeScalars.append(scalar)
        }
    }
    return safe
}

/// Numbers as people read them; "–" where there is none.
enum Shown {
    /// Half a unit in the last place that is shown goes away from zero.
    static func number(_ value: Double?, decimals: Int, sign: Bool = false) -> String {
        guard let value, value.isFinite, abs(value) < 1e12 else { return "–" }
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let units = Int((abs(value) * scale).rounded())
        let digits = String(units)
        let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
        // U+2212: a hyphen is too short for a minus and breaks lines.
        let prefix = units == 0 ? "" : value < 0 ? "−" : sign ? "+" : ""
        let whole = grouped(String(padded.dropLast(decimals)))
        return decimals == 0 ? prefix + whole : "\(prefix)\(whole).\(padded.suffix(decimals))"
    }

    /// A fraction as a percentage with an unbreakable space: .0327 is "3.3 %".
    static func percent(_ fraction: Double?, decimals: Int = 1, sign: Bool = false) -> String {
        guard let fraction, fraction.isFinite else { return "–" }
        return number(100 * fraction, decimals: decimals, sign: sign) + "\u{a0}%"
    }

    /// A relative gain: "+3.3 %".
    static func gain(_ fraction: Double?, decimals: Int = 1) -> String { percent(fraction, decimals: decimals, sign: true) }

    /// "+2.0 to +4.6 %".
    static func interval(_ interval: ComfortResults.Interval?) -> String {
        guard let interval else { return "–" }
        return "\(number(100 * interval.low, decimals: 1, sign: true)) to \(percent(interval.high, sign: true))"
    }

    static func count(_ value: Int) -> String { number(Double(value), decimals: 0) }

    /// Thousands in groups, divided by a thin unbreakable space; four digits stay together.
    private static func grouped(_ digits: String) -> String {
        guard digits.count > 4 else { return digits }
        let characters = Array(digits)
        return characters.indices.map { index in
            let rest = characters.count - index
            return (index > 0 && rest % 3 == 0 ? "\u{202f}" : "") + String(characters[index])
        }.joined()
    }

    /// "1 city", "2 cities".
    static func counted(_ count: Int, _ one: String, _ many: String) -> String { "\(self.count(count)) \(count == 1 ? one : many)" }

    /// "lilliput" as a heading: "Lilliput"; "san francisco": "San Francisco".
    static func title(_ name: String) -> String {
        name.split(separator: " ").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined(separator: " ")
    }
}

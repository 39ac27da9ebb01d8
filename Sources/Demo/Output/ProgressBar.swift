/// One piece of work as a line for people: how much is done, how fast, how long it will take. Pure.
package struct ProgressBar: Sendable, Equatable {
    /// What is counted, and so how amounts and speeds are written.
    package enum Unit: Sendable, Equatable {
        /// Plural noun: "rounds", "rows".
        case things(String)
        /// Plural noun of which thousandths are counted.
        case thousandths(String)
        case bytes
    }

    /// At the front of each line; padded to 18 columns on a terminal, so that bars of several works stand in line.
    package var title: String
    /// Nil when unknown; then there is no bar and no remaining time.
    package var total: Int?
    /// Decides how amounts are written: plain counts, or megabytes of 10⁶ bytes.
    package var unit: Unit
    /// Whether the terminal shows more than ASCII.
    package var isUnicode: Bool

    /// A text without a state: what is done is said with each line.
    package init(title: String, total: Int?, unit: Unit, isUnicode: Bool = true) {
        self.title = title
        self.total = total
        self.unit = unit
        self.isUnicode = isUnicode
    }

    /// A line for a terminal, never wider than it.
    ///
    /// - Parameters:
    ///   - width: of the terminal in columns.
    ///   - elapsed: since the work began.
    package func line(done: Int, elapsed: Duration, width: Int) -> String {
        let facts = self.facts(done: done, elapsed: elapsed)
        guard let total, total > 0 else { return String("\(title)  \(facts)".prefix(width)) }
        let head = title.count < 18 ? title + String(repeating: " ", count: 18 - title.count) : title
        let percent = "\(100 * min(done, total) / total) %"
        let tail = String(repeating: " ", count: max(0, 5 - percent.count)) + percent + "  " + facts
        let room = min(30, width - head.count - tail.count - 4)
        guard room >= 6 else { return String("\(title) \(percent)  \(facts)".prefix(width)) }
        let filled = room * min(done, total) / total
        let (full, empty) = isUnicode ? ("█", "░") : ("#", "-")
        return "\(head) \(String(repeating: full, count: filled))\(String(repeating: empty, count: room - filled)) \(tail)"
    }

    /// A line for a log.
    package func plain(done: Int, elapsed: Duration) -> String {
        let share = total.flatMap { $0 > 0 ? "\(100 * min(done, $0) / $0) %, " : nil } ?? ""
        return "\(title): \(share)\(facts(done: done, elapsed: elapsed))"
    }

    /// The line that remains when the work is done.
    package func summary(done: Int, elapsed: Duration) -> String {
        "\(title): \(amount(done)) in \(Self.time(elapsed))"
    }

    private func facts(done: Int, elapsed: Duration) -> String {
        let seconds = Self.seconds(elapsed)
        let much = total.map { "\(number(done)) of \(amount($0))" } ?? amount(done)
        // Before the first half second a rate would be a guess.
        guard seconds >= 0.5, done > 0 else { return much }
        let rate = Double(done) / seconds
        var facts = "\(much), \(perSecond(rate))"
        if let total, done < total { facts += ", \(Self.time(.seconds(Double(total - done) / rate))) left" }
        return facts
    }

    private func number(_ count: Int) -> String {
        switch unit {
        case .things: Self.grouped(count)
        case .thousandths: Self.decimal(Double(count) / 1000, digits: 1)
        case .bytes: Self.decimal(Double(count) / 1e6, digits: 1)
        }
    }

    private func amount(_ count: Int) -> String {
        switch unit {
        case .things(let noun): "\(Self.grouped(count)) \(noun)"
        case .thousandths(let noun): "\(Self.grouped((count + 500) / 1000)) \(noun)"
        case .bytes: "\(Self.decimal(Double(count) / 1e6, digits: 1)) MB"
        }
    }

    private func perSecond(_ rate: Double) -> String {
        switch unit {
        case .things(let noun): "\(rate < 10 ? Self.decimal(rate, digits: 1) : Self.grouped(Int(rate))) \(noun)/s"
        case .thousandths(let noun): "\(Self.decimal(rate / 1000, digits: 1)) \(noun)/s"
        case .bytes: "\(Self.decimal(rate / 1e6, digits: 1)) MB/s"
        }
    }

    private static func seconds(_ time: Duration) -> Double {
        Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18
    }

    /// "0.4 s", "12 s", "3 min 05 s".
    static func time(_ time: Duration) -> String {
        let seconds = seconds(time)
        if seconds < 10 { return "\(decimal(seconds, digits: 1)) s" }
        let whole = Int(seconds.rounded())
        if whole < 60 { return "\(whole) s" }
        let rest = whole % 60
        return "\(whole / 60) min \(rest < 10 ? "0" : "")\(rest) s"
    }

    private static func decimal(_ value: Double, digits: Int) -> String {
        let scale = digits == 1 ? 10 : 100
        let units = Int((value * Double(scale)).rounded())
        return "\(units / scale).\(units % scale)"
    }

    private static func grouped(_ count: Int) -> String {
        let digits = Array(String(count))
        return digits.indices.map { index in
            let rest = digits.count - index
            return (index > 0 && rest % 3 == 0 ? "," : "") + String(digits[index])
        }.joined()
    }
}

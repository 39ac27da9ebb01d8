/// Relative gain of one method over the baseline, city by city, as bars from the largest gain to the largest loss.
struct CityGainChart {
    struct Row: Equatable {
        var city: String
        var testRows: Int
        /// accuracy / baseline accuracy − 1 at this city.
        var gain: Double
    }

    private static let lineHeight = 20.0
    private static let top = 38.0
    /// Room for the city's name and its number of test rows.
    private static let names = 160.0
    /// Room for a figure beyond either end of the bars, also one like +189.1 % in bold.
    private static let figures = 78.0

    let rows: [Row]
    /// Bars end here; what is beyond is cut, marked, and told by its figure.
    let limit: Double

    /// - Parameter cities: of `ComfortResults.Method.perCity`.
    init(_ cities: [String: ComfortResults.City]) {
        rows = cities.map { Row(city: $0.key, testRows: $0.value.testRows, gain: $0.value.relativeGainVsSingle) }
            .filter { $0.gain.isFinite }
            .sorted { ($1.gain, $0.city) < ($0.gain, $1.city) }
        // One runaway city must not flatten all others: the two farthest may be cut.
        let sizes = rows.map { abs($0.gain) }.sorted(by: >)
        limit = max(0.05, sizes.count > 4 ? min(sizes[0], 1.25 * sizes[2]) : sizes.first ?? 0)
    }

    var better: Int { rows.count { $0.gain > 0 } }

    /// In words, for those who do not see the picture.
    var description: String {
        guard let best = rows.first, let worst = rows.last else { return "No city has enough test rows." }
        return "\(better) of \(Shown.counted(rows.count, "city", "cities")) gained. Most: \(Shown.title(best.city)), "
            + "\(Shown.gain(best.gain)); least: \(Shown.title(worst.city)), \(Shown.gain(worst.gain))."
    }

    /// - Parameters:
    ///   - width: of the picture.
    ///   - columns: bars run down the first column, then the next.
    func drawing(width: Double, columns: Int = 1) -> Drawing {
        let perColumn = max(1, (rows.count + columns - 1) / columns)
        var drawing = Drawing(width: width, height: Self.top + Double(perColumn) * Self.lineHeight + 8)
        let gap = 36.0
        let columnWidth = (width - gap * Double(columns - 1)) / Double(columns)
        for column in 0..<columns {
            let shown = Array(rows.dropFirst(column * perColumn).prefix(perColumn))
            if shown.isEmpty { continue }
            drawing.place(block(shown, width: columnWidth), x: Double(column) * (columnWidth + gap), y: 0)
        }
        return drawing
    }

    private func block(_ rows: [Row], width: Double) -> Drawing {
        let height = Self.top + Double(rows.count) * Self.lineHeight
        var drawing = Drawing(width: width, height: height)
        let low = min(0, max(-limit, self.rows.last?.gain ?? 0)), high = max(0.01, min(limit, self.rows.first?.gain ?? 0))
        let scale = (width - Self.names - 2 * Self.figures) / (high - low)
        let zero = Self.names + Self.figures - low * scale
        for tick in Axis(low...high, from: 0, to: 1, steps: 4).ticks where tick >= low - 1e-9 && tick <= high + 1e-9 {
            let x = zero + tick * scale
            drawing.line(x, Self.top - 6, x, height, tick == 0 ? "zero" : "rule")
            drawing.text(Shown.percent(tick, decimals: 0, sign: true), x: x, y: Self.top - 12, "small", anchor: .middle)
        }
        drawing.text("City", x: 0, y: Self.top - 12, "small")
        drawing.text("Test votes", x: Self.names - 4, y: Self.top - 12, "small", anchor: .end)
        for (index, row) in rows.enumerated() { bar(row, y: Self.top + Double(index) * Self.lineHeight, zero, scale, &drawing) }
        return drawing
    }

    private func bar(_ row: Row, y: Double, _ zero: Double, _ scale: Double, _ drawing: inout Drawing) {
        let middle = y + 14.5
        let name = Shown.title(row.city)
        drawing.text(name.count > 17 ? name.prefix(16) + "…" : name, x: 0, y: middle)
        drawing.text(Shown.count(row.testRows), x: Self.names - 4, y: middle, "small", anchor: .end)
        let length = min(abs(row.gain), limit) * scale
        let isGain = row.gain >= 0
        drawing.rect(x: isGain ? zero : zero - length, y: y + 4, width: length, height: 13, isGain ? "gain" : "loss", radius: 1.5)
        let end = isGain ? zero + length : zero - length
        if abs(row.gain) > limit * 1.0001 {
            // Two cuts say that the bar goes on.
            for cut in [10.0, 15.0] { drawing.rect(x: isGain ? end - cut : end + cut - 2.5, y: y + 2, width: 2.5, height: 17, "paper") }
        }
        let isCut = abs(row.gain) > limit * 1.0001
        drawing.text(
            Shown.gain(row.gain), x: isGain ? end + 6 : end - 6, y: middle, isCut ? "strong" : "ink", anchor: isGain ? .start : .end)
    }
}

/// Relative gains over one baseline with their intervals: a dot and a whisker a row, the baseline a line at nought.
struct GainDotChart {
    struct Row {
        var label: String
        /// A second, smaller line.
        var detail: String
        var gain: Double
        var interval: ComfortResults.Interval?
        /// Drawn in the colour of attention.
        var isOurs = false
        /// Of the percentage.
        var decimals = 1
    }

    private static let names = 176.0
    private static let figures = 64.0
    private static let top = 42.0
    private static let lineHeight = 44.0

    let rows: [Row]
    /// What the line at nought stands for.
    let baseline: String

    func drawing(width: Double) -> Drawing {
        let height = Self.top + Double(rows.count) * Self.lineHeight + 4
        var drawing = Drawing(width: width, height: height)
        let ends = rows.flatMap { [$0.gain, $0.interval?.low ?? $0.gain, $0.interval?.high ?? $0.gain] }.filter(\.isFinite) + [0]
        let axis = Axis(ends.min()!...max(ends.max()!, ends.min()! + 0.01), from: Self.names, to: width - Self.figures)
        for tick in axis.ticks {
            let x = axis.position(tick)
            let isZero = abs(tick) < 1e-9
            drawing.line(x, Self.top - 4, x, height, isZero ? "zero" : "rule")
            drawing.text(isZero ? "0" : Shown.percent(tick, decimals: 0, sign: true), x: x, y: Self.top - 10, "small", anchor: .middle)
        }
        drawing.text(baseline, x: axis.position(0), y: 14, "strong", anchor: baselineAnchor(axis, width))
        for (index, row) in rows.enumerated() { dot(row, y: Self.top + (Double(index) + 0.5) * Self.lineHeight, axis, &drawing) }
        return drawing
    }

    /// Half of the words must fit on either side, else they go to the free one.
    private func baselineAnchor(_ axis: Axis, _ width: Double) -> Drawing.Anchor {
        let half = Double(baseline.count) * 3.8
        if axis.position(0) + half > width { return .end }
        return axis.position(0) - half < 0 ? .start : .middle
    }

    private func dot(_ row: Row, y: Double, _ axis: Axis, _ drawing: inout Drawing) {
        drawing.text(row.label, x: 0, y: row.detail.isEmpty ? y + 4 : y - 4, row.isOurs ? "strong" : "ink")
        drawing.text(row.detail, x: 0, y: y + 13, "small")
        if let interval = row.interval {
            let (from, to) = (axis.position(interval.low), axis.position(interval.high))
            drawing.line(from, y, to, y, "whisker")
            for end in [from, to] { drawing.line(end, y - 4, end, y + 4, "whisker") }
        }
        drawing.circle(x: axis.position(row.gain), y: y, radius: 6, row.isOurs ? "gain" : "base")
        drawing.text(
            Shown.gain(row.gain, decimals: row.decimals), x: drawing.width, y: y + 5, row.isOurs ? "blue" : "ink", anchor: .end)
    }
}

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How accuracy at a city that was never seen grows with its first labels.
struct LabelCurveChart {
    private static let names: [String: String] = [
        "global": "as delivered", "edge_bias": "corrected at the edge", "edge_adapter": "adapter at the edge",
        "cloud_retrain": "retrained in the cloud",
    ]
    private static let top = 34.0
    private static let bottom = 52.0
    private static let left = 48.0
    private static let right = 190.0

    let curve: ComfortResults.LabelCurve

    static func name(_ key: String) -> String { names[key] ?? key }

    /// Series beside the frozen model, best at the end first; at most three are drawn.
    var series: [(key: String, values: ComfortResults.LabelSeries)] {
        curve.series.filter { $0.key != "global" && $0.value.accuracy.contains { $0 != nil } }
            .sorted { (Self.last($1.value), $0.key) < (Self.last($0.value), $1.key) }
            .prefix(3).map { ($0.key, $0.value) }
    }

    private static func last(_ series: ComfortResults.LabelSeries) -> Double { series.accuracy.compactMap { $0 }.last ?? -1 }

    var description: String {
        let base = curve.series["global"]?.accuracy.first.flatMap { $0 }
        let ends = series.map { one in
            let gain = one.values.relativeGainVsGlobal.last.flatMap { $0 }
            return "\(Self.name(one.key)): \(Shown.gain(gain)) with \(curve.labels.last ?? 0) labels"
        }
        return "The model as delivered is right for \(Shown.percent(base)) of votes at a new city. "
            + ends.joined(separator: "; ") + "; gains over the frozen global model."
    }

    func drawing(width: Double, height: Double = 300) -> Drawing {
        var drawing = Drawing(width: width, height: height)
        let known = curve.series.values.flatMap { $0.accuracy.compactMap { $0 } }.filter(\.isFinite)
        guard let low = known.min(), let high = known.max(), let most = curve.labels.last, most > 0 else { return drawing }
        let y = Axis(low - 0.002...max(high, low + 0.01), from: height - Self.bottom, to: Self.top, steps: 5)
        for tick in y.ticks {
            drawing.line(Self.left, y.position(tick), width - Self.right, y.position(tick), "rule")
            drawing.text(Shown.percent(tick, decimals: tickDecimals(y)), x: Self.left - 6, y: y.position(tick) + 4, "small", anchor: .end)
        }
        // By the square root: the first labels matter most and would stick together on a plain scale.
        func x(_ labels: Int) -> Double {
            Self.left + 8 + (Double(labels) / Double(most)).squareRoot() * (width - Self.left - Self.right - 16)
        }
        drawing.text("Right predictions", x: 0, y: 14, "small")
        for count in curve.labels {
            drawing.line(x(count), height - Self.bottom, x(count), height - Self.bottom + 5, "zero")
            drawing.text("\(count)", x: x(count), y: height - Self.bottom + 20, "ink", anchor: .middle)
        }
        drawing.text(
            "Labels from the new city", x: (x(0) + x(most)) / 2, y: height - Self.bottom + 40, "small", anchor: .middle)
        drawLines(x, y, &drawing)
        return drawing
    }

    private func tickDecimals(_ axis: Axis) -> Int {
        axis.ticks.allSatisfy { abs(100 * $0 - (100 * $0).rounded()) < 1e-6 } ? 0 : 1
    }

    private func drawLines(_ x: (Int) -> Double, _ y: Axis, _ drawing: inout Drawing) {
        let labelX = drawing.width - Self.right + 8
        var taken: [Double] = []
        /// The words of a line beside its end, below words already there.
        func caption(_ name: String, _ figure: String, _ style: String, at wanted: Double) {
            var place = wanted
            for used in taken.sorted() where abs(used - place) < 36 { place = used + 36 }
            taken.append(place)
            drawing.text(name, x: labelX, y: place, style)
            drawing.text(figure, x: labelX, y: place + 16, "small")
        }
        let styles = [("gainline", "ring", "blue"), ("secondline", "ring2", "orange"), ("thirdline", "ring3", "strong")]
        for (index, one) in series.enumerated() {
            let points = zip(curve.labels, one.values.accuracy).compactMap { labels, value in
                value.map { (labels, x(labels), y.position($0)) }
            }
            drawing.polyline(points.map { ($0.1, $0.2) }, styles[index].0)
            for point in points where point.0 > 0 { drawing.circle(x: point.1, y: point.2, radius: 4.5, styles[index].1) }
            var last: Double?
            for (labels, gain) in zip(curve.labels, one.values.relativeGainVsGlobal) where labels > 0 && labels < points.last?.0 ?? 0 {
                guard let gain, let point = points.first(where: { $0.0 == labels }) else { continue }
                // Figures that would touch, and those of a line between two others, are left to the table.
                if let last, point.1 - last < 46 { continue }
                if index > 0 && index < series.count - 1 { continue }
                last = point.1
                // Lines rise to the right: left above the best one and right below the others there is room.
                let isTop = index == 0
                drawing.text(
                    Shown.gain(gain), x: point.1 + (isTop ? 6 : -4), y: point.2 + (isTop ? -10 : 20), "small", anchor: isTop ? .end : .start
                )
            }
            guard let end = points.last else { continue }
            let gain = zip(curve.labels, one.values.relativeGainVsGlobal).first { $0.0 == end.0 }?.1
            caption(Self.name(one.key), "\(Shown.gain(gain)) over “as delivered”", styles[index].2, at: end.2 - 2)
        }
        if let base = curve.series["global"]?.accuracy.first.flatMap({ $0 }) {
            drawing.line(x(0), y.position(base), x(curve.labels.last!), y.position(base), "baseline")
            caption(Self.name("global"), "frozen global model", "strong", at: y.position(base) - 2)
        }
    }
}

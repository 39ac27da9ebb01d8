/// A picture under construction; coordinates in px, the origin top left. Colours are classes of `ReportStyle`, so one picture fits a light
/// page and a dark one.
struct Drawing {
    enum Anchor: String { case start, middle, end }

    /// Of pictures on the page: they are shown a third larger on a wide screen and hardly smaller on a narrow one.
    static let pageWidth = 580.0

    let width: Double
    var height: Double
    private var elements: [String] = []

    init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    mutating func rect(x: Double, y: Double, width: Double, height: Double, _ style: String, radius: Double = 0) {
        let corners = radius > 0 ? " rx=\"\(px(radius))\"" : ""
        elements.append(
            "<rect class=\"\(style)\" x=\"\(px(x))\" y=\"\(px(y))\" width=\"\(px(max(0, width)))\" height=\"\(px(max(0, height)))\"\(corners)/>"
        )
    }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) {
        elements.append("<line class=\"\(style)\" x1=\"\(px(x1))\" y1=\"\(px(y1))\" x2=\"\(px(x2))\" y2=\"\(px(y2))\"/>")
    }

    mutating func circle(x: Double, y: Double, radius: Double, _ style: String) {
        elements.append("<circle class=\"\(style)\" cx=\"\(px(x))\" cy=\"\(px(y))\" r=\"\(px(radius))\"/>")
    }

    mutating func polyline(_ points: [(x: Double, y: Double)], _ style: String) {
        let list = points.map { "\(px($0.x)),\(px($0.y))" }.joined(separator: " ")
        elements.append("<polyline class=\"\(style)\" points=\"\(list)\"/>")
    }

    /// - Parameter y: of the baseline.
    mutating func text(_ text: String, x: Double, y: Double, _ style: String = "ink", anchor: Anchor = .start) {
        let place = anchor == .start ? "" : " text-anchor=\"\(anchor.rawValue)\""
        elements.append("<text class=\"\(style)\" x=\"\(px(x))\" y=\"\(px(y))\"\(place)>\(escaped(text))</text>")
    }

    /// Places another picture inside this one.
    mutating func place(_ other: Drawing, x: Double, y: Double) {
        elements.append("<g transform=\"translate(\(px(x)) \(px(y)))\">")
        elements += other.elements
        elements.append("</g>")
    }

    /// - Parameters:
    ///   - id: unlike that of every other picture on the page.
    ///   - title: what is shown, in a few words.
    ///   - description: what it says, for those who do not see it.
    ///   - style: CSS for a picture that stands alone; nil within a page.
    func svg(id: String, title: String, description: String, style: String? = nil) -> String {
        let size = style == nil ? "" : " width=\"\(px(width))\" height=\"\(px(height))\""
        let opening =
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"\(id)-title \(id)-desc\""
            + " viewBox=\"0 0 \(px(width)) \(px(height))\"\(size)>"
        let head = "<title id=\"\(id)-title\">\(escaped(title))</title><desc id=\"\(id)-desc\">\(escaped(description))</desc>"
        let sheet = style.map { "\n<style>\($0)</style>" } ?? ""
        return "\(opening)\(head)\(sheet)\n\(elements.joined(separator: "\n"))\n</svg>"
    }

    /// At most one decimal: a tenth of a pixel is below what anyone sees.
    private func px(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10)"
    }
}

/// A linear scale with round ticks.
struct Axis {
    let low: Double
    let high: Double
    let start: Double
    let end: Double
    let ticks: [Double]

    /// - Parameters:
    ///   - range: of the values; widened to whole steps.
    ///   - steps: how many ticks are wanted, about.
    init(_ range: ClosedRange<Double>, from start: Double, to end: Double, steps: Int = 5) {
        let span = max(range.upperBound - range.lowerBound, 1e-6)
        var step = 1e-9
        // 1, 2, 5, 10, …
        for factor in [2, 2.5, 2].cycled() {
            if span / step <= Double(steps) + 0.5 { break }
            step *= factor
        }
        let first = (range.lowerBound / step - 1e-9).rounded(.down), last = (range.upperBound / step + 1e-9).rounded(.up)
        low = first * step
        high = last * step
        self.start = start
        self.end = end
        ticks = (0...Int(last - first)).map { (first + Double($0)) * step }
    }

    func position(_ value: Double) -> Double {
        start + (min(max(value, low), high) - low) / (high - low) * (end - start)
    }
}

extension Array {
    fileprivate func cycled() -> some Sequence<Element> {
        sequence(state: 0) { index in
            defer { index += 1 }
            return self[index % count]
        }
    }
}

/// The R matrix: accuracy after each round (down) on the test votes of each round (across), a stronger shade for more.
struct RoundHeatMap {
    private static let cell = (width: 54.0, height: 38.0)
    private static let left = 100.0
    private static let top = 46.0
    private static let shades = 7

    let values: [[Double?]]
    /// When each round's buildings were surveyed; may be shorter than the matrix.
    let years: [String]
    /// Accuracy of the lightest and the darkest cell; shared by maps that are compared.
    let range: ClosedRange<Double>

    /// The range of all values of the matrices; nil without any.
    static func range(_ matrices: [[[Double?]]]) -> ClosedRange<Double>? {
        let known = matrices.flatMap { $0 }.flatMap { $0 }.compactMap { $0 }.filter(\.isFinite)
        guard let low = known.min(), let high = known.max() else { return nil }
        return low...max(high, low + 1e-6)
    }

    func drawing() -> Drawing {
        let count = values.count
        var drawing = Drawing(
            width: Self.left + Double(count) * Self.cell.width + 2, height: Self.top + Double(count) * Self.cell.height + 32)
        drawing.text("Tested on the votes of round", x: Self.left, y: 14, "small")
        drawing.text("Learned up to", x: 0, y: Self.top - 10, "small")
        for round in 0..<count {
            drawing.text("\(round)", x: Self.left + (Double(round) + 0.5) * Self.cell.width, y: Self.top - 10, "strong", anchor: .middle)
            let y = Self.top + (Double(round) + 0.5) * Self.cell.height
            let year = round < years.count ? years[round] : ""
            drawing.text("\(round)", x: 0, y: y + 5, "strong")
            drawing.text(year.count > 11 ? year.prefix(10) + "…" : year, x: 16, y: y + 5, "small")
        }
        for (row, line) in values.enumerated() { for column in 0..<count { cell(row, column, line, &drawing) } }
        // Last, so that no neighbour covers them.
        for round in 0..<count {
            for style in ["halo", "now"] {
                drawing.rect(
                    x: Self.left + Double(round) * Self.cell.width + 1, y: Self.top + Double(round) * Self.cell.height + 1,
                    width: Self.cell.width - 4, height: Self.cell.height - 4, style, radius: 3)
            }
        }
        legend(&drawing)
        return drawing
    }

    /// From the lightest shade to the strongest, with the figures at both ends.
    private func legend(_ drawing: inout Drawing) {
        let y = drawing.height - 20
        drawing.text(Shown.percent(range.lowerBound, decimals: 0), x: Self.left + 30, y: y + 12, "small", anchor: .end)
        for shade in 0..<Self.shades { drawing.rect(x: Self.left + 38 + 22 * Double(shade), y: y, width: 22, height: 14, "h\(shade)") }
        drawing.text(Shown.percent(range.upperBound, decimals: 0), x: Self.left + 46 + 22 * Double(Self.shades), y: y + 12, "small")
    }

    private func cell(_ row: Int, _ column: Int, _ line: [Double?], _ drawing: inout Drawing) {
        let x = Self.left + Double(column) * Self.cell.width, y = Self.top + Double(row) * Self.cell.height
        let value = column < line.count ? line[column] : nil
        let share = value.map { ($0 - range.lowerBound) / (range.upperBound - range.lowerBound) } ?? 0
        let shade = min(Self.shades - 1, max(0, Int(share * Double(Self.shades))))
        drawing.rect(x: x, y: y, width: Self.cell.width - 2, height: Self.cell.height - 2, "h\(shade)", radius: 3)
        drawing.text(
            Shown.number(value.map { 100 * $0 }, decimals: 1), x: x + Self.cell.width / 2 - 1, y: y + Self.cell.height / 2 + 4,
            shade >= 4 ? "on1" : "on0", anchor: .middle)
    }
}

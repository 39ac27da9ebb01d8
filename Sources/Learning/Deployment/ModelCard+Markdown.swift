extension ModelCard {
    /// The card for people.
    package var markdown: String {
        var lines = [
            "# \(name), \(version)", "", purpose, "", "`\(file)`, \(bytes) bytes, SHA-256 `\(sha256)`", "", "## How good it is", "",
            measuredOn, "",
        ]
        let baselines = Set(metrics.flatMap { $0.baselines.keys }).sorted()
        lines += Self.table(
            ["figure", "this model"] + baselines,
            metrics.map { metric in [metric.name, "\(metric.value)"] + baselines.map { metric.baselines[$0].map { "\($0)" } ?? "" } })
        lines += ["", "## How it was made", ""] + made.map { "- \($0)" }
        lines += ["", "## Inputs", ""] + Self.table(["name", "form", "meaning"], inputs.map { [$0.name, "`\($0.form)`", $0.meaning] })
        lines += ["", "Columns of `features`, in order:", ""]
        lines += Self.table(
            ["#", "name", "unit", "meaning"],
            features.enumerated().map { ["\($0.offset)", "`\($0.element.name)`", $0.element.unit, $0.element.meaning] })
        lines += ["", "## Outputs", ""] + Self.table(["name", "form", "meaning"], outputs.map { [$0.name, "`\($0.form)`", $0.meaning] })
        lines += ["", "Classes, in order: \(classes.joined(separator: ", ")).", "", "## Data", "", citation, ""]
        return lines.joined(separator: "\n")
    }

    private static func table(_ head: [String], _ rows: [[String]]) -> [String] {
        ([head, head.map { _ in "---" }] + rows).map { "| \($0.joined(separator: " | ")) |" }
    }
}

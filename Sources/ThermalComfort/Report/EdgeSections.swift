/// The parts of the page about places: new cities, sites nobody has seen, and the devices that serve.
struct EdgeSections {
    let results: ComfortResults

    init(_ results: ComfortResults) { self.results = results }

    var newCities: String {
        guard let curve = results.labelCurve, !curve.series.isEmpty, !curve.labels.isEmpty else { return "" }
        let chart = LabelCurveChart(curve: curve)
        let svg = chart.drawing(width: Drawing.pageWidth).svg(
            id: "labels", title: "Accuracy at a new city by the number of its labels", description: chart.description)
        return """
            <section>
            <h2>How few answers does a new city need?</h2>
            <p>Cities were held out completely, as if they had just joined; then each gave a few answers. All percentages in the figure are \
            gains over the same frozen global model of trees, which learns nothing from the new city. It stands for itself: the deployed \
            model, a blend of trees and networks, knows a city without labels a little better.</p>
            <figure>\(svg)
            <figcaption>\(Shown.counted(curve.cities, "city", "cities")), \(Shown.count(curve.testRows)) test votes. “As delivered” is the \
            frozen global model. The scale of labels is stretched towards nought.</figcaption></figure>
            \(table(curve, chart))
            </section>
            """
    }

    private func table(_ curve: ComfortResults.LabelCurve, _ chart: LabelCurveChart) -> String {
        let head = curve.labels.map { "<th scope=\"col\">\($0)</th>" }.joined()
        let rows = chart.series.map { key, values in
            let cells = curve.labels.indices.map { index -> String in
                func at(_ list: [Double?]) -> Double? { index < list.count ? list[index] : nil }
                guard let accuracy = at(values.accuracy) else { return "<td class=\"num\">–</td>" }
                let share = at(values.shareOfCitiesBetter).map { "<small>better in \(Shown.percent($0, decimals: 0))</small>" } ?? ""
                return
                    "<td class=\"num\">\(Shown.percent(accuracy))<small>\(Shown.gain(at(values.relativeGainVsGlobal)))</small>\(share)</td>"
            }
            return
                "<tr><th scope=\"row\">\(escaped(LabelCurveChart.name(key)))<small><code>\(escaped(key))</code></small></th>\(cells.joined())</tr>"
        }
        return """
            <details><summary>The same as a table</summary><div class="scroll"><table>
            <caption>Right predictions; below, the gain over the frozen global model (trees) and the share of cities that are better off.</caption>
            <thead><tr><th scope="col">Labels</th>\(head)</tr></thead><tbody>\(rows.joined(separator: "\n"))</tbody></table></div></details>
            """
    }

    var unseenSites: String {
        guard let sites = results.unseenSites, let best = sites.best else { return "" }
        let rows = sites.detectors.sorted { ($1.value.auroc, $0.key) < ($0.value.auroc, $1.key) }.map { name, detector in
            """
            <tr><th scope="row">\(escaped(name))<small>\(escaped(detector.definition))</small></th>\
            <td class="num">\(Shown.number(detector.auroc, decimals: 3))</td><td class="num">\(Shown.percent(detector.detectionRate))</td>\
            <td class="num">\(Shown.percent(detector.falseAlarmRate))</td></tr>
            """
        }
        return """
            <section>
            <h2>Does it notice a place it has never seen?</h2>
            <p>The detector “\(escaped(best.name))” (\(escaped(best.detector.definition))) ranks a new site above a known one in \
            \(Shown.percent(best.detector.auroc, decimals: 0)) of comparisons; guessing would be right in 50\u{a0}%. At the chosen threshold it \
            raises the alarm at \(Shown.percent(best.detector.detectionRate)) of new sites’ votes, and falsely at \
            \(Shown.percent(best.detector.falseAlarmRate)) of known sites’ votes.\(withoutPlace(sites))</p>
            <div class="scroll"><table>
            <thead><tr><th scope="col">Detector</th><th scope="col">Area under the ROC curve <small>guessing: 0.5</small></th>\
            <th scope="col">Of new sites, noticed</th><th scope="col">Of known sites, false alarms</th></tr></thead>
            <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
            </section>
            """
    }

    /// To know where a site lies makes the task easy; what is left without it must not be hidden.
    private func withoutPlace(_ sites: ComfortResults.UnseenSites) -> String {
        guard let sensors = sites.detectors[SiteSigns.sensors.rawValue] else { return "" }
        return " That is easy for whoever is told where a site lies: from its readings alone, the area under the curve is "
            + "\(Shown.number(sensors.auroc, decimals: 2)), and \(Shown.percent(sensors.detectionRate)) of new sites’ votes are noticed."
    }

    var edge: String {
        var facts: [(String, String)] = []
        if let edge = results.edge {
            facts.append(("Edge nodes", edge.nodes.map(escaped).joined(separator: ", ")))
            facts.append(("Predictions served at the edge", Shown.count(edge.predictionsServed)))
            facts.append(
                (
                    "Time of one prediction",
                    "half below \(Shown.number(edge.p50US, decimals: 1)) µs, 99 of 100 below \(Shown.number(edge.p99US, decimals: 1)) µs"
                ))
            if let cut = edge.cut {
                facts.append(
                    (
                        "Cut off from the cloud",
                        "\(escaped(cut.node)) for \(Shown.number(cut.seconds, decimals: 1)) s while round \(cut.round) was learned: "
                            + "\(Shown.count(cut.answered)) predictions meanwhile, \(Shown.count(cut.reportedLater)) reported afterwards"
                            + (cut.adaptation.map {
                                "; adapting to \(Shown.count($0.labels)) labels given there, right for \(Shown.percent($0.accuracyAfter)) of"
                                    + " \(Shown.count($0.judged)) other votes, without them for \(Shown.percent($0.accuracyBefore))"
                            } ?? "")
                    ))
            }
        }
        if let model = results.model {
            facts.append(
                (
                    "Deployed model",
                    "\(escaped(model.file)), \(Shown.count(model.bytes)) bytes, \(Shown.counted(model.features.count, "input", "inputs"))"
                        + "<br/><code>\(escaped(model.sha256))</code>"
                ))
        }
        let stages = results.timingsS.filter { $0.key != "total" }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        if let total = results.timingsS["total"] {
            let parts = stages.map { "\(escaped($0.key)) \(Shown.number($0.value, decimals: 1)) s" }.joined(separator: ", ")
            facts.append(("Time of the whole run", "\(Shown.number(total, decimals: 1)) s\(parts.isEmpty ? "" : " (\(parts))")"))
        }
        if let peak = results.peakMemoryMB { facts.append(("Most memory in use", "\(Shown.number(peak, decimals: 0)) MB")) }
        if let base = results.knowledgeBase { facts.append(("Knowledge base", "<code>\(escaped(base))</code>")) }
        guard !facts.isEmpty else { return "" }
        let rows = facts.map { "<tr><th scope=\"row\">\($0.0)</th><td class=\"left\">\($0.1)</td></tr>" }
        return """
            <section>
            <h2>What does it cost?</h2>
            <div class="scroll"><table><tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
            </section>
            """
    }
}

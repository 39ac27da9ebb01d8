/// The parts of the page that compare methods: all of them, city by city, and beside the published claim.
struct GainSections {
    let results: ComfortResults

    init(_ results: ComfortResults) { self.results = results }

    var methods: String {
        guard results.methods[MethodName.baseline] != nil else { return "" }
        let names = MethodName.ordered(results.methods.keys)
        let rows = names.filter { $0.key != MethodName.baseline }.compactMap { name in
            results.methods[name.key].map {
                GainDotChart.Row(
                    label: name.short, detail: "\(Shown.percent($0.accuracy)) right", gain: $0.relativeGainVsSingle.value,
                    interval: $0.relativeGainVsSingle.ci95, isOurs: name.key == MethodName.ours)
            }
        }
        let chart = GainDotChart(rows: rows.sorted { $0.gain > $1.gain }, baseline: "One model for all")
        let words = chart.rows.map { "\($0.label) \(Shown.gain($0.gain))" }.joined(separator: ", ")
        let svg = chart.drawing(width: Drawing.pageWidth).svg(
            id: "methods", title: "Gain of each method over \(MethodName.overBaseline)", description: words)
        return """
            <section>
            <h2>Which way to keep learning is right most often?</h2>
            <figure>\(svg)
            <figcaption>Gain in right predictions over \(MethodName.overBaseline), after the last round. Lines are 95\u{a0}% intervals over \
            buildings.</figcaption></figure>
            \(table(names))
            </section>
            """
    }

    private func table(_ names: [MethodName]) -> String {
        let best = names.sorted { results.methods[$0.key]!.accuracy > results.methods[$1.key]!.accuracy }
        let rows = best.map { row($0, results.methods[$0.key]!) }
        let name = escaped(MethodName.overBaseline)
        return """
            <div class="scroll"><table>
            <caption>All methods on the same test votes. Gains are over \(name).</caption>
            <thead><tr><th scope="col">Method</th><th scope="col">Right</th><th scope="col">Gain over single_task <small>95\u{a0}% interval\
            </small></th><th scope="col">Each city alike <small>gain over single_task</small></th><th scope="col">Macro-F1</th>\
            <th scope="col">Log-loss</th><th scope="col">Labels used</th></tr></thead>
            <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
            """
    }

    private func row(_ name: MethodName, _ method: ComfortResults.Method) -> String {
        let isBaseline = name.key == MethodName.baseline
        let style = name.key == MethodName.ours ? " class=\"ours\"" : isBaseline ? " class=\"baseline\"" : ""
        let gain =
            isBaseline
            ? "the baseline"
            : "\(Shown.gain(method.relativeGainVsSingle.value))<small>\(Shown.interval(method.relativeGainVsSingle.ci95))</small>"
        let cities = isBaseline ? "" : "<small>\(Shown.gain(method.relativeCityMacroGainVsSingle?.value))</small>"
        return """
            <tr\(style)><th scope="row">\(escaped(name.short))<small><code>\(escaped(name.key))</code> \(escaped(name.explanation))</small>\
            </th><td class="num">\(Shown.percent(method.accuracy))</td><td class="num">\(gain)</td>\
            <td class="num">\(Shown.percent(method.cityMacroAccuracy))\(cities)</td>\
            <td class="num">\(Shown.number(method.macroF1, decimals: 3))</td><td class="num">\(Shown.number(method.logLoss, decimals: 3))</td>\
            <td class="num">\(Shown.count(method.samplesUsed))</td></tr>
            """
    }

    var cities: String {
        guard let perCity = results.methods[MethodName.ours]?.perCity, !perCity.isEmpty else { return "" }
        let chart = CityGainChart(perCity)
        let svg = chart.drawing(width: Drawing.pageWidth).svg(
            id: "cities", title: "Gain per city over \(MethodName.overBaseline)", description: chart.description)
        let cut = chart.rows.contains { abs($0.gain) > chart.limit * 1.0001 } ? " A broken bar goes on to the figure beside it." : ""
        return """
            <section>
            <h2>Which cities gained?</h2>
            <p>\(chart.better) of \(Shown.counted(chart.rows.count, "city", "cities")) with at least 100 test votes are predicted better than \
            by \(MethodName.overBaseline).</p>
            <figure>\(svg)
            <figcaption>Gain in right predictions of Skerry over \(MethodName.overBaseline), city by city.\(cut) A single city is little \
            evidence: with 400 votes, chance alone moves a city’s accuracy by ±2.4 points.</figcaption></figure>
            \(cityTable(chart))
            </section>
            """
    }

    private func cityTable(_ chart: CityGainChart) -> String {
        let rows = chart.rows.map { row in
            let accuracy = { (key: String) in Shown.percent(results.methods[key]?.perCity[row.city]?.accuracy) }
            return """
                <tr><th scope="row">\(escaped(Shown.title(row.city)))</th><td>\(Shown.count(row.testRows))</td>\
                <td>\(accuracy(MethodName.baseline))</td><td>\(accuracy(MethodName.ours))</td><td>\(Shown.gain(row.gain))</td></tr>
                """
        }
        return """
            <details><summary>The same as a table</summary><div class="scroll"><table>
            <thead><tr><th scope="col">City</th><th scope="col">Test votes</th><th scope="col">One model for all</th>\
            <th scope="col">Skerry</th><th scope="col">Gain over single_task</th></tr></thead>
            <tbody>\(rows.joined(separator: "\n"))</tbody></table></div></details>
            """
    }

    var claim: String {
        guard let leaky = results.leakyRandomSplit else { return "" }
        let published = Shown.gain(leaky.published, decimals: 2)
        var rows = [
            GainDotChart.Row(
                label: "Published for Sedna", detail: "its split is not known", gain: leaky.published, interval: nil, decimals: 2),
            GainDotChart.Row(
                label: "Sedna, multi-task (ours)", detail: "random rows, LEAKY", gain: leaky.sednaMultitask.relativeGainVsSingle.value,
                interval: leaky.sednaMultitask.relativeGainVsSingle.ci95),
            GainDotChart.Row(
                label: "Skerry", detail: "random rows, LEAKY", gain: leaky.skerry.relativeGainVsSingle.value,
                interval: leaky.skerry.relativeGainVsSingle.ci95),
        ]
        if let honest = results.methods[MethodName.ours]?.relativeGainVsSingle {
            rows.append(
                .init(
                    label: "Skerry", detail: "later days, nothing leaks", gain: honest.value, interval: honest.ci95, isOurs: true))
        }
        let svg = GainDotChart(rows: rows, baseline: "One model for all, same split").drawing(width: Drawing.pageWidth).svg(
            id: "claim", title: "The published gain beside ours, each over one model for all",
            description: rows.map { "\($0.label), \($0.detail): \(Shown.gain($0.gain))" }.joined(separator: "; "))
        return """
            <section>
            <h2>How does this compare with the published claim?</h2>
            <p>Sedna’s example reports a gain of \(published) for lifelong learning over one model for all, without the rows it was tested on. \
            If rows are divided at random, Skerry reaches \(Shown.gain(leaky.skerry.relativeGainVsSingle.value)) over the single model of the \
            same split. But such a split is <strong>leaky</strong>: \(escaped(leaky.note)). The last line is the honest figure of this page.</p>
            <figure>\(svg)
            <figcaption>Gain over one model for all (<code>single_task</code>) trained on the same rows of each split.</figcaption></figure>
            </section>
            """
    }
}

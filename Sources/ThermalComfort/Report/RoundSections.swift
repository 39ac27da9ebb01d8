/// The parts of the page about time: what was remembered, and what was decided when.
struct RoundSections {
    /// Decisions that are listed; the rest is counted.
    private static let decisionsShown = 60

    let results: ComfortResults

    init(_ results: ComfortResults) { self.results = results }

    private static let compared = [MethodName.ours, "finetune"]

    var memory: String {
        let maps = Self.compared.filter { !(results.methods[$0]?.accuracyByRound.isEmpty ?? true) }
        guard let range = RoundHeatMap.range(maps.map { results.methods[$0]!.accuracyByRound }) else { return "" }
        let figures = maps.map { key in figure(key, range) }
        return """
            <section>
            <h2>Did it forget anything?</h2>
            <p>Each row is the state of learning after one more round; each column is a set of test votes that stays the same. Read down a \
            column: numbers that fall have been forgotten, numbers that rise were helped by what came later. Left of the outlined cell in a \
            row lie rounds already learned; right of it, rounds not met yet.</p>
            <div class="pair">\(figures.joined())</div>
            \(table)
            </section>
            """
    }

    private func figure(_ key: String, _ range: ClosedRange<Double>) -> String {
        let name = MethodName(key).short, method = results.methods[key]!
        let map = RoundHeatMap(values: method.accuracyByRound, years: results.rounds.map(\.years), range: range)
        let words = method.accuracyByRound.enumerated().map { round, row in
            "after round \(round): " + row.map { Shown.percent($0) }.joined(separator: ", ")
        }.joined(separator: "; ")
        let svg = map.drawing().svg(
            id: "matrix-\(escaped(key))", title: "\(name): accuracy after each round on each round", description: words)
        return
            "<figure>\(svg)<figcaption><strong>\(escaped(name))</strong>: right predictions in\u{a0}%. Outlined: the round just learned.</figcaption></figure>"
    }

    private var table: String {
        let rows = MethodName.ordered(results.methods.keys).reversed().compactMap { name -> String? in
            guard let method = results.methods[name.key], method.bwt != nil || method.forgetting != nil else { return nil }
            func cell(_ value: Double?) -> String {
                "<td class=\"num\">\(Shown.number(value.map { 100 * $0 }, decimals: 1, sign: true))</td>"
            }
            let style = name.key == MethodName.ours ? " class=\"ours\"" : name.key == MethodName.baseline ? " class=\"baseline\"" : ""
            return
                "<tr\(style)><th scope=\"row\">\(escaped(name.short))</th>\(cell(method.bwt))\(cell(method.fwt))\(cell(method.forgetting))"
                + "\(cell(method.ianvsBWT))\(cell(method.ianvsFWT))</tr>"
        }
        return """
            <div class="scroll"><table>
            <caption>In points of accuracy (1 point is one more right prediction in 100). Backward transfer: what old rounds gained later; \
            below 0 is forgetting. Forward transfer: how much better a round is met, before it is learned, than by the most common answer so \
            far. Forgetting: what was lost since its best; at or below 0 nothing was. The last two as the benchmark Ianvs defines them, which \
            differs from the literature.</caption>
            <thead><tr><th scope="col">Method</th><th scope="col">Backward transfer</th><th scope="col">Forward transfer</th>\
            <th scope="col">Forgetting</th><th scope="col">Ianvs BWT</th><th scope="col">Ianvs FWT</th></tr></thead>
            <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
            """
    }

    var decisions: String {
        guard !results.decisions.isEmpty || !results.relations.isEmpty else { return "" }
        return """
            <section>
            <h2>What was decided in each round?</h2>
            <p>For each task, a season and kind of cooling, a new model is deployed only if it is at least as good as the old one on labelled votes that neither has learned from; \
            otherwise the old one stays. No test vote takes part.</p>
            \(decisionTable)
            \(relations)
            </section>
            """
    }

    private var decisionTable: String {
        guard !results.decisions.isEmpty else { return "" }
        let kept = results.decisions.filter { $0.action == "keep" }
        let all = Shown.counted(results.decisions.count, "decision", "decisions")
        let summary =
            kept.isEmpty
            ? "<p>Of \(all), none kept an old model: each new one was at least as good.</p>"
            : "<p>Of \(all), \(Shown.count(kept.count)) kept the old model, because the new one was not as good there:</p>\(table(kept))"
        return summary + "<details><summary>All decisions</summary>\(table(results.decisions))</details>"
    }

    private func table(_ decisions: [ComfortResults.Decision]) -> String {
        let hasFigures = decisions.contains { $0.difference != nil }
        let rows = decisions.prefix(Self.decisionsShown).map { decision in
            """
            <tr><td>\(decision.round)</td><td class="left">\(escaped(decision.subject))</td><td class="left">\(escaped(decision.action))</td>\
            \(hasFigures ? "<td class=\"num\">\(Shown.number(decision.difference, decimals: 4))</td>" : "")\
            \(hasFigures ? "<td class=\"num\">\(Shown.number(decision.standardError, decimals: 4))</td>" : "")\
            <td class="left">\(escaped(decision.reason))</td></tr>
            """
        }
        let rest = decisions.count - rows.count
        let note = rest > 0 ? "<p class=\"note\">\(Shown.count(rest)) more in results.json.</p>" : ""
        return """
            <div class="scroll"><table>
            <thead><tr><th scope="col">Round</th><th scope="col" class="left">About</th><th scope="col" class="left">Decision</th>\
            \(hasFigures ? "<th scope=\"col\">Log-loss, new − old</th><th scope=\"col\">Standard error</th>" : "")<th scope="col" class="left">Why</th></tr></thead>
            <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>\(note)
            """
    }

    private var relations: String {
        guard !results.relations.isEmpty else { return "" }
        let rows = results.relations.prefix(10).map {
            """
            <tr><td>\(escaped($0.from))</td><td class="left">\(escaped($0.to))</td><td class="num">\(Shown.number($0.transfer, decimals: 3))</td>\
            <td class="num">\(Shown.count($0.rows))</td></tr>
            """
        }
        return """
            <h2>Which tasks help each other?</h2>
            <div class="scroll"><table>
            <caption>The strongest transfers found: log-loss saved on one task by what was learned on another, against knowing only how common \
            each answer is.</caption>
            <thead><tr><th scope="col">Learned on</th><th scope="col" class="left">Helps</th><th scope="col">Log-loss saved</th>\
            <th scope="col">Votes</th></tr></thead>
            <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
            """
    }
}

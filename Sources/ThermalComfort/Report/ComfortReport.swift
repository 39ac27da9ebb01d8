/// The results of a run for people: one page that needs nothing else, and its main figure as a picture.
///
/// Pure: equal results give equal bytes. Every text from outside is escaped; no script, no font, no address is loaded. The page is
/// well-formed XML as well as HTML. A run on made-up data says SYNTHETIC on both.
package struct ComfortReport: Sendable {
    private let results: ComfortResults
    private let verdict: Verdict

    /// Takes the verdict; pages are made when asked for.
    package init(_ results: ComfortResults) {
        self.results = results
        verdict = Verdict(results)
    }

    /// What the run says, in one sentence.
    package var headline: String { verdict.sentence + "." }

    /// Content of `report.html`, UTF-8.
    package var html: [UInt8] {
        let mark = results.dataset.synthetic ? "\(SyntheticComfort.mark) · " : ""
        let sections: [String] = [
            header, summary, GainSections(results).methods, GainSections(results).cities, RoundSections(results).memory,
            EdgeSections(results).newCities, EdgeSections(results).unseenSites, GainSections(results).claim, goals,
            RoundSections(results).decisions, EdgeSections(results).edge, glossary, footer,
        ]
        let page = """
            <!DOCTYPE html>
            <html xmlns="http://www.w3.org/1999/xhtml" lang="en">
            <head>
            <meta charset="utf-8"/>
            <meta name="viewport" content="width=device-width, initial-scale=1"/>
            <meta name="color-scheme" content="light dark"/>
            <title>\(mark)What lifelong learning is worth in buildings – Skerry</title>
            <style>\(ReportStyle.ofPage)</style>
            </head>
            <body>
            <main>
            \(sections.filter { !$0.isEmpty }.joined(separator: "\n"))
            </main>
            </body>
            </html>

            """
        return Array(page.utf8)
    }

    /// Content of `report.svg`, UTF-8: gain per city under the verdict.
    package var svg: [UInt8] {
        let margin = 28.0, width = 1080.0
        let chart = results.methods[MethodName.ours].map { CityGainChart($0.perCity) }
        let bars = chart.map { $0.drawing(width: width - 2 * margin, columns: $0.rows.count > 12 ? 2 : 1) }
        let top = results.dataset.synthetic ? 158.0 : 124.0
        var picture = Drawing(width: width, height: top + (bars?.height ?? 0) + 56)
        picture.rect(x: 0, y: 0, width: picture.width, height: picture.height, "paper")
        if results.dataset.synthetic {
            picture.text("\(SyntheticComfort.mark): made-up data, not measured", x: margin, y: 44, "mark")
        }
        let interval =
            results.methods[MethodName.ours]?.relativeGainVsSingle.ci95.map { " (95\u{a0}% interval \(Shown.interval($0)))" } ?? ""
        let lines = wrapped(verdict.sentence + interval, at: 90)
        for (index, line) in lines.enumerated() {
            picture.text(line, x: margin, y: top - 82 + Double(index) * 26, "headline")
        }
        picture.text(
            "Gain in right predictions per city over \(MethodName.overBaseline), for every city with at least 100 test votes",
            x: margin, y: top - 18, "muted")
        if let bars { picture.place(bars, x: margin, y: top) }
        picture.text(
            "\(results.dataset.name) · split \(results.split.name) · labels \(results.labels) · seed \(results.seed)", x: margin,
            y: picture.height - 18, "small")
        let text = picture.svg(
            id: "gain", title: "\(results.dataset.synthetic ? SyntheticComfort.mark + ": " : "")\(verdict.sentence)",
            description: chart?.description ?? "", style: ReportStyle.ofPicture)
        return Array("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\(text)\n".utf8)
    }

    private func wrapped(_ text: String, at width: Int) -> [String] {
        var lines = [""]
        for word in text.split(separator: " ") {
            if lines.last!.count + word.count >= width { lines.append("") }
            lines[lines.count - 1] += (lines.last!.isEmpty ? "" : " ") + word
        }
        return lines
    }

    private var header: String {
        let gain = results.methods[MethodName.ours]?.relativeGainVsSingle
        let interval = gain?.ci95.map { "95\u{a0}% interval \(Shown.interval($0)) over \(MethodName.overBaseline)" }
        let mark =
            results.dataset.synthetic
            ? """
            <p class="mark" role="note">\(SyntheticComfort.mark) data. The real database could not be had, so this run made up its own. \
            Every figure below is about invented towns and says nothing of real ones.</p>
            """ : ""
        return """
            \(mark)
            <header>
            <p class="kicker">Skerry · thermal comfort · \(escaped(results.dataset.name))</p>
            <h1>\(escaped(verdict.sentence)).</h1>
            \(interval.map { "<p class=\"note\">\(escaped($0)); \(evidence)</p>" } ?? "")
            </header>
            """
    }

    private var evidence: String {
        let tested = results.rounds.reduce(0) { $0 + $1.testRows }
        let rows = tested > 0 ? "\(Shown.count(tested)) test votes" : "\(Shown.count(results.dataset.rows)) votes"
        return "\(rows) from \(Shown.counted(results.dataset.cities, "city", "cities")) and "
            + "\(Shown.counted(results.dataset.buildings, "building", "buildings"))"
    }

    private var summary: String {
        """
        <section aria-label="In short">
        <p class="lead">People in buildings were asked whether they would like it <em>cooler</em>, <em>warmer</em> or <em>no change</em>. \
        A program predicts the answer from what is measured around them. Buildings join over the years, so it has to keep learning: \
        that is <strong>lifelong learning</strong>. It should get better with every round of new buildings, forget nothing of the old \
        ones, and need few new answers.</p>
        <p>Skerry keeps one shared model and, for each place and each person, a small correction of its own. It is compared with the \
        usual way, <strong>one model for all</strong> that is retrained on the very same answers (<code>single_task</code>), and with \
        other ways to update. All of them learn from the same \(Shown.count(results.dataset.labelledRows)) labelled votes and are tested \
        on later days whose answers none of them has seen.</p>
        \(tiles)
        </section>
        """
    }

    /// The few figures to remember.
    private var tiles: String {
        var tiles: [(String, String)] = []
        if let gain = results.methods[MethodName.ours]?.relativeGainVsSingle {
            tiles.append((Shown.gain(gain.value), "more right predictions than \(MethodName.overBaseline)"))
        }
        if let labels = [20, 10, 50].first(where: { results.labelCurve?.bestGain(labels: $0) != nil }) {
            tiles.append(
                (
                    Shown.gain(results.labelCurve?.bestGain(labels: labels)),
                    "at a new city after \(labels) labels, over the frozen global model (trees)"
                ))
        }
        if let forgetting = results.methods[MethodName.ours]?.forgetting {
            let points = Shown.number(100 * max(0, forgetting), decimals: 1)
            tiles.append((points, "points of accuracy forgotten of earlier rounds\(forgetting < 0 ? "; they still improved" : "")"))
        }
        if let model = results.model {
            tiles.append(
                (Shown.number(Double(model.bytes) / 1000, decimals: 0) + "\u{a0}kB", "is the size of the model an edge device holds"))
        }
        let items = tiles.map { "<li><strong>\(escaped($0.0))</strong>\(escaped($0.1))</li>" }
        return items.isEmpty ? "" : "<ul class=\"tiles\">\(items.joined())</ul>"
    }

    private var goals: String {
        guard let goals = Goals(results) else { return "" }
        let classes: [Goal.Mark: String] = [.aim: "aim", .must: "must", .missed: "missed", .unmeasured: "note"]
        let signs: [Goal.Mark: String] = [.aim: "★", .must: "✓", .missed: "✗", .unmeasured: "–"]
        let rows = goals.all.map { goal in
            """
            <tr><th scope="row">\(escaped(goal.name))</th><td class="num">\(goal.show(goal.found))</td>\
            <td class="num">\(goal.shown(goal.must))</td><td class="num">\(goal.shown(goal.aim))</td>\
            <td class="left mark-cell \(classes[goal.mark]!)">\(signs[goal.mark]!) \(goal.mark.rawValue)</td></tr>
            """
        }
        let missed = goals.all.count { $0.mark == .missed }, aims = goals.all.count { $0.mark == .aim }
        return """
            <section>
            <h2>What was promised, and what came of it</h2>
            <p>Goals were set before the work began: what <em>must</em> be reached, and an <em>aim</em> that nobody had reached. \
            \(Shown.counted(aims, "aim", "aims")) reached, \(missed == 0 ? "no goal" : Shown.counted(missed, "goal", "goals")) missed, with \
            seed \(results.seed).</p>
            <div class="scroll"><table>
            <thead><tr><th scope="col">Figure</th><th scope="col">This run</th><th scope="col">Must</th><th scope="col">Aim</th>\
            <th scope="col" class="left">Mark</th></tr></thead>
            <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
            </section>
            """
    }

    private var glossary: String {
        """
        <section>
        <h2>Words used here</h2>
        <dl>
        <dt>Gain</dt><dd>How much more often one method is right than another on the same votes: 61\u{a0}% instead of 60\u{a0}% is a gain of \
        +1.7\u{a0}%. The other method is always named.</dd>
        <dt>95\u{a0}% interval</dt><dd>Where the gain lies if other buildings had been surveyed: 1000 draws of whole buildings, because the votes \
        of one building resemble each other.</dd>
        <dt>Round</dt><dd>The buildings surveyed in one span of years, learned together. The label budget “\(escaped(results.labels))” \
        \(results.labels == LabelBudget.few.rawValue ? "buys at most 20 answers per building and season after the first round."
            : "buys every answer of the first half of each survey.")</dd>
        <dt>Label</dt><dd>One answer of one person that a method may learn from.</dd>
        <dt>Macro-F1, log-loss</dt><dd>Macro-F1 counts the three answers alike (1 is perfect). Log-loss punishes confident mistakes \
        (0 is perfect, 1.10 is guessing).</dd>
        <dt>Each city alike</dt><dd>Mean accuracy over cities with at least 100 test votes, so that a big survey does not drown the rest.</dd>
        </dl>
        </section>
        """
    }

    private var footer: String {
        let digests = [results.dataset.sha256.measurements, results.dataset.sha256.metadata].filter { !$0.isEmpty }
        let versions = results.versions.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        let facts =
            ["\(results.dataset.name), \(Shown.count(results.dataset.rows)) votes"]
            + (digests.isEmpty ? [] : ["SHA-256 \(digests.joined(separator: ", "))"])
            + ["split “\(results.split.name)”, SHA-256 \(results.split.sha256)", "labels \(results.labels)", "seed \(results.seed)"]
            + (versions.isEmpty ? [] : [versions.joined(separator: ", ")])
        let source =
            results.dataset.synthetic
            ? "" : "<p>Data: Földváry Ličina V. et al., ASHRAE Global Thermal Comfort Database II, doi 10.6078/D1F671.</p>"
        return "<footer><p>\(facts.map { "<code>\(escaped($0))</code>" }.joined(separator: "<br/>"))</p>\(source)</footer>"
    }
}

import Testing
import ThermalComfort

@Suite struct ComfortReportTests {
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test(arguments: [false, true]) func `the page and the picture are well-formed and the same each time`(synthetic: Bool) {
        let report = ComfortReport(.example(synthetic: synthetic))
        for bytes in [report.html, report.svg] { #expect(MarkupReader(bytes).failure == nil) }
        #expect(report.html == ComfortReport(.example(synthetic: synthetic)).html)
        #expect(report.svg == ComfortReport(.example(synthetic: synthetic)).svg)
    }

    @Test func `the page needs no script and nothing from elsewhere`() {
        let report = ComfortReport(.example())
        for bytes in [report.html, report.svg] {
            let page = MarkupReader(bytes)
            for element in page.elements {
                #expect(!["script", "link", "img", "image", "iframe", "object", "use", "a"].contains(element.name), "\(element)")
                for name in element.attributes.keys {
                    #expect(!["src", "href", "xlink:href", "style", "onload"].contains(name), "\(element)")
                }
            }
            #expect(!text(bytes).contains("url(") && !text(bytes).contains("@import"))
        }
    }

    @Test func `the verdict, its interval and its baseline stand at the top`() throws {
        let page = MarkupReader(ComfortReport(.example()).html)
        let heading = try #require(page.texts.first { $0.element == "h1" }).text
        #expect(heading.contains("61.2\u{a0}%") && heading.contains("59.3\u{a0}%") && heading.contains("a gain of 3.3\u{a0}%"))
        #expect(page.text.contains("95\u{a0}% interval +1.9 to +4.7\u{a0}% over one model for all (single_task)"))
    }

    @Test func `an interval across nought is no victory, and one below it a defeat`() {
        var results = ComfortResults.example()
        func heading() -> String { MarkupReader(ComfortReport(results).html).texts.first { $0.element == "h1" }!.text }
        results.methods["skerry"]!.relativeGainVsSingle = .init(0.01, ci95: .init(low: -0.002, high: 0.02))
        #expect(heading().contains("cannot be told apart"))
        results.methods["skerry"]!.relativeGainVsSingle = .init(0.01, ci95: nil)
        #expect(heading().contains("cannot be told apart"))
        results.methods["skerry"]!.relativeGainVsSingle = .init(-0.03, ci95: .init(low: -0.05, high: -0.01))
        #expect(heading().contains("lost to one model for all") && heading().contains("a loss of 3.0\u{a0}%"))
    }

    @Test func `every part is there and every picture has words for those who do not see it`() {
        let page = MarkupReader(ComfortReport(.example()).html)
        let ids = page.elements.compactMap { $0.attributes["id"] }
        for id in ["methods", "cities", "matrix-skerry", "matrix-finetune", "labels", "claim"] {
            #expect(ids.contains("\(id)-title") && ids.contains("\(id)-desc"), "\(id)")
        }
        #expect(Set(ids).count == ids.count)
        #expect(page.count("svg") == 6)
        for picture in page.elements where picture.name == "svg" {
            let names = (picture.attributes["aria-labelledby"] ?? "").split(separator: " ").map(String.init)
            #expect(picture.attributes["role"] == "img" && names.count == 2 && names.allSatisfy(ids.contains))
        }
        for words in [
            "LEAKY", "+5.12\u{a0}%", "Athens", "0.931", "42\u{202f}591", "edge-1, edge-2", "comfort.onnx", "site 27/winter", "aim reached",
            "must reached", "doi 10.6078/D1F671", "412 MB",
        ] {
            #expect(page.text.contains(words), "\(words)")
        }
    }

    @Test func `each caption, table and tile with a gain names what it is over`() {
        let page = MarkupReader(ComfortReport(.example()).html)
        let baselines = ["single_task", "frozen global model", "one model for all", "One model for all", "fine-tuning", "Sedna"]
        // A gain is a percentage with a sign. Wherever one stands in running text, the sentence says over what.
        for (element, words) in page.texts where ["p", "li", "figcaption", "caption", "desc"].contains(element) {
            guard words.contains("%"), words.contains("+") || words.contains("gain") else { continue }
            let isNamed = baselines.contains { words.contains($0) }
            #expect(isNamed || element == "desc", "\(element): \(words)")
        }
        for id in ["methods", "cities", "claim"] {
            let title = text(ComfortReport(.example()).html).split(separator: "<title id=\"\(id)-title\">")[1].prefix { $0 != "<" }
            #expect(title.contains("over one model for all"))
        }
        // Heads of columns with gains.
        #expect(page.texts.contains { $0.element == "th" && $0.text == "Gain over single_task" })
        #expect(page.texts.contains { $0.element == "small" && $0.text == "gain over single_task" })
    }

    @Test func `a run on made-up data says SYNTHETIC on page and picture, a real one never`() {
        let synthetic = ComfortReport(.example(synthetic: true)), real = ComfortReport(.example())
        let page = MarkupReader(synthetic.html), picture = MarkupReader(synthetic.svg)
        #expect(page.texts.contains { $0.element == "title" && $0.text.hasPrefix("SYNTHETIC") })
        #expect(page.texts.contains { $0.element == "p" && $0.text.hasPrefix("SYNTHETIC data") })
        #expect(picture.texts.contains { $0.element == "text" && $0.text.hasPrefix("SYNTHETIC") })
        #expect(picture.texts.contains { $0.element == "title" && $0.text.hasPrefix("SYNTHETIC") })
        for bytes in [real.html, real.svg] { #expect(!text(bytes).contains("SYNTHETIC")) }
        // Goals were set for the real data only.
        #expect(!page.text.contains("aim reached"))
    }

    @Test func `goals are marked by their bounds`() {
        var results = ComfortResults.example()
        func words() -> String { MarkupReader(ComfortReport(results).html).text }
        #expect(!words().contains("missed\n") && words().contains("no goal missed"))
        results.methods["skerry"]!.logLoss = 0.85
        #expect(words().contains("1 goal missed"))
        results.labelCurve = nil
        #expect(words().contains("not measured"))
        results.labels = "full"
        #expect(!words().contains("not measured"))
    }

    @Test func `hostile names stay text`() {
        let hostile = "<script>alert(\"1\")</script>&amp;'\u{1}\u{202e}]]>"
        var results = ComfortResults.example()
        results.dataset.name = hostile
        results.split.name = hostile
        results.methods["skerry"]!.perCity[hostile] = .init(testRows: 200, accuracy: 0.5, relativeGainVsSingle: 0.1)
        results.methods[hostile] = results.methods["majority"]
        results.decisions.append(.init(round: 1, subject: hostile, action: hostile, reason: hostile))
        results.relations.append(.init(from: hostile, to: hostile, transfer: 1, rows: 1))
        results.unseenSites!.detectors[hostile] = .init(auroc: 1, threshold: 1, falseAlarmRate: 0, detectionRate: 1, definition: hostile)
        results.labelCurve!.series[hostile] = results.labelCurve!.series["edge_bias"]
        results.leakyRandomSplit!.note = hostile
        results.edge!.nodes = [hostile]
        results.model!.file = hostile
        results.timingsS[hostile] = 1
        results.versions[hostile] = hostile
        results.knowledgeBase = hostile
        results.rounds[0].years = hostile
        let report = ComfortReport(results)
        for bytes in [report.html, report.svg] {
            let page = MarkupReader(bytes)
            #expect(page.failure == nil)
            #expect(page.count("script") == 0)
            #expect(!text(bytes).contains("\u{202e}") && !text(bytes).contains("\u{1}"))
        }
        #expect(MarkupReader(report.html).text.contains("<script>alert(\"1\")</script>&amp;'"))
    }

    @Test func `a run that measured little still makes a page and a picture`() {
        var results = ComfortResults(
            dataset: .init(
                name: "d", sha256: .init(measurements: "", metadata: ""), rows: 1, labelledRows: 1, cities: 1, buildings: 1,
                synthetic: false),
            split: .init(name: "mine.csv", sha256: ""), labels: "few", seed: 1)
        func check() {
            let report = ComfortReport(results)
            #expect(MarkupReader(report.html).failure == nil && MarkupReader(report.svg).failure == nil)
        }
        check()
        let method = ComfortResults.Method(
            accuracy: 0, macroF1: 0, logLoss: 0, cityMacroAccuracy: 0, relativeGainVsSingle: .init(0), samplesUsed: 0)
        results.methods = ["single_task": method, "skerry": method]
        check()
        results.methods["skerry"]!.perCity = ["a": .init(testRows: 100, accuracy: 0, relativeGainVsSingle: -1)]
        results.methods["skerry"]!.accuracyByRound = [[nil, 0.5], [nil, nil]]
        results.labelCurve = .init(
            labels: [0], series: ["global": .init(accuracy: [0.5], relativeGainVsGlobal: [0], shareOfCitiesBetter: [0])], cities: 1,
            testRows: 1)
        check()
        results.labelCurve = .init(
            labels: [0, 5], series: ["x": .init(accuracy: [nil, 0.5], relativeGainVsGlobal: [nil], shareOfCitiesBetter: [])], cities: 1,
            testRows: 1)
        results.unseenSites = .init(detectors: [:])
        check()
    }
}

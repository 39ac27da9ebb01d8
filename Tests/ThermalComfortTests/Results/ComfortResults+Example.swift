import Learning
import ThermalComfort

extension ComfortResults {
    /// Believable figures for tests of what is made of results: accuracies and cities are near those the protocol's document gives, the rest
    /// is drawn with a fixed seed.
    static func example(synthetic: Bool = false) -> ComfortResults {
        var random = SeededGenerator(seed: 5)
        var results = ComfortResults(
            dataset: .init(
                name: synthetic ? "SYNTHETIC thermal comfort" : "ASHRAE Global Thermal Comfort Database II v2.1.0",
                sha256: .init(measurements: ComfortFiles.measurements.sha256, metadata: ComfortFiles.metadata.sha256), rows: 84918,
                labelledRows: 14164, cities: 73, buildings: 658, synthetic: synthetic),
            split: .init(name: "main", sha256: String(repeating: "3f", count: 32)), labels: "few", seed: 27)
        let years = ["to 1994", "1995–1996", "1997–2003", "2004–2010", "2011–2012", "2013–2021"]
        let counts = [(8764, 8726), (1044, 12119), (1151, 4294), (499, 3494), (933, 8757), (1773, 5201)]
        results.rounds = zip(years, counts).map {
            .init(years: $0, labelledRows: $1.0, testRows: $1.1, cities: 12, buildings: 110)
        }
        for (name, figures) in exampleMethods { results.methods[name] = figures.method(name, &random) }
        fillSections(&results)
        return results
    }

    private struct Figures {
        var accuracy: Double
        var macroF1: Double
        var logLoss: Double
        var cityMacro: Double
        var bwt: Double
        var fwt: Double
        var forgetting: Double

        func method(_ name: String, _ random: inout SeededGenerator) -> Method {
            let base = 0.5925
            let gain = accuracy / base - 1
            var method = Method(
                accuracy: accuracy, macroF1: macroF1, logLoss: logLoss, cityMacroAccuracy: cityMacro,
                relativeGainVsSingle: .init(gain, ci95: name == "single_task" ? nil : .init(low: gain - 0.0137, high: gain + 0.0141)),
                relativeCityMacroGainVsSingle: .init(cityMacro / 0.6185 - 1), bwt: bwt, fwt: fwt, forgetting: forgetting,
                ianvsBWT: bwt * 0.8,
                ianvsFWT: fwt * 0.6, samplesUsed: 14164, brier: 0.51, ece: 0.021)
            for (city, rows, single, ours) in exampleCities {
                let value =
                    name == "skerry"
                    ? ours : name == "single_task" ? single : single * (1 + gain * Double.random(in: 0.5...1.5, using: &random))
                method.perCity[city] = .init(testRows: rows, accuracy: value, relativeGainVsSingle: value / single - 1)
            }
            let final = [0.660, 0.537, 0.657, 0.638, 0.585, 0.675]
            let first = [0.655, 0.456, 0.543, 0.569, 0.546, 0.603]
            method.accuracyByRound = (0..<6).map { row in
                (0..<6).map { column in
                    let known = row >= column
                    let level = known ? final[column] - 0.012 * Double(5 - row) / 5 : first[column] + 0.004 * Double(row)
                    return level * accuracy / 0.6099
                }
            }
            return method
        }
    }

    private static let exampleMethods: [(String, Figures)] = [
        ("majority", .init(accuracy: 0.5104, macroF1: 0.2253, logLoss: 1.0044, cityMacro: 0.5384, bwt: 0, fwt: 0, forgetting: 0)),
        (
            "single_task",
            .init(accuracy: 0.5925, macroF1: 0.5084, logLoss: 0.8653, cityMacro: 0.6185, bwt: 0.0144, fwt: 0.0096, forgetting: -0.0048)
        ),
        (
            "finetune",
            .init(accuracy: 0.5459, macroF1: 0.4542, logLoss: 0.9722, cityMacro: 0.5721, bwt: -0.0373, fwt: -0.0146, forgetting: 0.039)
        ),
        (
            "sedna_multitask",
            .init(accuracy: 0.5789, macroF1: 0.5031, logLoss: 0.9013, cityMacro: 0.6054, bwt: -0.0053, fwt: -0.0083, forgetting: 0.0098)
        ),
        (
            "sedna_lifelong",
            .init(accuracy: 0.5011, macroF1: 0.3517, logLoss: 1.1369, cityMacro: 0.518, bwt: -0.0901, fwt: -0.0111, forgetting: 0.0913)
        ),
        (
            "skerry",
            .init(accuracy: 0.6118, macroF1: 0.5341, logLoss: 0.8399, cityMacro: 0.6503, bwt: 0.0131, fwt: 0.0359, forgetting: -0.0057)
        ),
    ]

    /// City, test rows, accuracy of the baseline, accuracy of `skerry`.
    private static let exampleCities: [(String, Int, Double, Double)] = [
        ("ahmedabad", 1042, 0.658, 0.661), ("alameda", 697, 0.720, 0.743), ("athens", 971, 0.678, 0.706),
        ("bandar abbas", 539, 0.691, 0.857),
        ("bandung", 176, 0.498, 0.525), ("bangalore", 660, 0.705, 0.708), ("bangkok", 558, 0.599, 0.562), ("bauchi", 180, 0.972, 0.972),
        ("berkeley", 954, 0.627, 0.638), ("brisbane", 626, 0.571, 0.599), ("chennai", 2343, 0.536, 0.553), ("darwin", 522, 0.582, 0.635),
        ("delhi", 702, 0.625, 0.679), ("florianopolis", 1459, 0.684, 0.681), ("gothenburg", 266, 0.793, 0.801),
        ("harbin", 536, 0.618, 0.623),
        ("honolulu", 1950, 0.559, 0.580), ("hyderabad", 1752, 0.486, 0.455), ("ilam", 426, 0.841, 0.887), ("jaipur", 1455, 0.604, 0.617),
        ("kalgoorlie", 536, 0.662, 0.669), ("karachi", 339, 0.547, 0.661), ("karlsruhe", 440, 0.583, 0.632),
        ("kota kinabalu", 420, 0.571, 0.641),
        ("kuala lumpur", 333, 0.528, 0.493), ("lisbon", 128, 0.526, 0.562), ("london", 543, 0.484, 0.502), ("lyon", 242, 0.570, 0.563),
        ("maceio", 982, 0.603, 0.599), ("makati", 137, 0.528, 0.533), ("malmo", 130, 0.654, 0.654), ("melbourne", 522, 0.678, 0.712),
        ("midland", 9959, 0.516, 0.530), ("montreal", 452, 0.656, 0.659), ("multan", 251, 0.583, 0.652), ("mumbai", 415, 0.705, 0.737),
        ("ottawa", 921, 0.707, 0.712), ("oxford", 435, 0.605, 0.619), ("peshawar", 507, 0.551, 0.705), ("porto", 642, 0.658, 0.692),
        ("quettar", 500, 0.681, 0.672), ("saidu", 486, 0.811, 0.814), ("san francisco", 1105, 0.582, 0.594),
        ("san ramon", 186, 0.629, 0.588),
        ("setagaya", 179, 0.285, 0.724), ("shah alam", 248, 0.378, 0.464), ("shimla", 823, 0.708, 0.711), ("sydney", 818, 0.631, 0.636),
        ("townsville", 648, 0.587, 0.605), ("tsukuba", 303, 0.584, 0.606), ("wollongong", 209, 0.710, 0.745),
    ]

    private static func fillSections(_ results: inout ComfortResults) {
        let labels = [0, 5, 10, 20, 50, 100]
        func series(_ accuracy: [Double], _ better: [Double]) -> LabelSeries {
            .init(accuracy: accuracy, relativeGainVsGlobal: accuracy.map { $0 / 0.5521 - 1 }, shareOfCitiesBetter: better)
        }
        results.labelCurve = .init(
            labels: labels,
            series: [
                "global": series([Double](repeating: 0.5521, count: 6), [0, 0, 0, 0, 0, 0]),
                "edge_bias": series([0.5521, 0.5672, 0.5685, 0.5748, 0.5818, 0.5874], [0, 0.56, 0.54, 0.58, 0.64, 0.72]),
                "cloud_retrain": series([0.5521, 0.5724, 0.5729, 0.5807, 0.5906, 0.5976], [0, 0.56, 0.6, 0.6, 0.66, 0.76]),
            ], cities: 50, testRows: 40912)
        results.unseenSites = .init(detectors: [
            "distance": .init(
                auroc: 0.931, threshold: 2.41, falseAlarmRate: 0.048, detectionRate: 0.781,
                definition: "distance of the row to the nearest known site in standardised inputs"),
            "entropy": .init(
                auroc: 0.552, threshold: 0.93, falseAlarmRate: 0.05, detectionRate: 0.083,
                definition: "entropy of the predicted probabilities"),
        ])
        results.leakyRandomSplit = .init(
            singleTask: 0.6091,
            sednaMultitask: .init(accuracy: 0.6189, relativeGainVsSingle: .init(0.0161, ci95: .init(low: 0.007, high: 0.026))),
            skerry: .init(accuracy: 0.6537, relativeGainVsSingle: .init(0.0732, ci95: .init(low: 0.0555, high: 0.0918))),
            note: "99 % of its test rows have a row of the same building and day, or of the same person, among the rows learned from")
        results.relations = [
            .init(from: "summer / naturally ventilated", to: "hot/wet / naturally ventilated", transfer: 0.081, rows: 3120),
            .init(from: "winter / air conditioned", to: "summer / air conditioned", transfer: 0.064, rows: 9911),
            .init(from: "summer / mixed mode", to: "winter / mixed mode", transfer: 0.042, rows: 4021),
        ]
        results.decisions = [
            .init(
                round: 1, subject: "global model", action: "deploy", difference: -0.0131, standardError: 0.0042,
                reason: "log-loss on held-out labels at least as good"),
            .init(
                round: 2, subject: "site 27/winter", action: "keep", difference: 0.0502, standardError: 0.0113,
                reason: "the new bias was worse on the site's newest labels"),
            .init(
                round: 3, subject: "global model", action: "deploy", difference: -0.0097, standardError: 0.0038,
                reason: "log-loss on held-out labels at least as good"),
        ]
        results.edge = .init(nodes: ["edge-1", "edge-2"], predictionsServed: 42591, p50US: 12.1, p99US: 44.8)
        results.model = .init(
            file: "comfort.onnx", bytes: 268_112, sha256: String(repeating: "ab", count: 32),
            features: ["ta", "tr", "rh", "vel", "met", "clo"])
        results.timingsS = ["read": 2.1, "train": 121.4, "evaluate": 33.2, "serve": 6.3, "total": 170.2]
        results.peakMemoryMB = 412
        results.knowledgeBase = "out/knowledge.db"
        results.versions = ["skerry": "0.1.0", "swift": "6.3.1", "xgboost": "3.2.0", "onnxruntime": "1.23.2"]
    }
}

/// Everything one run of the thermal-comfort example found out: the content of `results.json` (contract, section 6).
///
/// A value; `json()` and `init(json:)` are in `ComfortResults+JSON.swift`. All shares, accuracies and relative gains are fractions
/// (0.05 is 5 %), all log-losses are in nats, all times in the unit their name ends with.
package struct ComfortResults: Codable, Sendable, Equatable {
    /// The version of the layout; grows when a reader of an older file would misread a newer one.
    package static let currentSchema = 1

    /// Of the file that was read; a newer one than `currentSchema` is refused.
    package var schema = currentSchema
    /// The rows learned from and judged on.
    package var dataset: Dataset
    /// Where rounds, pool and test come from.
    package var split: Split
    /// Label budget: "few" or "full", `LabelBudget.rawValue`.
    package var labels: String
    /// The seed of the headline figures.
    package var seed: Int
    /// What each round held, in order; may be empty when a reader does not need it.
    package var rounds: [Round] = []
    /// Figures after the last round by method: `majority`, `single_task` (the baseline), `finetune`, `sedna_multitask`, `sedna_lifelong`,
    /// `skerry`, and any further one.
    package var methods: [String: Method]
    /// What the first labels of a new city are worth; nil where no city was judged.
    package var labelCurve: LabelCurve?
    /// Nil where it was not measured.
    package var unseenSites: UnseenSites?
    /// Nil where the random split was not run.
    package var leakyRandomSplit: LeakyRandomSplit?
    /// Strongest measured transfers between tasks, strongest first.
    package var relations: [Relation] = []
    /// What the quality gate and the update rule decided, in order.
    package var decisions: [Decision] = []
    /// Nil where nothing was served.
    package var edge: Edge?
    /// Nil where nothing was deployed.
    package var model: Model?
    /// Wall-clock seconds by stage: `read`, `learn`, `predictions`, `serve`, `total`.
    package var timingsS: [String: Double] = [:]
    /// Largest resident set of the program and its workers, MB (10^6 bytes).
    package var peakMemoryMB: Double?
    /// Path of the knowledge base the run has left.
    package var knowledgeBase: String?
    /// Versions that shape the figures, by name: `skerry`, `swift`, `xgboost`, `onnxruntime`.
    package var versions: [String: String] = [:]

    /// What every run has; the rest is added as it is found.
    package init(dataset: Dataset, split: Split, labels: String, seed: Int, methods: [String: Method] = [:]) {
        self.dataset = dataset
        self.split = split
        self.labels = labels
        self.seed = seed
        self.methods = methods
    }

    enum CodingKeys: String, CodingKey {
        case schema, dataset, split, labels, seed, rounds, methods, relations, decisions, edge, model, versions
        case labelCurve = "label_curve"
        case unseenSites = "unseen_sites"
        case leakyRandomSplit = "leaky_random_split"
        case timingsS = "timings_s"
        case peakMemoryMB = "peak_memory_mb"
        case knowledgeBase = "knowledge_base"
    }
}

extension ComfortResults {
    /// What was learned from.
    package struct Dataset: Codable, Sendable, Equatable {
        /// The database's name, which says SYNTHETIC where it was made up.
        package var name: String
        /// What makes a run repeatable, with the split's digest and the seed.
        package var sha256: Digests
        /// Rows the protocol keeps.
        package var rows: Int
        /// Rows whose label was bought, over all rounds.
        package var labelledRows: Int
        /// Different names of cities among the rows' buildings.
        package var cities: Int
        /// Buildings with at least one row.
        package var buildings: Int
        /// True when no real data could be had and a generator made it up; then every output says SYNTHETIC.
        package var synthetic: Bool

        /// Counts are the caller's; nothing is compared with a file.
        package init(name: String, sha256: Digests, rows: Int, labelledRows: Int, cities: Int, buildings: Int, synthetic: Bool) {
            self.name = name
            self.sha256 = sha256
            self.rows = rows
            self.labelledRows = labelledRows
            self.cities = cities
            self.buildings = buildings
            self.synthetic = synthetic
        }

        enum CodingKeys: String, CodingKey {
            case name, sha256, rows, cities, buildings, synthetic
            case labelledRows = "labelled_rows"
        }
    }

    /// SHA-256 of the two files as read, lower-case hexadecimal; empty where the rows never were a file.
    package struct Digests: Codable, Sendable, Equatable {
        /// Of the file with the votes, as stored.
        package var measurements: String
        /// Of the file with the buildings.
        package var metadata: String

        /// Each 64 digits or empty, which is not checked here.
        package init(measurements: String, metadata: String) {
            self.measurements = measurements
            self.metadata = metadata
        }
    }

    /// How rows were divided.
    package struct Split: Codable, Sendable, Equatable {
        /// "main" for the protocol's own, else the name of the file that replaced it.
        package var name: String
        /// SHA-256 of the split's rows in its canonical form, or of the file.
        package var sha256: String

        /// The digest is the caller's; nothing is computed here.
        package init(name: String, sha256: String) {
            self.name = name
            self.sha256 = sha256
        }
    }

    /// One round of the protocol.
    package struct Round: Codable, Sendable, Equatable {
        /// When its buildings were surveyed, for people: "1995–1996".
        package var years: String
        /// Rows whose label was bought under the run's budget.
        package var labelledRows: Int
        /// Rows that judge; 0 makes the round's column of R nil.
        package var testRows: Int
        /// Different names of cities among its rows' buildings.
        package var cities: Int
        /// Buildings with at least one row in the round.
        package var buildings: Int

        /// The run's come from `all(_:_:_:)`.
        package init(years: String, labelledRows: Int, testRows: Int, cities: Int, buildings: Int) {
            self.years = years
            self.labelledRows = labelledRows
            self.testRows = testRows
            self.cities = cities
            self.buildings = buildings
        }

        enum CodingKeys: String, CodingKey {
            case years, cities, buildings
            case labelledRows = "labelled_rows"
            case testRows = "test_rows"
        }
    }

    /// A lower and an upper bound; `[lo, hi]` in JSON.
    package struct Interval: Codable, Sendable, Equatable {
        /// The first number in JSON.
        package var low: Double
        /// The second number in JSON.
        package var high: Double

        /// Which of the two is larger is not checked.
        package init(low: Double, high: Double) {
            self.low = low
            self.high = high
        }

        /// An array of exactly two numbers.
        package init(from decoder: any Decoder) throws {
            var values = try decoder.unkeyedContainer()
            low = try values.decode(Double.self)
            high = try values.decode(Double.self)
            guard values.isAtEnd else {
                throw DecodingError.dataCorruptedError(in: values, debugDescription: "an interval has two numbers: low, high")
            }
        }

        /// The array `[low, high]`.
        package func encode(to encoder: any Encoder) throws {
            var values = encoder.unkeyedContainer()
            try values.encode(low)
            try values.encode(high)
        }
    }

    /// A relative gain: figure / figure of the baseline − 1. The field that holds it names the baseline.
    package struct Gain: Codable, Sendable, Equatable {
        /// −1 or more; 0.05 is 5 % more right predictions.
        package var value: Double
        /// 95 % interval by bootstrap over buildings; nil where it was not estimated.
        package var ci95: Interval?

        /// The baseline itself has a gain of 0 and no interval.
        package init(_ value: Double, ci95: Interval? = nil) {
            self.value = value
            self.ci95 = ci95
        }
    }

    /// What one method reached on all test rows after the last round.
    package struct Method: Codable, Sendable, Equatable {
        /// Share of test rows predicted rightly.
        package var accuracy: Double
        /// Mean F1 of the three classes, 0…1.
        package var macroF1: Double
        /// Mean over test rows, nats; ln 3 is guessing.
        package var logLoss: Double
        /// Mean accuracy over the cities with at least 100 test rows.
        package var cityMacroAccuracy: Double
        /// Of `accuracy`, against `single_task`.
        package var relativeGainVsSingle: Gain
        /// Of `cityMacroAccuracy`, against `single_task`.
        package var relativeCityMacroGainVsSingle: Gain?
        /// By city: those with at least 100 test rows.
        package var perCity: [String: City]
        /// Accuracy on the test rows of round j after learning round i, at `[i][j]`; nil where round j has no test row. Empty when the
        /// method was judged only after the last round.
        package var accuracyByRound: [[Double?]]
        /// Backward transfer, the usual definition: mean over j < last of R[last][j] − R[j][j].
        package var bwt: Double?
        /// Forward transfer, the usual definition: mean over j ≥ 1 of R[j−1][j] − majority's accuracy on round j.
        package var fwt: Double?
        /// Mean over j < last of (best earlier R[i][j], i from j) − R[last][j]; negative when nothing was lost.
        package var forgetting: Double?
        /// As Ianvs computes them, which is not as the papers do.
        package var ianvsBWT: Double?
        /// See `ianvsBWT`.
        package var ianvsFWT: Double?
        /// Labelled rows the method used, over all rounds.
        package var samplesUsed: Int
        /// Mean squared error of the probabilities, 0…2.
        package var brier: Double?
        /// Expected calibration error, 0…1.
        package var ece: Double?

        /// A run's come from `init(_:over:)`; figures not measured stay nil or empty.
        package init(
            accuracy: Double, macroF1: Double, logLoss: Double, cityMacroAccuracy: Double, relativeGainVsSingle: Gain,
            relativeCityMacroGainVsSingle: Gain? = nil, perCity: [String: City] = [:], accuracyByRound: [[Double?]] = [],
            bwt: Double? = nil, fwt: Double? = nil, forgetting: Double? = nil, ianvsBWT: Double? = nil, ianvsFWT: Double? = nil,
            samplesUsed: Int, brier: Double? = nil, ece: Double? = nil
        ) {
            self.accuracy = accuracy
            self.macroF1 = macroF1
            self.logLoss = logLoss
            self.cityMacroAccuracy = cityMacroAccuracy
            self.relativeGainVsSingle = relativeGainVsSingle
            self.relativeCityMacroGainVsSingle = relativeCityMacroGainVsSingle
            self.perCity = perCity
            self.accuracyByRound = accuracyByRound
            self.bwt = bwt
            self.fwt = fwt
            self.forgetting = forgetting
            self.ianvsBWT = ianvsBWT
            self.ianvsFWT = ianvsFWT
            self.samplesUsed = samplesUsed
            self.brier = brier
            self.ece = ece
        }

        enum CodingKeys: String, CodingKey {
            case accuracy, forgetting, brier, ece
            case macroF1 = "macro_f1"
            case logLoss = "log_loss"
            case cityMacroAccuracy = "city_macro_accuracy"
            case relativeGainVsSingle = "relative_gain_vs_single"
            case relativeCityMacroGainVsSingle = "relative_city_macro_gain_vs_single"
            case perCity = "per_city"
            case accuracyByRound = "R"
            case bwt = "BWT"
            case fwt = "FWT"
            case ianvsBWT = "ianvs_BWT"
            case ianvsFWT = "ianvs_FWT"
            case samplesUsed = "samples_used"
        }
    }

    /// One method at one city.
    package struct City: Codable, Sendable, Equatable {
        /// At least 100, but in small splits that have no such city.
        package var testRows: Int
        /// Share of the city's test rows predicted rightly.
        package var accuracy: Double
        /// Against `single_task` at this city. Few rows make it noisy: at 400 rows the standard error is near 2.4 points.
        package var relativeGainVsSingle: Double

        /// Of one method; the baseline's own gain is 0.
        package init(testRows: Int, accuracy: Double, relativeGainVsSingle: Double) {
            self.testRows = testRows
            self.accuracy = accuracy
            self.relativeGainVsSingle = relativeGainVsSingle
        }

        enum CodingKeys: String, CodingKey {
            case accuracy
            case testRows = "test_rows"
            case relativeGainVsSingle = "relative_gain_vs_single"
        }
    }

    /// How few labels a new city needs: cities held out completely, then given a few labels.
    package struct LabelCurve: Codable, Sendable, Equatable {
        /// Labels given to the city, ascending, from 0.
        package var labels: [Int]
        /// By name: `global` (frozen, the baseline), `edge_bias` or `edge_adapter`, `cloud_retrain`.
        package var series: [String: LabelSeries]
        /// Cities judged, each held out from the model that served it.
        package var cities: Int
        /// Their test rows together.
        package var testRows: Int

        /// Every series should have as many numbers as there are labels, which is not checked here.
        package init(labels: [Int], series: [String: LabelSeries], cities: Int, testRows: Int) {
            self.labels = labels
            self.series = series
            self.cities = cities
            self.testRows = testRows
        }

        enum CodingKeys: String, CodingKey {
            case labels, series, cities
            case testRows = "test_rows"
        }
    }

    /// One way to use the labels of a new city; the arrays go with `LabelCurve.labels`, nil where it was not run.
    package struct LabelSeries: Codable, Sendable, Equatable {
        /// Weighted by test rows.
        package var accuracy: [Double?]
        /// Of `accuracy`, against `global` with 0 labels.
        package var relativeGainVsGlobal: [Double?]
        /// Share of cities with a higher accuracy than `global`.
        package var shareOfCitiesBetter: [Double?]

        /// Three arrays of one length, that of the curve's labels.
        package init(accuracy: [Double?], relativeGainVsGlobal: [Double?], shareOfCitiesBetter: [Double?]) {
            self.accuracy = accuracy
            self.relativeGainVsGlobal = relativeGainVsGlobal
            self.shareOfCitiesBetter = shareOfCitiesBetter
        }

        enum CodingKeys: String, CodingKey {
            case accuracy
            case relativeGainVsGlobal = "relative_gain_vs_global"
            case shareOfCitiesBetter = "share_of_cities_better"
        }
    }

    /// How well sites that were never learned are told from known ones.
    package struct UnseenSites: Codable, Sendable, Equatable {
        /// By name, as `SiteDetector.name`; those that had nothing to tell apart are missing.
        package var detectors: [String: Detector]

        /// A run's come from `init(_:detectors:)`.
        package init(detectors: [String: Detector]) { self.detectors = detectors }
    }

    /// One way to tell new sites, over all rounds.
    package struct Detector: Codable, Sendable, Equatable {
        /// Area under the ROC curve, unseen against seen; .5 is chance.
        package var auroc: Double
        /// Score above which a row counts as unseen, chosen on labelled seen rows only.
        package var threshold: Double
        /// Share of seen rows reported as unseen at the threshold.
        package var falseAlarmRate: Double
        /// Share of unseen rows reported as unseen at the threshold.
        package var detectionRate: Double
        /// What the score is, in a sentence.
        package var definition: String

        /// Rates are shares of rows, or of batches where the detector judges batches.
        package init(auroc: Double, threshold: Double, falseAlarmRate: Double, detectionRate: Double, definition: String) {
            self.auroc = auroc
            self.threshold = threshold
            self.falseAlarmRate = falseAlarmRate
            self.detectionRate = detectionRate
            self.definition = definition
        }

        enum CodingKeys: String, CodingKey {
            case auroc, threshold, definition
            case falseAlarmRate = "false_alarm_rate"
            case detectionRate = "detection_rate"
        }
    }

    /// The published claim beside our figures under a random row split, which leaks: rows of one day or person are on both sides.
    package struct LeakyRandomSplit: Codable, Sendable, Equatable {
        /// The relative gain Sedna's example published: .0512.
        package var published: Double
        /// Accuracy of the single model, the baseline of the gains below.
        package var singleTask: Double
        /// Sedna's multi-task learning, which the published claim is about.
        package var sednaMultitask: LeakyMethod
        /// Our method on the same rows.
        package var skerry: LeakyMethod
        /// That and why the split leaks, in a sentence; shown wherever the figures are.
        package var note: String

        /// The published gain is taken as it was published, without an interval.
        package init(published: Double = 0.0512, singleTask: Double, sednaMultitask: LeakyMethod, skerry: LeakyMethod, note: String) {
            self.published = published
            self.singleTask = singleTask
            self.sednaMultitask = sednaMultitask
            self.skerry = skerry
            self.note = note
        }

        enum CodingKeys: String, CodingKey {
            case published, skerry, note
            case singleTask = "single_task"
            case sednaMultitask = "sedna_multitask"
        }
    }

    /// One method under the random split.
    package struct LeakyMethod: Codable, Sendable, Equatable {
        /// Share of the random split's test rows predicted rightly.
        package var accuracy: Double
        /// Against `LeakyRandomSplit.singleTask`.
        package var relativeGainVsSingle: Gain

        /// The gain's baseline is the single model of the same split.
        package init(accuracy: Double, relativeGainVsSingle: Gain) {
            self.accuracy = accuracy
            self.relativeGainVsSingle = relativeGainVsSingle
        }

        enum CodingKeys: String, CodingKey {
            case accuracy
            case relativeGainVsSingle = "relative_gain_vs_single"
        }
    }

    /// What one task's model is worth on another task's rows.
    package struct Relation: Codable, Sendable, Equatable {
        /// The task whose model was asked.
        package var from: String
        /// The task whose rows it was asked about.
        package var to: String
        /// Log-loss saved by the transfer against knowing nothing of `to` but the global shares of classes, nats; larger is closer.
        package var transfer: Double
        /// Rows of `to` it was measured on.
        package var rows: Int

        /// Made from a `TaskRelation`.
        package init(from: String, to: String, transfer: Double, rows: Int) {
            self.from = from
            self.to = to
            self.transfer = transfer
            self.rows = rows
        }
    }

    /// One decision with its reason.
    package struct Decision: Codable, Sendable, Equatable {
        /// Counted from 0.
        package var round: Int
        /// What was decided upon: a model, a task, a site.
        package var subject: String
        /// `deploy`, `keep`, `update`, …
        package var action: String
        /// What the gate looked at: mean log-loss of the new model minus that of the old one on the same labelled votes; nil where nothing
        /// was compared.
        package var difference: Double?
        /// Of the difference, over buildings; nil where nothing was compared.
        package var standardError: Double?
        /// For people.
        package var reason: String

        /// Made from the gate's decisions, and one for a round in which nothing was trained.
        package init(round: Int, subject: String, action: String, difference: Double? = nil, standardError: Double? = nil, reason: String) {
            self.round = round
            self.subject = subject
            self.action = action
            self.difference = difference
            self.standardError = standardError
            self.reason = reason
        }

        private enum CodingKeys: String, CodingKey {
            case round, subject, action, difference, reason
            case standardError = "standard_error"
        }
    }

    /// What the workers at the edge did.
    package struct Edge: Codable, Sendable, Equatable {
        /// Names of all edges, also of one that no building fell to.
        package var nodes: [String]
        /// Test rows answered, each once.
        package var predictionsServed: Int
        /// Latency of one row, microseconds: half and 99 of 100 were faster.
        package var p50US: Double
        /// See `p50US`. At the nodes of a cluster the whole of a request over HTTP is timed, else what happens within the worker.
        package var p99US: Double
        /// What happened to the node that was cut off from the cloud; nil where none was.
        package var cut: Cut?

        /// Times are 0 where no row was timed.
        package init(nodes: [String], predictionsServed: Int, p50US: Double, p99US: Double, cut: Cut? = nil) {
            self.nodes = nodes
            self.predictionsServed = predictionsServed
            self.p50US = p50US
            self.p99US = p99US
            self.cut = cut
        }

        enum CodingKeys: String, CodingKey {
            case nodes, cut
            case predictionsServed = "predictions_served"
            case p50US = "p50_us"
            case p99US = "p99_us"
        }
    }

    /// A node without a way to its cloud while a round was learned.
    package struct Cut: Codable, Sendable, Equatable {
        /// Its name.
        package var node: String
        /// The round that was learned meanwhile, from 0.
        package var round: Int
        /// Predictions that the node gave meanwhile, with the model of the round before.
        package var answered: Int
        /// Predictions of which the cloud heard when the way was mended.
        package var reportedLater: Int
        /// How long the way was cut.
        package var seconds: Double
        /// What labels given at the node were worth meanwhile; nil where none were.
        package var adaptation: Adaptation?

        /// Figures of one run.
        package init(node: String, round: Int, answered: Int, reportedLater: Int, seconds: Double, adaptation: Adaptation? = nil) {
            self.node = node
            self.round = round
            self.answered = answered
            self.reportedLater = reportedLater
            self.seconds = seconds
            self.adaptation = adaptation
        }

        enum CodingKeys: String, CodingKey {
            case node, round, answered, seconds, adaptation
            case reportedLater = "reported_later"
        }
    }

    /// A worker that corrects its model by labels given at its node.
    package struct Adaptation: Codable, Sendable, Equatable {
        /// Labels that were given.
        package var labels: Int
        /// Other votes of the same places, by which it is judged.
        package var judged: Int
        /// Share of them it was right for before the labels came.
        package var accuracyBefore: Double
        /// The same, afterwards.
        package var accuracyAfter: Double

        /// Figures of one node.
        package init(labels: Int, judged: Int, accuracyBefore: Double, accuracyAfter: Double) {
            self.labels = labels
            self.judged = judged
            self.accuracyBefore = accuracyBefore
            self.accuracyAfter = accuracyAfter
        }

        enum CodingKeys: String, CodingKey {
            case labels, judged
            case accuracyBefore = "accuracy_before"
            case accuracyAfter = "accuracy_after"
        }
    }

    /// The model that was deployed.
    package struct Model: Codable, Sendable, Equatable {
        /// Its name in the run's folder.
        package var file: String
        /// Size of the file.
        package var bytes: Int
        /// Of the file, lower-case hexadecimal.
        package var sha256: String
        /// Names of its inputs in order.
        package var features: [String]
        /// Models of earlier rounds that still serve some tasks; nil in files of older versions.
        package var older: [OlderModel]?

        /// The file itself is written beside the results.
        package init(file: String, bytes: Int, sha256: String, features: [String], older: [OlderModel]? = nil) {
            self.file = file
            self.bytes = bytes
            self.sha256 = sha256
            self.features = features
            self.older = older
        }
    }

    /// A model that the gate has kept for the tasks it serves better than the newest.
    package struct OlderModel: Codable, Sendable, Equatable {
        /// Its name in the run's folder.
        package var file: String
        /// Size of the file.
        package var bytes: Int
        /// Of the file, lower-case hexadecimal.
        package var sha256: String
        /// In order of name; the newest model serves none of them.
        package var tasks: [String]

        /// The file itself is written beside the results.
        package init(file: String, bytes: Int, sha256: String, tasks: [String]) {
            self.file = file
            self.bytes = bytes
            self.sha256 = sha256
            self.tasks = tasks
        }
    }
}

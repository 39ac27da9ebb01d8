import ArgumentParser
import Demo
import Inference
import Storage
import ThermalComfort
import Training
import Workers

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Show an example end to end.",
        subcommands: [DemoThermalComfortCommand.self, DemoVotesCommand.self, DemoRelayCommand.self])
}

/// The way between an edge of the demo and its cloud; the demo starts and cuts it.
struct DemoRelayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay", abstract: "Hand connections on to a port of this machine, until SIGTERM.",
        discussion:
            "SIGUSR1 cuts the way, SIGUSR2 mends it. 'skerry demo thermal-comfort --keep' leaves one for each edge, to cut them by hand.",
        shouldDisplay: false)

    @Option(help: "Port of 127.0.0.1 that connections are handed on to.") var to: UInt16

    func run() throws { try RelayProgram.run(to: to) { writeError($0) } }
}

/// Where the votes come from.
struct DemoDataOptions: ParsableArguments {
    @Option(help: "Folder with db_measurements_v2.1.0.csv.gz and db_metadata.csv.") var data: String?
    @Option(help: "A split that replaces the protocol's: CSV or CSV.gz.") var split: String?
    @Flag(help: "Take files whose SHA-256 is not the card's, with a warning.") var acceptDigest = false
    @Flag(help: "Fetch nothing.") var offline = false

    func locate(_ environment: [String: String], _ display: ProgressDisplay) throws -> LocatedData {
        var locator = DataLocator(
            folder: data, cache: DataLocator.cacheFolder(environment: environment), acceptsDigest: acceptDigest)
        if offline { locator.home = nil }
        var fetching: String?
        let located = try locator.locate { event in
            if case .fetching(let file, let bytes, let total) = event {
                if fetching != file { display.begin("fetching \(file)", total: total, unit: .bytes) }
                fetching = file
                return display.update(bytes)
            }
            display.end()
            switch event {
            case .passed(let place, let reason): display.note("\(place): \(reason)")
            case .found(let place): display.note("found the database in \(place), digests as its card says")
            case .waiting(let folder): display.note("waiting for another program that fetches into \(folder)")
            case .warning(let text): display.note("warning: \(text)")
            case .fetching: break
            }
        }
        if located.isSynthetic {
            display.note("the real database cannot be had here: this run makes up its own, and every output says \(SyntheticComfort.mark)")
        }
        return located
    }
}

/// The example's votes as files, for whoever runs it by hand: docs/guides/thermal-comfort.md.
struct DemoVotesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "votes", abstract: "Write the votes of the thermal-comfort example for edges: one CSV each, which grows by rounds.")

    @OptionGroup var source: DemoDataOptions
    @Option(help: "Folder; the files are edge-1/votes.csv, edge-2/votes.csv, … in it.") var out: String
    @Option(help: "Edges that the cities belong to, 1 to 64.") var edges = 2
    @Option(help: "Labels bought after the first round: few or full.") var labels: LabelBudget = .few
    @Option(help: "First round whose votes are added, from 0.") var from = 0
    @Option(help: "Last round whose votes are added.") var through: Int

    func validate() throws {
        guard (1...64).contains(edges) else { throw ValidationError("--edges must be 1 to 64, found \(edges)") }
        guard from >= 0, through >= from else { throw ValidationError("--from \(from) --through \(through): rounds go up from 0") }
    }

    func run() throws {
        let variables = environment()
        let display = ProgressDisplay(.standardError(environment: variables))
        let votes = try ComfortSource(try source.locate(variables, display), split: source.split)
        for file in try EdgeVotes.write(votes, edges: edges, labels: labels, rounds: from...through, to: out) {
            try say("\(file.path): \(file.count) votes more")
        }
    }
}

struct DemoThermalComfortCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "thermal-comfort",
        abstract: "Learn what people in buildings want, round by round, and say what lifelong learning is worth.",
        discussion: """
            Starts a cloud and edges on this machine, each a process of its own, brings the votes of each city to the edge that owns it, lets the cloud \
            learn round after round, and has the edges predict; one of them is cut off for a round. Looks for the ASHRAE Global Thermal Comfort \
            Database II in --data, ../shared/datasets/atcii and a cache folder, then fetches it from its public home. Where it cannot be had, the run makes up SYNTHETIC data and says so. Leaves results.json, predictions.csv.gz, \
            report.html, report.svg, comfort.onnx and knowledge.db (see skerry kb) in --out: all of them, or, when interrupted, those of the run before.
            """)

    @OptionGroup var source: DemoDataOptions
    @Option(help: "Folder for the results; made if it is missing.") var out = "skerry-demo"
    @Option(help: "Edges that share the test votes, 1 to 64.") var edges = 2
    @Option(help: "Labels bought after the first round: few or full.") var labels: LabelBudget = .few
    @Option(help: "Seed of all training.") var seed: UInt64 = 27
    @Option(help: "Methods taught at a time, 1 to 64.") var threads = 2
    @Flag(help: "Leave cloud and edges running in --out/cluster, and say how to look at them.") var keep = false
    @Flag(help: "Start no cloud and no edges: learn and predict in this process.") var inProcess = false

    func validate() throws {
        guard (1...64).contains(edges) else { throw ValidationError("--edges must be 1 to 64, found \(edges)") }
        guard (1...64).contains(threads) else { throw ValidationError("--threads must be 1 to 64, found \(threads)") }
        guard !out.isEmpty else { throw ValidationError("--out names no folder") }
        guard !(keep && inProcess) else { throw ValidationError("--keep: with --in-process there is no cluster to be kept") }
    }

    func run() throws {
        let variables = environment()
        let isTerminal = isatty(STDERR_FILENO) == 1
        let cluster = inProcess ? nil : cluster(variables)
        // First of all: every later thread must leave the signals to it.
        let interruption = Interruption { signal, isPlaced in
            cluster?.stop()
            let clear = isTerminal ? "\r\u{1b}[K" : ""
            let state = isPlaced ? "holds all files of this run" : "is as it was before this run"
            writeError("\(clear)stopped by \(signal == SIGINT ? "Ctrl-C" : "signal \(signal)"); \(out) \(state)")
        }
        let display = ProgressDisplay(.standardError(environment: variables))
        let located = try source.locate(variables, display)
        let files = try ResultFiles(folder: out, isSynthetic: located.isSynthetic)
        do {
            let found = try ComfortRun(settings, try tools(cluster), display).findings(located, predictions: files.predictions)
            try files.place(found.results, models: found.models, knowledge: try bytes(found.knowledge), interruption)
            try say(DemoSummary(found.results).text)
            try say("\n" + files.placed.joined(separator: "\n"))
        } catch {
            interruption.waitIfLeaving()
            cluster?.stop(keepsFolder: true)
            if let cluster, cluster.hasStarted { writeError("the logs of cloud and edges are in \(cluster.folder)") }
            throw error
        }
        guard let cluster else { return }
        if keep { try say(cluster.invitation) } else { cluster.stop() }
    }

    private func bytes(_ knowledge: ComfortRun.Knowledge) throws -> [UInt8] {
        switch knowledge {
        case .records(let records): try KnowledgeFile.bytes(records, at: Int64(time(nil)))
        case .base(let bytes): bytes
        }
    }

    private func cluster(_ variables: [String: String]) -> DemoCluster {
        let folder = keep ? absolutePath("\(out)/cluster") : "\(variables["TMPDIR"] ?? "/tmp")/skerry-demo-\(getpid())"
        return DemoCluster(.init(program: programPath(), environment: variables, folder: folder, edges: edges, isKept: keep))
    }

    private var settings: ComfortRun.Settings {
        var settings = ComfortRun.Settings()
        settings.labels = labels
        settings.seed = seed
        settings.edges = edges
        settings.split = source.split
        settings.threads = threads
        return settings
    }

    private func tools(_ cluster: DemoCluster?) throws -> ComfortRun.Tools {
        let variables = environment()
        // Loaded here only to name its version, and to fail before anything is learned where it is missing.
        let runtime = try ONNXRuntime(candidates: onnxRuntimeCandidates())
        return .init(
            xgboost: try XGBoostLibrary(candidates: xgboostCandidates()),
            workers: .init(program: programPath(), environment: variables), temporaryFolder: variables["TMPDIR"] ?? "/tmp",
            versions: ["skerry": Skerry.configuration.version, "onnxruntime": runtime.version], cluster: cluster)
    }
}

extension LocatedData {
    fileprivate var isSynthetic: Bool { if case .synthetic = self { true } else { false } }
}

import ArgumentParser
import Learning
import ThermalComfort

struct BenchUnseenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unseen", abstract: "Round by round: are the sites of the next round told from those already known?")

    @OptionGroup var files: ComfortFileOptions
    @Option(help: "Share of known rows that may be taken for new, by which thresholds are set.") var falseAlarmRate = 0.03
    @Option(help: "Most new and most known test rows judged a round.") var rowsMax = 2000
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table

    func validate() throws {
        guard (0.001...0.5).contains(falseAlarmRate) else { throw ValidationError("--false-alarm-rate must lie in 0.001 ... 0.5") }
        guard (100...1_000_000).contains(rowsMax) else { throw ValidationError("--rows-max must lie in 100 ... 1000000") }
    }

    func run() throws {
        let (database, rows) = try files.load()
        let experiment = ComfortExperiment(database: database, rows: rows, budget: .few, featureSets: [])
        let detectors = SiteDetector.all(falseAlarmRate: falseAlarmRate)
        let start = monotonicSeconds()
        let rounds = try experiment.unseenSites(detectors, rowsMax: rowsMax)
        let sites = ComfortResults.UnseenSites(rounds, detectors: detectors)
        writeError("\(fixed(monotonicSeconds() - start, decimals: 1)) s, 1 thread")
        var table = AlignedTable(["DETECTOR", "NEW IN ROUND", "AUROC", "FALSE ALARMS %", "NOTICED %", "KNOWN", "NEW", "THRESHOLD"])
        for detector in detectors {
            for round in rounds where round.detector == detector.name {
                let alarms = Double(round.falseAlarms) / Double(max(round.knownCount, 1))
                let noticed = Double(round.detections) / Double(max(round.newCount, 1))
                table.rows.append(
                    [detector.name, String(round.round), fixed(round.auroc, decimals: 3)]
                        + [alarms, noticed].map { fixed(100 * $0, decimals: 1) }
                        + [String(round.knownCount), String(round.newCount), fixed(round.threshold, decimals: 3)])
            }
            guard let mean = sites.detectors[detector.name] else { continue }
            table.rows.append(
                [detector.name, "all", fixed(mean.auroc, decimals: 3)]
                    + [mean.falseAlarmRate, mean.detectionRate].map { fixed(100 * $0, decimals: 1) } + ["", "", ""])
        }
        try say(table.text(output))
    }
}

import ArgumentParser
import ThermalComfort

struct DatasetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dataset", abstract: "Look at data sets, and label their rows.",
        subcommands: [DescribeCommand.self, LabelCommand.self])
}

struct DescribeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Check the thermal-comfort files, prepare them and print the rounds of the learning protocol.")

    @Argument(help: "The data set: thermal-comfort.") var name: String
    @OptionGroup var files: ComfortFileOptions
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table

    func validate() throws {
        guard name == "thermal-comfort" else {
            throw ValidationError("unknown data set \"\(name)\"; known: thermal-comfort")
        }
    }

    func run() throws {
        let (database, rows) = try files.load()
        try say(table(ComfortSummary(database: database, rows: rows)).text(output))
    }

    private func table(_ summary: ComfortSummary) -> AlignedTable {
        var table = AlignedTable(["ROUND", "ROWS", "CITIES", "BUILDINGS", "LABELS FEW", "LABELS FULL", "TEST"])
        for (number, round) in summary.rounds.enumerated() {
            let figures = [number, round.rows, round.cities.count, round.buildings.count, round.labelsFew, round.labelsFull, round.test]
            table.rows.append(figures.map(String.init))
        }
        return table
    }
}

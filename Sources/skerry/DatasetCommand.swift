import ArgumentParser
import ThermalComfort

struct DatasetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dataset", abstract: "Look at data sets.", subcommands: [DescribeCommand.self])
}

struct DescribeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Check the thermal-comfort files, prepare them and print the rounds of the learning protocol.")

    @Argument(help: "The data set: thermal-comfort.") var name: String
    @OptionGroup var files: ComfortFileOptions

    func validate() throws {
        guard name == "thermal-comfort" else {
            throw ValidationError("unknown data set \"\(name)\"; known: thermal-comfort")
        }
    }

    func run() throws {
        let (database, rows) = try files.load()
        print(ComfortSummary(database: database, rows: rows).table)
    }
}

import ArgumentParser
import Demo
import ThermalComfort

/// Where the thermal-comfort files lie; loading checks their digests first.
struct ComfortFileOptions: ParsableArguments {
    @Option(help: "Folder with db_measurements_v2.1.0.csv.gz and db_metadata.csv (default: where the demo finds them).") var data: String?
    @Option(help: "A split that replaces the protocol's: CSV or CSV.gz.") var split: String?
    @Flag(help: "Take files whose SHA-256 is not the card's, with a warning.") var acceptDigest = false

    /// Looks where the demo looks, but fetches nothing and makes nothing up.
    func load() throws -> (ComfortDatabase, [SplitRow]) {
        var locator = DataLocator(
            folder: data, cache: DataLocator.cacheFolder(environment: environment()), acceptsDigest: acceptDigest)
        locator.home = nil
        let located = try locator.locate { if case .warning(let text) = $0 { writeError("warning: \(text)") } }
        if case .synthetic(let reasons) = located { throw NoData(reasons: reasons) }
        let source = try ComfortSource(located, split: split)
        return (source.database, source.rows)
    }
}

/// Figures need the real database.
private struct NoData: Error, CustomStringConvertible {
    var reasons: [String]
    var description: String {
        "the thermal-comfort database was not found: \(reasons.joined(separator: "; ")); "
            + "`skerry demo thermal-comfort` fetches it, or pass --data with its folder"
    }
}

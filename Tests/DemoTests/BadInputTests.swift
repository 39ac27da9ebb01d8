import Storage
import TestKit
import Testing
import ThermalComfort

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Whatever is wrong with what the program is given, it ends with one clear message and the right status, and the results of the run
/// before stay as they were.
@Suite struct BadInputTests {
    /// Something wrong, and what the program must say of it.
    struct Fault: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let words: [String]
        var environment: [String: String] = [:]
        /// Changes the two data files; may add a split.
        var spoil: @Sendable (inout Input) -> Void = { _ in }

        init(
            _ description: String, says words: String..., environment: [String: String] = [:],
            spoil: @escaping @Sendable (inout Input) -> Void = { _ in }
        ) {
            (testDescription, self.words, self.environment, self.spoil) = (description, words, environment, spoil)
        }
    }

    /// What a run reads.
    struct Input: Sendable {
        var measurements: [UInt8]
        var metadata: [UInt8]
        var split: String?

        /// Replaces text in a line of the measurements, counted from 0; the header is line 0.
        mutating func edit(_ line: Int, _ change: (inout [String]) -> Void) {
            var lines = String(decoding: measurements, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            var fields = lines[line].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            change(&fields)
            lines[line] = fields.joined(separator: ",")[...]
            measurements = Array(lines.joined(separator: "\n").utf8)
        }

        mutating func set(_ column: String, _ value: String, line: Int) {
            let header = String(decoding: measurements.prefix { $0 != 10 }, as: UTF8.self)
            let position = header.split(separator: ",").firstIndex { $0 == column }!
            edit(line) { $0[position] = value }
        }

        mutating func compress() {
            let writer = GzipWriter()
            measurements = writer.compress(measurements) + writer.finish()
        }
    }

    private static let made = SyntheticComfort()
    private static let file = ComfortFiles.measurements.name
    private static let head = "record_id,round,part,group,rank_bs,lab_few,lab_full\n"

    static let faults: [Fault] = [
        Fault("a truncated gzip", says: file, "truncated", "fetch the file again") {
            $0.compress()
            $0.measurements.removeLast(1000)
        },
        Fault("a corrupt gzip", says: file, "corrupt", "fetch the file again") {
            $0.compress()
            // Its checksum: what stands before it reads well.
            $0.measurements[$0.measurements.count - 6] ^= 0x55
        },
        Fault("an empty file", says: file, "the file is empty") { $0.measurements = [] },
        Fault("a missing column", says: file, "no column \"thermal_preference\"", "line 1") { input in
            input.edit(0) { $0[$0.firstIndex(of: "thermal_preference")!] = "x" }
        },
        Fault("a doubled column", says: file, "column \"met\" occurs twice", "line 1") { input in
            input.edit(0) { $0[$0.firstIndex(of: "clo")!] = "met" }
        },
        Fault("a renamed column of the metadata", says: ComfortFiles.metadata.name, "no column \"city\"", "found: ") { input in
            let text = String(decoding: input.metadata, as: UTF8.self)
            input.metadata = Array(text.replacing(",city,", with: ",town,").utf8)
        },
        Fault("text in a number", says: file, "line 8, column \"ta\"", "\"warm\" is not a number") { $0.set("ta", "warm", line: 7) },
        Fault("an unknown label", says: file, "line 5", "\"hotter\" is none of cooler, no change, warmer") {
            $0.set("thermal_preference", "hotter", line: 4)
        },
        Fault("a field too few", says: file, "line 3", "the header has") { input in input.edit(2) { $0.removeLast() } },
        Fault("a record twice in the data", says: file, "record_id 1 occurs twice") { $0.set("record_id", "1", line: 9) },
        Fault("no rows", says: file, "nothing can be learned") { $0.measurements = Array($0.measurements.prefix { $0 != 10 }) + [10] },
        Fault("a record twice in the split", says: "split.csv", "line 3: record_id 5 occurs a second time") {
            $0.split = head + "5,0,pool,g,0,1,1\n5,0,test,g,,0,0\n"
        },
        Fault("an unknown record in the split", says: "split.csv", "line 2: record_id 99999999 is not among") {
            $0.split = head + "99999999,0,pool,g,0,1,1\n"
        },
        Fault("a split without a test part", says: "split.csv", "the split has no test row") { $0.split = head + "5,0,pool,g,0,1,1\n" },
        Fault("a split whose labels have one class", says: "learned nothing in any round", "at least two classes are needed") { input in
            input.split = head + "1,0,pool,a,0,1,1\n2,0,test,b,,0,0\n"
        },
        Fault(
            "no XGBoost", says: "XGBoost's library was not found", "scripts/bootstrap", environment: ["SKERRY_XGBOOST_LIB": "/nowhere.so"]),
        Fault("another library for XGBoost", says: "libz.so.1", "no XGBoost library", environment: ["SKERRY_XGBOOST_LIB": "libz.so.1"]),
        Fault("no ONNX Runtime", says: "ONNX Runtime", "/nowhere.so", environment: ["SKERRY_ONNXRUNTIME_LIB": "/nowhere.so"]),
        Fault("another library for ONNX Runtime", says: "libz.so.1", environment: ["SKERRY_ONNXRUNTIME_LIB": "libz.so.1"]),
    ]

    @Test(arguments: faults) func `bad input ends with 1 and one message, and the run before stays`(fault: Fault) throws {
        let folder = try TemporaryFolder()
        let out = "\(folder.path)/out"
        try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
        try Data("old".utf8).write(to: URL(filePath: "\(out)/results.json"))
        let ending = try Program.run(
            ["demo", "thermal-comfort", "--offline", "--accept-digest", "--out", out] + Self.write(fault, to: folder.path), in: folder,
            current: folder.path, environment: fault.environment)
        let last = ending.errors.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
        #expect(ending.status == 1, "\(ending.errors)")
        for words in fault.words { #expect(last.contains(words), "\(last)") }
        #expect(last.hasPrefix("Error: ") && ending.output.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: out) == ["results.json"])
        #expect(try String(contentsOfFile: "\(out)/results.json", encoding: .utf8) == "old")
    }

    /// Writes the spoilt files.
    ///
    /// - Returns: the options that name them.
    private static func write(_ fault: Fault, to folder: String) throws -> [String] {
        var input = Input(measurements: made.measurements, metadata: made.metadata)
        fault.spoil(&input)
        try Data(input.measurements).write(to: URL(filePath: "\(folder)/\(file)"))
        try Data(input.metadata).write(to: URL(filePath: "\(folder)/\(ComfortFiles.metadata.name)"))
        guard let split = input.split else { return ["--data", folder] }
        try Data(split.utf8).write(to: URL(filePath: "\(folder)/split.csv"))
        return ["--data", folder, "--split", "\(folder)/split.csv"]
    }
}

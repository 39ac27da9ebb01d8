import Demo
import Storage
import TestKit
import Testing
import ThermalComfort

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@Suite struct ResultFilesTests {
    private static let names = ["comfort.onnx", "knowledge.db", "predictions.csv.gz", "report.html", "report.svg", "results.json"]

    private func results(_ name: String) -> ComfortResults {
        ComfortResults(
            dataset: .init(
                name: name, sha256: .init(measurements: "", metadata: ""), rows: 1, labelledRows: 1, cities: 1, buildings: 1,
                synthetic: false),
            split: .init(name: "main", sha256: ""), labels: "few", seed: 27)
    }

    private func place(_ name: String, in folder: String, rows: Int = 3, model: [UInt8]? = [1, 2, 3]) throws {
        let files = try ResultFiles(folder: folder, isSynthetic: name == "made up")
        for row in 0..<rows {
            // Hard to compress, so that many rows are many bytes.
            let odd = Float((row &* 2_654_435_761) & 0xffff) / 65536
            try files.predictions.append(recordID: row, round: 0, method: "skerry", probabilities: (odd, 1 - odd, odd * odd))
        }
        try files.place(results(name), models: model.map { ["comfort.onnx": $0] } ?? [:], knowledge: model.map { $0 + [4] }, nil)
    }

    private func contents(_ folder: String) throws -> [String: Data] {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        return try Dictionary(uniqueKeysWithValues: names.map { ($0, try Data(contentsOf: URL(filePath: "\(folder)/\($0)"))) })
    }

    private func text(_ path: String) throws -> String {
        let reader = try GzipReader(path: path)
        var bytes: [UInt8] = []
        while let chunk = try reader.next() { bytes += chunk }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `a run leaves all files of the contract in a folder that it makes`() throws {
        let folder = try TemporaryFolder()
        let out = "\(folder.path)/deep/down"
        try place("one", in: out)
        #expect(try contents(out).keys.sorted() == Self.names)
        #expect(try ComfortResults(json: Array(contents(out)["results.json"]!)).dataset.name == "one")
        let lines = try text("\(out)/predictions.csv.gz").split(separator: "\n")
        #expect(lines.first == "record_id,round,method,p_cooler,p_no_change,p_warmer" && lines.count == 4)
        #expect(lines[1] == "0,0,skerry,0.0,1.0,0.0")
    }

    @Test func `equal runs leave equal bytes, and the next run replaces every file`() throws {
        let folder = try TemporaryFolder()
        let (a, b) = ("\(folder.path)/a", "\(folder.path)/b")
        try place("one", in: a)
        try place("one", in: b)
        let first = try contents(a)
        #expect(try contents(b) == first)
        try place("two", in: a, model: nil)
        let second = try contents(a)
        #expect(second["results.json"] != first["results.json"] && second["report.html"] != first["report.html"])
        // A model of an earlier run beside the results of this one would mislead.
        #expect(second["comfort.onnx"] == nil && second["knowledge.db"] == nil)
    }

    @Test func `a run that ends before its results leaves the files of the run before`() throws {
        let folder = try TemporaryFolder()
        try place("one", in: folder.path)
        let before = try contents(folder.path)
        do {
            let files = try ResultFiles(folder: folder.path, isSynthetic: false)
            try files.predictions.append(recordID: 1, round: 0, method: "skerry", probabilities: (1, 0, 0))
        }
        #expect(try contents(folder.path) == before)
    }

    @Test func `predictions on made-up data are named SYNTHETIC in the gzip header, real ones are not`() throws {
        let folder = try TemporaryFolder()
        for (name, expected) in [("made up", "SYNTHETIC-predictions.csv"), ("real", "predictions.csv")] {
            try place(name, in: folder.path)
            let bytes = Array(try Data(contentsOf: URL(filePath: "\(folder.path)/predictions.csv.gz")))
            // RFC 1952: flag FNAME, then after ten bytes the name, ended by 0; no time.
            #expect(bytes[3] == 8 && Array(bytes[4..<8]) == [0, 0, 0, 0])
            #expect(String(decoding: bytes[10...].prefix { $0 != 0 }, as: UTF8.self) == expected)
        }
    }

    @Test func `a folder that cannot be made is refused before anything is learned`() throws {
        let folder = try TemporaryFolder()
        try Data([1]).write(to: URL(filePath: "\(folder.path)/file"))
        let out = "\(folder.path)/file/out"
        #expect(throws: FileWriteError.cannotCreate(path: out, reason: "Not a directory")) {
            try ResultFiles(folder: out, isSynthetic: false)
        }
    }

    @Test func `models of earlier rounds that still serve are left beside the newest, and go with the next run`() throws {
        let folder = try TemporaryFolder()
        let files = try ResultFiles(folder: folder.path, isSynthetic: false)
        try files.predictions.append(recordID: 1, round: 0, method: "skerry", probabilities: (0, 0, 1))
        try files.place(results("one"), models: ["comfort.onnx": [1], "comfort-round-2.onnx": [2]], knowledge: [3], nil)
        #expect(files.placed.last == "\(folder.path)/comfort-round-2.onnx")
        #expect(try contents(folder.path)["comfort-round-2.onnx"] == Data([2]))
        var information = stat()
        #expect(stat("\(folder.path)/knowledge.db", &information) == 0 && information.st_mode & 0o777 == 0o600)
        try place("two", in: folder.path)
        #expect(try contents(folder.path).keys.sorted() == Self.names)
    }

    #if os(Linux)
        @Test(.enabled(if: geteuid() == 0, "mounting a small file system needs root"))
        func `a disk that is full at the end leaves every file of the run before`() throws {
            let folder = try TemporaryFolder()
            guard mount("tmpfs", folder.path, "tmpfs", 0, "size=256k") == 0 else {
                try Test.cancel("this machine gives root no right to mount")
            }
            defer { umount2(folder.path, Int32(MNT_DETACH)) }
            try place("one", in: folder.path)
            let before = try contents(folder.path)
            for rows in [100_000, 20_000] {
                #expect {
                    try place("two", in: folder.path, rows: rows, model: [UInt8](repeating: 7, count: 200_000))
                } throws: {
                    guard case FileWriteError.cannotWrite(let path, _, let reason) = $0 else { return false }
                    return path.hasPrefix(folder.path) && reason == "No space left on device" && "\($0)".contains("nothing was replaced")
                }
                #expect(try contents(folder.path) == before)
            }
        }
    #endif

    @Test func `the log of a killed program beside the old knowledge base is not read into the new one`() throws {
        let folder = try TemporaryFolder()
        try place("one", in: folder.path)
        for suffix in ["-wal", "-shm"] { try Data("old".utf8).write(to: URL(filePath: "\(folder.path)/knowledge.db\(suffix)")) }
        try place("two", in: folder.path)
        #expect(try contents(folder.path).keys.sorted() == Self.names)
    }
}

import Network
import Resources
import Storage
import TestKit
import Testing

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

/// A serving worker as a process, over many requests, versions and lives. `make prove-inference` runs it with a million requests.
@Suite(.offThePool) struct ServeSoakTests {
    static let environment = ProcessInfo.processInfo.environment
    static func number(_ name: String, _ share: Int) -> Int { environment[name].flatMap { Int($0) } ?? share }

    /// y = x + version, as a node's agent puts it there.
    static func put(_ version: Int, into volume: String) throws {
        let bytes = TinyModel.adding(Float(version), version: "\(version)")
        let model = try WholeFile(path: "\(volume)/v\(version).onnx")
        try model.write(bytes)
        try model.commit()
        let config: JSON = [
            "model_config": [
                "model_path": .string("v\(version).onnx"), "version": .integer(Int64(version)),
                "digest": .string("\(ArtifactDigest(of: bytes))"),
            ]
        ]
        let file = try WholeFile(path: "\(volume)/model_config.json")
        try file.write(config.bytes())
        try file.commit()
        if version > 2 { try? FileManager.default.removeItem(atPath: "\(volume)/v\(version - 2).onnx") }
    }

    /// A life of the worker.
    struct Life {
        let program: Program
        let client: PooledHTTPClient
        /// Of its output: that of the life before would be read until it is written anew.
        private let folder: TemporaryFolder

        init(_ volume: String) async throws {
            folder = try TemporaryFolder()
            program = try Program(
                ["worker", "infer"], in: folder,
                environment: [
                    "MODEL_URL": volume, "MODEL_HOT_UPDATE_CONFIG": volume + "/model_config.json", "MODEL_NAME": "m",
                    "INFERENCE_PORT": "0",
                ])
            try program.waitForError(containing: "/v2")
            try program.waitForError(containing: "model \"m\", version")
            let words = try program.errorsSoFar().split(separator: "serving on http://127.0.0.1:").last ?? ""
            let port = try #require(Int(words.prefix { $0.isNumber }), "\(words)")
            client = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil)
        }

        func end(by signal: Int32) async throws -> Int32? {
            await client.close()
            program.send(signal)
            return try await program.ending().status
        }

        /// The answer's body.
        func ask(_ row: Int) async throws -> (status: Int, body: [UInt8]) {
            let text = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[\(row % 1000),\(row % 7)]}]}"
            let answer = try await client.send(HTTPRequest(method: "POST", path: "/v2/models/m/infer", body: Array(text.utf8)))
            return (answer.status, answer.body)
        }
    }

    /// What a version answers to a row, to the byte.
    static func expected(_ row: Int, version: Int) -> [UInt8] {
        let values = "\(Float(row % 1000) + Float(version)),\(Float(row % 7) + Float(version))"
        return Array(
            "{\"model_name\":\"m\",\"model_version\":\"\(version)\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[\(values)]}]}"
                .utf8)
    }

    @Test func `every answer is right through swaps and kills, and the same after a restart`() async throws {
        let (requests, swaps) = (Self.number("SKERRY_REQUESTS", 3000), Self.number("SKERRY_SWAPS", 6))
        let killEvery = Self.number("SKERRY_KILL_EVERY", 1000)
        let folder = try TemporaryFolder()
        let volume = folder.path + "/volume"
        try FileManager.default.createDirectory(atPath: volume, withIntermediateDirectories: false)
        var version = 1
        try Self.put(version, into: volume)
        var life = try await Life(volume)
        var (lives, newest, wrong): (Int, Int, [String]) = (1, 1, [])
        for row in 0..<requests {
            if row % max(requests / swaps, 1) == 0, row > 0 {
                version += 1
                try Self.put(version, into: volume)
            }
            if row % killEvery == killEvery - 1 {
                let before = try await life.ask(row).body
                _ = try await life.end(by: SIGKILL)
                life = try await Life(volume)
                lives += 1
                let after = try await life.ask(row).body
                // The newest version serves after a restart; before it, swaps may not yet have been, however many were asked for.
                let possible = (newest...version).map { Self.expected(row, version: $0) }
                if !possible.contains(before) || after != Self.expected(row, version: version) {
                    wrong.append("\(String(decoding: before, as: UTF8.self)), after it \(String(decoding: after, as: UTF8.self))")
                }
                newest = version
            }
            let (status, body) = try await life.ask(row)
            let possible = (newest...version).first { body == Self.expected(row, version: $0) }
            if status != 200 || possible == nil { wrong.append(String(decoding: body.prefix(300), as: UTF8.self)) }
            // A version that was answered by is never followed by an older one.
            if let possible { newest = possible }
        }
        #expect(wrong.isEmpty, "\(wrong.count) of \(requests): \(wrong.first ?? "")")
        #expect(lives == requests / killEvery + 1)
        // The last version is taken in the end.
        for _ in 0..<3000 where newest != version {
            if try await life.ask(1).body == Self.expected(1, version: version) { newest = version } else { usleep(20_000) }
        }
        #expect(newest == version)
        let status = try await life.end(by: SIGTERM)
        #expect(status == 0)
    }

    /// Bytes that belong to the process alone, and to no file.
    static func ownBytes(_ process: pid_t) throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(process)/smaps_rollup", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("Anonymous:") })
        return try #require(Int(line.filter(\.isNumber))) * 1024
    }

    static func middle(_ numbers: some Collection<Int>) -> Int { numbers.sorted()[numbers.count / 2] }

    @Test func `memory stays level over requests and versions`() async throws {
        let (requests, swaps) = (Self.number("SKERRY_REQUESTS", 6000), Self.number("SKERRY_SWAPS", 12))
        let folder = try TemporaryFolder()
        let volume = folder.path + "/volume"
        try FileManager.default.createDirectory(atPath: volume, withIntermediateDirectories: false)
        try Self.put(1, into: volume)
        let life = try await Life(volume)
        var (newest, wrong, samples): (Int, Int, [Int]) = (1, 0, [])
        for version in 1...max(swaps, 8) {
            // Each version serves before its requests are counted: otherwise two would be held now and then.
            if version > 1 { try Self.put(version, into: volume) }
            while newest < version {
                if try await life.ask(1).body == Self.expected(1, version: version) { newest = version } else { usleep(20_000) }
            }
            for row in 0..<requests / max(swaps, 8) {
                let (status, body) = try await life.ask(row)
                if status != 200 || body != Self.expected(row, version: version) { wrong += 1 }
            }
            samples.append(try Self.ownBytes(life.program.id))
        }
        let status = try await life.end(by: SIGTERM)
        #expect(wrong == 0 && status == 0)
        // The first quarter is for what is made once. With few requests a page more or less is a large share.
        let quarter = samples.count / 4
        let (early, late) = (Self.middle(samples[quarter..<2 * quarter]), Self.middle(samples.suffix(quarter)))
        let slope = Double(late) / Double(early) - 1
        let words =
            "\(requests) requests, \(samples.count) versions: \(early) bytes in the second quarter, \(late) in the last, slope \(slope * 100) %"
        if requests >= 100_000 { print(words) }
        #expect(slope <= (requests >= 100_000 ? 0.01 : 0.1), "\(words): \(samples)")
    }
}

import Demo
import Synchronization
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

@Suite struct DataLocatorTests {
    static let measurements = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) }
    static let metadata = Array("building_id,city\n1,athens\n".utf8)

    /// A locator with small files of its own instead of the database, and folders that do not exist yet.
    static func locator(_ folder: TemporaryFolder, home: String? = nil) throws -> DataLocator {
        var locator = DataLocator(cache: "\(folder.path)/cache/skerry/atcii")
        locator.shared = "\(folder.path)/shared"
        locator.home = home
        locator.limits.attempts = 3
        locator.limits.connectSeconds = 5
        locator.limits.stallSeconds = 5
        locator.measurements = ComfortFiles(name: "m.csv.gz", sha256: try sha256(measurements, folder), bytes: measurements.count)
        locator.metadata = ComfortFiles(name: "b.csv", sha256: try sha256(metadata, folder), bytes: metadata.count)
        return locator
    }

    private static func sha256(_ bytes: [UInt8], _ folder: TemporaryFolder) throws -> String {
        let path = "\(folder.path)/digest-me"
        try Data(bytes).write(to: URL(filePath: path))
        return try FileDigest(path: path).sha256
    }

    static func put(_ place: String, _ files: [String: [UInt8]]) throws {
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        for (name, bytes) in files { try Data(bytes).write(to: URL(filePath: "\(place)/\(name)")) }
    }

    private static let both = ["m.csv.gz": measurements, "b.csv": metadata]
    private static func server(_ manners: [RangeServer.Manner] = [.whole]) -> RangeServer {
        RangeServer(files: both, manners: manners)
    }

    @Test func `a digest is that of the standard's example`() throws {
        let folder = try TemporaryFolder()
        // FIPS 180-4, "abc".
        #expect(try Self.sha256(Array("abc".utf8), folder) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test func `the folder the user named comes first, then the shared one, then the cache`() throws {
        let folder = try TemporaryFolder()
        var locator = try Self.locator(folder)
        locator.folder = "\(folder.path)/mine"
        for place in [locator.cache!, locator.shared, locator.folder!] {
            try Self.put(place, Self.both)
            guard case .real(let data) = try locator.locate(progress: { _ in }) else {
                Issue.record("not found in \(place)")
                return
            }
            #expect(data.measurements == "\(place)/m.csv.gz" && data.metadata == "\(place)/b.csv")
            #expect(data.digests == .init(measurements: locator.measurements.sha256, metadata: locator.metadata.sha256))
        }
    }

    @Test func `a place that has one file only is passed, and says which is missing`() throws {
        let folder = try TemporaryFolder()
        var locator = try Self.locator(folder)
        locator.folder = "\(folder.path)/mine"
        try Self.put(locator.folder!, ["b.csv": Self.metadata])
        try Self.put(locator.shared, Self.both)
        var seen: [DataProgress] = []
        let found = try locator.locate { seen.append($0) }
        #expect(seen == [.passed(place: locator.folder!, reason: "has no m.csv.gz"), .found(place: locator.shared)])
        #expect(found != .synthetic(reasons: []))
    }

    @Test func `a wrong digest is refused wherever the file lies, with the way out`() throws {
        let folder = try TemporaryFolder()
        let locator = try Self.locator(folder)
        for place in [locator.cache!, locator.shared] {
            try Self.put(place, ["m.csv.gz": Self.measurements, "b.csv": Array("building_id,city\n1,berlin\n".utf8)])
            #expect {
                try locator.locate(progress: { _ in })
            } throws: {
                let text = "\($0)"
                return text.hasPrefix("\(place)/b.csv: SHA-256 is ") && text.contains(locator.metadata.sha256)
                    && text.contains("--accept-digest")
            }
        }
    }

    @Test func `a wrong digest is taken with a warning when the user says so`() throws {
        let folder = try TemporaryFolder()
        var locator = try Self.locator(folder)
        locator.acceptsDigest = true
        try Self.put(locator.shared, ["m.csv.gz": Self.measurements, "b.csv": [1, 2, 3]])
        var warnings = 0
        let found = try locator.locate { if case .warning = $0 { warnings += 1 } }
        #expect(warnings == 1)
        guard case .real(let data) = found else {
            Issue.record("not taken")
            return
        }
        // The digest that goes into the results is the one found.
        #expect(data.digests.metadata == (try FileDigest(path: data.metadata).sha256) && data.digests.metadata != locator.metadata.sha256)
    }

    @Test func `what is nowhere and cannot be fetched is synthetic, with every place that was tried`() throws {
        let folder = try TemporaryFolder()
        let locator = try Self.locator(folder)
        guard case .synthetic(let reasons) = try locator.locate(progress: { _ in }) else {
            Issue.record("found something")
            return
        }
        #expect(reasons == ["\(locator.shared) has no m.csv.gz and no b.csv", "\(locator.cache!) has no m.csv.gz and no b.csv"])
    }

    @Test func `the cache is where the environment says`() {
        #expect(DataLocator.cacheFolder(environment: ["XDG_CACHE_HOME": "/c", "HOME": "/h"]) == "/c/skerry/atcii")
        #expect(DataLocator.cacheFolder(environment: ["XDG_CACHE_HOME": "relative", "HOME": "/h"]) == "/h/.cache/skerry/atcii")
        #expect(DataLocator.cacheFolder(environment: [:]) == nil)
    }

    @Test func `both files are fetched from their home, once`() throws {
        let folder = try TemporaryFolder()
        let server = Self.server()
        let locator = try Self.locator(folder, home: server.address)
        var last = 0
        for _ in 0..<2 {
            let found = try locator.locate { if case .fetching("m.csv.gz", let bytes, _) = $0 { last = bytes } }
            guard case .real(let data) = found else {
                Issue.record("\(found)")
                return
            }
            #expect(Array(try Data(contentsOf: URL(filePath: data.measurements))) == Self.measurements)
        }
        #expect(last == Self.measurements.count)
        #expect(server.ranges == ["", ""])
        #expect(try FileManager.default.contentsOfDirectory(atPath: locator.cache!).sorted() == [".lock", "b.csv", "m.csv.gz"])
    }

    @Test func `an interrupted transfer goes on where it stopped`() throws {
        let folder = try TemporaryFolder()
        let server = Self.server([.whole, .breakingOff(after: 70_000), .breakingOff(after: 30_000), .whole])
        let found = try Self.locator(folder, home: server.address).locate { _ in }
        guard case .real(let data) = found else {
            Issue.record("\(found)")
            return
        }
        #expect(Array(try Data(contentsOf: URL(filePath: data.measurements))) == Self.measurements)
        #expect(server.ranges == ["", "", "bytes=70000-", "bytes=100000-"])
    }

    @Test func `what an earlier run has fetched is not fetched again`() throws {
        let folder = try TemporaryFolder()
        let server = Self.server([.whole, .breakingOff(after: 50_000), .missing, .whole])
        let locator = try Self.locator(folder, home: server.address)
        guard case .synthetic(let reasons) = try locator.locate(progress: { _ in }) else {
            Issue.record("fetched all")
            return
        }
        #expect(reasons.last!.hasPrefix("\(server.address)/m.csv.gz: ") && reasons.last!.contains("404"))
        guard case .real = try locator.locate(progress: { _ in }) else {
            Issue.record("not fetched")
            return
        }
        #expect(server.ranges == ["", "", "bytes=50000-", "bytes=50000-"])
    }

    @Test func `a server without ranges sends the file once more from its beginning`() throws {
        let folder = try TemporaryFolder()
        let server = Self.server([.whole, .breakingOff(after: 50_000), .withoutRanges])
        let found = try Self.locator(folder, home: server.address).locate { _ in }
        guard case .real(let data) = found else {
            Issue.record("\(found)")
            return
        }
        #expect(Array(try Data(contentsOf: URL(filePath: data.measurements))) == Self.measurements)
    }

    @Test func `an old beginning that does not belong to the file is fetched anew`() throws {
        let folder = try TemporaryFolder()
        let server = Self.server()
        let locator = try Self.locator(folder, home: server.address)
        try Self.put(locator.cache!, ["m.csv.gz.part": [UInt8](repeating: 7, count: 1000)])
        guard case .real(let data) = try locator.locate(progress: { _ in }) else {
            Issue.record("not fetched")
            return
        }
        #expect(Array(try Data(contentsOf: URL(filePath: data.measurements))) == Self.measurements)
    }

    @Test func `a home that serves another file is refused and leaves nothing`() throws {
        let folder = try TemporaryFolder()
        var changed = Self.both
        changed["b.csv"]![3] ^= 1
        let server = RangeServer(files: changed)
        let locator = try Self.locator(folder, home: server.address)
        #expect(throws: DataError.self) { try locator.locate(progress: { _ in }) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: locator.cache!) == [".lock"])
    }

    @Test func `a home that never stops sending is stopped at the file's size`() throws {
        let folder = try TemporaryFolder()
        let server = Self.server([.endless])
        let locator = try Self.locator(folder, home: server.address)
        let address = "\(server.address)/b.csv"
        #expect(throws: DataError.tooLarge(address: address, bytesMax: Self.metadata.count)) { try locator.locate(progress: { _ in }) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: locator.cache!) == [".lock"])
    }

    @Test func `a home that cannot be reached, has no file, or no curl is a reason and no error`() throws {
        let folder = try TemporaryFolder()
        let server = Self.server([.missing])
        var locator = try Self.locator(folder, home: server.address)
        func lastReason() throws -> String {
            guard case .synthetic(let reasons) = try locator.locate(progress: { _ in }) else { return "found" }
            return reasons.last!
        }
        #expect(try lastReason().contains("404"))
        locator.curl = "curl-that-is-not-there"
        #expect(try lastReason() == "the program curl-that-is-not-there is not installed")
        locator.curl = "curl"
        // Port 1 of the loopback: nobody listens.
        locator.home = "http://127.0.0.1:1"
        #expect(try lastReason().hasPrefix("http://127.0.0.1:1/b.csv: "))
        locator.cache = nil
        #expect(try lastReason().contains("HOME is not set"))
    }

    @Test func `a cache that cannot be written is refused by its name`() throws {
        let folder = try TemporaryFolder()
        let server = Self.server()
        var locator = try Self.locator(folder, home: server.address)
        try Self.put(folder.path, ["file": [1]])
        locator.cache = "\(folder.path)/file/skerry"
        #expect(throws: DataError.cannotPrepareCache(path: locator.cache!, reason: "Not a directory")) {
            try locator.locate(progress: { _ in })
        }
    }
}

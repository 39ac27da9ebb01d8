import Storage
import Testing
import ThermalComfort

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where the real database lies beside the repository; tests on it are skipped where it is not.
enum RealData {
    static let folder = "../shared/datasets/atcii"
    static var isThere: Bool { access("\(folder)/split_main.csv.gz", R_OK) == 0 }

    static func load() throws -> ComfortDatabase {
        let measurements = try GzipReader(path: "\(folder)/db_measurements_v2.1.0.csv.gz")
        let metadata = try GzipReader(path: "\(folder)/db_metadata.csv")
        return try ComfortDatabase(measurements: measurements.next, metadata: metadata.next)
    }
}

@Suite(.enabled(if: RealData.isThere, "the database is not beside the repository"))
struct RealDataTests {
    @Test func `preparation keeps the protocol's rows and the split equals the published one row by row`() throws {
        let database = try RealData.load()
        #expect(database.records.count == 84_918)
        let published = try ComfortSplit.read(GzipReader(path: "\(RealData.folder)/split_main.csv.gz").next, for: database)
        let computed = ComfortSplit.main(database)
        #expect(computed.count == published.count)
        let differenceCount = zip(computed, published).count { $0 != $1 }
        #expect(differenceCount == 0)
        #expect(computed.count { $0.part == .test } == 42_591)
    }
}

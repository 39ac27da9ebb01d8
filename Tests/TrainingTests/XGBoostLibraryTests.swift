import Testing
import Training

#if canImport(Foundation)
    import Foundation
#endif

@Suite struct XGBoostLibraryTests {
    static func refusal(_ candidates: [String]) -> String {
        do throws(TrainingError) {
            _ = try XGBoostLibrary(candidates: candidates)
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    @Test func `a library of a version that is too old is refused with its version`() throws {
        let folder = NSTemporaryDirectory() + "skerry-xgboost-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let source = "void XGBoostVersion(int *major, int *minor, int *patch) { *major = 1; *minor = 5; *patch = 2; }"
        try source.write(toFile: folder + "/old.c", atomically: true, encoding: .utf8)
        let compiler = Process()
        compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        compiler.arguments = ["clang", "-shared", "-fPIC", "-o", folder + "/libold.so", folder + "/old.c"]
        try compiler.run()
        compiler.waitUntilExit()
        try #require(compiler.terminationStatus == 0)
        let text = Self.refusal([folder + "/libold.so"])
        #expect(text.contains("1.5.2") && text.contains("libold.so"), "\(text)")
    }
}

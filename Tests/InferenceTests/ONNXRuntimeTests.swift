import Inference
import Testing

#if canImport(Foundation)
    import Foundation
#endif

@Suite struct ONNXRuntimeTests {
    static func refusal(_ candidates: [String]) -> String {
        do throws(InferenceError) {
            _ = try ONNXRuntime(candidates: candidates)
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    @Test func `the library that the bootstrap brings is taken`() throws {
        let runtime = try ONNXRuntime(candidates: ONNXRuntime.candidates(chosen: nil))
        #expect(runtime.version.hasPrefix("1."))
    }

    @Test func `a missing library is named, with what to do`() {
        let text = Self.refusal(ONNXRuntime.candidates(chosen: "/nowhere/libonnxruntime.so"))
        #expect(text.contains("/nowhere/libonnxruntime.so") && text.contains("scripts/bootstrap"))
    }

    @Test func `another library in its place is refused`() {
        #expect(Self.refusal(["libz.so.1", "libz.so"]).contains("no function OrtGetApiBase"))
    }

    @Test func `a library of a version that is too old is refused with its version`() throws {
        let folder = NSTemporaryDirectory() + "skerry-ort-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // An old library answers a request for newer functions with NULL.
        let source = """
            static const void *table(unsigned version) { return version > 12 ? (void *)0 : (void *)"old"; }
            static const char *version(void) { return "1.12.1"; }
            static const struct { const void *(*table)(unsigned); const char *(*version)(void); } base = {table, version};
            const void *OrtGetApiBase(void) { return &base; }
            """
        try source.write(toFile: folder + "/old.c", atomically: true, encoding: .utf8)
        let compiler = Process()
        compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        compiler.arguments = ["clang", "-shared", "-fPIC", "-o", folder + "/libold.so", folder + "/old.c"]
        try compiler.run()
        compiler.waitUntilExit()
        try #require(compiler.terminationStatus == 0)
        #expect(Self.refusal([folder + "/libold.so"]).contains("libold.so is ONNX Runtime 1.12.1; version 1."))
    }
}

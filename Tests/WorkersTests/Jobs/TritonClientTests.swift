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

/// The client that others' servers are asked with, unmodified.
@Suite(.offThePool) struct TritonClientTests {
    static let library = ".deps/python-triton"
    static var isThere: Bool { FileManager.default.fileExists(atPath: library + "/tritonclient") }

    /// An input and an output of each type, the same.
    static var types: [UInt8] {
        let numbers = [1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool"]
        let more = [10: "float16", 11: "double", 12: "uint32", 13: "uint64"]
        let graph = numbers.merging(more) { $1 }.sorted { $0.key < $1.key }.flatMap { number, name in
            TinyModel.node("Identity", ["in_" + name], ["out_" + name]) + TinyModel.value(11, "in_" + name, type: number, [nil, 2])
                + TinyModel.value(12, "out_" + name, type: number, [nil, 2])
        }
        return TinyModel.file(graph)
    }

    @Test(.enabled(if: isThere, "pip could not fetch tritonclient"))
    func `Triton's client gets its own values back, in every type`() throws {
        let folder = try TemporaryFolder()
        try Data(Self.types).write(to: URL(filePath: folder.path + "/types.onnx"))
        let worker = try Program(
            ["worker", "infer"], in: folder,
            environment: ["MODEL_URL": folder.path + "/types.onnx", "MODEL_NAME": "types", "INFERENCE_PORT": "0"])
        try worker.waitForError(containing: "/v2")
        try worker.waitForError(containing: "model \"types\", version")
        let words = try worker.errorsSoFar()
        let port = (words.split(separator: "serving on http://127.0.0.1:").last ?? "").prefix { $0.isNumber }
        let asked = try Program.run(
            ["Tests/WorkersTests/triton-client.py", String(port)], executable: "python3", in: folder,
            environment: ["PYTHONPATH": Self.library])
        worker.send(SIGTERM)
        let ending = try worker.wait()
        #expect(asked.status == 0 && asked.output.contains("asked 9"), "\(asked.errors)\n\(words)")
        #expect(ending.status == 0, "\(ending.errors)")
    }
}

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

/// Networks as others make them, asked by the protocol and compared with the onnx package's own evaluation.
@Suite(.offThePool) struct TritonNetworksTests {
    static let library = ".deps/python"
    static var isThere: Bool { FileManager.default.fileExists(atPath: library + "/onnx") }

    private func python(_ arguments: [String], in folder: TemporaryFolder) throws -> Program.Ending {
        let script = "Tests/WorkersTests/small-networks.py"
        return try Program.run([script] + arguments, executable: "python3", in: folder, environment: ["PYTHONPATH": Self.library])
    }

    private static let networks = [("convolutions", 2), ("transformer", 3), ("maps", 3), ("lists", 3)]

    @Test(.enabled(if: isThere, "pip could not fetch onnx"), arguments: networks)
    func `a small network answers as the onnx package evaluates it, whatever the shape`(name: String, shapes: Int) throws {
        let folder = try TemporaryFolder()
        let made = try python(["make", folder.path], in: folder)
        #expect(made.status == 0, "\(made.errors)")
        let worker = try Program(
            ["worker", "infer"], in: folder,
            environment: ["MODEL_URL": "\(folder.path)/\(name).onnx", "MODEL_NAME": name, "INFERENCE_PORT": "0"])
        try worker.waitForError(containing: "model \"\(name)\", version")
        let words = try worker.errorsSoFar()
        let port = (words.split(separator: "serving on http://127.0.0.1:").last ?? "").prefix { $0.isNumber }
        let asked = try python(["ask", String(port), name, folder.path], in: folder)
        worker.send(SIGTERM)
        let ending = try worker.wait()
        #expect(asked.status == 0 && asked.output.split(separator: "\n").count == shapes, "\(asked.errors)\n\(words)")
        #expect(ending.status == 0, "\(ending.errors)")
    }
}

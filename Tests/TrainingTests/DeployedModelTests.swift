import Learning
import TestKit
import Testing
import Training

#if canImport(Foundation)
    import Foundation
#endif

@Suite struct DeployedModelTests {
    @Test func `a key's hash is the first 31 bits of its SHA-256, and no key is 0`() {
        // sha256("abc") = ba7816bf…
        #expect(AdapterTable.hash("abc") == 0xba78_16bf >> 1)
        #expect(AdapterTable.hash(nil) == 0 && AdapterTable.hash("") == 0)
    }

    @Test func `an unknown site and person correct nothing, a known one by its bias in half precision`() throws {
        let model = try ExampleModel.model()
        let row = ExampleModel.rows(1)
        let plain = model.margins(features: row)
        #expect(model.margins(features: row, sites: ["nowhere"], persons: [nil]) == plain)
        let table = ExampleModel.biases(["A", "B", "C", "D"], seed: 0)
        let corrected = model.margins(features: row, sites: ["B"])
        for k in 0..<3 { #expect(corrected[k] == plain[k] + Float(Float16(table.biases["B"]![k]))) }
        #expect(corrected != plain)
    }

    @Test func `two keys of one hash are refused by name`() throws {
        var seen: [UInt32: String] = [:]
        var pair: (String, String)?
        // About 60,000 names collide somewhere in 2³¹ hashes.
        for index in 0..<1_000_000 {
            if pair != nil { break }
            let key = "site \(index)"
            if let other = seen.updateValue(key, forKey: AdapterTable.hash(key)) { pair = (other, key) }
        }
        let (first, second) = try #require(pair)
        let table = ExampleModel.biases([first, second], seed: 0)
        #expect {
            try AdapterTable(table)
        } throws: {
            "\($0)".contains(first) && "\($0)".contains(second)
        }
        #expect(throws: AdapterError.self) { try AdapterTable(ExampleModel.biases([""], seed: 0)) }
    }

    static let checker = FileManager.default.currentDirectoryPath + "/.deps/python"
    static let hasChecker = FileManager.default.fileExists(atPath: checker + "/onnx/checker.py")

    @Test(
        .enabled(if: hasChecker, "SKIPPED: the onnx checker is not in .deps/python; scripts/bootstrap installs it by pip"),
        arguments: [(2, true, true), (0, true, false), (1, false, true), (0, false, false)])
    func `the onnx checker accepts the file`(networks: Int, sites: Bool, persons: Bool) throws {
        let bytes = try ExampleModel.model(networks: networks, sites: sites, persons: persons).onnx()
        let path = NSTemporaryDirectory() + "skerry-\(UInt64.random(in: 0 ... .max)).onnx"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let python = Process()
        python.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        python.environment = ["PYTHONPATH": Self.checker, "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin"]
        python.arguments = ["python3", "-c", "import onnx, sys; onnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True)", path]
        try python.run()
        python.waitUntilExit()
        #expect(python.terminationStatus == 0)
    }

    @Test func `weights that half precision holds exactly take two bytes each`() throws {
        let rounded = try #require(ExampleModel.network(seed: 1).roundedToHalf())
        func size(_ network: DenseNetwork) -> Int {
            let blend = BlendedModel(trees: ExampleModel.trees(), networks: [network], networkShare: 0.5)
            return DeployedModel(featureNames: ExampleModel.names, classNames: ExampleModel.classes, version: "1", model: blend).onnx()
                .count
        }
        // 32 weights lose two bytes each and need two Cast nodes of about 50 bytes.
        #expect(
            rounded.hiddenWeights.allSatisfy { Float(Float16($0)) == $0 } && size(rounded) < size(ExampleModel.network(seed: 1)) + 2 * 50)
    }
}

import Learning
import Testing
import Training

#if canImport(Foundation)
    import Foundation
#endif

@Suite struct DeployedModelTests {
    static let names = ["air_temperature", "humidity", "season"]
    static let classes = ["cooler", "no change", "warmer"]

    static func rows(_ count: Int, seed: UInt64 = 5) -> FeatureMatrix {
        var features = FeatureMatrix(columnNames: names)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<count {
            features.append((0..<3).map { _ in Bool.random(using: &generator) ? .random(in: -2..<2, using: &generator) : .nan })
        }
        return features
    }

    static func trees() -> TreeEnsemble {
        var ensemble = TreeEnsemble(featureCount: 3, baseMargins: [0.25, 0, -0.25])
        for index in 0..<6 {
            let step = Float(index)
            ensemble.append(
                target: index % 2, round: index / 2,
                nodes: [
                    .split(feature: index % 3, threshold: step / 3 - 1, left: 1, right: 2, missingGoesLeft: index % 2 == 0), .leaf(step),
                    .split(feature: 1, threshold: 0.5, left: 3, right: 4, missingGoesLeft: false), .leaf(-step), .leaf(0.5),
                ])
        }
        return ensemble
    }

    static func network(seed: UInt64) -> DenseNetwork {
        var generator = SeededGenerator(seed: seed)
        func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in .random(in: -1..<1, using: &generator) } }
        let inputs = DenseInputs(
            columnNames: names, filled: [0.1, 0.2, 0.3], means: [0, 0.5, -0.5], scales: [0.5, 1, 2], clipBound: 1.5,
            indicatorColumns: [0, 2])
        return DenseNetwork(
            inputs: inputs, hiddenWeights: numbers(20), hiddenBiases: numbers(4), outputWeights: numbers(12), outputBiases: numbers(3))
    }

    static func biases(_ keys: [String], seed: UInt64) -> BiasTable {
        // Labels that differ by key give biases that differ.
        let rows = keys.indices.flatMap { index in Array(repeating: index, count: 20 + index) }
        return BiasTable(
            logits: [Double](repeating: 0, count: rows.count * 3), labels: rows.map { ($0 + Int(seed)) % 3 }, keys: rows.map { keys[$0] },
            classCount: 3, lambda: 5)
    }

    static func model(networks: Int = 2, sites: Bool = true, persons: Bool = true) throws -> DeployedModel {
        let blend = BlendedModel(trees: trees(), networks: (0..<networks).map { network(seed: UInt64($0)) }, networkShare: 0.35)
        return DeployedModel(
            featureNames: names, classNames: classes, version: "test 1", model: blend,
            sites: sites ? try AdapterTable(biases(["A", "B", "C", "D"], seed: 0)) : nil,
            persons: persons ? try AdapterTable(biases(["A/1", "B/7"], seed: 1)) : nil)
    }

    @Test func `a key's hash is the first 31 bits of its SHA-256, and no key is 0`() {
        // sha256("abc") = ba7816bf…
        #expect(AdapterTable.hash("abc") == 0xba78_16bf >> 1)
        #expect(AdapterTable.hash(nil) == 0 && AdapterTable.hash("") == 0)
    }

    @Test func `an unknown site and person correct nothing, a known one by its bias in half precision`() throws {
        let model = try Self.model()
        let row = Self.rows(1)
        let plain = model.margins(features: row)
        #expect(model.margins(features: row, sites: ["nowhere"], persons: [nil]) == plain)
        let table = Self.biases(["A", "B", "C", "D"], seed: 0)
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
        let table = Self.biases([first, second], seed: 0)
        #expect {
            try AdapterTable(table)
        } throws: {
            "\($0)".contains(first) && "\($0)".contains(second)
        }
        #expect(throws: AdapterError.self) { try AdapterTable(Self.biases([""], seed: 0)) }
    }

    static let checker = FileManager.default.currentDirectoryPath + "/.deps/python"
    static let hasChecker = FileManager.default.fileExists(atPath: checker + "/onnx/checker.py")

    @Test(
        .enabled(if: hasChecker, "SKIPPED: the onnx checker is not in .deps/python; scripts/bootstrap installs it by pip"),
        arguments: [(2, true, true), (0, true, false), (1, false, true), (0, false, false)])
    func `the onnx checker accepts the file`(networks: Int, sites: Bool, persons: Bool) throws {
        let bytes = try Self.model(networks: networks, sites: sites, persons: persons).onnx()
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
        let rounded = try #require(Self.network(seed: 1).roundedToHalf())
        func size(_ network: DenseNetwork) -> Int {
            let blend = BlendedModel(trees: Self.trees(), networks: [network], networkShare: 0.5)
            return DeployedModel(featureNames: Self.names, classNames: Self.classes, version: "1", model: blend).onnx().count
        }
        // 32 weights lose two bytes each and need two Cast nodes of about 50 bytes.
        #expect(rounded.hiddenWeights.allSatisfy { Float(Float16($0)) == $0 } && size(rounded) < size(Self.network(seed: 1)) + 2 * 50)
    }
}

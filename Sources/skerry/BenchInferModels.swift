import ArgumentParser
import Learning
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A folder from which a worker takes versions of one model, as a node's agent puts them there.
struct BenchVolume {
    let path: String
    private let model: String

    init(model: String) throws {
        self.model = model
        path = "\(Self.temporaryFolder())/skerry-bench-\(getpid())-\(monotonicNanoseconds())"
        guard mkdir(path, 0o700) == 0 else { throw ValidationError("\(path): \(String(cString: strerror(errno)))") }
        try Self.write(try ProcessFiles.bytes(model), to: path + "/model.onnx")
    }

    static func temporaryFolder() -> String { environment()["TMPDIR"] ?? "/tmp" }

    /// The same file under another number.
    func put(_ version: Int) throws {
        let config = "{\"model_config\":{\"model_path\":\"\(path)/model.onnx\",\"version\":\"\(version)\"}}"
        try Self.write(Array(config.utf8), to: path + "/model_config.json")
    }

    func remove() {
        for name in ["model.onnx", "model_config.json"] { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try WholeFile(path: path)
        try file.write(bytes)
        try file.commit()
    }
}

/// A network of three layers as an ONNX file: x float[N, width] to y float[N, outputs].
struct BenchNetwork {
    let width: Int
    let hidden: Int
    let outputs: Int

    func onnx() -> [UInt8] {
        var graph: [UInt8] = []
        var generator = SeededGenerator(seed: 5)
        var name = "x"
        for (layer, sizes) in [(width, hidden), (hidden, hidden), (hidden, outputs)].enumerated() {
            let weights = (0..<sizes.0 * sizes.1).map { _ in Float.random(in: -0.1..<0.1, using: &generator) }
            let isLast = layer == 2
            graph +=
                constant("w\(layer)", weights, [sizes.0, sizes.1])
                + constant("b\(layer)", Array(repeating: 0.01, count: sizes.1), [sizes.1])
            graph += node("Gemm", [name, "w\(layer)", "b\(layer)"], isLast ? "y" : "s\(layer)")
            if !isLast { graph += node("Relu", ["s\(layer)"], "h\(layer)") }
            name = "h\(layer)"
        }
        graph += value(11, "x", width) + value(12, "y", outputs)
        return int(1, 8) + bytes(7, text(2, "network") + graph) + bytes(8, text(1, "") + int(2, 17))
    }

    private func varint(_ value: Int) -> [UInt8] {
        var (rest, bytes) = (value, [UInt8]())
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private func int(_ field: Int, _ value: Int) -> [UInt8] { varint(field << 3) + varint(value) }
    private func bytes(_ field: Int, _ content: [UInt8]) -> [UInt8] { varint(field << 3 | 2) + varint(content.count) + content }
    private func text(_ field: Int, _ content: String) -> [UInt8] { bytes(field, Array(content.utf8)) }

    private func node(_ operation: String, _ inputs: [String], _ output: String) -> [UInt8] {
        bytes(1, inputs.flatMap { text(1, $0) } + text(2, output) + text(4, operation))
    }

    private func constant(_ name: String, _ values: [Float], _ shape: [Int]) -> [UInt8] {
        let raw = values.withUnsafeBytes { Array($0) }
        return bytes(5, shape.flatMap { int(1, $0) } + int(2, 1) + text(8, name) + bytes(9, raw))
    }

    private func value(_ field: Int, _ name: String, _ width: Int) -> [UInt8] {
        let shape = bytes(1, text(2, "N")) + bytes(1, int(1, width))
        return bytes(field, text(1, name) + bytes(2, bytes(1, int(1, 1) + bytes(2, shape))))
    }
}

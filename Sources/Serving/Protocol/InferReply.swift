package import Inference

/// An answer of the Open Inference Protocol as bytes.
package enum InferReply {
    /// Reads the outputs of an answer, JSON or with bytes behind it.
    ///
    /// - Throws: naming the output at fault, and for an answer without any.
    package static func read(_ body: [UInt8], headerLength: Int? = nil) throws(ServingRefusal) -> [NamedTensor] {
        try body.withServingBytes { (bytes) throws(ServingRefusal) in
            try InferCall(bytes, list: "outputs", headerLength: headerLength).inputs
        }
    }

    /// Writes JSON, and behind it the outputs that are wanted as bytes.
    ///
    /// - Parameters:
    ///   - outputs: all that the model gave; those the call asks for are sent, in its order.
    ///   - bytes: written behind what it holds.
    /// - Returns: bytes of the JSON where bytes follow it (`Inference-Header-Content-Length`); nil for JSON alone.
    /// - Throws: naming an output that the model does not have.
    package static func write(
        _ outputs: [NamedTensor], for call: InferCall, modelName: String, version: String, into bytes: inout [UInt8]
    ) throws(ServingRefusal) -> Int? {
        let start = bytes.count
        JSONBytes.append(raw: "{\"model_name\":", to: &bytes)
        JSONBytes.append(modelName, to: &bytes)
        JSONBytes.append(raw: ",\"model_version\":", to: &bytes)
        JSONBytes.append(version, to: &bytes)
        if let id = call.id {
            JSONBytes.append(raw: ",\"id\":", to: &bytes)
            JSONBytes.append(text: id, to: &bytes)
        }
        JSONBytes.append(raw: ",\"outputs\":[", to: &bytes)
        var binary: [Tensor] = []
        if call.outputs.isEmpty {
            for (index, output) in outputs.enumerated() {
                if index > 0 { bytes.append(0x2c) }
                if call.isBinary { binary.append(output.tensor) }
                append(output, isBinary: call.isBinary, to: &bytes)
            }
        }
        for (index, wanted) in call.outputs.enumerated() {
            guard let output = outputs.first(where: { $0.name == wanted.name }) else {
                let names = outputs.map(\.name).joined(separator: ", ")
                throw ServingRefusal(400, "model \"\(modelName)\" has no output \"\(wanted.name)\" (found: \(names))")
            }
            if index > 0 { bytes.append(0x2c) }
            if wanted.isBinary { binary.append(output.tensor) }
            append(output, isBinary: wanted.isBinary, to: &bytes)
        }
        JSONBytes.append(raw: "]}", to: &bytes)
        guard !binary.isEmpty else { return nil }
        let length = bytes.count - start
        for tensor in binary { BinaryTensor.write(tensor, into: &bytes) }
        return length
    }

    private static func append(_ output: NamedTensor, isBinary: Bool, to bytes: inout [UInt8]) {
        JSONBytes.append(raw: "{\"name\":", to: &bytes)
        JSONBytes.append(output.name, to: &bytes)
        JSONBytes.append(raw: ",\"datatype\":\"", to: &bytes)
        bytes.append(contentsOf: output.tensor.type.oip.utf8)
        JSONBytes.append(raw: "\",\"shape\":", to: &bytes)
        JSONBytes.append(shape: output.tensor.shape, to: &bytes)
        if isBinary {
            JSONBytes.append(raw: ",\"parameters\":{\"binary_data_size\":", to: &bytes)
            JSONBytes.append(number: BinaryTensor.size(output.tensor), to: &bytes)
            JSONBytes.append(raw: "}}", to: &bytes)
        } else {
            JSONBytes.append(raw: ",\"data\":", to: &bytes)
            JSONBytes.append(values: output.tensor, to: &bytes)
            bytes.append(0x7d)
        }
    }
}

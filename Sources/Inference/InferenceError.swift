/// Why a model cannot be loaded or asked.
package enum InferenceError: Error, Equatable, CustomStringConvertible {
    case libraryNotFound(tried: [String])
    /// A library was opened that is no ONNX Runtime.
    case notONNXRuntime(path: String)
    case unsupportedVersion(path: String, found: String, needed: Int)
    /// ONNX Runtime refused a call; the message is its own.
    case refused(call: String, message: String)
    case fileTooLarge(bytes: Int, limit: Int)
    /// The bytes are no whole ONNX file.
    case malformedFile(reason: String)
    /// A whole ONNX file that could harm the process that loads it.
    case hostileFile(reason: String)
    /// A sound model of a kind that is not served here.
    case unsupportedModel(reason: String)
    case missingInput(name: String, found: [String])
    case unexpectedInput(name: String, known: [String])
    case missingOutput(name: String, found: [String])
    /// An input or output of the model with another type or shape than is needed.
    case wrongTensor(name: String, expected: String, found: String)
    /// A request with too few or too many values for an input.
    case wrongValueCount(input: String, expected: Int, found: Int)
    case tooManyRows(found: Int, limit: Int)
    /// A request whose tensors take more memory than there is for one.
    case tooLarge(bytes: Int, limit: Int)
    /// Other models computed all the time.
    case busy(seconds: Int)

    /// As HTTP says it of a request: 500 the model failed, 413 too large, 503 ask again later, 400 what was asked.
    package var status: Int {
        switch self {
        case .refused: 500
        case .tooManyRows, .tooLarge: 413
        case .busy: 503
        default: 400
        }
    }

    /// One sentence: the library, file, input or output at fault, the value found and the one expected.
    package var description: String {
        switch self {
        case .libraryNotFound(let tried):
            "ONNX Runtime's library was not found (\(tried.joined(separator: "; "))); run scripts/bootstrap or set SKERRY_ONNXRUNTIME_LIB"
        case .notONNXRuntime(let path): "\(path) has no function OrtGetApiBase; it is no ONNX Runtime, set SKERRY_ONNXRUNTIME_LIB to one"
        case .unsupportedVersion(let path, let found, let needed):
            "\(path) is ONNX Runtime \(found); version 1.\(needed) or newer of 1.x is needed, scripts/bootstrap brings one"
        case .refused(let call, let message): "ONNX Runtime's \(call) failed: \(message)"
        case .fileTooLarge(let bytes, let limit): "the model has \(bytes) bytes; at most \(limit) are loaded"
        case .malformedFile(let reason): "the model is no whole ONNX file: \(reason); fetch it again"
        case .hostileFile(let reason): "the model was refused before loading: \(reason)"
        case .unsupportedModel(let reason): "the model cannot be served: \(reason)"
        case .missingInput(let name, let found): "the model has no input \"\(name)\" (found: \(found.joined(separator: ", ")))"
        case .unexpectedInput(let name, let known): "the input \"\(name)\" is unknown (known: \(known.joined(separator: ", ")))"
        case .missingOutput(let name, let found): "the model has no output \"\(name)\" (found: \(found.joined(separator: ", ")))"
        case .wrongTensor(let name, let expected, let found): "\"\(name)\" of the model must be \(expected), found \(found)"
        case .wrongValueCount(let input, let expected, let found): "the input \"\(input)\" needs \(expected) values, found \(found)"
        case .tooManyRows(let found, let limit): "\(found) rows in one request; at most \(limit) are answered"
        case .tooLarge(let bytes, let limit): "inputs of \(bytes) bytes in one request; at most \(limit) are taken"
        case .busy(let seconds):
            "other models of this node computed for \(seconds) seconds; ask again later, or give the node more --inference-threads"
        }
    }
}

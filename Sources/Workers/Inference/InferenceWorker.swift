import Inference
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What an agent tells an inference worker, in Sedna's environment variables.
package struct InferenceAssignment: Equatable, Sendable {
    /// `WORKER_NAME`.
    package var workerName: String
    /// `MODEL_URL`: path of an ONNX file.
    package var modelPath: String
    /// `MODEL_DIGEST`: the only file that is loaded, `sha256:` and 64 digits; nil for whatever lies there.
    package var modelDigest: String?

    /// What an agent decides; nothing is checked before the worker starts.
    package init(workerName: String, modelPath: String) {
        self.workerName = workerName
        self.modelPath = modelPath
    }

    /// - Throws: `.missingVariable`.
    package init(environment: [String: String]) throws(WorkersError) {
        guard let path = environment["MODEL_URL"], !path.isEmpty else {
            throw .missingVariable(name: "MODEL_URL", meaning: "path of the model to serve")
        }
        self.init(workerName: environment["WORKER_NAME"] ?? "infer", modelPath: path)
        modelDigest = environment["MODEL_DIGEST"]
    }

    /// What `init(environment:)` reads, for the child process.
    package var environment: [String: String] { ["WORKER_NAME": workerName, "MODEL_URL": modelPath] }
}

/// The inside of an inference worker's process.
package enum InferenceWorker {
    /// Serves until the agent closes its end. Blocks.
    ///
    /// - Parameters:
    ///   - libraries: where ONNX Runtime may lie, best first.
    ///   - input, output: file descriptors of the conversation.
    /// - Returns: nil after an orderly end; else why it could not serve. The agent has been told.
    package static func run(
        _ assignment: InferenceAssignment, libraries: [String], input: Int32, output: Int32, nanoseconds: @escaping () -> UInt64
    ) -> String? {
        let (reading, writing) = (Descriptor(number: input), Descriptor(number: output))
        do {
            let bytes = try read(assignment.modelPath, limit: ModelLimits.edge.bytes)
            if let digest = assignment.modelDigest, ArtifactDigest(of: bytes).description != digest {
                throw WorkerInputError("\(assignment.modelPath) is not the file of \(digest) that its Pod began with; restart the Pod")
            }
            let file = try ModelFile(bytes)
            // Looked at before ONNX Runtime's library is taken into memory.
            _ = try TabularPredictor.names(file.signature)
            let predictor = try TabularPredictor(try ONNXRuntime(candidates: libraries), file)
            let service = InferenceService(predictor, nanoseconds: nanoseconds)
            try writing.write(service.hello.encoded)
            while true { try writing.write(try service.answer(try reading.readFrame())) }
        } catch Descriptor.Failure.ended {
            return nil
        } catch {
            let reason = if case Descriptor.Failure.malformed(let what) = error { what } else { "\(error)" }
            try? writing.write(InferenceFrame.refusal(id: 0, reason).encoded)
            return reason
        }
    }

    /// - Throws: `.unreadableFile`; `InferenceError.fileTooLarge` before anything is read.
    package static func read(_ path: String, limit: Int) throws -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw WorkersError.unreadableFile(path: path, reason: String(cString: strerror(errno))) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw WorkersError.unreadableFile(path: path, reason: "it is no regular file")
        }
        guard status.st_size <= limit else { throw InferenceError.fileTooLarge(bytes: Int(status.st_size), limit: limit) }
        var failure: Int32?
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { memory, filled in
            while filled < memory.count {
                #if canImport(Glibc)
                    let count = Glibc.read(file, memory.baseAddress! + filled, memory.count - filled)
                #else
                    let count = Darwin.read(file, memory.baseAddress! + filled, memory.count - filled)
                #endif
                if count > 0 { filled += count } else if count == 0 { break } else if errno != EINTR { failure = errno; break }
            }
        }
        if let failure { throw WorkersError.unreadableFile(path: path, reason: String(cString: strerror(failure))) }
        return bytes
    }
}

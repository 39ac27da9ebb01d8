import ArgumentParser
import Inference
import Workers

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "What an agent starts; not for people.", shouldDisplay: false,
        subcommands: [WorkerCollectCommand.self, WorkerTrainCommand.self, WorkerEvaluateCommand.self, InferCommand.self])
}

struct InferCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "infer",
        abstract:
            "Serve the model at $MODEL_URL: over HTTP with $LC_SERVER, $INFERENCE_PORT, $INFER_DATASET_URL or $STREAMS, else on standard input."
    )

    func run() async throws {
        // Versions are loaded by one thread today and another tomorrow: each would keep what its largest one took.
        HeapKeeper.shareAmongThreads()
        let variables = environment()
        guard ["LC_SERVER", "INFERENCE_PORT", "INFER_DATASET_URL", "STREAMS"].allSatisfy({ variables[$0] ?? "" == "" }) else {
            return try await serveModel()
        }
        let assignment = try InferenceAssignment(environment: variables)
        let failure = InferenceWorker.run(
            assignment, libraries: onnxRuntimeCandidates(), input: STDIN_FILENO, output: STDOUT_FILENO, nanoseconds: monotonicNanoseconds)
        // The agent was told; it says so where people look.
        if failure != nil { throw ExitCode.failure }
    }
}

/// Where ONNX Runtime's library may lie, best first: the one chosen, then `.deps` here, beside the program and above its build folder.
func onnxRuntimeCandidates() -> [String] {
    ONNXRuntime.candidates(chosen: getenv("SKERRY_ONNXRUNTIME_LIB").map { String(cString: $0) }, roots: dependencyRoots())
}

/// Where libmosquitto may lie, best first.
func mosquittoCandidates() -> [String] {
    ServeWorker.mosquittoCandidates(chosen: getenv("SKERRY_MOSQUITTO_LIB").map { String(cString: $0) }, roots: dependencyRoots())
}

/// Folders that may hold a `.deps`: the current one, the program's and those above its build folder.
func dependencyRoots() -> [String] {
    let folder = programPath().split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    return [".", folder, folder + "/..", folder + "/../..", folder + "/../../.."]
}

/// The file of the running program, for starting workers.
func programPath() -> String {
    #if canImport(Glibc)
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { readlink("/proc/self/exe", $0.baseAddress!, $0.count) }
        if count > 0 { return String(decoding: buffer.prefix(count), as: UTF8.self) }
    #endif
    return CommandLine.arguments[0]
}

/// The variables of this process.
func environment() -> [String: String] {
    var result: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
        let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 { result[String(parts[0])] = String(parts[1]) }
        entry += 1
    }
    return result
}

/// Nanoseconds of a clock that never goes back; only differences mean anything.
func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

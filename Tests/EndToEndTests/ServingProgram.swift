import Dispatch
import TestKit

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A child process that is waited for without blocking a thread of the test; its output goes to files.
final class ServingProgram: @unchecked Sendable {
    struct Result: Sendable {
        let status: Int32
        let output: String
        let error: String
    }

    let pid: pid_t
    private let outputPath: String
    private let errorPath: String

    /// The folder that the test program and `skerry` were built into.
    static let builtFolder = String(Program.path.dropLast("/skerry".count))

    /// Where a program of a name is found on PATH; nil if it is not.
    static func find(_ name: String) -> String? {
        let folders = getenv("PATH").map { String(cString: $0) } ?? ""
        return folders.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// Starts a program; its output is kept in files in `folder`.
    init(_ path: String, _ arguments: [String], environment: [String: String] = [:], folder: String) {
        let name = "\(folder)/out-\(UInt64.random(in: 0 ... .max))"
        outputPath = name + ".stdout"
        errorPath = name + ".stderr"
        var all = environment
        for key in ["PATH", "LANG"] where all[key] == nil { all[key] = getenv(key).map { String(cString: $0) } }
        do {
            pid = try Program.start([path] + arguments, environment: all, output: outputPath, errors: errorPath)
        } catch { preconditionFailure("cannot start \(path): \(String(cString: strerror(error.code)))") }
    }

    private static func text(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer.prefix(count) }
        return String(decoding: bytes, as: UTF8.self)
    }

    var output: String { Self.text(outputPath) }
    var error: String { Self.text(errorPath) }

    func signal(_ number: Int32) { kill(pid, number) }

    /// Waits for the end; a signal's number is the status below zero.
    func wait() async -> Result {
        let pid = pid
        let status: Int32 = await withCheckedContinuation { continuation in
            DispatchQueue(label: "waits for a program").async {
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0, errno == EINTR {}
                continuation.resume(returning: status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f))
            }
        }
        return Result(status: status, output: output, error: error)
    }
}

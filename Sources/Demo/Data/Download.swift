#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Bounds of a transfer.
package struct TransferLimits: Sendable {
    /// Seconds until a connection must stand.
    package var connectSeconds = 15
    /// Seconds without a byte after which an attempt is given up.
    package var stallSeconds = 30
    /// Seconds of one attempt.
    package var totalSeconds = 1800
    /// Attempts of one file; each goes on where the last one stopped.
    package var attempts = 4

    /// Fits a slow line: a file of 3 MB gets half an hour for each attempt.
    package init() {}
}

/// Fetches one file by the program `curl`, which brings the system's trust in certificates and its proxies. What has arrived of an
/// interrupted transfer stays in a `.part` file and is not fetched again.
struct Download {
    enum Outcome: Equatable {
        /// All of it is in `part`, not verified.
        case complete
        /// It cannot be had now, for the reason given; what has arrived is kept.
        case unavailable(String)
    }

    var curl: String
    var address: String
    /// Where the bytes gather.
    var part: String
    /// Size of the file by its card.
    var bytes: Int
    /// Whether a file of another size may be taken.
    var acceptsOtherSize: Bool
    var limits: TransferLimits

    private var bytesMax: Int { acceptsOtherSize ? 16 * bytes : bytes }

    /// Blocks until the file is there or given up.
    ///
    /// - Parameter progress: bytes there so far; called several times a second.
    /// - Throws: `DataError.tooLarge`; `CancellationError` when the task is cancelled, which keeps what has arrived.
    func run(progress: (Int) -> Void) throws -> Outcome {
        var reason = ""
        for _ in 0..<limits.attempts {
            if !acceptsOtherSize && size == bytes { return .complete }
            if size > bytesMax { unlink(part) }
            let ending: ChildProcess.Ending
            do {
                ending = try attempt(progress)
            } catch ChildProcess.StartError.failed(let code) {
                let missing = code == ENOENT
                return .unavailable(missing ? "the program \(curl) is not installed" : "\(curl): \(String(cString: strerror(code)))")
            }
            progress(size)
            reason = "\(address): \(ending.message)"
            switch Verdict(code: ending.code) {
            case .complete: return .complete
            case .startAgain: unlink(part)
            case .resume: continue
            case .giveUp: return .unavailable(reason)
            }
        }
        return .unavailable(reason)
    }

    private func attempt(_ progress: (Int) -> Void) throws -> ChildProcess.Ending {
        var child = try ChildProcess(arguments)
        while child.isRunning(afterMilliseconds: 200) {
            progress(size)
            if size > bytesMax || Task.isCancelled { child.terminate() }
        }
        let ending = child.wait()
        try Task.checkCancellation()
        // curl's own bound (63) covers only sizes announced in advance.
        if ending.code == 63 || size > bytesMax {
            unlink(part)
            throw DataError.tooLarge(address: address, bytesMax: bytesMax)
        }
        return ending
    }

    private var arguments: [String] {
        let scheme = address.prefix { $0 != ":" }
        return [
            curl, "-q", "--fail", "--location", "--silent", "--show-error", "--proto", "=\(scheme)", "--proto-redir", "=https",
            "--connect-timeout", "\(limits.connectSeconds)", "--speed-limit", "1", "--speed-time", "\(limits.stallSeconds)",
            "--max-time", "\(limits.totalSeconds)", "--max-filesize", "\(bytesMax)", "--continue-at", "-", "--output", part, address,
        ]
    }

    private var size: Int {
        var facts = stat()
        return stat(part, &facts) == 0 ? Int(facts.st_size) : 0
    }

    /// What to do after curl's exit code (its manual, "Exit codes").
    private enum Verdict {
        case complete, resume, startAgain, giveUp

        init(code: Int32) {
            switch code {
            case 0: self = .complete
            // Less than announced, timed out, nothing, sending failed, receiving failed, HTTP/2 broke, HTTP/3 broke.
            case 18, 28, 52, 55, 56, 92, 95: self = .resume
            // The server cannot resume; 36: nor from there.
            case 33, 36: self = .startAgain
            default: self = .giveUp
            }
        }
    }
}

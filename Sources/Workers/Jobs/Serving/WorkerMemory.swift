import Serving

/// What requests may take of a worker's memory: shares of what its container may use (`MEMORY_LIMIT_BYTES`), so that a request that is too large is
/// refused before the kernel ends the process for it.
struct WorkerMemory: Sendable, Equatable {
    /// Bytes the process may use; nil: as many as there are.
    let limitBytes: Int?
    /// What a run is left at least, so that small requests are always answered.
    private static let runBytesMin = 64 << 10

    /// - Throws: `WorkerInputError` for a limit that is none.
    init(_ settings: WorkerSettings) throws {
        limitBytes = try settings.integer("MEMORY_LIMIT_BYTES", default: nil, in: 1...Int.max)
    }

    /// A body is held beside what is read from it; JSON of texts takes several times its own size.
    var loopLimits: LoopLimits {
        var limits = LoopLimits()
        guard let limitBytes else { return limits }
        limits.bodyBytesMax = min(limits.bodyBytesMax, max(limitBytes / 16, Self.runBytesMin))
        limits.collectedBytesMax = min(limits.collectedBytesMax, max(limitBytes / 4, Self.runBytesMin))
        return limits
    }

    /// Bytes of all inputs and outputs of a run, of what the loaded model has left: they are held twice, and once more as text.
    ///
    /// - Parameter residentBytes: of the process, with the model loaded.
    func runBytesMax(residentBytes: Int) -> Int {
        guard let limitBytes else { return 256 << 20 }
        return min(256 << 20, max((limitBytes - residentBytes) / 4, Self.runBytesMin))
    }
}

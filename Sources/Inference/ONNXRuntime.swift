import COnnxRuntime

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// ONNX Runtime's C API (microsoft/onnxruntime, onnxruntime_c_api.h), loaded at run time so that a machine without it fails in words and not
/// at start, and a process without a model does not pay for it.
///
/// Immutable after loading and never unloaded; the library allows sessions to be made from several threads, hence unchecked.
package final class ONNXRuntime: @unchecked Sendable {
    /// The functions. The table only grows from version to version, so that a newer library serves this header.
    let api: OrtApi
    let environment: OpaquePointer
    let memory: OpaquePointer
    /// For example "1.23.2".
    package let version: String
    /// The file it was loaded from.
    package let path: String
    /// Threads that all sessions of the process share, the one that asks included; 1: each session has those of its options.
    package let sharedThreadCount: Int
    /// What every run of a session waits for; nil: nothing.
    package let permits: (any RunPermits)?

    /// Loads the first library that opens.
    ///
    /// - Parameters:
    ///   - candidates: paths or sonames, best first.
    ///   - sharedThreadCount: 1 or more. ONNX Runtime has one environment a process: the first that is made decides.
    ///   - permits: what every run waits for; nil: nothing.
    /// - Throws: `InferenceError.libraryNotFound` with the loader's word on each, `.notONNXRuntime`, `.unsupportedVersion`.
    package init(candidates: [String], sharedThreadCount: Int = 1, permits: (any RunPermits)? = nil) throws(InferenceError) {
        precondition(sharedThreadCount > 0, "a run needs a thread")
        (self.sharedThreadCount, self.permits) = (sharedThreadCount, permits)
        var tried: [String] = []
        var opened: (path: String, handle: UnsafeMutableRawPointer)?
        for path in candidates where opened == nil {
            if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) {
                opened = (path, handle)
            } else {
                tried.append(dlerror().map { String(cString: $0) } ?? path)
            }
        }
        guard let (path, handle) = opened else { throw .libraryNotFound(tried: tried) }
        typealias GetBase = @convention(c) () -> UnsafePointer<OrtApiBase>?
        guard let symbol = dlsym(handle, "OrtGetApiBase"), let base = unsafeBitCast(symbol, to: GetBase.self)() else {
            throw .notONNXRuntime(path: path)
        }
        version = base.pointee.GetVersionString().map { String(cString: $0) } ?? "of unknown version"
        guard let table = base.pointee.GetApi(UInt32(ORT_API_VERSION)) else {
            throw .unsupportedVersion(path: path, found: version, needed: Int(ORT_API_VERSION))
        }
        api = table.pointee
        self.path = path
        environment = try Self.environment(api, threads: sharedThreadCount)
        try Self.check(api, api.DisableTelemetryEvents(environment), "DisableTelemetryEvents")
        var memory: OpaquePointer?
        try Self.check(api, api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), "CreateCpuMemoryInfo")
        self.memory = memory!
    }

    private static func environment(_ api: OrtApi, threads: Int) throws(InferenceError) -> OpaquePointer {
        var made: OpaquePointer?
        guard threads > 1 else {
            try check(api, api.CreateEnv(ORT_LOGGING_LEVEL_ERROR, "skerry", &made), "CreateEnv")
            return made!
        }
        var options: OpaquePointer?
        try check(api, api.CreateThreadingOptions(&options), "CreateThreadingOptions")
        defer { api.ReleaseThreadingOptions(options) }
        try check(api, api.SetGlobalIntraOpNumThreads(options, Int32(threads)), "SetGlobalIntraOpNumThreads")
        try check(api, api.SetGlobalInterOpNumThreads(options, 1), "SetGlobalInterOpNumThreads")
        // Threads that wait for work leave the processor to others.
        try check(api, api.SetGlobalSpinControl(options, 0), "SetGlobalSpinControl")
        try check(
            api, api.CreateEnvWithGlobalThreadPools(ORT_LOGGING_LEVEL_ERROR, "skerry", options, &made), "CreateEnvWithGlobalThreadPools")
        return made!
    }

    /// Where a library usually lies, best first.
    ///
    /// - Parameters:
    ///   - chosen: the one and only candidate, if given.
    ///   - roots: folders that may hold a `.deps`.
    package static func candidates(chosen: String?, roots: [String] = ["."]) -> [String] {
        if let chosen { return [chosen] }
        return roots.map { $0 + "/.deps/onnxruntime/lib/libonnxruntime.so.1" } + [
            "libonnxruntime.so.1", "libonnxruntime.so", "libonnxruntime.dylib",
        ]
    }

    /// Computes once there is a permit for it.
    func permitted(_ run: () throws(InferenceError) -> Void) throws(InferenceError) {
        guard let permits else { return try run() }
        guard let permit = permits.begin() else { throw .busy(seconds: permits.secondsMax) }
        defer { permits.end(permit) }
        try run()
    }

    /// Throws ONNX Runtime's own message unless a call returned no status.
    func check(_ status: OpaquePointer?, _ call: String) throws(InferenceError) { try Self.check(api, status, call) }

    private static func check(_ api: OrtApi, _ status: OpaquePointer?, _ call: String) throws(InferenceError) {
        guard let status else { return }
        let message = api.GetErrorMessage(status).map { String(cString: $0) } ?? "unknown error"
        api.ReleaseStatus(status)
        throw .refused(call: call, message: String(message.prefix(500)))
    }
}

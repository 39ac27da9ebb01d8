#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why rows cannot be brought or answers not be taken away, now or ever.
struct StreamFault: Error, Equatable, CustomStringConvertible {
    /// One sentence: file or broker, what was found, the remedy.
    var description: String

    init(_ description: String) { self.description = description }
}

/// libmosquitto's C API (eclipse/mosquitto, mosquitto.h), loaded at run time: workers without MQTT never miss it.
///
/// Immutable after loading and never unloaded; one handle is used by one thread at a time, hence unchecked.
final class MosquittoLibrary: @unchecked Sendable {
    typealias Handle = OpaquePointer
    typealias Text = UnsafePointer<CChar>
    typealias OnResult = @convention(c) (Handle?, UnsafeMutableRawPointer?, Int32) -> Void
    typealias OnMessage = @convention(c) (Handle?, UnsafeMutableRawPointer?, UnsafeRawPointer?) -> Void
    typealias OnGrant = @convention(c) (Handle?, UnsafeMutableRawPointer?, Int32, Int32, UnsafePointer<Int32>?) -> Void

    let make: @convention(c) (Text?, Bool, UnsafeMutableRawPointer?) -> Handle?
    let destroy: @convention(c) (Handle) -> Void
    let setThreaded: @convention(c) (Handle, Bool) -> Int32
    let setLogin: @convention(c) (Handle, Text?, Text?) -> Int32
    let setTLS: @convention(c) (Handle, Text?, Text?, Text?, Text?, UnsafeRawPointer?) -> Int32
    let connect: @convention(c) (Handle, Text, Int32, Int32) -> Int32
    let subscribe: @convention(c) (Handle, UnsafeMutablePointer<Int32>?, Text, Int32) -> Int32
    let publish: @convention(c) (Handle, UnsafeMutablePointer<Int32>?, Text, Int32, UnsafeRawPointer?, Int32, Bool) -> Int32
    let socket: @convention(c) (Handle) -> Int32
    let read: @convention(c) (Handle, Int32) -> Int32
    let write: @convention(c) (Handle, Int32) -> Int32
    let upkeep: @convention(c) (Handle) -> Int32
    let wantsWrite: @convention(c) (Handle) -> Bool
    let onConnect: @convention(c) (Handle, OnResult?) -> Void
    let onMessage: @convention(c) (Handle, OnMessage?) -> Void
    let onPublish: @convention(c) (Handle, OnResult?) -> Void
    let onGrant: @convention(c) (Handle, OnGrant?) -> Void
    private let words: @convention(c) (Int32) -> Text?
    private let refusals: @convention(c) (Int32) -> Text?

    /// Where the library may lie, best first.
    ///
    /// - Parameters:
    ///   - chosen: the one and only candidate, if given.
    ///   - roots: folders that may hold a `.deps`.
    static func candidates(chosen: String?, roots: [String]) -> [String] {
        if let chosen { return [chosen] }
        return roots.map { $0 + "/.deps/mosquitto/lib/libmosquitto.so.1" } + ["libmosquitto.so.1"]
    }

    /// Loads the first library that opens.
    ///
    /// - Throws: naming what was tried, the version found, or the function that is missing.
    init(candidates: [String]) throws(StreamFault) {
        var tried: [String] = []
        var opened: (path: String, handle: UnsafeMutableRawPointer)?
        for path in candidates where opened == nil {
            if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) {
                opened = (path, handle)
            } else {
                tried.append(dlerror().map { String(cString: $0) } ?? path)
            }
        }
        guard let (path, handle) = opened else {
            throw StreamFault(
                "MQTT needs libmosquitto, which was not found (\(tried.joined(separator: "; "))); install Debian's libmosquitto1, run"
                    + " scripts/bootstrap, or set SKERRY_MOSQUITTO_LIB")
        }
        func symbol<Function>(_ name: String, as: Function.Type = Function.self) throws(StreamFault) -> Function {
            guard let found = dlsym(handle, name) else {
                throw StreamFault("\(path) has no function \(name); it is no libmosquitto of version 1.6 or newer")
            }
            return unsafeBitCast(found, to: Function.self)
        }
        typealias Version = @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Int32
        var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
        _ = try symbol("mosquitto_lib_version", as: Version.self)(&major, &minor, &patch)
        guard (major, minor) >= (1, 6), major < 3 else {
            throw StreamFault("\(path) is libmosquitto \(major).\(minor).\(patch); versions 1.6 to 2.x are supported")
        }
        make = try symbol("mosquitto_new")
        destroy = try symbol("mosquitto_destroy")
        setThreaded = try symbol("mosquitto_threaded_set")
        setLogin = try symbol("mosquitto_username_pw_set")
        setTLS = try symbol("mosquitto_tls_set")
        connect = try symbol("mosquitto_connect")
        subscribe = try symbol("mosquitto_subscribe")
        publish = try symbol("mosquitto_publish")
        socket = try symbol("mosquitto_socket")
        read = try symbol("mosquitto_loop_read")
        write = try symbol("mosquitto_loop_write")
        upkeep = try symbol("mosquitto_loop_misc")
        wantsWrite = try symbol("mosquitto_want_write")
        onConnect = try symbol("mosquitto_connect_callback_set")
        onMessage = try symbol("mosquitto_message_callback_set")
        onPublish = try symbol("mosquitto_publish_callback_set")
        onGrant = try symbol("mosquitto_subscribe_callback_set")
        words = try symbol("mosquitto_strerror")
        refusals = try symbol("mosquitto_connack_string")
        let begin = try symbol("mosquitto_lib_init", as: (@convention(c) () -> Int32).self)
        guard begin() == 0 else { throw StreamFault("\(path) cannot be initialised") }
        // It writes to its socket without MSG_NOSIGNAL: a broker that hangs up would end the process.
        signal(SIGPIPE, SIG_IGN)
    }

    /// What a function's result means.
    func words(_ code: Int32) -> String {
        // 14, MOSQ_ERR_ERRNO: the system's own word says more.
        if code == 14 { return String(cString: strerror(errno)) }
        return words(code).map { String(cString: $0) } ?? "error \(code)"
    }

    /// Why a broker refuses a connection.
    func refusal(_ code: Int32) -> String { refusals(code).map { String(cString: $0) } ?? "code \(code)" }
}

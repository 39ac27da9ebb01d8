#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The relay between an edge and its cloud as a process of its own, so that it stays when the demo ends: SIGUSR1 cuts the way, SIGUSR2 mends
/// it, SIGTERM ends the process.
package enum RelayProgram {
    /// What it says once connections are taken; the port follows.
    static let serving = "relay on 127.0.0.1:"
    static let cut = "the way is cut"
    static let mended = "the way is mended"

    /// Runs until SIGTERM, SIGINT or SIGHUP; call it before any other thread is made.
    ///
    /// - Parameters:
    ///   - target: port of 127.0.0.1 that connections are handed on to.
    ///   - say: writes a line for people.
    /// - Throws: `ClusterError` where no port can be had.
    package static func run(to target: UInt16, say: (String) -> Void) throws {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in [SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        let relay = try TCPRelay(to: target)
        say("\(serving)\(relay.port)")
        while true {
            var signal: Int32 = 0
            while sigwait(&set, &signal) != 0 {}
            switch signal {
            case SIGUSR1:
                relay.cut()
                say(cut)
            case SIGUSR2:
                relay.mend()
                say(mended)
            default: return relay.close()
            }
        }
    }
}

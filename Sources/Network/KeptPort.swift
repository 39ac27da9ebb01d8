/// Ports for servers that will come back at the same one. One that the system chose (port 0) is of the range that it gives connections from, so
/// any connection of this machine may have it by then; these are of another range.
package enum KeptPort {
    /// Ports in a random order, to be tried one after the other; another server may have some.
    ///
    /// - Parameter ephemeral: the range that connections are given ports from, as the system writes it (`32768 60999`, in
    ///   `/proc/sys/net/ipv4/ip_local_port_range`); nil takes it for Linux' own. Where it leaves no thousand others, they are of it after all.
    package static func choices(ephemeral: String? = nil) -> [Int] {
        let range = range(ephemeral: ephemeral ?? "")
        return (0..<64).map { _ in .random(in: range) }
    }

    /// Where the choices are from: at least a thousand ports.
    package static func range(ephemeral: String) -> ClosedRange<Int> {
        let found = ephemeral.split { !$0.isNumber }.compactMap { Int($0) }
        let isRange = found.count == 2 && 1...found[1] ~= found[0] && found[1] <= 65535
        let taken = isRange ? found[0]...found[1] : 32768...60999
        for free in [10_000..<max(taken.lowerBound, 10_000), taken.upperBound + 1..<65536] where free.count >= 1000 {
            return free.lowerBound...free.upperBound - 1
        }
        return 10_000...32767
    }
}

extension HTTPServer {
    /// Listens at the first of some ports that is free, and serves until `stop`.
    ///
    /// - Parameters:
    ///   - ports: at least one.
    ///   - patience: how long the last port may be another's. One that this process has just given up may for moments still be held by a program
    ///     that it is starting.
    /// - Throws: `NetworkError` of the last port, when none of them can be used.
    package static func start(
        host: String, anyOf ports: [Int], tls: TLSIdentity?, limits: HTTPLimits = HTTPLimits(), patience: Duration = .zero,
        responder: any HTTPResponder
    ) async throws -> HTTPServer {
        for port in ports.dropLast() {
            if let server = try? await start(host: host, port: port, tls: tls, limits: limits, responder: responder) { return server }
        }
        let end = ContinuousClock.now + patience
        while true {
            do {
                return try await start(host: host, port: ports.last!, tls: tls, limits: limits, responder: responder)
            } catch {
                guard ContinuousClock.now < end else { throw error }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }
}

import Network
import Storage

/// A port of the loopback at which a node's workers report, where any will do: kept in the node's folder, because a worker that outlives its agent
/// reports to the next one where the first has listened.
struct WorkerPort {
    private let file: String
    private let known: Int?

    /// How long the known port may be another's: for moments it is still held by a program that the agent before was starting.
    private static let patience = Duration.seconds(1)

    /// - Parameter folder: the node's.
    init(folder: String) {
        file = "\(folder)/workers.port"
        let text = try? SmallFile.read(file, bytesMax: 16)
        known = text.flatMap { Int(String(decoding: $0, as: UTF8.self)) }.flatMap { 1...65535 ~= $0 ? $0 : nil }
    }

    /// Listens at the port of the run before if it is free, else at another, which is kept.
    ///
    /// - Throws: `NetworkError` if no port is free.
    func listen(host: String, limits: HTTPLimits, responder: any HTTPResponder) async throws -> HTTPServer {
        if let known,
            let server = try? await HTTPServer.start(
                host: host, anyOf: [known], tls: nil, limits: limits, patience: Self.patience, responder: responder)
        {
            return server
        }
        let ephemeral = (try? SmallFile.read("/proc/sys/net/ipv4/ip_local_port_range", bytesMax: 64)).map {
            String(decoding: $0, as: UTF8.self)
        }
        let ports = KeptPort.choices(ephemeral: ephemeral) + [0]
        let server = try await HTTPServer.start(host: host, anyOf: ports, tls: nil, limits: limits, responder: responder)
        keep(server.port)
        return server
    }

    private func keep(_ port: Int) {
        do {
            let kept = try WholeFile(path: file, isPrivate: true)
            try kept.write(Array("\(port)".utf8))
            try kept.commit()
        } catch { writeError("\(file): \(error); workers that outlive this run cannot report to the next") }
    }
}

package import Resources

/// Which worker of this node serves which model, as the workers say. Pure.
package struct ServingAddresses: Sendable, Equatable {
    /// Workers that are remembered; the one that has been silent longest goes first.
    package static let workersMax = 1024

    private struct Entry: Sendable, Equatable {
        var worker: String
        var model: String
        var port: Int
        var number: Int
        var isReady: Bool
    }

    private var entries: [Entry] = []
    private var said = 0

    /// Nobody has said anything yet.
    package init() {}

    /// Takes a report that the agent has taken. What is no address of a port of the loopback is not remembered.
    ///
    /// - Parameter worker: the name under which it reports.
    package mutating func take(_ report: JSON, of worker: String) {
        said += 1
        let info = report["ownerInfo"]
        let isOver = ["completed", "failed"].contains(report["status"]?.string?.lowercased() ?? "")
        entries.removeAll { $0.worker == worker }
        guard !isOver, let model = info?["modelName"]?.string, (1...253).contains(model.utf8.count), let address = info?["address"]?.string,
            let port = Self.port(address)
        else { return }
        if entries.count >= Self.workersMax { entries.removeFirst() }
        let isReady = info?["modelVersion"]?.string.map { !$0.isEmpty } ?? false
        entries.append(Entry(worker: worker, model: model, port: port, number: said, isReady: isReady))
    }

    private static func port(_ address: String) -> Int? {
        let loopback = "127.0.0.1:"
        guard address.hasPrefix(loopback), let port = Int(address.dropFirst(loopback.count)), (1...65535).contains(port) else { return nil }
        return port
    }

    /// The port of the worker that serves a model; of several the one that is ready and was heard of last.
    package func port(of model: String) -> Int? {
        entries.filter { $0.model == model }.max { ($0.isReady ? 1 : 0, $0.number) < ($1.isReady ? 1 : 0, $1.number) }?.port
    }

    /// A worker that is not there any more.
    package mutating func forget(port: Int) { entries.removeAll { $0.port == port } }

    /// Names of the models that are served, in order, and whether each is ready.
    package var models: [(name: String, isReady: Bool)] {
        Dictionary(entries.map { ($0.model, $0.isReady) }, uniquingKeysWith: { $0 || $1 }).sorted { $0.key < $1.key }
            .map { (name: $0.key, isReady: $0.value) }
    }
}

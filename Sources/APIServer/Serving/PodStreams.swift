import Network
import Resources
import Synchronization

/// What of a Pod is not its object but a stream of bytes from its node: `log`, `exec`, `attach`, `portforward`.
extension ResourceCall {
    /// Subresources that reach into a Pod; whoever asks needs the verb `create` on them, also when asking by GET.
    static let reaching = ["exec", "attach", "portforward"]

    /// - Throws: 404 for a Pod that is not there, 400 for one without a node, and what the node answers.
    func answerPodStream() async throws(APIStatus) -> HTTPResponse {
        guard let calls = server.calls else {
            throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "no nodes can be reached from this server")
        }
        let pod = try service.get(definition, namespace: namespace, name: path.name)
        guard let node = pod["spec"]?["nodeName"]?.string, !node.isEmpty else {
            throw .badRequest("pod \(path.name) does not have a host assigned")
        }
        if path.subresource == "portforward", wantsSPDY || wantedProtocols.contains(PortForwardTunnel.protocolName) {
            return try tunnel(to: node, calls)
        }
        let call = try podCall(pod)
        if case .logs = call { return try await answerLog(call, node, calls) }
        return try await upgraded(call, node, calls)
    }

    private func podCall(_ pod: JSON) throws(APIStatus) -> NodeCall {
        let podTarget = PodTarget(namespace: namespace, pod: path.name, container: target["container"] ?? "")
        switch path.subresource {
        case "log":
            var query = LogQuery()
            (query.follows, query.previous, query.timestamps) = (target.flag("follow"), target.flag("previous"), target.flag("timestamps"))
            query.tailLines = try number("tailLines", from: 0).map { Int($0) }
            query.sinceSeconds = try number("sinceSeconds", from: 1)
            query.limitBytes = try number("limitBytes", from: 1).map { Int($0) }
            query.sinceTime = target["sinceTime"]
            return .logs(podTarget, query)
        case "exec":
            let command = target.all("command")
            guard !command.isEmpty else { throw .badRequest("you must specify at least one command for the container") }
            var query = ExecQuery(command: command)
            (query.stdin, query.stdout) = (target.flag("stdin"), target.flag("stdout"))
            (query.stderr, query.tty) = (target.flag("stderr"), target.flag("tty"))
            return .exec(podTarget, query)
        case "attach":
            var query = AttachQuery()
            (query.stdin, query.stdout) = (target.flag("stdin"), target.flag("stdout"))
            (query.stderr, query.tty) = (target.flag("stderr"), target.flag("tty"))
            return .attach(podTarget, query)
        default:
            let ports = target.all("ports").flatMap { $0.split(separator: ",") }.compactMap { Int($0) }
            guard ports.count == 1, (1...65535).contains(ports[0]) else {
                throw .badRequest("ports: exactly one from 1 to 65535 is forwarded by a WebSocket, found \(target.all("ports"))")
            }
            return .portForward(podTarget, port: ports[0])
        }
    }

    private func number(_ name: String, from least: Int64) throws(APIStatus) -> Int64? {
        guard let text = target[name], !text.isEmpty else { return nil }
        guard let value = Int64(text), value >= least else {
            throw .invalid(definition, name: path.name, [.invalid(name, .string(text), "must be greater than or equal to \(least)")])
        }
        return value
    }

    /// Waits for the node's word that it takes the call, so that a refusal is an answer with its code.
    private func opened(_ call: NodeCall, _ node: String, _ calls: any NodeCalls) async throws(APIStatus) -> any CallStream {
        let stream = try await calls.open(call, on: node)
        _ = try await stream.receive()
        return stream
    }

    private func answerLog(_ call: NodeCall, _ node: String, _ calls: any NodeCalls) async throws(APIStatus) -> HTTPResponse {
        guard request.method == "GET" else { throw .methodNotAllowed }
        let stream = try await opened(call, node, calls)
        return HTTPResponse(
            status: 200, headers: ["Content-Type": "text/plain", "Cache-Control": "no-cache, private"], body: .stream(LogBody(stream)))
    }

    /// What the client says that it would speak over a WebSocket.
    private var wantedProtocols: [String] {
        request.headers[all: "sec-websocket-protocol"].flatMap { header in
            header.split(separator: ",").map { word in String(word.filter { $0 != " " }) }
        }
    }

    /// kubectl below 1.30, and newer ones behind a proxy that refuses WebSockets, ask for SPDY itself.
    private var wantsSPDY: Bool { request.headers[all: "upgrade"].contains { $0.lowercased() == "spdy/3.1" } }

    /// The answer that turns the connection into SPDY, of the newest of Kubernetes' protocols that both sides know.
    private func spdy(_ version: String, _ peer: any WebSocketPeer) -> HTTPResponse {
        var response = HTTPResponse(status: 101, headers: ["X-Stream-Protocol-Version": version])
        (response.upgrade, response.upgradeProtocol) = (peer, "SPDY/3.1")
        return response
    }

    private func checkSPDY(_ version: String) throws(APIStatus) {
        let offered = request.headers[all: "x-stream-protocol-version"].flatMap { $0.split(separator: ",").map { $0.filter { $0 != " " } } }
        guard offered.contains(version) else {
            throw .badRequest("unable to upgrade: X-Stream-Protocol-Version: \(version) is needed over SPDY/3.1, found \(offered)")
        }
    }

    /// The connection carries any number of connections to the Pod's ports, by SPDY within a WebSocket or by itself.
    private func tunnel(to node: String, _ calls: any NodeCalls) throws(APIStatus) -> HTTPResponse {
        let target = PodTarget(namespace: namespace, pod: path.name)
        let tunnel = PortForwardTunnel { port throws(APIStatus) in try await calls.open(.portForward(target, port: port), on: node) }
        if wantsSPDY {
            try checkSPDY(PortForwardTunnel.bareProtocolName)
            return spdy(PortForwardTunnel.bareProtocolName, tunnel)
        }
        var response = HTTPResponse(status: 101, headers: ["Sec-WebSocket-Protocol": PortForwardTunnel.protocolName])
        response.upgrade = tunnel
        return response
    }

    /// The connection becomes a WebSocket that carries the call's channels.
    private func upgraded(_ call: NodeCall, _ node: String, _ calls: any NodeCalls) async throws(APIStatus) -> HTTPResponse {
        if wantsSPDY, let channels = SPDYChannels.channels(of: call) {
            try checkSPDY(SPDYChannels.protocolName)
            return spdy(SPDYChannels.protocolName, SPDYChannels(try await opened(call, node, calls), channels))
        }
        let wanted = wantedProtocols
        guard let chosen = ["v5.channel.k8s.io", "v4.channel.k8s.io"].first(where: { wanted.contains($0) }) else {
            throw .badRequest(
                "unable to upgrade: a WebSocket with subprotocol v5.channel.k8s.io or v4.channel.k8s.io is needed, or SPDY/3.1, found \(wanted)"
            )
        }
        let stream = try await opened(call, node, calls)
        var response = HTTPResponse(status: 101, headers: ["Sec-WebSocket-Protocol": chosen])
        response.upgrade = ChannelPeer(stream, isPort: path.subresource == "portforward")
        return response
    }
}

/// The body of a log's answer: pulled from the node as the client reads.
private final class LogBody: HTTPBodyStream {
    private struct State {
        var ready: [UInt8]?
        var isOver = false
        var wake: (@Sendable () -> Void)?
        var reader: CheckedContinuation<Void, Never>?
        var task: Task<Void, Never>?
    }

    private let stream: any CallStream
    private let state = Mutex(State())

    init(_ stream: any CallStream) { self.stream = stream }

    func start(wake: @escaping @Sendable () -> Void) {
        state.withLock { state in
            state.wake = wake
            state.task = Task { await self.pull() }
        }
    }

    private func pull() async {
        do throws(APIStatus) {
            while let frame = try await stream.receive() {
                guard case .data(.stdout, let bytes) = frame, !bytes.isEmpty else { continue }
                let wake = state.withLock { state in
                    state.ready = bytes
                    return state.wake
                }
                wake?()
                await waitUntilTaken()
                if Task.isCancelled { break }
            }
        } catch {
            // The head is sent: the words of the failure are the end of the text, as the kubelet does it.
            state.withLock { $0.ready = Array("\(error.message)\n".utf8) }
        }
        let wake = state.withLock { state in
            state.isOver = true
            return state.wake
        }
        wake?()
    }

    private func waitUntilTaken() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state -> Bool in
                    if state.ready == nil || Task.isCancelled { return true }
                    state.reader = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            resumeReader()
        }
    }

    private func resumeReader() {
        let reader = state.withLock { state in
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume()
    }

    func next() -> HTTPBodyStep {
        let step = state.withLock { state -> HTTPBodyStep in
            if let bytes = state.ready {
                state.ready = nil
                return .chunk(bytes)
            }
            return state.isOver ? .end : .wait
        }
        if case .chunk = step { resumeReader() }
        return step
    }

    func stop() {
        state.withLock { $0.task }?.cancel()
        stream.close(nil)
    }
}

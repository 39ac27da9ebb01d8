import Network
import Resources
import Synchronization

/// `exec` and `attach` over SPDY/3.1, as kubectl below 1.30 asks for them: each channel is a stream whose header `streamtype` names it; the call is
/// carried once all of them are there. How the command ended is a `Status` on the stream `error`.
final class SPDYChannels: WebSocketPeer {
    /// The version of Kubernetes' protocol on these streams.
    static let protocolName = "v4.channel.k8s.io"
    /// How long the client may take to open its streams; then the connection is closed.
    private static let openingTimeout: Duration = .seconds(30)
    private static let names: [String: CallChannel] = [
        "error": .status, "stdin": .stdin, "stdout": .stdout, "stderr": .stderr, "resize": .resize,
    ]

    private struct State {
        let session = SPDYSession()
        var socket: WebSocket?
        var streams: [CallChannel: UInt32] = [:]
        var inbox: CallInbox?
        var tasks: [Task<Void, Never>] = []
        var isOver = false
    }

    private let stream: any CallStream
    private let expected: Set<CallChannel>
    private let state = Mutex(State())

    /// - Parameter expected: the channels whose streams the client opens.
    init(_ stream: any CallStream, _ expected: Set<CallChannel>) {
        self.stream = stream
        self.expected = expected
    }

    /// The channels of a call, as its client opens them; nil for calls that are not carried this way.
    static func channels(of call: NodeCall) -> Set<CallChannel>? {
        let flags: (stdin: Bool, stdout: Bool, stderr: Bool, tty: Bool)
        switch call {
        case .exec(_, let query): flags = (query.stdin, query.stdout, query.stderr, query.tty)
        case .attach(_, let query): flags = (query.stdin, query.stdout, query.stderr, query.tty)
        default: return nil
        }
        var channels: Set<CallChannel> = [.status]
        if flags.stdin { channels.insert(.stdin) }
        if flags.stdout { channels.insert(.stdout) }
        // A terminal has one stream out, and a size.
        if flags.stderr, !flags.tty { channels.insert(.stderr) }
        if flags.tty { channels.insert(.resize) }
        return channels
    }

    func opened(_ socket: WebSocket) {
        state.withLock { state in
            state.socket = socket
            state.tasks.append(
                Task { [weak self] in
                    try? await Task.sleep(for: Self.openingTimeout)
                    if !Task.isCancelled { self?.giveUpOpening() }
                })
        }
    }

    private func giveUpOpening() {
        let (socket, isWaiting) = state.withLock { ($0.socket, $0.streams.count < expected.count) }
        if isWaiting { socket?.close(code: 1002) }
    }

    func received(_ message: WebSocketMessage) {
        guard case .binary(let bytes) = message else { return }
        let (actions, isBroken) = state.withLock { state -> ([SPDYSession.Action], Bool) in
            do throws(SPDYError) { return (try state.session.receive(bytes), false) } catch { return ([], true) }
        }
        if isBroken { return end() }
        for action in actions { perform(action) }
    }

    private func perform(_ action: SPDYSession.Action) {
        switch action {
        case .send(let bytes): send(bytes)
        case .opened(let stream, let headers): send(take(stream, headers))
        case .data(let stream, let bytes): route(stream) { $0.put(bytes, on: $1) }
        case .ended(let stream): route(stream) { $0.end($1) }
        case .reset(let stream):
            // Who wants no more of an output still waits for the command's end; who gives up the error stream wants none of it.
            if state.withLock({ $0.streams[.status] == stream }) { end() }
        case .goodbye: break
        }
    }

    private func end() { state.withLock { $0.socket }?.close() }

    private func send(_ bytes: [UInt8]) { if !bytes.isEmpty { _ = state.withLock { $0.socket }?.send(.binary(bytes)) } }

    /// What comes on a stream, if it is one of those that go to the node.
    private func route(_ stream: UInt32, _ body: (CallInbox, CallChannel) -> Void) {
        let (inbox, channel) = state.withLock { state in (state.inbox, state.streams.first { $0.value == stream }?.key) }
        guard let inbox, let channel, channel == .stdin || channel == .resize else { return }
        body(inbox, channel)
    }

    /// - Returns: the answer for the client.
    private func take(_ stream: UInt32, _ headers: [String: String]) -> [UInt8] {
        state.withLock { state in
            guard let channel = headers["streamtype"].flatMap({ Self.names[$0] }), expected.contains(channel), !state.isOver,
                state.streams[channel] == nil, let socket = state.socket
            else { return state.session.refuse(stream) }
            state.streams[channel] = stream
            // Bytes for the node may come as soon as their stream is there.
            let inbox = state.inbox ?? CallInbox { socket.setReading(!$0) }
            state.inbox = inbox
            if state.streams.count == expected.count {
                state.tasks += [Task { await self.carryOut() }, Task { await self.carryIn(inbox) }]
            }
            return state.session.accept(stream)
        }
    }

    func closed(code: Int) {
        let (inbox, tasks) = state.withLock { state in
            state.isOver = true
            return (state.inbox, state.tasks)
        }
        inbox?.close()
        stream.close(nil)
        for task in tasks { task.cancel() }
    }

    private func carryIn(_ inbox: CallInbox) async {
        while let frame = await inbox.next() {
            do throws(APIStatus) { try await stream.send(frame) } catch { return }
        }
    }

    private func carryOut() async {
        do throws(APIStatus) {
            while let frame = try await stream.receive() {
                guard case .data(let channel, let bytes) = frame, !bytes.isEmpty else { continue }
                guard await deliver(bytes, on: channel) else { break }
            }
        } catch {
            await deliver(error.json.bytes(), on: .status)
        }
        for channel in [CallChannel.stdout, .stderr, .status, .resize, .stdin] { await deliver([], on: channel, isLast: true) }
        end()
    }

    /// Sends bytes of a channel and waits until they are with the system.
    ///
    /// - Returns: false when nobody reads any more.
    @discardableResult
    private func deliver(_ bytes: [UInt8], on channel: CallChannel, isLast: Bool = false) async -> Bool {
        let (socket, frame) = state.withLock { state in
            (state.socket, state.streams[channel].map { state.session.data(bytes, on: $0, isLast: isLast) } ?? [])
        }
        guard let socket else { return false }
        return frame.isEmpty ? true : await socket.deliver(.binary(frame))
    }
}

import Network
import Resources
import Synchronization

/// Frames of a client that wait for their node: put by the connection's thread, taken by one task, in order.
final class CallInbox: Sendable {
    private struct State {
        var frames: [CallFrame] = []
        var byteCount = 0
        var isHeldBack = false
        var isOver = false
        var reader: CheckedContinuation<Void, Never>?
    }

    /// Bytes that may wait; beyond, the client is held back until all of them are taken.
    private static let bytesMax = 256 << 10
    private let holdBack: @Sendable (Bool) -> Void
    private let state = Mutex(State())

    /// - Parameter holdBack: called with true when the client is to send nothing more for now, with false when it may again; in that order,
    ///   within the inbox's lock.
    init(holdBack: @escaping @Sendable (Bool) -> Void) { self.holdBack = holdBack }

    /// Data of one channel, in frames no longer than they may be.
    func put(_ bytes: some Collection<UInt8>, on channel: CallChannel) {
        var frames: [CallFrame] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            frames.append(.data(channel, Array(rest.prefix(CallFrame.bytesMax))))
            rest = rest.dropFirst(CallFrame.bytesMax)
        }
        put(frames, byteCount: bytes.count)
    }

    /// The client sends nothing more on a channel.
    func end(_ channel: CallChannel) { put([.end(channel)], byteCount: 0) }

    private func put(_ frames: [CallFrame], byteCount: Int) {
        let reader = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard !state.isOver else { return nil }
            state.frames += frames
            state.byteCount += byteCount
            if state.byteCount > Self.bytesMax { hold(&state, true) }
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume()
    }

    /// The next frame, waited for; nil once the inbox is closed.
    func next() async -> CallFrame? {
        while true {
            let (frame, isOver) = state.withLock { state -> (CallFrame?, Bool) in
                guard !state.isOver, !state.frames.isEmpty else { return (nil, state.isOver) }
                let frame = state.frames.removeFirst()
                if case .data(_, let bytes) = frame { state.byteCount -= bytes.count }
                if state.frames.isEmpty { hold(&state, false) }
                return (frame, false)
            }
            if frame != nil || isOver { return frame }
            await wait()
        }
    }

    private func hold(_ state: inout State, _ isHeld: Bool) {
        guard state.isHeldBack != isHeld else { return }
        state.isHeldBack = isHeld
        holdBack(isHeld)
    }

    private func wait() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state -> Bool in
                if !state.frames.isEmpty || state.isOver { return true }
                state.reader = continuation
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    /// Nothing more is put or taken; harmless to repeat.
    func close() {
        let reader = state.withLock { state in
            (state.isOver, state.frames) = (true, [])
            hold(&state, false)
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume()
    }
}

/// Carries the channels of a call over a WebSocket: each message begins with the number of its channel.
final class ChannelPeer: WebSocketPeer {
    /// Channel by which a client of version 5 says that another has ended.
    private static let endChannel: UInt8 = 255

    private struct State {
        var inbox: CallInbox?
        var tasks: [Task<Void, Never>] = []
    }

    private let stream: any CallStream
    private let isPort: Bool
    private let state = Mutex(State())

    init(_ stream: any CallStream, isPort: Bool) {
        self.stream = stream
        self.isPort = isPort
    }

    func opened(_ socket: WebSocket) {
        let inbox = CallInbox { socket.setReading(!$0) }
        state.withLock { state in
            state.inbox = inbox
            state.tasks = [Task { await self.carryOut(socket) }, Task { await self.carryIn(inbox) }]
        }
    }

    func received(_ message: WebSocketMessage) {
        let bytes: [UInt8] =
            switch message {
            case .binary(let bytes): bytes
            case .text(let text): Array(text.utf8)
            }
        guard let number = bytes.first, let inbox = state.withLock({ $0.inbox }) else { return }
        if number == Self.endChannel {
            if bytes.count == 2, let channel = CallChannel(rawValue: bytes[1]) { inbox.end(channel) }
            return
        }
        guard let channel = CallChannel(rawValue: number), channel == .stdin || channel == .resize else { return }
        inbox.put(bytes.dropFirst(), on: channel)
    }

    func closed(code: Int) {
        let state = state.withLock { $0 }
        state.inbox?.close()
        stream.close(nil)
        for task in state.tasks { task.cancel() }
    }

    /// From the client to the node.
    private func carryIn(_ inbox: CallInbox) async {
        while let frame = await inbox.next() {
            do throws(APIStatus) { try await stream.send(frame) } catch { return }
        }
    }

    /// From the node to the client; each message waits until the one before is with the system.
    private func carryOut(_ socket: WebSocket) async {
        do throws(APIStatus) {
            while let frame = try await stream.receive() {
                guard case .data(let channel, let bytes) = frame, !bytes.isEmpty else { continue }
                // Of a port there is one stream, whatever the node calls it.
                let number = isPort ? 0 : channel.rawValue
                guard await socket.deliver(.binary([number] + bytes)) else { break }
            }
        } catch {
            _ = await socket.deliver(.binary([isPort ? 1 : CallChannel.status.rawValue] + error.json.bytes()))
        }
        socket.close()
    }
}

import HubProtocol
import Resources
import Synchronization
import Testing

/// Keeps what comes.
final class Recorder: LinkPeer {
    let messages = Mutex<[[UInt8]]>([])
    let closings = Mutex(0)
    func received(_ message: [UInt8]) { messages.withLock { $0.append(message) } }
    func closed() { closings.withLock { $0 += 1 } }
}

@Suite struct LinkTests {
    @Test func `messages arrive in order, also those sent before anybody listened, and nothing after the end`() {
        let (left, right) = MemoryLink.pair()
        let (atLeft, atRight) = (Recorder(), Recorder())
        left.send([1])
        left.send([2])
        right.connect(atRight)
        left.connect(atLeft)
        left.send([3])
        right.send([9])
        left.close()
        right.close()
        #expect(!left.send([4]))
        #expect(!right.send([5]))
        #expect(atRight.messages.withLock { $0 } == [[1], [2], [3]])
        #expect(atLeft.messages.withLock { $0 } == [[9]])
        #expect(atLeft.closings.withLock { $0 } == 1)
        #expect(atRight.closings.withLock { $0 } == 1)
    }
}

@Suite(.timeLimit(.minutes(30))) struct LinkStreamTests {
    /// Two ends joined directly.
    private func pair() -> (LinkStream, LinkStream) {
        let far = Mutex<LinkStream?>(nil)
        let near = LinkStream(1) { frame in far.withLock { $0 }?.took(frame) ?? false }
        let other = LinkStream(1) { near.took($0) }
        far.withLock { $0 = other }
        return (near, other)
    }

    @Test func `what is sent arrives in order and in pieces, and the end behind it`() async throws {
        let (near, far) = pair()
        let bytes = (0..<(CallFrame.bytesMax * 3 + 5)).map { UInt8(truncatingIfNeeded: $0) }
        async let sending: Void = {
            try await near.send(.data(.stdout, bytes))
            try await near.send(.end(.stdout))
            near.close(nil)
        }()
        var received: [UInt8] = []
        var ends = 0
        while let frame = try await far.receive() {
            switch frame {
            case .data(_, let part): received += part
            case .end: ends += 1
            }
        }
        try await sending
        #expect(received == bytes)
        #expect(ends == 1)
    }

    @Test func `who is not read waits, and is told when the other end gives up`() async throws {
        let (near, far) = pair()
        let sent = Mutex(0)
        async let failure: APIStatus? = {
            do throws(APIStatus) {
                while true {
                    try await near.send(.data(.stdout, [UInt8](repeating: 0, count: 1023)))
                    sent.withLock { $0 += 1024 }
                }
            } catch { return error }
        }()
        while sent.withLock({ $0 }) < HubLimits.streamCreditBytes { await Task.yield() }
        for _ in 0..<100 { await Task.yield() }
        #expect(sent.withLock { $0 } == HubLimits.streamCreditBytes)
        far.close(APIStatus(code: 404, reason: "NotFound", message: "no such container"))
        #expect(await failure?.message == "no such container")
    }

    @Test func `a broken link ends both reading and writing`() async {
        let (near, _) = pair()
        async let reading: APIStatus? = {
            do throws(APIStatus) {
                _ = try await near.receive()
                return nil
            } catch { return error }
        }()
        near.broke()
        #expect(await reading?.code == 503)
        await #expect(throws: APIStatus.self) { try await near.send(.end(.stdin)) }
    }
}

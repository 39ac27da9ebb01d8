import Network
import TestKit
import Testing

/// How often clients may send what asks for nothing.
@Suite(.offThePool) struct FrameRatesTests {
    private static func rates(resets: Int = 3, controlFrames: Int = 5) -> FrameRates {
        var limits = HTTPStreamLimits()
        (limits.resetsMax, limits.controlFramesMax) = (resets, controlFrames)
        return FrameRates(limits)
    }

    private static let reset = FrameClient.frame(.reset, 0, 1, FrameClient.big(8))
    private static let ping = FrameClient.frame(.ping, 0, 0, [UInt8](repeating: 3, count: 8))

    @Test func `so many resets and no more are let through, whatever else is sent between them`() {
        var rates = Self.rates()
        #expect(rates.take(FrameClient.preface, at: .zero) == nil)
        for _ in 0..<3 {
            #expect(rates.take(Self.reset, at: .seconds(1)) == nil)
            #expect(rates.take(FrameClient.frame(.data, 0, 1, [UInt8](repeating: 3, count: 300)), at: .seconds(1)) == nil)
            #expect(rates.take(FrameClient.frame(.headers, 5, 1, [3, 3, 3, 3]), at: .seconds(1)) == nil)
        }
        #expect(rates.take(Self.reset, at: .seconds(2)) == .resets(3))
    }

    @Test(arguments: [FrameClient.Frame.Kind.ping, .settings, .priority])
    func `frames that ask for nothing are counted together`(kind: FrameClient.Frame.Kind) {
        var rates = Self.rates()
        #expect(rates.take(FrameClient.preface + Self.ping + FrameClient.frame(.settings, 0, 0), at: .zero) == nil)
        let frames = (0..<3).flatMap { _ in FrameClient.frame(kind, 0, 0, [2, 2, 2, 2, 2]) }
        #expect(rates.take(frames, at: .zero) == nil)
        #expect(rates.take(FrameClient.frame(kind, 0, 0, []), at: .zero) == .controlFrames(5))
    }

    @Test func `windows, data and fields are not counted`() {
        var rates = Self.rates(resets: 0, controlFrames: 0)
        #expect(rates.take(FrameClient.preface, at: .zero) == nil)
        for kind in [FrameClient.Frame.Kind.data, .headers, .windowUpdate, .continuation, .goAway] {
            for _ in 0..<100 { #expect(rates.take(FrameClient.frame(kind, 0, 1, [3, 4, 6, 2]), at: .zero) == nil) }
        }
    }

    @Test func `half a minute later as many are let through again`() {
        var rates = Self.rates()
        #expect(rates.take(FrameClient.preface, at: .seconds(100)) == nil)
        for start in [100, 131, 162] {
            for _ in 0..<3 { #expect(rates.take(Self.reset, at: .seconds(start)) == nil) }
        }
        #expect(rates.take(Self.reset, at: .seconds(192)) == .resets(3))
    }

    @Test(arguments: 1...40)
    func `frames are counted in whatever pieces they come`(size: Int) {
        var rates = Self.rates(resets: 7)
        let body = FrameClient.frame(.data, 0, 1, (0..<200).map { UInt8($0) })
        let turn: [UInt8] = Self.reset + body + FrameClient.frame(.data, 1, 3)
        var bytes = FrameClient.preface
        for _ in 0..<8 { bytes += turn }
        var excess: FrameExcess?
        var taken = 0
        for start in stride(from: 0, to: bytes.count, by: size) where excess == nil {
            taken = min(start + size, bytes.count)
            excess = rates.take(bytes[start..<taken], at: .zero)
        }
        #expect(excess == .resets(7))
        // Told as soon as the eighth one's kind was there.
        let place = FrameClient.preface.count + 7 * turn.count + 4
        #expect(taken >= place && taken < place + size)
    }
}

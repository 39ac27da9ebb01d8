/// How often a client of HTTP/2 sends frames that buy work without asking for anything. Pure: fed with what arrives, it reads the frames' heads
/// and nothing else.
///
/// NIO counts the same, and keeps a time for each frame that it may have to count: 5 KiB of every connection, of which hardly one ever needs
/// any.
package struct FrameRates {
    /// Frames of a kind since a moment.
    private struct Rate {
        var since = Duration.zero
        var count = 0

        /// - Returns: whether so many are allowed.
        mutating func take(at now: Duration, max: Int) -> Bool {
            if now - since > FrameRates.window { (since, count) = (now, 0) }
            count += 1
            return count <= max
        }
    }

    /// Over which frames are counted, from the first of them on.
    private static let window = Duration.seconds(30)
    /// `PRI * HTTP/2.0` and so on, before the first frame (RFC 9113, section 3.4).
    private static let prefaceBytes = 24
    /// Of a frame's head: length and kind; flags and stream follow (section 4.1).
    private static let headBytes = 4
    private static let headRestBytes = 5
    private let resetsMax: Int
    private let controlFramesMax: Int
    /// Bytes until the next frame's head.
    private var skippedBytes = FrameRates.prefaceBytes
    /// What has come of that head.
    private var head: UInt32 = 0
    private var headCount = 0
    private var resets = Rate()
    private var controlFrames = Rate()

    /// Nothing has come yet; the preface is first.
    package init(_ limits: HTTPStreamLimits) { (resetsMax, controlFramesMax) = (limits.resetsMax, limits.controlFramesMax) }

    /// Reads on; a frame may come in any pieces.
    ///
    /// - Parameter now: since any moment that is the same for all calls.
    /// - Returns: what there was too much of; nil as long as all is well.
    package mutating func take(_ bytes: some RandomAccessCollection<UInt8>, at now: Duration) -> FrameExcess? {
        var rest = bytes[...]
        while !rest.isEmpty {
            if skippedBytes > 0 {
                let count = min(skippedBytes, rest.count)
                skippedBytes -= count
                rest = rest.dropFirst(count)
                continue
            }
            head = head << 8 | UInt32(rest.removeFirst())
            headCount += 1
            guard headCount == Self.headBytes else { continue }
            if let excess = count(kind: UInt8(truncatingIfNeeded: head), at: now) { return excess }
            skippedBytes = Self.headRestBytes + Int(head >> 8)
            (head, headCount) = (0, 0)
        }
        return nil
    }

    private mutating func count(kind: UInt8, at now: Duration) -> FrameExcess? {
        switch kind {
        case 3: resets.take(at: now, max: resetsMax) ? nil : .resets(resetsMax)
        // PRIORITY, SETTINGS, PING, ALTSVC, ORIGIN.
        case 2, 4, 6, 10, 12: controlFrames.take(at: now, max: controlFramesMax) ? nil : .controlFrames(controlFramesMax)
        default: nil
        }
    }
}

/// A client has sent more frames of a kind than it may; the number is the bound.
package enum FrameExcess: Error, Equatable {
    /// Streams that were ended before their answer.
    case resets(Int)
    /// Pings, settings, priorities and the like.
    case controlFrames(Int)
}

/// A whole request; valid while it is answered, on the loop's thread.
package struct LoopRequest {
    /// Its head.
    package let head: LoopHead
    /// Its body, without chunks; only valid during the call that was given it.
    package let body: UnsafeRawBufferPointer

    /// Nothing is checked.
    package init(head: LoopHead, body: UnsafeRawBufferPointer) { (self.head, self.body) = (head, body) }
}

/// A whole answer.
package struct LoopResponse: Sendable {
    /// HTTP status.
    package var status: Int
    /// `Content-Type`.
    package var contentType = "application/json"
    /// Bytes of JSON before tensors; nil for none behind it.
    package var inferenceHeaderLength: Int?
    /// Seconds after which a refused request may be sent again; nil for none said.
    package var retryAfterSeconds: Int?
    /// The body.
    package var body: [UInt8]

    /// Nothing is checked.
    package init(_ status: Int, _ body: [UInt8], contentType: String = "application/json", inferenceHeaderLength: Int? = nil) {
        (self.status, self.body, self.contentType, self.inferenceHeaderLength) = (status, body, contentType, inferenceHeaderLength)
    }

    /// `{"error": "…"}`.
    package init(_ refusal: ServingRefusal) {
        (status, body) = (refusal.status, [])
        JSONBytes.append(raw: "{\"error\":", to: &body)
        JSONBytes.append(refusal.reason, to: &body)
        body.append(0x7d)
        if status == 503 || status == 429 { retryAfterSeconds = 1 }
    }
}

/// How a request is answered.
package enum LoopAnswer {
    case now(LoopResponse)
    /// By somebody else; other connections are served meanwhile.
    case later(@Sendable () async -> LoopResponse)
}

/// A body that is answered while it arrives. Used on the loop's thread alone.
package protocol LoopStream: AnyObject {
    /// `Content-Type` of the answer.
    var contentType: String { get }
    /// Takes a piece of the body.
    ///
    /// - Parameter output: what is to be sent; sent before more is taken.
    /// - Throws: before the first output: the answer; later it ends the stream as its last line.
    func consume(_ bytes: UnsafeRawBufferPointer, output: inout [UInt8]) throws(ServingRefusal)
    /// The body has ended.
    func finish(output: inout [UInt8]) throws(ServingRefusal)
    /// What of the body so far is answered elsewhere; nil for nothing. Asked after each piece: nothing more of the body is read until the part is
    /// sent.
    func takeDeferred() -> (@Sendable () async -> LoopPart)?
}

/// A part of a stream's answer that was made elsewhere.
package struct LoopPart: Sendable {
    /// What is to be sent.
    package var bytes: [UInt8]
    /// Why the stream ends behind it; nil where it goes on.
    package var failure: ServingRefusal?

    /// Nothing is checked.
    package init(_ bytes: [UInt8], failure: ServingRefusal? = nil) { (self.bytes, self.failure) = (bytes, failure) }
}

extension LoopStream {
    package func takeDeferred() -> (@Sendable () async -> LoopPart)? { nil }
}

/// Who answers the requests of a `LoopServer`. Called on its thread alone.
package protocol LoopHandler: AnyObject {
    /// Answers requests that have arrived together.
    ///
    /// - Returns: one answer a request, in order.
    func answers(to requests: [LoopRequest]) -> [LoopAnswer]
    /// Nanoseconds that requests may wait for others, so as to be answered with them; 0 where that gains nothing.
    ///
    /// - Parameter missing: clients that asked a moment ago, were answered, and have not asked again: 1 or more.
    func patience(missing: Int) -> UInt64
    /// Whoever takes the body of this request as it arrives; nil: it is collected, and answered as a whole.
    func stream(for head: LoopHead) throws(ServingRefusal) -> (any LoopStream)?
}

extension LoopHandler {
    /// Nobody waits for anybody.
    package func patience(missing: Int) -> UInt64 { 0 }
}

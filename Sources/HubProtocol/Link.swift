/// A connection between a cloud and an edge as their sessions see it: messages of bytes, in order, whole or not at all.
///
/// May be used from any thread.
package protocol Link: AnyObject, Sendable {
    /// Hands a message over.
    ///
    /// - Returns: false when it will not arrive: the link is closed, or is closed now because the other side does not read.
    @discardableResult
    func send(_ message: [UInt8]) -> Bool

    /// Ends the link behind what was sent. Later calls do nothing.
    func close()
}

/// What takes a link's messages. Calls come one at a time, in order, and must be quick.
package protocol LinkPeer: AnyObject, Sendable {
    /// A whole message, within `HubLimits.frameBytesMax`.
    func received(_ message: [UInt8])
    /// Called once, whoever ended the link; nothing follows.
    func closed()
}

/// Makes links to the cloud.
package protocol LinkDialer: Sendable {
    /// Connects, and hands what comes to the peer from then on.
    ///
    /// - Throws: `LinkError` if there is no link.
    func dial(_ peer: any LinkPeer) async throws(LinkError) -> any Link
}

/// Why there is no link.
package struct LinkError: Error, Sendable, Equatable, CustomStringConvertible {
    /// For people, with what to do.
    package let description: String
    /// Seconds the other side asks to wait; 0 for no advice.
    package let retryAfterSeconds: Int
    /// The other side was there, and gave no link; false where nobody could be asked.
    package let isReached: Bool

    /// An error that is tried again.
    package init(_ description: String, retryAfterSeconds: Int = 0, isReached: Bool = true) {
        self.description = description
        self.retryAfterSeconds = retryAfterSeconds
        self.isReached = isReached
    }
}

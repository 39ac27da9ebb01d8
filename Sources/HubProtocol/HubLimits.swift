/// Bounds of links, sessions and outboxes; each says what happens at it.
package enum HubLimits {
    /// Versions of the protocol that this program speaks.
    package static let versions: ClosedRange<UInt16> = 1...2
    /// Bytes of one frame: an object as a server stores it at most (1.5 MiB), and its name. A longer one ends the link.
    package static let frameBytesMax = 2 << 20
    /// Bytes of one object, or of a report's body; a longer one is refused where it is made.
    package static let bodyBytesMax = 1792 << 10
    /// Entries of one frame of an inventory, 96 KiB; longer inventories take several.
    package static let entriesMax = 4096
    /// Objects that a node may hold; beyond, its session ends with a refusal.
    package static let objectsMax = 100_000
    /// Results in one frame.
    package static let resultsMax = 256
    /// Bytes of a text in a refusal; longer ones are cut.
    package static let messageBytesMax = 1024
    /// Changes that are sent and not acknowledged; more wait for the acknowledgement, and are merged meanwhile.
    package static let changesMax = 64
    /// Bytes of them; one change is always sent.
    package static let changeBytesMax = 256 << 10
    /// Reports that are sent and not answered; more wait in the outbox. A cloud that gets more ends the session.
    package static let reportsMax = 64
    /// Bytes of them; one report is always sent.
    package static let reportBytesMax = 256 << 10
    /// Bytes of a call as JSON; a longer one is refused.
    package static let callBytesMax = 256 << 10
    /// Calls of a node at a time; more are refused with 429.
    package static let streamsMax = 64
    /// Bytes of a stream that are sent before the other end has taken any; more wait.
    package static let streamCreditBytes = 256 << 10
    /// A silent side sends a heartbeat so often: with TLS, WebSocket and IP about 7 bytes a second for both directions.
    package static let heartbeat: Duration = .seconds(30)
    /// A side that has not been heard of for so long is gone.
    package static let silence: Duration = .seconds(75)
    /// How long a side waits for hello or welcome.
    package static let greeting: Duration = .seconds(20)
    /// How often both sides compare what they hold while nothing happens.
    package static let comparison: Duration = .seconds(600)
}

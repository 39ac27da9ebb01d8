package import Resources

/// One message of the link between the cloud and an edge.
package enum Frame: Sendable, Equatable {
    /// An edge's first frame.
    case hello(Hello)
    /// The cloud's first frame: the session stands.
    case welcome(Welcome)
    /// A part of what an edge holds.
    case inventory([HeldEntry], isLast: Bool)
    /// An object as it is now, JSON.
    case change(ObjectRef, Stamp, [UInt8])
    /// The node needs an object no more, or it is gone.
    case gone(ObjectRef)
    /// The same for objects that the cloud knows from an inventory alone. Each goes only if it is still what the entry says.
    case drop([HeldEntry])
    /// The changes up to this frame of the cloud are safe on the edge's disk.
    case ack(through: UInt32)
    /// What a node says to the API.
    case report(Report)
    /// What became of reports.
    case results([ReportResult])
    /// The sender lives; its number is that of the last frame before, so that a lost one is noticed.
    case heartbeat
    /// What the cloud believes the edge to hold.
    case digest(HoldingsDigest)
    /// A call begins; JSON of a `NodeCall`. Only the cloud begins calls.
    case open(stream: UInt32, call: [UInt8])
    case data(stream: UInt32, CallFrame)
    /// The receiver of a stream's data has taken so many bytes.
    case credit(stream: UInt32, bytes: UInt32)
    /// A call ends; JSON of a `Status`, or nothing for well.
    case close(stream: UInt32, status: [UInt8])
    /// The sender ends the link, and why.
    case goodbye(Goodbye)
}

/// Who an edge is, what it speaks and what it holds. Which node it is says its certificate alone.
package struct Hello: Sendable, Equatable {
    /// Protocol versions it speaks, from and to.
    package var versions: ClosedRange<UInt16>
    /// Drawn by lot when its store was made; names of events derive from it.
    package var store: UInt64
    /// Drawn by lot when its program began, and told to nobody else: who comes by another link and knows it is the same program, which has given
    /// up the link before. 0 where it is not told, as by versions before 2.
    package var life: UInt64
    /// Of all it holds.
    package var digest: HoldingsDigest
    /// Version of its program, for people; at most 255 bytes are sent.
    package var program: String

    /// Says hello in the versions of this program.
    package init(
        versions: ClosedRange<UInt16> = HubLimits.versions, store: UInt64, life: UInt64 = 0, digest: HoldingsDigest, program: String
    ) {
        self.versions = versions
        self.store = store
        self.life = life
        self.digest = digest
        self.program = program
    }
}

/// The terms of a session.
package struct Welcome: Sendable, Equatable {
    /// The version both speak from now on.
    package var version: UInt16
    /// For `ObjectRef.number`.
    package var seed: UInt64
    /// The digests differ: the edge is to tell what it holds.
    package var wantsInventory: Bool
    /// Seconds after which a silent side sends a heartbeat, 1 to 3600.
    package var heartbeatSeconds: UInt16
    /// The cloud's clock, seconds since 1970: an edge without one of its own may go by it.
    package var timeSeconds: Int64

    /// The cloud's terms.
    package init(version: UInt16, seed: UInt64, wantsInventory: Bool, heartbeatSeconds: UInt16, timeSeconds: Int64) {
        self.version = version
        self.seed = seed
        self.wantsInventory = wantsInventory
        self.heartbeatSeconds = heartbeatSeconds
        self.timeSeconds = timeSeconds
    }
}

/// Why a side ends a link.
package struct Goodbye: Error, Sendable, Equatable, CustomStringConvertible {
    /// What the other side should do about it.
    package enum Reason: UInt8, Sendable, Equatable, CaseIterable {
        /// The program stops: come back soon.
        case stopping = 0
        /// A frame was lost: come back at once, and what was lost is sent again.
        case gap = 1
        /// No common version: come back rarely, after an update.
        case version = 2
        /// Something was sent that the protocol does not allow.
        case violation = 3
        /// The same node is connected already.
        case duplicate = 4
        /// Too many come at once: come back later.
        case busy = 5
        /// Nothing was heard for too long.
        case silence = 6
        /// The node is not, or no more, one of this cloud's.
        case stranger = 7
        /// The sender cannot write, as with a full disk.
        case store = 8
    }

    /// What the other side decides by.
    package var reason: Reason
    /// For people; at most `HubLimits.messageBytesMax` bytes are sent.
    package var message: String
    /// The other side should not come back sooner; 0 for no advice, at most 3600.
    package var retryAfterSeconds: UInt16

    /// A goodbye to be sent.
    package init(_ reason: Reason, _ message: String, retryAfterSeconds: UInt16 = 0) {
        self.reason = reason
        self.message = message
        self.retryAfterSeconds = retryAfterSeconds
    }

    /// The message.
    package var description: String { message }
}

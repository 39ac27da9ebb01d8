package import Resources

/// Something a node says to the API, kept until it is answered.
package struct Report: Sendable, Equatable {
    /// What kind of thing it is; decides which goes first and what happens when there is no room.
    package enum Topic: UInt8, Sendable, Hashable, CaseIterable, Comparable {
        /// States of objects: newer ones replace older ones, none is dropped.
        case status = 0
        /// What training and evaluation brought: none is dropped, a new one is refused when there is no room.
        case result = 1
        /// For people: the oldest are dropped when there is no room.
        case event = 2
        /// Samples for later training: the oldest are dropped when there is no room.
        case sample = 3

        /// The more urgent first.
        package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    /// What is to be done with the object.
    package enum Verb: UInt8, Sendable, Hashable, CaseIterable {
        /// Make it; if it is there already that is well.
        case create = 0
        /// Change it by a merge patch.
        case patch = 1
        /// Delete it at once; if it is gone already that is well.
        case delete = 2
    }

    /// Ascending, and never used twice by an edge's store.
    package var id: UInt64
    /// Where it stands in line.
    package var topic: Topic
    /// What is to be done.
    package var verb: Verb
    /// With what object.
    package var ref: ObjectRef
    /// With what part of it: the whole or its status.
    package var part: ObjectPart
    /// Only if the object has this uid; empty for any.
    package var uid: String
    /// Of the status that the edge expects to result; 0 for nothing expected.
    package var expected: UInt64
    /// JSON: the object, the patch, or nothing.
    package var body: [UInt8]

    /// A report as it is kept and sent.
    package init(
        id: UInt64, topic: Topic, verb: Verb, ref: ObjectRef, part: ObjectPart = .whole, uid: String = "", expected: UInt64 = 0,
        body: [UInt8]
    ) {
        self.id = id
        self.topic = topic
        self.verb = verb
        self.ref = ref
        self.part = part
        self.uid = uid
        self.expected = expected
        self.body = body
    }
}

/// What became of a report.
package struct ReportResult: Sendable, Equatable {
    /// What the edge does with it now.
    package enum Outcome: Sendable, Equatable {
        /// Done, and safe in the cloud. With `isExpected` the object's status is now as the edge expected.
        case done(isExpected: Bool)
        /// The cloud does not do it; trying again would not help.
        case refused(code: UInt16, message: String)
        /// Not now; seconds to wait.
        case later(seconds: UInt16)
    }

    /// The report's.
    package var id: UInt64
    /// What became of it.
    package var outcome: Outcome

    /// A result to be sent.
    package init(id: UInt64, _ outcome: Outcome) {
        self.id = id
        self.outcome = outcome
    }
}

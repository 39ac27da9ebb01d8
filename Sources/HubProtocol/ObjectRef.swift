package import Resources

/// Which object, of any kind.
package struct ObjectRef: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// What it is.
    package let kind: ResourceKind
    /// Where it lies and its name.
    package let key: ObjectKey

    /// Nothing is checked.
    package init(_ kind: ResourceKind, _ key: ObjectKey) {
        self.kind = kind
        self.key = key
    }

    /// `pods default/web`.
    package var description: String { "\(kind) \(key)" }

    /// By the kind's name, then by key.
    package static func < (left: ObjectRef, right: ObjectRef) -> Bool {
        (left.kind.plural, left.kind.group, left.kind.version, left.key) < (
            right.kind.plural, right.kind.group, right.kind.version, right.key
        )
    }

    /// A number for it that both sides of a session find alike.
    ///
    /// - Parameter seed: of the session; drawn by lot, so that nobody can choose names that meet.
    package func number(seed: UInt64) -> UInt64 {
        StableHash.hash(Array("\(kind.group)/\(kind.version)/\(kind.plural)/\(key.namespace)/\(key.name)".utf8), seed: seed)
    }
}

/// What an object says, in 16 bytes; the same for the same content in every process.
///
/// Its status is counted apart: what a node reports is then known to be known, and does not travel back. Revisions and the owners of fields
/// do not count.
package struct Stamp: Sendable, Hashable {
    /// Of everything but the status.
    package var body: UInt64
    /// Of the status; 0 for none.
    package var status: UInt64

    /// As it was told.
    package init(body: UInt64, status: UInt64) {
        self.body = body
        self.status = status
    }

    /// Computes it. Costs as much as writing the object.
    package init(_ object: JSON) {
        var rest = object
        rest["status"] = nil
        if var metadata = rest["metadata"] {
            metadata["resourceVersion"] = nil
            metadata["managedFields"] = nil
            rest["metadata"] = metadata
        }
        body = StableHash.hash(rest.bytes(order: .sorted), seed: 0)
        status = Self.status(object)
    }

    /// The part that stands for the status alone; 0 for an object without one, or with an empty one.
    package static func status(_ object: JSON) -> UInt64 {
        guard let status = object["status"], status.object?.isEmpty != true else { return 0 }
        return StableHash.hash(status.bytes(order: .sorted), seed: 1)
    }
}

/// An object's stamp, and its text as it travels, of one writing: both are needed at each change of each object.
package struct StampedText: Sendable {
    /// As `Stamp` computes it.
    package let stamp: Stamp
    /// The object as JSON, without who owns its fields.
    package let bytes: [UInt8]

    /// Costs as much as writing the object.
    package init(_ object: JSON) {
        var rest = object.object ?? [:]
        let status = rest["status"]
        rest["status"] = nil
        var metadata = rest["metadata"]
        let revision = metadata?["resourceVersion"]
        metadata?["resourceVersion"] = nil
        metadata?["managedFields"] = nil
        if let metadata { rest["metadata"] = metadata }
        var writer = JSONWriter(order: .sorted, capacityBytes: 2048)
        var place: Int?
        writer.raw("{")
        writer.write(membersOf: rest) { key, writer in if key == "metadata" { place = writer.bytes.count + 1 } }
        writer.raw("}")
        let statusBytes = status.map { $0.bytes(order: .sorted) }
        let isStatusEmpty = status?.object?.isEmpty == true
        stamp = Stamp(
            body: StableHash.hash(writer.bytes, seed: 0),
            status: isStatusEmpty ? 0 : statusBytes.map { StableHash.hash($0, seed: 1) } ?? 0)
        var end = JSONWriter(capacityBytes: writer.bytes.count + (statusBytes?.count ?? 0) + 64)
        var copied = 0
        if let revision, let place {
            end.raw(writer.bytes[..<place])
            end.write(key: "resourceVersion", revision)
            if metadata?.object?.isEmpty == false { end.raw(",") }
            copied = place
        }
        end.raw(writer.bytes[copied..<writer.bytes.count - 1])
        if let statusBytes {
            if !rest.isEmpty { end.raw(",") }
            end.raw("\"status\":")
            end.raw(statusBytes)
        }
        end.raw("}")
        // No more memory than they need: they are kept.
        bytes = end.bytes.withUnsafeBufferPointer { Array($0) }
    }
}

/// One object of an inventory, in 24 bytes.
package struct HeldEntry: Sendable, Hashable {
    /// `ObjectRef.number` by the session's seed.
    package var number: UInt64
    /// Of what is held.
    package var stamp: Stamp

    /// As it was told.
    package init(number: UInt64, stamp: Stamp) {
        self.number = number
        self.stamp = stamp
    }
}

/// What a whole set of objects says, whatever their order; kept up to date object by object.
package struct HoldingsDigest: Sendable, Hashable {
    /// Objects.
    package private(set) var count: UInt32 = 0
    private(set) var sums: (UInt64, UInt64) = (0, 0)

    /// Of no objects.
    package init() {}

    init(count: UInt32, sums: (UInt64, UInt64)) {
        self.count = count
        self.sums = sums
    }

    /// Of some objects.
    package init(_ stamps: some Sequence<Stamp>) { for stamp in stamps { add(stamp) } }

    /// An object more.
    package mutating func add(_ stamp: Stamp) {
        count &+= 1
        sums.0 &+= Self.first(stamp)
        sums.1 &+= Self.second(stamp)
    }

    /// An object less; it must have been added.
    package mutating func remove(_ stamp: Stamp) {
        count &-= 1
        sums.0 &-= Self.first(stamp)
        sums.1 &-= Self.second(stamp)
    }

    private static func first(_ stamp: Stamp) -> UInt64 {
        StableHash.mix(stamp.body ^ 0x2d35_8dcc_aa6c_78a5, stamp.status ^ 0x8bb8_4b93_962e_acc9)
    }
    private static func second(_ stamp: Stamp) -> UInt64 { StableHash.mix(stamp.status ^ 0x4b33_a62e_d433_d4a3, ~stamp.body) &+ stamp.body }

    /// The same count and sums.
    package static func == (left: Self, right: Self) -> Bool { left.count == right.count && left.sums == right.sums }

    /// As equality.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(count)
        hasher.combine(sums.0)
        hasher.combine(sums.1)
    }
}

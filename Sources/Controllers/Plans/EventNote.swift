import Resources

/// A sentence for people about an object: what becomes an Event.
struct EventNote: Sendable, Equatable {
    /// Normal, or a Warning.
    let isWarning: Bool
    /// One word: `Scheduled`.
    let reason: String
    let message: String
    /// Who says it: `replicaset-controller`.
    let component: String
    private let about: JSON

    /// - Parameter object: what the sentence is about; only its kind and metadata are kept.
    init(_ object: JSON, isWarning: Bool = false, _ reason: String, _ message: String, by component: String) {
        var about: JSON = ["kind": object["kind"] ?? "", "apiVersion": object["apiVersion"] ?? ""]
        for name in ["namespace", "name", "uid", "resourceVersion"] { about[name] = object["metadata"]?[name] }
        self.about = about
        self.isWarning = isWarning
        self.reason = reason
        self.message = message
        self.component = component
    }

    /// The same sentence about the same object makes the same Event, whose count grows.
    private var name: String {
        let parts = [about["uid"]?.string ?? "", isWarning ? "W" : "N", reason, message, component]
        return "\((about["name"]?.string ?? "").prefix(200)).\(StableHash.hex(parts.joined(separator: "\u{1f}")))"
    }

    /// Of objects without a namespace, `default`.
    private var namespace: String { about["namespace"]?.string.flatMap { $0.isEmpty ? nil : $0 } ?? "default" }

    func event(at now: Timestamp) -> JSON {
        [
            "apiVersion": "v1", "kind": "Event", "metadata": ["name": .string(name), "namespace": .string(namespace)],
            "involvedObject": about, "type": isWarning ? "Warning" : "Normal", "reason": .string(reason), "message": .string(message),
            "source": ["component": .string(component)], "reportingComponent": .string(component), "reportingInstance": "",
            "firstTimestamp": .string(now.text), "lastTimestamp": .string(now.text), "count": 1,
        ]
    }

    /// Writes the Event, or counts it up. An Event that can't be written is left out: work never fails for want of a sentence about it.
    func write(_ client: any ObjectClient, at now: Timestamp) async {
        let event = event(at: now)
        do { try await client.create(.event, event) } catch {
            guard error.reason == "AlreadyExists", var old = try? await client.get(.event, ObjectKey(event)) else { return }
            old["count"] = .integer((old["count"]?.integer ?? 1) + 1)
            old["lastTimestamp"] = .string(now.text)
            _ = try? await client.update(.event, old)
        }
    }
}

/// Texts that are the same for the same input, today and after a restart.
enum StableHash {
    /// FNV-1a, 64 bits.
    static func value(_ text: String) -> UInt64 {
        text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    static func hex(_ text: String) -> String { String(value(text), radix: 16) }

    /// Letters and digits that make no words, as Kubernetes uses them in names.
    private static let letters = Array("bcdfghjklmnpqrstvwxz2456789")

    static func word(_ text: String, letters count: Int) -> String {
        var value = value(text)
        // The low bits of FNV are mixed the least.
        value ^= value >> 29
        return String(
            (0..<count).map { _ in
                defer { value /= UInt64(letters.count) }
                return letters[Int(value % UInt64(letters.count))]
            })
    }
}

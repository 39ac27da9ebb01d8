import Identity
import Network
import Resources
import Synchronization

/// Who did what and when: one JSON line a request, as `audit.k8s.io/v1` has it at level Metadata. Bodies, tokens and what was answered are
/// never in it.
package final class AuditLog: Sendable {
    /// Bytes of a request's target and of its user agent; beyond they are cut.
    private static let targetBytesMax = 2048
    private static let agentBytesMax = 256
    /// Paths that are asked every second by machines and tell nothing.
    private static let silent: Set<String> = ["/livez", "/readyz", "/healthz", "/version", "/metrics"]
    /// Subresources whose query holds what is run: it may hold secrets.
    private static let hidden: Set<String> = ["exec", "attach", "portforward", "proxy"]

    private let append: @Sendable ([UInt8]) throws -> Void
    private let failures = Atomic(0)

    /// - Parameter append: takes one line with its newline; what it throws is counted and does not stop the request.
    package init(append: @escaping @Sendable ([UInt8]) throws -> Void) { self.append = append }

    /// Lines that could not be written since the start.
    package var failureCount: Int { failures.load(ordering: .relaxed) }

    /// What becomes known of a request while it is answered.
    struct Entry {
        var user = User.anonymous
        /// The user that the request was made as, where another one was named.
        var impersonated: User?
        var verb = ""
        var path: ResourcePath?
        /// What a door says of the request: the token's id, the node's name.
        var notes: [String: String] = [:]
    }

    func write(_ entry: Entry, _ request: HTTPRequest, status: Int, id: String, from received: Timestamp, to answered: Timestamp) {
        guard !Self.silent.contains(request.path) || status >= 400 else { return }
        var event: JSON = [
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": .string(id),
            "stage": .string(entry.verb == "watch" && status < 300 ? "ResponseStarted" : "ResponseComplete"),
            "requestURI": .string(target(entry, request)),
            "verb": .string(entry.verb.isEmpty ? request.method.lowercased() : entry.verb), "user": Self.json(entry.user),
            "sourceIPs": [.string(Self.address(request.peer))],
            "userAgent": .string(Self.shortened(request.headers["user-agent"] ?? "", Self.agentBytesMax)),
        ]
        if let user = entry.impersonated { event["impersonatedUser"] = Self.json(user) }
        if let path = entry.path { event["objectRef"] = Self.json(path) }
        if !entry.notes.isEmpty {
            event["annotations"] = .object(JSONObject(entry.notes.sorted { $0.key < $1.key }.map { ($0.key, JSON.string($0.value)) }))
        }
        event["responseStatus"] = ["metadata": [:], "code": .integer(Int64(status))]
        event["requestReceivedTimestamp"] = .string(Self.text(received))
        event["stageTimestamp"] = .string(Self.text(answered))
        do {
            try append(event.bytes() + [0x0a])
        } catch {
            failures.add(1, ordering: .relaxed)
        }
    }

    private func target(_ entry: Entry, _ request: HTTPRequest) -> String {
        let isHidden = entry.path.map { Self.hidden.contains($0.subresource) } ?? false
        let target = request.query.isEmpty || isHidden ? request.path : "\(request.path)?\(request.query)"
        return Self.shortened(target, Self.targetBytesMax)
    }

    private static func shortened(_ text: String, _ bytesMax: Int) -> String {
        text.utf8.count <= bytesMax ? text : String(decoding: text.utf8.prefix(bytesMax), as: UTF8.self) + "…"
    }

    private static func json(_ user: User) -> JSON {
        var result: JSON = ["username": .string(user.name), "groups": .array(user.groups.map { .string($0) })]
        if !user.uid.isEmpty { result["uid"] = .string(user.uid) }
        return result
    }

    private static func json(_ path: ResourcePath) -> JSON {
        var result: JSON = ["resource": .string(path.plural)]
        let sides = path.groupVersion.split(separator: "/")
        if !path.namespace.isEmpty { result["namespace"] = .string(path.namespace) }
        if !path.name.isEmpty { result["name"] = .string(path.name) }
        if sides.count == 2 { result["apiGroup"] = .string(String(sides[0])) }
        result["apiVersion"] = .string(String(sides.last ?? ""))
        if !path.subresource.isEmpty { result["subresource"] = .string(path.subresource) }
        return result
    }

    /// The address without its port, of NIO's `[IPv4]127.0.0.1:4711` and `[IPv4]name/127.0.0.1:4711`.
    static func address(_ peer: String) -> String {
        var text = peer[...]
        if let bracket = text.firstIndex(of: "]") { text = text[text.index(after: bracket)...] }
        if let slash = text.firstIndex(of: "/") { text = text[text.index(after: slash)...] }
        if let colon = text.lastIndex(of: ":") { text = text[..<colon] }
        return String(text)
    }

    /// With the fraction that readers of audit logs expect.
    private static func text(_ time: Timestamp) -> String { String(time.text.dropLast()) + ".000000Z" }
}

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
        // Written as text at once: it is one line a request.
        var line = JSONWriter(capacityBytes: 1024)
        line.raw("{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\"auditID\":")
        line.write(id)
        line.raw(
            entry.verb == "watch" && status < 300 ? ",\"stage\":\"ResponseStarted\"" : ",\"stage\":\"ResponseComplete\"")
        line.raw(",\"requestURI\":")
        line.write(target(entry, request))
        line.raw(",\"verb\":")
        line.write(entry.verb.isEmpty ? request.method.lowercased() : entry.verb)
        line.raw(",\"user\":")
        Self.write(entry.user, to: &line)
        line.raw(",\"sourceIPs\":[")
        line.write(Self.address(request.peer))
        line.raw("],\"userAgent\":")
        line.write(Self.shortened(request.headers["user-agent"] ?? "", Self.agentBytesMax))
        if let user = entry.impersonated {
            line.raw(",\"impersonatedUser\":")
            Self.write(user, to: &line)
        }
        if let path = entry.path {
            line.raw(",\"objectRef\":")
            Self.write(path, to: &line)
        }
        if !entry.notes.isEmpty {
            line.raw(",\"annotations\":")
            line.write(.object(JSONObject(entry.notes.sorted { $0.key < $1.key }.map { ($0.key, JSON.string($0.value)) })))
        }
        line.raw(",\"responseStatus\":{\"metadata\":{},\"code\":")
        line.write(.integer(Int64(status)))
        line.raw("},\"requestReceivedTimestamp\":")
        line.write(Self.text(received))
        line.raw(",\"stageTimestamp\":")
        line.write(Self.text(answered))
        line.raw("}\n")
        do {
            try append(line.bytes)
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

    private static func write(_ user: User, to line: inout JSONWriter) {
        line.raw("{\"username\":")
        line.write(user.name)
        line.raw(",\"groups\":")
        line.write(.array(user.groups.map { .string($0) }))
        write(",\"uid\":", user.uid, to: &line)
        line.raw("}")
    }

    /// A member behind others, unless its text is empty.
    private static func write(_ key: StaticString, _ text: some StringProtocol, to line: inout JSONWriter) {
        guard !text.isEmpty else { return }
        line.raw(key)
        line.write(String(text))
    }

    private static func write(_ path: ResourcePath, to line: inout JSONWriter) {
        line.raw("{\"resource\":")
        line.write(path.plural)
        write(",\"namespace\":", path.namespace, to: &line)
        write(",\"name\":", path.name, to: &line)
        let sides = path.groupVersion.split(separator: "/")
        write(",\"apiGroup\":", sides.count == 2 ? sides[0] : "", to: &line)
        line.raw(",\"apiVersion\":")
        line.write(String(sides.last ?? ""))
        write(",\"subresource\":", path.subresource, to: &line)
        line.raw("}")
    }

    /// The address without its port, of NIO's `[IPv4]127.0.0.1:4711` and `[IPv4]name/127.0.0.1:4711`.
    static func address(_ peer: String) -> String {
        var text = peer.utf8[...]
        if let bracket = text.firstIndex(of: UInt8(ascii: "]")) { text = text[text.index(after: bracket)...] }
        if let slash = text.firstIndex(of: UInt8(ascii: "/")) { text = text[text.index(after: slash)...] }
        if let colon = text.lastIndex(of: UInt8(ascii: ":")) { text = text[..<colon] }
        return String(Substring(text))
    }

    /// With the fraction that readers of audit logs expect.
    private static func text(_ time: Timestamp) -> String { String(time.text.dropLast()) + ".000000Z" }
}

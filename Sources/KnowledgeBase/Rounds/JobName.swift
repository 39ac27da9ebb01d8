/// The name of a learning job, `namespace/name`, as in Kubernetes.
package struct JobName: Hashable, Sendable, CustomStringConvertible {
    /// Longest namespace, and longest name; as Kubernetes has it (RFC 1123).
    package static let bytesMax = 253

    /// 1 to 253 of a–z, 0–9, '-' and '.', a letter or digit at both ends.
    package let namespace: String
    /// Of the same form as the namespace; unique in it.
    package let name: String

    /// - Throws: `.invalidRecord` when a part is no name as Kubernetes wants it: a–z, 0–9, '-' and '.', a letter or digit at both ends.
    package init(namespace: String, name: String) throws(KnowledgeError) {
        for part in [namespace, name] where !Self.isName(part) {
            throw KnowledgeError(
                .invalidRecord,
                "\"\(part)\" is no name of a job or namespace: give 1 to \(Self.bytesMax) of a-z, 0-9, '-' and '.',"
                    + " a letter or digit first and last")
        }
        self.namespace = namespace
        self.name = name
    }

    /// Reads `NS/NAME`; `NAME` alone is of the namespace `default`.
    package init(_ text: String) throws(KnowledgeError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2 else { throw KnowledgeError(.invalidRecord, "\"\(text)\" is no name of a job: give NAMESPACE/NAME") }
        try self.init(namespace: parts.count == 2 ? parts[0] : "default", name: parts.last ?? "")
    }

    /// `namespace/name`, as `init(_:)` reads it.
    package var description: String { "\(namespace)/\(name)" }

    private static func isName(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        func isAlphanumeric(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) }
        guard (1...bytesMax).contains(bytes.count), isAlphanumeric(bytes.first!), isAlphanumeric(bytes.last!) else { return false }
        return bytes.allSatisfy { isAlphanumeric($0) || $0 == 0x2d || $0 == 0x2e }
    }
}

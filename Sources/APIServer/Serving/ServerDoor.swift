package import Identity
package import Network
package import Resources

/// A part of the server's surface that is no object: joining, files, the hub. Audit, authentication and answers of refusals are the server's.
package protocol ServerDoor: Sendable {
    /// It and everything below it is answered here: `/join/v1`.
    var path: String { get }
    /// Whether strangers are let through: the door then asks by itself who they are, and `user` is anonymous whatever they show.
    var isOpen: Bool { get }

    /// Answers a request; nothing but the user's identity has been checked.
    ///
    /// - Parameters:
    ///   - user: who asks; a node has shown the certificate that is recorded on its Node.
    ///   - notes: annotations for the audit log, which hold no secret.
    /// - Throws: a refusal, which is answered as `Status`.
    func answer(_ request: HTTPRequest, _ user: User, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse
}

extension ServerDoor {
    /// Whether a request's path is one of this door's.
    func isMeant(by requested: String) -> Bool {
        let (path, requested) = (path.utf8, requested.utf8)
        guard requested.starts(with: path) else { return false }
        return requested.count == path.count || requested[requested.index(requested.startIndex, offsetBy: path.count)] == UInt8(ascii: "/")
    }
}

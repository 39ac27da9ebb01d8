package import Identity
package import Network
package import Resources

/// One file that is made anew for whoever asks for it by GET, as a copy of a database. Users need the verb `get` for its path.
package struct SnapshotDoor: ServerDoor {
    /// The file's own path; there is nothing below it.
    package let path: String
    /// Strangers are refused before anything is made.
    package let isOpen = false
    private let service: ObjectService
    private let type: String
    private let make: @Sendable () async throws(APIStatus) -> [UInt8]

    /// - Parameters:
    ///   - type: media type of the file.
    ///   - make: the file's bytes; asked for each request.
    package init(path: String, type: String, service: ObjectService, make: @escaping @Sendable () async throws(APIStatus) -> [UInt8]) {
        (self.path, self.type, self.service, self.make) = (path, type, service, make)
    }

    /// See `ServerDoor`.
    package func answer(_ request: HTTPRequest, _ user: User, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse {
        guard request.path == path else { throw .noSuchPath }
        guard request.method == "GET" else { throw .methodNotAllowed }
        try Authorizer(service: service).check(user, AccessRequest(verb: "get", path: path))
        return HTTPResponse(status: 200, headers: ["Content-Type": type], body: .bytes(try await make()))
    }
}

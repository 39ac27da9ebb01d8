import Network
import Resources

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Connections to a cloud as its administrator.
struct CloudConnection: Sendable {
    let port: Int
    private let trust: TLSTrust

    /// Reads what a kubeconfig names.
    init(kubeconfig path: String) throws {
        let text = try String(contentsOf: URL(filePath: path), encoding: .utf8)
        func value(_ key: String) throws -> String {
            let line = text.split(separator: "\n").first { $0.contains("\(key): ") }
            guard let line, let colon = line.firstIndex(of: ":") else { throw Missing(key: key, file: path) }
            return String(line[colon...].dropFirst(2))
        }
        func decoded(_ key: String) throws -> String {
            guard let data = Data(base64Encoded: try value(key)) else { throw Missing(key: key, file: path) }
            return String(decoding: data, as: UTF8.self)
        }
        guard let port = try value("server").split(separator: ":").last.flatMap({ Int($0) }) else { throw Missing(key: "port", file: path) }
        self.port = port
        var trust = TLSTrust()
        trust.chainPEM = try decoded("client-certificate-data")
        trust.keyPEM = try decoded("client-key-data")
        trust.trustedPEM = try decoded("certificate-authority-data")
        self.trust = trust
    }

    struct Missing: Error {
        let key: String
        let file: String
    }

    /// One connection, made with the first request.
    func open() throws -> PooledHTTPClient {
        var limits = HTTPClientLimits()
        limits.connectionsMax = 1
        return try PooledHTTPClient(host: "127.0.0.1", port: port, trust: trust, limits: limits)
    }

    /// One request; the status and the object of its answer.
    static func send(
        _ client: PooledHTTPClient, _ method: String, _ path: String, _ object: JSON? = nil, contentType: String = "application/json"
    ) async throws -> (status: Int, object: JSON) {
        var request = HTTPRequest(method: method, path: path, headers: ["Accept": "application/json"])
        if let object {
            request.headers["Content-Type"] = contentType
            request.body = object.bytes()
        }
        let response = try await client.send(request)
        return (response.status, response.body.first == UInt8(ascii: "{") ? try JSONParser.parse(response.body) : .null)
    }
}

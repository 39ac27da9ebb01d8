import APIServer
import Identity
import Network
import Resources
import Storage
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A server without a network on a store in memory, with a clock and randomness of its own.
final class TestAPI: Sendable {
    static let start = Timestamp(seconds: 1_800_000_000)
    let store: RevisionStore
    let service: ObjectService
    let server: APIServer
    let authority: Authority

    /// - Parameter doors: what the server has beside objects.
    init(doors: (TestAPI.Parts) throws -> [any ServerDoor] = { _ in [] }) async throws {
        store = try RevisionStore(.memory)
        let clock = Clock()
        service = try ObjectService(
            store: store,
            environment: APIEnvironment(
                now: { Timestamp(seconds: Self.start.seconds + clock.seconds.load(ordering: .relaxed)) }, random: clock.next))
        self.clock = clock
        authority = try Authority.make(name: "test", now: Date(timeIntervalSince1970: Double(Self.start.seconds)))
        server = APIServer(
            service: service, tokens: try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM()), programVersion: "test",
            doors: try doors(Parts(service: service, authority: authority)))
        try await InitialObjects.make(in: service)
    }

    /// What doors are made of.
    struct Parts {
        let service: ObjectService
        let authority: Authority
        var client: ServiceClient { ServiceClient(service, user: User(name: "test", groups: ["system:masters"])) }
    }

    final class Clock: Sendable {
        let seconds = Atomic<Int64>(0)
        private let state = Atomic<UInt64>(27)
        @Sendable func next() -> UInt64 {
            var value = state.wrappingAdd(0x9e37_79b9_7f4a_7c15, ordering: .relaxed).newValue
            value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
            return value ^ (value >> 27)
        }
    }

    let clock: Clock

    /// DER of a user's certificate.
    func certificate(_ name: String, _ groups: [String]) throws -> [UInt8] {
        let issued = try authority.issueUser(
            name: name, groups: groups, now: Date(timeIntervalSince1970: Double(Self.start.seconds)), validFor: 3600)
        return Base64.decode(issued.certificatePEM.split(separator: "\n").filter { !$0.hasPrefix("-") }.joined())!
    }

    /// DER of a node's certificate, which is recorded on its Node; the Node is made if it is not there.
    func agent(_ node: String) async throws -> [UInt8] {
        let certificate = try certificate("system:node:\(node)", ["system:nodes"])
        let record = NodeIdentityRecord(certificate: try NodeCertificate(der: certificate).fingerprint)
        let object: JSON = ["metadata": ["name": .string(node), "annotations": record.annotations]]
        let patched = try await send("PATCH", "/api/v1/nodes/\(node)", object, type: "application/merge-patch+json")
        if patched.status == 404 { _ = try await create("/api/v1/nodes", object) }
        return certificate
    }

    func admin() throws -> [UInt8] { try certificate("admin", ["system:masters"]) }

    struct Answer: Sendable {
        let status: Int
        let headers: HTTPHeaders
        let bytes: [UInt8]
        let stream: (any HTTPBodyStream)?
        var json: JSON { (try? JSONParser.parse(bytes)) ?? .null }
        var message: String { json["message"]?.string ?? "" }
    }

    /// Sends a request as the administrator, or as the owner of a certificate.
    func send(
        _ method: String, _ target: String, _ body: JSON? = nil, raw: [UInt8]? = nil, type: String = "application/json",
        accept: String = "application/json",
        headers: [(String, String)] = [], as certificate: [UInt8]?? = nil
    ) async throws -> Answer {
        let parts = target.split(separator: "?", maxSplits: 1)
        var fields = HTTPHeaders()
        fields.add("Accept", accept)
        if body != nil || raw != nil { fields.add("Content-Type", type) }
        for (name, value) in headers { fields.add(name, value) }
        let request = HTTPRequest(
            method: method, path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : "", headers: fields,
            body: raw ?? body?.bytes() ?? [],
            certificate: try certificate ?? admin())
        let response = await server.respond(to: request)
        switch response.body {
        case .bytes(let bytes): return Answer(status: response.status, headers: response.headers, bytes: bytes, stream: nil)
        case .stream(let stream): return Answer(status: response.status, headers: response.headers, bytes: [], stream: stream)
        }
    }

    /// Creates an object and expects that it is taken.
    func create(_ path: String, _ object: JSON) async throws -> JSON {
        let answer = try await send("POST", path, object)
        guard answer.status == 201 else { throw Refused(status: answer.status, message: answer.message) }
        return answer.json
    }

    struct Refused: Error { let status: Int, message: String }
}

/// Everything a stream has at the moment, line by line.
func lines(_ stream: any HTTPBodyStream) throws -> [JSON] {
    var bytes: [UInt8] = []
    loop: while true {
        switch stream.next() {
        case .chunk(let chunk): bytes += chunk
        case .wait, .end, .failed: break loop
        }
    }
    return try bytes.split(separator: 0x0a).map { try JSONParser.parse($0) }
}

let datasets = "/apis/sedna.io/v1alpha1/namespaces/default/datasets"

func dataset(_ name: String, _ labels: JSON = [:]) -> JSON {
    [
        "apiVersion": "sedna.io/v1alpha1", "kind": "Dataset", "metadata": ["name": .string(name), "labels": labels],
        "spec": ["url": "/a", "format": "csv", "nodeName": "edge-node"],
    ]
}

func pod(_ name: String, node: String? = nil) -> JSON {
    var spec: JSON = ["containers": [["name": "c", "image": "x"]]]
    spec["nodeName"] = node.map { .string($0) }
    return ["apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name)], "spec": spec]
}

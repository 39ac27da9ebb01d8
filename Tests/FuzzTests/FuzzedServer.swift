import APIServer
import Identity
import Network
import Resources
import Storage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Nodes that know none of the Pods they are asked for.
private struct NobodyAnswers: NodeCalls {
    func open(_ call: NodeCall, on node: String) async throws(APIStatus) -> any CallStream {
        throw APIStatus(code: 404, reason: "NotFound", message: "node \"\(node)\" knows no such Pod")
    }
}

/// A server in memory with an object of each kind that the corpus speaks of.
final class FuzzedServer: Sendable {
    private static let time = Timestamp(seconds: 1_800_000_000)
    let api: APIServer
    private let admin: [UInt8]
    private let node: [UInt8]

    init() async throws {
        let service = try ObjectService(
            store: try RevisionStore(.memory),
            environment: APIEnvironment(now: { Self.time }, random: { UInt64.random(in: 0 ... .max) }))
        let now = Date(timeIntervalSince1970: Double(Self.time.seconds))
        let authority = try Authority.make(name: "fuzz", now: now)
        func certificate(_ name: String, _ groups: [String]) throws -> [UInt8] {
            let issued = try authority.issueUser(name: name, groups: groups, now: now, validFor: 3600)
            return Base64.decode(issued.certificatePEM.split(separator: "\n").filter { !$0.hasPrefix("-") }.joined())!
        }
        admin = try certificate("admin", ["system:masters"])
        node = try certificate("system:node:n1", ["system:nodes"])
        api = APIServer(
            service: service, tokens: try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM()), programVersion: "fuzz",
            doors: [
                try JoinDoor(
                    client: ServiceClient(service, user: User(name: "fuzz", groups: ["system:masters"])), authority: authority,
                    now: { Self.time })
            ], calls: NobodyAnswers())
        try await InitialObjects.make(in: service)
        let record = NodeIdentityRecord(certificate: try NodeCertificate(der: node).fingerprint)
        for (path, plain) in Self.objects {
            var object = plain
            if path == "/api/v1/nodes" { object[path: ["metadata", "annotations"]] = record.annotations }
            let answer = await send("POST", path, "", ["Content-Type": "application/json"], object.bytes())
            precondition(answer.status == 201, "\(path): \(answer)")
        }
    }

    private static let objects: [(String, JSON)] = [
        ("/api/v1/nodes", ["metadata": ["name": "n1"]]),
        ("/api/v1/namespaces/default/configmaps", ["metadata": ["name": "c", "labels": ["a": "b"]], "data": ["k": "v", "l": "w"]]),
        ("/api/v1/namespaces/default/secrets", ["metadata": ["name": "s"], "data": ["k": "dg=="]]),
        (
            "/api/v1/namespaces/default/pods",
            [
                "metadata": ["name": "p", "labels": ["app": "x"]],
                "spec": [
                    "nodeName": "n1",
                    "containers": [
                        ["name": "a", "image": "i", "env": [["name": "E", "value": "1"]], "ports": [["containerPort": 80]]],
                        ["name": "b", "image": "j"],
                    ],
                ],
            ]
        ),
        (
            "/apis/apps/v1/namespaces/default/deployments",
            [
                "metadata": ["name": "d"],
                "spec": [
                    "replicas": 1, "selector": ["matchLabels": ["app": "d"]],
                    "template": ["metadata": ["labels": ["app": "d"]], "spec": ["containers": [["name": "a", "image": "i"]]]],
                ],
            ]
        ),
        (
            "/apis/sedna.io/v1alpha1/namespaces/default/datasets",
            ["metadata": ["name": "data"], "spec": ["url": "/a", "format": "csv", "nodeName": "n1"]]
        ),
        (
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            [
                "metadata": ["name": "widgets.example.com"],
                "spec": [
                    "group": "example.com", "scope": "Namespaced", "names": ["plural": "widgets", "kind": "Widget"],
                    "versions": [
                        [
                            "name": "v1", "served": true, "storage": true,
                            "schema": [
                                "openAPIV3Schema": [
                                    "type": "object",
                                    "properties": [
                                        "spec": [
                                            "type": "object",
                                            "properties": [
                                                "size": ["type": "integer", "maximum": 10], "name": ["type": "string", "pattern": "^a+$"],
                                            ],
                                        ]
                                    ],
                                ]
                            ],
                        ]
                    ],
                ],
            ]
        ),
    ]

    struct Answer: Sendable {
        let status: Int
        let bytes: [UInt8]
        let type: String
        /// Lines that a watch gave at once; nil without a watch.
        let watched: Int?
    }

    private func send(_ method: String, _ path: String, _ query: String, _ headers: HTTPHeaders, _ body: [UInt8], isNode: Bool = false)
        async -> Answer
    {
        let response = await api.respond(
            to: HTTPRequest(method: method, path: path, query: query, headers: headers, body: body, certificate: isNode ? node : admin))
        let type = response.headers["content-type"] ?? ""
        switch response.body {
        case .bytes(let bytes): return Answer(status: response.status, bytes: bytes, type: type, watched: nil)
        case .stream(let stream):
            stream.start {}
            defer { stream.stop() }
            var count = 0
            while count < 1000, case .chunk = stream.next() { count += 1 }
            return Answer(status: response.status, bytes: [], type: type, watched: count)
        }
    }

    /// Posts to the door where machines join, each time from another address.
    func join(_ path: String, _ body: [UInt8]) async -> (status: Int, message: String) {
        let response = await api.respond(
            to: HTTPRequest(method: "POST", path: path, body: body, peer: "[IPv4]\(UInt64.random(in: 0 ... .max)):1"))
        guard case .bytes(let bytes) = response.body else { return (response.status, "") }
        return (response.status, (try? JSONParser.parse(bytes))?["message"]?.string ?? "")
    }

    /// Sends a request as a corpus file writes it: `METHOD TARGET`, header lines, an empty line, the body.
    func send(file bytes: [UInt8]) async -> Answer {
        let lines = Self.head(bytes)
        let words = lines.first?.split(separator: " ", maxSplits: 1) ?? []
        let target = words.dropFirst().first.map(String.init) ?? "/"
        let mark = target.firstIndex(of: "?")
        var headers = HTTPHeaders()
        for line in lines.dropFirst() {
            let sides = line.split(separator: ":", maxSplits: 1)
            if sides.count == 2 { headers.add(String(sides[0]), String(sides[1].drop { $0 == " " })) }
        }
        return await send(
            words.first.map(String.init) ?? "GET", String(target[..<(mark ?? target.endIndex)]),
            mark.map { String(target[$0...].dropFirst()) } ?? "", headers, Self.body(bytes), isNode: headers["X-As"] == "node")
    }

    private static func split(_ bytes: [UInt8]) -> Int {
        for index in bytes.indices.dropLast() where bytes[index] == 0x0a && bytes[index + 1] == 0x0a { return index }
        return bytes.count
    }

    private static func head(_ bytes: [UInt8]) -> [String] {
        bytes[..<split(bytes)].prefix(16 << 10).split(separator: 0x0a).prefix(64).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func body(_ bytes: [UInt8]) -> [UInt8] { Array(bytes[split(bytes)...].dropFirst(2)) }
}

import APIServer
import Network
import Resources
import Storage
import TestKit
import Testing

@Suite(.offThePool) struct DiscoveryTests {
    @Test func `aggregated discovery has its media type and every kind, plain discovery the same`() async throws {
        let api = try await TestAPI()
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
        var resources = 0
        for path in ["/api", "/apis"] {
            let answer = try await api.send("GET", path, accept: accept)
            #expect(answer.headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
            for group in answer.json["items"]?.array ?? [] {
                for version in group["versions"]?.array ?? [] { resources += version["resources"]?.array?.count ?? 0 }
            }
        }
        #expect(resources == BuiltInKinds.all.count)
        let groups = try await api.send("GET", "/apis").json["groups"]?.array ?? []
        var plain = try await api.send("GET", "/api/v1").json["resources"]?.array ?? []
        for group in groups {
            let version = group["preferredVersion"]?["groupVersion"]?.string ?? ""
            plain += try await api.send("GET", "/apis/\(version)").json["resources"]?.array ?? []
        }
        #expect(plain.filter { !($0["name"]?.string?.contains("/") ?? true) }.count == BuiltInKinds.all.count)
        let ofPods = plain.compactMap { $0["name"]?.string }.filter { $0.hasPrefix("pods/") }.map { String($0.dropFirst(5)) }
        #expect(Set(ofPods) == ["attach", "binding", "eviction", "exec", "log", "portforward", "status"])
    }

    @Test func `every kind's document says what apply looks for and gives each field a text`() async throws {
        let api = try await TestAPI()
        let index = try await api.send("GET", "/openapi/v3").json["paths"]?.object ?? [:]
        var kinds = 0
        for (_, entry) in index {
            let target = entry["serverRelativeURL"]?.string ?? ""
            let document = try await api.send("GET", target).json
            for (path, operations) in document["paths"]?.object ?? [:] {
                guard let patch = operations["patch"] else { continue }
                kinds += 1
                #expect(patch["x-kubernetes-group-version-kind"]?["kind"] != nil, "\(path)")
                #expect(patch["parameters"]?.array?.contains { $0["name"] == "fieldValidation" } == true, "\(path)")
            }
            for (name, schema) in document["components"]?["schemas"]?.object ?? [:] {
                for (field, property) in schema["properties"]?.object ?? [:] {
                    #expect(property["description"] != nil || property["allOf"] != nil || name.contains("fieldsV1"), "\(name).\(field)")
                    if let reference = property["allOf"]?.array?.first?["$ref"]?.string {
                        let target = String(reference.dropFirst("#/components/schemas/".count))
                        #expect(document["components"]?["schemas"]?[target] != nil, "\(name).\(field) → \(target)")
                    }
                }
            }
        }
        #expect(kinds == BuiltInKinds.all.count { $0.verbs.contains("get") })
    }

    @Test func `one document of the older form holds every path and schema, each reference leads somewhere, each list says of what`()
        async throws
    {
        let api = try await TestAPI()
        let answer = try await api.send("GET", "/openapi/v2")
        let document = answer.json
        #expect(document["swagger"] == "2.0")
        let definitions = document["definitions"]?.object ?? [:]
        func check(_ schema: JSON, _ place: String) {
            if let reference = schema["$ref"]?.string {
                let target = String(reference.dropFirst("#/definitions/".count))
                #expect(reference.hasPrefix("#/definitions/") && definitions[target] != nil, "\(place) → \(reference)")
            }
            #expect(schema["type"] != "array" || schema["items"] != nil, "\(place)")
            #expect(schema["allOf"] == nil && schema["anyOf"] == nil && schema["nullable"] == nil, "\(place)")
            for key in ["items", "additionalProperties"] { if let inner = schema[key] { check(inner, place + "." + key) } }
            for (name, property) in schema["properties"]?.object ?? [:] { check(property, place + "." + name) }
        }
        for (name, schema) in definitions { check(schema, name) }
        var kinds = 0
        for (path, operations) in document["paths"]?.object ?? [:] {
            for (method, operation) in operations.object ?? [:] where method != "parameters" {
                for parameter in operation["parameters"]?.array ?? [] where parameter["in"] == "body" {
                    check(parameter["schema"] ?? [:], path)
                }
                #expect(operation["requestBody"] == nil, "\(method) \(path)")
            }
            guard let patch = operations["patch"] else { continue }
            kinds += 1
            // Who applies sends the form that stands here: a strategic patch of a custom kind would be refused.
            let strategic: JSON = "application/strategic-merge-patch+json"
            if path.hasPrefix("/apis/sedna.io") { #expect(patch["consumes"]?.array?.contains(strategic) == false, "\(path)") }
            if path.hasPrefix("/apis/apps") { #expect(patch["consumes"]?.array?.contains(strategic) == true, "\(path)") }
            #expect(patch["parameters"]?.array?.contains { $0["name"] == "fieldValidation" && $0["type"] == "string" } == true, "\(path)")
            let places = (operations["parameters"]?.array ?? []).compactMap { $0["name"]?.string }
            for name in places { #expect(path.contains("{\(name)}")) }
            #expect(path.count { $0 == "{" } == places.count, "\(path)")
        }
        #expect(kinds == BuiltInKinds.all.count { $0.verbs.contains("get") })
        let etag = try #require(answer.headers["ETag"])
        let again = try await api.send("GET", "/openapi/v2", headers: [("If-None-Match", etag)])
        #expect(again.status == 304 && again.bytes.isEmpty)
    }

    @Test func `the older document as protobuf says the same as its JSON`() async throws {
        let api = try await TestAPI()
        let answer = try await api.send("GET", "/openapi/v2", accept: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
        #expect(answer.headers["Content-Type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        let document = try await api.send("GET", "/openapi/v2").json
        let message = try ProtobufMessage(answer.bytes)
        #expect(message.texts(1) == ["2.0"])
        let paths = try #require(message.messages(8).first).messages(2)
        #expect(paths.flatMap { $0.texts(1) } == document["paths"]?.object?.keys)
        let definitions = try #require(message.messages(9).first).messages(1)
        #expect(definitions.flatMap { $0.texts(1) } == document["definitions"]?.object?.keys)
        for (definition, (name, schema)) in zip(definitions, document["definitions"]?.object ?? [:]) {
            let written = try #require(definition.messages(2).first)
            #expect(written.texts(4) == [schema["description"]?.string].compactMap { $0 }, "\(name)")
            let fields = try written.messages(25).flatMap { try $0.messages(1) }.flatMap { $0.texts(1) }
            #expect(fields == schema["properties"]?.object?.keys ?? [], "\(name)")
            let extensions = try written.messages(31).map { ($0.texts(1).first, try $0.messages(2).first?.texts(2).first) }
            for (key, text) in extensions {
                #expect(try key.flatMap { schema[$0] } == JSONParser.parse(Array((text ?? "").utf8)), "\(name)")
            }
            #expect(extensions.count == (schema.object?.keys ?? []).count { $0.hasPrefix("x-") }, "\(name)")
        }
        // A patch's parameters of the query, as kubectl looks for them: path item 8, parameter 8, 1, 2, 3 and its name 4.
        let pod = try #require(paths.first { $0.texts(1) == ["/api/v1/namespaces/{namespace}/pods/{name}"] }?.messages(2).first)
        let patch = try #require(pod.messages(8).first)
        let parameters = try patch.messages(8).flatMap { try $0.messages(1) }.flatMap { try $0.messages(2) }.flatMap { try $0.messages(3) }
        #expect(parameters.flatMap { $0.texts(4) } == ["dryRun", "fieldManager", "fieldValidation", "force"])
        #expect(
            try pod.messages(9).flatMap { try $0.messages(1) }.flatMap { try $0.messages(2) }.flatMap { try $0.messages(4) }
                .flatMap { $0.texts(4) } == ["namespace", "name"])
    }

    @Test func `a table has a cell for each column and the metadata of each row`() async throws {
        let api = try await TestAPI()
        _ = try await api.create(datasets, dataset("a"))
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
        let table = try await api.send("GET", datasets, accept: accept).json
        #expect(table["kind"] == "Table")
        #expect(
            table["columnDefinitions"]?.array?.compactMap { $0["name"]?.string } == ["Name", "Format", "Samples", "Node", "URL", "Age"])
        #expect(table["rows"]?.array?.first?["cells"] == ["a", "csv", 0, "edge-node", "/a", "0s"])
        #expect(table["rows"]?.array?.first?["object"]?["metadata"]?["name"] == "a")
        #expect(try await api.send("GET", datasets + "?includeObject=None", accept: accept).json["rows"]?.array?.first?["object"] == nil)
        let partial = try await api.send("GET", datasets, accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io").json
        #expect(partial["items"]?.array?.first?["kind"] == "PartialObjectMetadata")
        #expect(partial["items"]?.array?.first?["spec"] == nil)
    }
}

@Suite(.offThePool) struct ProtobufTests {
    private func bytes(_ hex: String) -> [UInt8] { hex.split(separator: " ").map { UInt8($0, radix: 16)! } }

    /// What kubectl 1.32.4 sends for `create configmap trace-cm2 --from-literal=a=b`.
    private var configMap: [UInt8] {
        bytes(
            "6b 38 73 00 0a 0f 0a 02 76 31 12 09 43 6f 6e 66 69 67 4d 61 70 12 23 0a 19 0a 09 74 72 61 63 65 2d 63 6d 32 12 00 1a 00 22 00 2a 00 32 00 38 00 42 00 12 06 0a 01 61 12 01 62 1a 00 22 00"
        )
    }

    @Test func `a ConfigMap that kubectl encodes is read`() async throws {
        let api = try await TestAPI()
        let answer = try await api.send(
            "POST", "/api/v1/namespaces/default/configmaps", raw: configMap, type: "application/vnd.kubernetes.protobuf",
            accept: "application/vnd.kubernetes.protobuf,application/json")
        #expect(answer.status == 201)
        #expect(answer.json["metadata"]?["name"] == "trace-cm2")
        #expect(answer.json["data"] == ["a": "b"])
    }

    @Test func `a question whether one may is read and answered`() async throws {
        let api = try await TestAPI()
        let body = bytes(
            "6b 38 73 00 0a 32 0a 17 61 75 74 68 6f 72 69 7a 61 74 69 6f 6e 2e 6b 38 73 2e 69 6f 2f 76 31 12 17 53 65 6c 66 53 75 62 6a 65 63 74 41 63 63 65 73 73 52 65 76 69 65 77 12 3c 0a 10 0a 00 12 00 1a 00 22 00 2a 00 32 00 38 00 42 00 12 1e 0a 1c 0a 07 64 65 66 61 75 6c 74 12 03 67 65 74 1a 00 22 00 2a 04 70 6f 64 73 32 00 3a 00 1a 08 08 00 12 00 1a 00 20 00 1a 00 22 00"
        )
        let answer = try await api.send(
            "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", raw: body, type: "application/vnd.kubernetes.protobuf")
        #expect(answer.status == 201)
        #expect(answer.json["spec"]?["resourceAttributes"]?["resource"] == "pods")
        #expect(answer.json["status"] == ["allowed": true])
    }

    @Test(arguments: [1, 27, 4711] as [UInt64])
    func `changed and cut bodies are refused or read, never more`(seed: UInt64) async throws {
        let api = try await TestAPI()
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for _ in 0..<400 {
            var body = configMap
            for _ in 0...random(4) { body[random(body.count)] = UInt8(random(256)) }
            if random(3) == 0 { body.removeLast(random(body.count)) }
            let answer = try await api.send(
                "POST", "/api/v1/namespaces/default/configmaps?dryRun=All", raw: body, type: "application/vnd.kubernetes.protobuf")
            #expect(answer.status == 201 || (400..<500).contains(answer.status), "\(answer.status) \(body)")
        }
    }

    @Test(arguments: ["None", "Metadata", "Object"])
    func `a list as a table has the rows that its objects have one by one`(included: String) async throws {
        let api = try await TestAPI()
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        for name in ["a", "b"] { _ = try await api.create(datasets, dataset(name, ["x": "y"])) }
        let list = try await api.send("GET", "\(datasets)?includeObject=\(included)", accept: accept).json
        let rows = try #require(list["rows"]?.array)
        #expect(rows.count == 2)
        for (row, name) in zip(rows, ["a", "b"]) {
            let single = try await api.send("GET", "\(datasets)/\(name)?includeObject=\(included)", accept: accept).json
            #expect(single["rows"]?.array == [row])
            #expect(single["columnDefinitions"] == list["columnDefinitions"])
            #expect(row["cells"]?.array?.first?.string == name)
        }
        #expect(list["metadata"]?["resourceVersion"]?.string == String(api.store.revision))
    }
}

/// A protobuf message field by field, read without a schema.
struct ProtobufMessage {
    struct Broken: Error {}
    private var fields: [(number: UInt64, bytes: ArraySlice<UInt8>)] = []

    init(_ bytes: some Sequence<UInt8>) throws {
        var rest = Array(bytes)[...]
        func varint() throws -> UInt64 {
            var value: UInt64 = 0
            for shift in stride(from: UInt64(0), to: 64, by: 7) {
                guard let byte = rest.popFirst() else { throw Broken() }
                value |= UInt64(byte & 0x7f) << shift
                if byte < 0x80 { return value }
            }
            throw Broken()
        }
        while !rest.isEmpty {
            let tag = try varint()
            switch tag & 7 {
            case 0: _ = try varint()
            case 1: rest = rest.dropFirst(8)
            case 2:
                let count = try varint()
                guard count <= rest.count else { throw Broken() }
                fields.append((tag >> 3, rest.prefix(Int(count))))
                rest = rest.dropFirst(Int(count))
            default: throw Broken()
            }
        }
    }

    func texts(_ number: UInt64) -> [String] { fields.filter { $0.number == number }.map { String(decoding: $0.bytes, as: UTF8.self) } }
    func messages(_ number: UInt64) throws -> [ProtobufMessage] {
        try fields.filter { $0.number == number }.map { try ProtobufMessage($0.bytes) }
    }
}

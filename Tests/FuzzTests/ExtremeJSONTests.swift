import Resources
import TestKit
import Testing

/// JSON at the ends of what can be written: each is refused with 4xx, and nothing takes more than its size.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct ExtremeJSONTests {
    private static let maps = "/api/v1/namespaces/default/configmaps"

    private func post(_ path: String, _ body: [UInt8], method: String = "POST", type: String = "application/json") async throws -> (
        status: Int, message: String
    ) {
        let server = try await FuzzedServer()
        let answer = await server.send(file: Array("\(method) \(path)\nContent-Type: \(type)\n\n".utf8) + body)
        return (answer.status, (try? JSONParser.parse(answer.bytes))?["message"]?.string ?? "")
    }

    private func post(_ path: String, _ body: String, method: String = "POST", type: String = "application/json") async throws -> (
        status: Int, message: String
    ) { try await post(path, Array(body.utf8), method: method, type: type) }

    private func repeated(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }

    @Test func `deep JSON is refused`() async throws {
        for opening in ["[", "{\"a\":", "{\"metadata\":{\"annotations\":{\"a\":"] {
            let answer = try await post(Self.maps, repeated(opening, 100_000))
            #expect(answer.status == 400, "\(answer)")
        }
        let closed = "{\"metadata\":{\"name\":\"d\"},\"spec\":" + repeated("{\"a\":", 250) + "1" + repeated("}", 251)
        #expect(try await post("/apis/example.com/v1/namespaces/default/widgets", closed).status == 400)
    }

    @Test func `wide and huge JSON is refused`() async throws {
        let members = (0..<150_000).map { "\"k\($0)\":\"\"" }.joined(separator: ",")
        let bodies = [
            "{\"metadata\":{\"name\":\"w\"},\"data\":{\(members)}}", "{\"metadata\":{\"name\":\"w\",\"labels\":{\(members)}}}",
            "{\"metadata\":{\"name\":\"w\",\"annotations\":{\(members)}}}", "[" + repeated("[],", 900_000) + "[]]",
            "{\"metadata\":{\"name\":\"w\",\"finalizers\":[" + repeated("\"a/b\",", 400_000) + "\"c\"]}}",
            "{\"metadata\":{\"name\":\"\(repeated("a", 2_900_000))\"}}", repeated(" ", 4 << 20),
            "{\"metadata\":{\"name\":\"w\"},\"data\":{\"a\":\"\(repeated("a", 2_900_000))\"}}",
        ]
        for body in bodies {
            let answer = try await post(Self.maps, body)
            #expect((400..<500).contains(answer.status), "\(body.prefix(60)): \(answer.status) \(answer.message.prefix(200))")
        }
    }

    @Test func `keys that stand twice, broken UTF-8 and extreme numbers are refused`() async throws {
        let strict = Self.maps + "?fieldValidation=Strict"
        #expect(try await post(strict, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\",\"k\":\"2\"}}").status == 400)
        #expect(
            try await post(strict, "{\"metadata\":{\"name\":\"a\"},\"data\":{" + repeated("\"k\":\"1\",", 100_000) + "\"k\":\"\"}}").status
                == 400)
        for bytes: [UInt8] in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]] {
            let body = Array("{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"".utf8) + bytes + Array("\"}}".utf8)
            #expect(try await post(Self.maps, body).status == 400, "\(bytes)")
        }
        let deployment = { (replicas: String) in
            """
            {"metadata":{"name":"n"},"spec":{"replicas":\(replicas),"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":
            {"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}
            """
        }
        for number in [
            "1e999", "-1e999", "99999999999999999999", "-9223372036854775809", "2147483648", "1.5", "1e-400", "-1",
            repeated("9", 100_000), "1" + repeated("0", 100_000) + "e-100000", "0x10", "01", "+1", "NaN", "Infinity", "-", "1.", ".5",
        ] {
            let answer = try await post("/apis/apps/v1/namespaces/default/deployments", deployment(number))
            #expect((400..<500).contains(answer.status), "\(number.prefix(40)): \(answer.status) \(answer.message.prefix(200))")
        }
    }

    @Test func `a patch that doubles what it copies is refused before it has grown`() async throws {
        let copies = (0..<60).map { "{\"op\":\"copy\",\"from\":\"/data\",\"path\":\"/data/a\($0)\"}" }.joined(separator: ",")
        let answer = try await post(Self.maps + "/c", "[\(copies)]", method: "PATCH", type: "application/json-patch+json")
        #expect(
            (400..<500).contains(answer.status) && answer.message.contains("copies more than"),
            "\(answer.status) \(answer.message.prefix(200))")
    }

    @Test func `wide patches cost no more than their size`() async throws {
        let server = try await FuzzedServer()
        func send(_ method: String, _ path: String, _ type: String, _ body: String) async -> Int {
            await server.send(file: Array("\(method) \(path)\nContent-Type: application/\(type)\n\n\(body)".utf8)).status
        }
        let members = (0..<20_000).map { "\"k\($0)\":\"\"" }.joined(separator: ",")
        #expect(await send("POST", Self.maps, "json", "{\"metadata\":{\"name\":\"w\"},\"data\":{\(members)}}") == 201)
        let removals = (0..<3_000).map { "{\"op\":\"remove\",\"path\":\"/data/k\($0)\"}" }.joined(separator: ",")
        #expect(await send("PATCH", Self.maps + "/w", "json-patch+json", "[\(removals)]") == 200)
        let nulls = (0..<20_000).map { "\"k\($0)\":null" }.joined(separator: ",")
        #expect(await send("PATCH", Self.maps + "/w?dryRun=All", "merge-patch+json", "{\"data\":{\(nulls)}}") == 200)
        #expect(await send("PATCH", Self.maps + "/w", "strategic-merge-patch+json", "{\"data\":{\(nulls)}}") == 200)
        let containers = (0..<20_000).map { "{\"name\":\"c\($0)\"}" }.joined(separator: ",")
        let status = await send(
            "PATCH", "/api/v1/namespaces/default/pods/p", "strategic-merge-patch+json", "{\"spec\":{\"containers\":[\(containers)]}}")
        #expect((400..<500).contains(status), "\(status)")
        let finalizers = (0..<20_000).map { "\"a.b/f\($0)\"" }.joined(separator: ",")
        let merged = await send(
            "PATCH", Self.maps + "/c", "strategic-merge-patch+json", "{\"metadata\":{\"finalizers\":[\(finalizers)]}}")
        #expect((200..<500).contains(merged), "\(merged)")
    }
}

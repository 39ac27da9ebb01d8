import Resources
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Every request, however broken, is answered: with 2xx or 4xx, with JSON that says why, without a crash or a hang.
@Suite(.offThePool, .serialized, .timeLimit(.minutes(600))) struct RequestFuzzTests {
    private static let countInShare = 800
    /// Requests to one server, so that what they leave in it stays bounded.
    private static let requestsOfAServer = 1000
    private static let words = [
        "metadata", "name", "namespace", "labels", "annotations", "managedFields", "finalizers", "ownerReferences", "resourceVersion",
        "spec", "status", "apiVersion", "kind", "v1", "Pod", "ConfigMap", "Deployment", "generateName", "deletionTimestamp", "uid",
        "{", "}", "[", "]", ":", ",", "\"", "\\u0000", "\\ud800", "{\"\":", "[[[[[[[[", "$patch", "$setElementOrder/containers",
        "$retainKeys", "$deleteFromPrimitiveList/finalizers", "op", "path", "from", "value", "add", "remove", "replace", "move", "copy",
        "test", "/-", "~1", "~0", "/metadata/labels", "/spec/containers/0", "GET ", "POST ", "PUT ", "PATCH ", "DELETE ", "?watch=true",
        "&limit=1", "&continue=", "&resourceVersion=", "&resourceVersionMatch=Exact", "&labelSelector=", "&fieldSelector=",
        "&dryRun=All", "&fieldValidation=Strict", "&force=true", "&fieldManager=m", "&propagationPolicy=Foreground",
        "&gracePeriodSeconds=", "&sendInitialEvents=true", "&allowWatchBookmarks=true", " in (", " notin (", "==", "!=", "!",
        "/status", "/scale", "/binding", "/log", "/exec", "f:metadata", "k:{\"name\":\"a\"}", "v:1", "fieldsV1", "FieldsV1", "manager",
        "application/json", ";as=Table;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf", "application/yaml", "\n  ", "- ", "|\n",
        "&a ",
        "*a", "<<: ",
    ]

    /// Those that `SKERRY_FUZZ_TARGETS` names, by commas; all without it.
    private static let targets: [String] = {
        let all = ["json", "patch-json", "patch-merge", "patch-strategic", "patch-apply", "yaml", "selectors", "protobuf", "table"]
        guard let chosen = getenv("SKERRY_FUZZ_TARGETS").map({ String(cString: $0) }), !chosen.isEmpty else { return all }
        return all.filter(chosen.split(separator: ",").map(String.init).contains)
    }()

    @Test(arguments: targets)
    func `every request is answered within limits`(target: String) async throws {
        var fuzzer = try Fuzzer(target, corpus: "Tests/FuzzTests/Corpus/\(target)", words: Self.words)
        var server = try await FuzzedServer()
        var requestCount = 0
        let result = try await fuzzer.run(count: Self.countInShare) { input in
            requestCount += 1
            if requestCount % Self.requestsOfAServer == 0 { server = try await FuzzedServer() }
            return Self.verdict(await server.send(file: input))
        }
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.signatureCount > 10 || !result.failures.isEmpty, "\(result.signatureCount) different answers: nothing was reached")
    }

    private static func verdict(_ answer: FuzzedServer.Answer) -> Fuzzer.Verdict {
        if let lines = answer.watched { return .right(signature: "watch \(min(lines, 3))") }
        guard answer.type.hasPrefix("application/json") else {
            return (200..<300).contains(answer.status) || (400..<500).contains(answer.status)
                ? .right(signature: "\(answer.status) \(answer.type)") : .wrong("status \(answer.status)")
        }
        guard let object = try? JSONParser.parse(answer.bytes, limits: .init(depthMax: 300, bytesMax: 64 << 20)) else {
            return .wrong("the answer \(answer.status) is no JSON: \(String(decoding: answer.bytes.prefix(300), as: UTF8.self))")
        }
        let message = object["message"]?.string ?? ""
        switch answer.status {
        case 200..<300: return .right(signature: "\(answer.status) \(object["kind"]?.string ?? "")")
        // A revision of the future, as a real server answers it.
        case 504 where message.hasPrefix("Too large resource version"): return .right(signature: "504")
        case 400..<500: return .right(signature: "\(answer.status) \(shape(message))")
        default: return .wrong("status \(answer.status): \(message)")
        }
    }

    /// A message without what was put into it.
    private static func shape(_ message: String) -> String {
        var shape = ""
        var isQuoted = false
        for byte in message.utf8.prefix(160) {
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { isQuoted.toggle() }
            if !isQuoted, byte > 0x40, byte < 0x7f { shape.unicodeScalars.append(Unicode.Scalar(byte)) }
        }
        return shape
    }
}

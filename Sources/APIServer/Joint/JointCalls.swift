package import Resources
import Synchronization

/// Brings what a small model cannot answer to the large one of its service: from the node of an edge worker to the Pod of the cloud worker, on
/// whatever node that runs.
package struct JointCalls: Sendable {
    /// Bytes of a question and of an answer.
    package static let bytesMax = 4 << 20
    /// Time for one question; beyond: 504.
    package static let timeout: Duration = .seconds(30)

    /// Workers whose names are remembered.
    private static let workersMax = 4096
    private static let kind = "JointInferenceService"

    private let client: any ObjectClient
    private let calls: any NodeCalls
    private let known = KnownWorkers()

    /// - Parameters:
    ///   - client: sees all Pods.
    ///   - calls: reaches every node.
    package init(client: any ObjectClient, calls: any NodeCalls) { (self.client, self.calls) = (client, calls) }

    /// Asks the cloud worker of a service, `POST /v2/models/SERVICE/infer` of the Open Inference Protocol.
    ///
    /// - Parameters:
    ///   - node: who asks; it must have an edge worker of the service. Nil for who may ask in any case.
    ///   - body: the question: JSON, with tensors as bytes behind it where it says so.
    /// - Returns: the worker's answer of status 200.
    /// - Throws: 403 for a node that is no part of the service; 422 with the worker's words for a question that its model does not take; 503 while
    ///   there is no cloud worker; 413, 502 and 504.
    package func ask(_ service: ObjectKey, by node: String?, _ body: [UInt8]) async throws(APIStatus) -> [UInt8] {
        guard body.count <= Self.bytesMax else {
            throw APIStatus(
                code: 413, reason: "RequestEntityTooLarge", message: "a question of \(body.count) bytes; at most \(Self.bytesMax) are taken"
            )
        }
        let target = try await target(service, by: node)
        let stream = try await calls.open(.portForward(target.pod, port: target.port), on: target.node)
        let head =
            "POST /v2/models/\(service.name)/infer HTTP/1.1\r\nHost: \(service.name)\r\nContent-Type: application/json\r\n"
            + "Content-Length: \(body.count)\r\n\(Self.lengthOfJSON(body))Connection: close\r\n\r\n"
        let answer = await Self.exchange(stream, Array(head.utf8) + body)
        stream.close(nil)
        return try Self.read(try answer.get(), service)
    }

    /// The header that says where the JSON of a question ends and its tensors begin; empty for JSON alone.
    static func lengthOfJSON(_ body: [UInt8]) -> String {
        var (depth, isText, isEscaped) = (0, false, false)
        for (place, byte) in body.enumerated() {
            if isText {
                if isEscaped { isEscaped = false } else if byte == 0x5c { isEscaped = true } else if byte == 0x22 { isText = false }
                continue
            }
            switch byte {
            case 0x22: isText = true
            case 0x7b, 0x5b: depth += 1
            case 0x7d, 0x5d: depth -= 1
            default: continue
            }
            if depth == 0, !isText {
                let isAlone = body[(place + 1)...].allSatisfy { [0x20, 0x09, 0x0a, 0x0d].contains($0) }
                return isAlone ? "" : "Inference-Header-Content-Length: \(place + 1)\r\n"
            }
        }
        return ""
    }

    private struct Target {
        var pod: PodTarget
        var node: String
        var port: Int
    }

    private func target(_ service: ObjectKey, by node: String?) async throws(APIStatus) -> Target {
        if let node {
            let edge = try await worker(of: service, "edge", on: node) { $0["spec"]?["nodeName"]?.string == node }
            guard edge != nil else {
                throw APIStatus(
                    code: 403, reason: "Forbidden",
                    message:
                        "node \"\(node)\" has no edge worker of the joint inference service \(service); only those ask its cloud worker")
            }
        }
        let cloud = try await worker(of: service, "cloud") { pod in
            pod["status"]?["phase"]?.string == "Running" && pod["spec"]?["nodeName"] != nil && Self.port(pod) != nil
        }
        guard let cloud, let host = cloud["spec"]?["nodeName"]?.string, let port = Self.port(cloud) else {
            throw APIStatus(
                code: 503, reason: "ServiceUnavailable",
                message: "the cloud worker of the joint inference service \(service) does not run, or has not said where it listens")
        }
        return Target(pod: PodTarget(namespace: service.namespace, pod: ObjectKey(cloud).name), node: host, port: port)
    }

    // MARK: Workers

    /// Names of workers that were found before: a service may have many, and each question would look through all Pods of the namespace.
    private final class KnownWorkers: Sendable {
        struct Key: Hashable {
            var service: ObjectKey
            var type: String
            var node: String
        }
        private let names = Mutex<[Key: String]>([:])

        func name(_ key: Key) -> String? { names.withLock { $0[key] } }

        func remember(_ name: String, _ key: Key) {
            names.withLock { names in
                if names.count >= JointCalls.workersMax { names = [:] }
                names[key] = name
            }
        }
    }

    /// A worker as it is now; nil where there is none that is wanted.
    private func worker(
        of service: ObjectKey, _ type: String, on node: String = "", _ isWanted: (JSON) -> Bool
    ) async throws(APIStatus) -> JSON? {
        let key = KnownWorkers.Key(service: service, type: type, node: node)
        let labels = [WorkerContract.label(Self.kind, "name"): service.name, WorkerContract.label(Self.kind, "worker-type"): type]
        if let name = known.name(key), let pod = try await pod(ObjectKey(namespace: service.namespace, name: name)),
            labels.allSatisfy({ pod["metadata"]?["labels"]?[$0]?.string == $1 }), isWanted(pod)
        {
            return pod
        }
        let selector = labels.map { "\($0)=\($1)" }.sorted().joined(separator: ",")
        let pods = try await client.listAll(.pod, Resources.ListQuery(namespace: service.namespace, labelSelector: selector)).items
        guard let found = pods.first(where: isWanted) else { return nil }
        known.remember(ObjectKey(found).name, key)
        return found
    }

    private func pod(_ key: ObjectKey) async throws(APIStatus) -> JSON? {
        do { return try await client.get(.pod, key) } catch {
            if error.code == 404 { return nil }
            throw error
        }
    }

    /// Where the worker says that it listens; else Sedna's variable of its template.
    private static func port(_ pod: JSON) -> Int? {
        if let told = WorkerState(pod)?.report.ownerInfo["address"]?.string {
            return told.split(separator: ":").last.flatMap { Int($0) }.flatMap { (1...65535).contains($0) ? $0 : nil }
        }
        let variables = (pod["spec"]?["containers"]?.array ?? []).flatMap { $0["env"]?.array ?? [] }
        let bound = variables.first { $0["name"]?.string == "BIG_MODEL_BIND_PORT" }?["value"]?.string
        return bound.flatMap { Int($0) }.flatMap { (1...65535).contains($0) ? $0 : nil }
    }

    // MARK: One question

    private static func exchange(_ stream: any CallStream, _ question: [UInt8]) async -> Result<[UInt8], APIStatus> {
        await withTaskGroup(of: Result<[UInt8], APIStatus>?.self) { group in
            group.addTask {
                do throws(APIStatus) {
                    var rest = question[...]
                    while !rest.isEmpty {
                        try await stream.send(.data(.stdin, Array(rest.prefix(CallFrame.bytesMax))))
                        rest = rest.dropFirst(CallFrame.bytesMax)
                    }
                    return nil
                } catch { return .failure(error) }
            }
            group.addTask {
                do throws(APIStatus) { return .success(try await receive(stream)) } catch { return .failure(error) }
            }
            group.addTask {
                try? await Task.sleep(for: timeout)
                return .failure(APIStatus(code: 504, reason: "Timeout", message: "the cloud worker did not answer within \(timeout)"))
            }
            defer { group.cancelAll() }
            while let ended = await group.next() { if let found = ended { return found } }
            return .failure(APIStatus(code: 502, reason: "BadGateway", message: "the cloud worker said nothing"))
        }
    }

    private static func receive(_ stream: any CallStream) async throws(APIStatus) -> [UInt8] {
        var bytes: [UInt8] = []
        while let frame = try await stream.receive() {
            switch frame {
            case .data(_, let part): bytes += part
            case .end: return bytes
            }
            guard bytes.count <= bytesMax + 16 << 10 else {
                throw APIStatus(code: 502, reason: "BadGateway", message: "the cloud worker's answer has more than \(bytesMax) bytes")
            }
            if isWhole(bytes) { return bytes }
        }
        return bytes
    }

    // MARK: Its answer

    private static let blank = Array("\r\n\r\n".utf8)

    private static func bodyStart(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= blank.count else { return nil }
        return (0...bytes.count - blank.count).first { bytes[$0] == blank[0] && Array(bytes[$0..<$0 + blank.count]) == blank }.map {
            $0 + blank.count
        }
    }

    private static func isWhole(_ bytes: [UInt8]) -> Bool {
        guard let start = bodyStart(bytes), let length = length(bytes[..<start]) else { return false }
        return bytes.count >= start + length
    }

    private static func length(_ head: ArraySlice<UInt8>) -> Int? {
        for line in head.split(separator: 0x0a) {
            let parts = String(decoding: line, as: UTF8.self).split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "content-length" else { continue }
            return Int(String(decoding: parts[1].utf8.filter { (0x30...0x39).contains($0) }, as: UTF8.self))
        }
        return nil
    }

    /// The body of a whole answer of status 200.
    ///
    /// - Throws: with the worker's own words: 422 for a question that it refuses, 502 for anything else.
    static func read(_ bytes: [UInt8], _ service: ObjectKey) throws(APIStatus) -> [UInt8] {
        func wrong(_ what: String) -> APIStatus {
            APIStatus(code: 502, reason: "BadGateway", message: "the cloud worker of the joint inference service \(service) \(what)")
        }
        guard let start = bodyStart(bytes), bytes.starts(with: Array("HTTP/1.".utf8)) else { throw wrong("gave no answer of HTTP/1.1") }
        let line = String(decoding: bytes.prefix { $0 != 0x0d }, as: UTF8.self)
        let body = Array(bytes[start...])
        if let length = length(bytes[..<start]), body.count < length {
            throw wrong("broke its answer off after \(body.count) of \(length) bytes")
        }
        let status = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        guard status == 200 else {
            if [400, 409, 413, 415].contains(status) {
                throw APIStatus(
                    code: 422, reason: "Invalid",
                    message:
                        "the cloud worker of the joint inference service \(service) does not take the question:"
                        + " \(String(decoding: body.prefix(300), as: UTF8.self))"
                )
            }
            throw wrong("answered \(line.prefix(60)): \(String(decoding: body.prefix(300), as: UTF8.self))")
        }
        return body
    }
}

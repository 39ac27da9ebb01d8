import Dispatch
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Stock `kubectl port-forward` (SPDY within a WebSocket, or by itself) to a process in a Pod, in the cloud's own node and at an edge over the hub.
@Suite(
    .offThePool, .enabled(if: Cloud.kubectl != nil && ServingProgram.find("python3") != nil, "kubectl or python3 is not installed"),
    .timeLimit(.minutes(30)))
struct KubectlPortForwardTests {
    /// Gives back what each connection brings, then one word more; says on which port.
    private static func pod(_ name: String, node: String) -> String {
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: \(name)}
        spec:
          nodeName: \(node)
          terminationGracePeriodSeconds: 1
          containers:
            - name: echo
              image: none
              command:
                - python3
                - -uc
                - |
                  import socket, threading
                  def serve(one):
                      while True:
                          got = one.recv(65536)
                          if not got: break
                          one.sendall(got)
                      one.sendall(b"bye")
                      one.close()
                  door = socket.create_server(("127.0.0.1", 0))
                  print(door.getsockname()[1])
                  while True: threading.Thread(target=serve, args=(door.accept()[0],)).start()
        """
    }

    /// Sends bytes to a port of this machine, ends the sending, and reads until the other side has ended too.
    private static func exchange(_ port: Int, _ bytes: [UInt8]) async -> [UInt8] {
        await withCheckedContinuation { continuation in
            DispatchQueue(label: "exchanges").async { continuation.resume(returning: exchangeNow(port, bytes)) }
        }
    }

    private static func exchangeNow(_ port: Int, _ bytes: [UInt8]) -> [UInt8] {
        let end = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(end) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let isConnected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(end, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 }
        }
        guard isConnected else { return [] }
        DispatchQueue(label: "sends").async {
            var start = 0
            while start < bytes.count {
                let count = bytes[start...].withUnsafeBytes { send(end, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                if count <= 0 { break }
                start += count
            }
            shutdown(end, Int32(SHUT_WR))
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while case let count = recv(end, &buffer, buffer.count, 0), count > 0 { answer += buffer[..<count] }
        return answer
    }

    /// - Parameter client: the kubectl that forwards; nil for the first of PATH.
    private func check(_ cloud: Cloud, pod: String, node: String, by client: String? = nil) async throws {
        try cloud.write("\(pod).yaml", Self.pod(pod, node: node))
        #expect(await cloud.kubectl("apply -f \(cloud.folder)/\(pod).yaml").status == 0)
        let ready = await cloud.kubectl("wait pod/\(pod) --for=condition=Ready --timeout=60s")
        #expect(ready.status == 0, "\(ready.error)")
        var port = ""
        try await Edge.until("a port in the log") {
            port = await cloud.kubectl("logs \(pod)").output.filter { $0.isNumber }
            return !port.isEmpty
        }
        let forward = ServingProgram(
            client ?? Cloud.kubectl!, ["port-forward", "pod/\(pod)", ":\(port)"],
            environment: ["KUBECONFIG": "\(cloud.folder)/admin.kubeconfig", "HOME": cloud.folder], folder: cloud.folder)
        try await Edge.until("a forwarded port: \(forward.output) \(forward.error)") {
            forward.output.contains("Forwarding from 127.0.0.1:")
        }
        let local = Int(forward.output.split(separator: "127.0.0.1:").dropFirst().first?.prefix { $0.isNumber } ?? "") ?? 0
        // Connections beside each other, each with more than any buffer on the way holds.
        let sent = (0..<4).map { seed in (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ seed &+ $0 >> 8) } }
        let answers = await withTaskGroup(of: (Int, [UInt8]).self) { group in
            for (number, bytes) in sent.enumerated() { group.addTask { (number, await Self.exchange(local, bytes)) } }
            var answers: [Int: [UInt8]] = [:]
            for await (number, answer) in group { answers[number] = answer }
            return answers
        }
        for (number, bytes) in sent.enumerated() {
            let isRight = answers[number] == bytes + Array("bye".utf8)
            #expect(isRight, "connection \(number): \(answers[number]?.count ?? 0) bytes, \(forward.error)")
        }
        // Connections that came and went leave room for others.
        for _ in 0..<20 { #expect(await Self.exchange(local, [1, 2, 3]) == [1, 2, 3] + Array("bye".utf8)) }
        forward.signal(SIGTERM)
        _ = await forward.wait()
    }

    @Test func `a port of a Pod in the cloud's own process is forwarded, many connections at a time`() async throws {
        try await Cloud.with(node: true) { cloud in
            try await check(cloud, pod: "echo", node: "cloud-0")
            // The oldest asks for SPDY itself.
            if let oldest = Cloud.otherKubectls.first { try await check(cloud, pod: "echo", node: "cloud-0", by: oldest) }
            // Nobody listens there: the reason comes to kubectl, which then ends.
            let dead = ServingProgram(
                Cloud.kubectl!, ["port-forward", "pod/echo", ":1"],
                environment: ["KUBECONFIG": "\(cloud.folder)/admin.kubeconfig", "HOME": cloud.folder], folder: cloud.folder)
            try await Edge.until("a forwarded port: \(dead.error)") { dead.output.contains("Forwarding from 127.0.0.1:") }
            let local = Int(dead.output.split(separator: "127.0.0.1:").dropFirst().first?.prefix { $0.isNumber } ?? "") ?? 0
            #expect(await Self.exchange(local, [1]) == [])
            let ended = await dead.wait()
            #expect(ended.error.contains("connection refused"), "\(ended.error)")
            #expect(await cloud.kubectl("delete pod echo --timeout=60s").status == 0)
        }
    }

    @Test func `a port of a Pod at an edge is forwarded through the hub`() async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder)
        let edge = try await Edge.join(cloud)
        try await check(cloud, pod: "echo", node: "e1")
        #expect(await cloud.kubectl("delete pod echo --timeout=60s").status == 0)
        await edge.stop()
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}

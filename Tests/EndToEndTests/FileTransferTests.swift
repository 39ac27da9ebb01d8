import Storage
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

/// Files by digest against a running `skerry cloud`, by curl: what others would use.
@Suite(.offThePool, .enabled(if: ServingProgram.find("curl") != nil, "curl is not installed")) struct FileTransferTests {
    private static let partBytes = 1 << 20

    /// Asks a cloud as its administrator.
    private struct Curl {
        let folder: String
        let port: String

        /// Writes what the kubeconfig holds as the files that curl wants.
        init(_ folder: String) throws {
            self.folder = folder
            let text = try String(contentsOf: URL(filePath: folder + "/admin.kubeconfig"), encoding: .utf8)
            func value(_ key: String) -> String {
                let line = text.split(separator: "\n").first { $0.contains(key + ": ") } ?? ""
                return String(line.split(separator: " ").last ?? "")
            }
            for (key, name) in [("certificate-authority-data", "ca"), ("client-certificate-data", "crt"), ("client-key-data", "key")] {
                try (Data(base64Encoded: value(key)) ?? Data()).write(to: URL(filePath: "\(folder)/\(name).pem"))
            }
            port = String(value("server").split(separator: ":").last ?? "")
        }

        /// Status and head of the answer; its body is in the file `answer`.
        func ask(_ digest: ArtifactDigest, _ arguments: [String], body: [UInt8]? = nil) async throws -> (status: String, head: String) {
            var all = [
                "-s", "--cacert", "\(folder)/ca.pem", "--cert", "\(folder)/crt.pem", "--key", "\(folder)/key.pem", "-o", "\(folder)/answer",
                "-D", "\(folder)/head", "-w", "%{http_code}",
            ]
            if let body {
                try Data(body).write(to: URL(filePath: folder + "/body"))
                all += ["-X", "PUT", "--data-binary", "@\(folder)/body", "-H", "Content-Type: application/octet-stream"]
            }
            let result = await ServingProgram(
                ServingProgram.find("curl")!, all + arguments + ["https://127.0.0.1:\(port)/artifacts/sha256/\(digest.hex)"], folder: folder
            ).wait()
            let head = (try? String(contentsOf: URL(filePath: folder + "/head"), encoding: .utf8)) ?? ""
            return (result.output, head.lowercased())
        }

        /// Sends the part of a file that begins somewhere.
        func put(_ bytes: [UInt8], from start: Int, _ digest: ArtifactDigest) async throws -> (status: String, head: String) {
            let end = min(start + FileTransferTests.partBytes, bytes.count)
            return try await ask(
                digest, ["-H", "Content-Range: bytes \(start)-\(end - 1)/\(bytes.count)"], body: Array(bytes[start..<end]))
        }
    }

    private static func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 11) } }

    @Test func `a file whose sending a kill cut short is gone on with, and is what its name says`() async throws {
        let folder = try Cloud.newFolder()
        let file = Self.bytes(5_000_000)
        let digest = ArtifactDigest(of: file)
        let cloud = try await Cloud.start(in: folder)
        var curl = try Curl(folder)
        for part in 0..<3 { #expect(try await curl.put(file, from: part * Self.partBytes, digest).status == "202") }
        cloud.program.signal(SIGKILL)
        _ = await cloud.program.wait()
        let next = try await Cloud.start(in: folder)
        curl = try Curl(folder)
        let asked = try await curl.ask(digest, ["-H", "Content-Range: bytes */5000000"], body: [])
        #expect(asked.status == "202" && asked.head.contains("upload-offset: \(3 * Self.partBytes)"), "\(asked)")
        #expect(try await curl.put(file, from: 3 * Self.partBytes, digest).status == "202")
        #expect(try await curl.put(file, from: 4 * Self.partBytes, digest).status == "201")
        #expect(try await curl.ask(digest, []).status == "200")
        #expect([UInt8](try Data(contentsOf: URL(filePath: folder + "/answer"))) == file)
        #expect(try await curl.ask(digest, ["-r", "4999990-"]).status == "206")
        #expect([UInt8](try Data(contentsOf: URL(filePath: folder + "/answer"))) == Array(file[4_999_990...]))
        await next.stop()
        try FileManager.default.removeItem(atPath: folder)
    }

    /// A limit on the size of files stands for a full disk: writing fails in the same place.
    @Test func `a disk that becomes full keeps no half of a file, and the cloud serves on`() async throws {
        let folder = try Cloud.newFolder()
        let script =
            "trap '' XFSZ; ulimit -f 5000; exec \(ServingProgram.builtFolder)/skerry cloud --data-dir \(folder) --listen 127.0.0.1:0"
        let program = ServingProgram("/bin/sh", ["-c", script], folder: folder)
        while !program.error.contains("export KUBECONFIG") {
            guard waitpid(program.pid, nil, WNOHANG) == 0 else { throw Cloud.Failed(text: program.error) }
            try await Task.sleep(for: .milliseconds(10))
        }
        let curl = try Curl(folder)
        let file = Self.bytes(9_000_000)
        let digest = ArtifactDigest(of: file)
        var status = "202"
        var start = 0
        while status == "202", start < file.count {
            status = try await curl.put(file, from: start, digest).status
            start += Self.partBytes
        }
        #expect(status == "507")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/artifacts/parts").isEmpty)
        #expect(try await curl.ask(digest, []).status == "404")
        let small = Self.bytes(100_000)
        #expect(try await curl.put(small, from: 0, ArtifactDigest(of: small)).status == "201")
        program.signal(SIGTERM)
        #expect(await program.wait().status == 0)
        try FileManager.default.removeItem(atPath: folder)
    }
}

import APIServer
import Identity
import Network
import Resources
import TestKit
import Testing

/// Whatever a stranger sends to be let in is read or refused, within its bounds.
@Suite(.offThePool, .serialized, .timeLimit(.minutes(600))) struct JoinFuzzTests {
    private static let countInShare = 4000

    @Test func `every text is a token or is not, and a token is written as it was read`() async throws {
        var fuzzer = try Fuzzer(
            "join-token", corpus: "Tests/FuzzTests/Corpus/join-token",
            words: [
                "K1.", "K2.", ".", ":", "[", "]", "::1", "127.0.0.1", "7443", "65536", "0", "a", "f", "g", "\0", "\n", "é", "-", "@", "/",
            ])
        let result = try await fuzzer.run(count: Self.countInShare) { input in
            let text = String(decoding: input, as: UTF8.self)
            do throws(IdentityError) {
                let token = try JoinToken(text)
                // An address may be written in more than one way; what is read is the same.
                guard try JoinToken(token.text) == token, token.text.utf8.count <= JoinToken.bytesMax else {
                    return .wrong("read as \(token.text)")
                }
                return .right(signature: "token \(token.host.contains(":"))")
            } catch {
                guard !error.description.isEmpty, error.description.utf8.count < 1000 else { return .wrong("error \(error)") }
                return .right(signature: String(error.description.filter { $0.isLetter }.prefix(60)))
            }
        }
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.signatureCount > 5, "\(result.signatureCount) different answers: nothing was reached")
    }

    @Test func `no signing request is read that was changed`() async throws {
        var fuzzer = try Fuzzer(
            "signing-request", corpus: "Tests/FuzzTests/Corpus/signing-request",
            words: ["\u{30}\u{7f}", "\u{02}\u{01}", "\0\0", "\u{3}\u{42}", "\u{6}\u{8}", "0", "\u{30}\u{30}"])
        let result = try await fuzzer.run(count: Self.countInShare) { input in
            let pem =
                "-----BEGIN CERTIFICATE REQUEST-----\n\(Base64.encode(input.prefix(8000)))\n-----END CERTIFICATE REQUEST-----\n"
            do throws(IdentityError) {
                let request = try SigningRequest(pem: pem)
                return .right(signature: "request \(request.keyFingerprint.prefix(2))")
            } catch { return .right(signature: String(error.description.filter { $0.isLetter }.prefix(80))) }
        }
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.signatureCount > 5, "\(result.signatureCount) different answers: nothing was reached")
    }

    @Test func `no certificate or authority is read beyond its bounds`() async throws {
        var fuzzer = try Fuzzer(
            "certificate-pem", corpus: "Tests/FuzzTests/Corpus/certificate-pem",
            words: ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "MII", "=", "\n", "A", "/", "+", "\0"])
        let result = try await fuzzer.run(count: Self.countInShare / 2) { input in
            let text = String(decoding: input, as: UTF8.self)
            let authority = (try? PinnedAuthority(pem: text)).map { _ in "authority" } ?? "-"
            let node = (try? NodeCertificate(pem: text)).map { _ in "node" } ?? "-"
            guard authority == "-" || node == "-" else { return .wrong("both an authority and a node") }
            do throws(IdentityError) {
                _ = try NodeCertificate(pem: text)
                return .right(signature: "node")
            } catch { return .right(signature: authority + String(error.description.filter { $0.isLetter }.prefix(80))) }
        }
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.signatureCount > 3, "\(result.signatureCount) different answers: nothing was reached")
    }

    @Test func `every request to the door is answered by 4xx`() async throws {
        var fuzzer = try Fuzzer(
            "join-body", corpus: "Tests/FuzzTests/Corpus/join-body",
            words: [
                "{", "}", "\"token\":", "\"node\":", "\"request\":", "\"certificate\":", "\"proof\":", "\"hostName\":", "null", "[]",
                "\\u0000",
            ])
        let server = try await FuzzedServer()
        let result = try await fuzzer.run(count: Self.countInShare / 2) { input in
            for path in ["/join/v1", "/join/v1/renewal", "/join/v1/confirmation"] {
                let answer = await server.join(path, input)
                guard (400..<500).contains(answer.status) else { return .wrong("\(path): \(answer.status)") }
            }
            let answer = await server.join("/join/v1", input)
            return .right(signature: "\(answer.status) \(String(answer.message.filter { $0.isLetter }.prefix(40)))")
        }
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.signatureCount > 5, "\(result.signatureCount) different answers: nothing was reached")
    }
}

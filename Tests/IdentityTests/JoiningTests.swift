import Crypto
import Identity
import SwiftASN1
import Testing
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct JoinTokenTests {
    private let digest = String(repeating: "ab", count: 32)
    private let secret = JoinSecret(bytes: Array(0..<16))

    @Test(arguments: ["127.0.0.1", "cloud.example.com", "cloud", "2001:db8::1", "::ffff:192.0.2.1"])
    func `a token is read back as it was made`(host: String) throws {
        let token = try JoinToken(authority: digest, host: host, port: 7443, secret: secret)
        let read = try JoinToken(token.text)
        #expect(read == token)
        #expect((read.host, read.port) == (host, 7443))
        #expect(read.authority == digest)
        #expect(read.secret.hash == secret.hash)
    }

    @Test func `neither a token's description nor its hash holds the secret`() throws {
        let token = try JoinToken(authority: digest, host: "cloud", port: 1, secret: secret)
        let text = String(token.text.suffix(32))
        #expect(text == "000102030405060708090a0b0c0d0e0f")
        #expect(!"\(token)".contains(text) && !"\(token.secret)".contains(text) && token.secret.hash != text)
        #expect(secret.hash.hasPrefix(secret.id) && secret.hash.count == 64)
    }

    /// Each with a word that its error must say.
    static let hostile: [(String, String)] = {
        let digest = String(repeating: "ab", count: 32)
        let secret = String(repeating: "01", count: 16)
        return [
            ("", "empty"), ("K1", "too few dots: 0"), ("K1...", "found 0 characters"), (String(repeating: "x", count: 513), "513 bytes"),
            ("K2.\(digest).cloud:1.\(secret)", "\"K2\""), ("k1.\(digest).cloud:1.\(secret)", "\"k1\""),
            ("K1.\(digest.dropLast()).cloud:1.\(secret)", "63 characters"), ("K1.\(digest.uppercased()).cloud:1.\(secret)", "SHA-256"),
            ("K1.\(digest.dropLast())g.cloud:1.\(secret)", "SHA-256"), ("K1.\(digest).cloud.\(secret)", "\"cloud\""),
            ("K1.\(digest).cloud:0.\(secret)", "HOST:PORT"), ("K1.\(digest).cloud:65536.\(secret)", "HOST:PORT"),
            ("K1.\(digest).cloud:+1.\(secret)", "HOST:PORT"), ("K1.\(digest).cloud:000001.\(secret)", "HOST:PORT"),
            ("K1.\(digest).:1.\(secret)", "HOST:PORT"), ("K1.\(digest).a/b:1.\(secret)", "HOST:PORT"),
            ("K1.\(digest).a@b:1.\(secret)", "HOST:PORT"), ("K1.\(digest).-x:1.\(secret)", "HOST:PORT"),
            ("K1.\(digest).[x]:1.\(secret)", "HOST:PORT"), ("K1.\(digest).a\r\nb:1.\(secret)", "HOST:PORT"),
            ("K1.\(digest).::1:1.\(secret)", "HOST:PORT"), ("K1.\(digest).cloud:1.\(secret.dropLast())", "31 characters"),
            ("K1.\(digest).cloud:1.\(secret)\n", "33 characters"), ("K1.\(digest).cloud:1.\(secret.dropLast())A", "0-9 and a-f"),
            ("K1.\(digest).cloud:1.", "0 characters"), (" K1.\(digest).cloud:1.\(secret)", "\" K1\""),
        ]
    }()

    @Test(arguments: hostile) func `what is no token is refused with the part that is wrong`(text: String, word: String) {
        let error = #expect(throws: IdentityError.self) { try JoinToken(text) }
        #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains(String(repeating: "01", count: 15)) == false, "the secret is in the error")
    }
}

@Suite struct JoinGrantTests {
    private let secret = JoinSecret(bytes: Array(0..<16))

    private func node(_ grant: JoinGrant, _ node: String = "", host: String = "", key: String = "k", now: Int64 = 50) throws -> String {
        try grant.admittedNode(secret, node: node, hostName: host, keyFingerprint: key, now: now)
    }

    @Test func `a token admits its node, or any if it names none`() throws {
        let open = JoinGrant(hash: secret.hash, node: nil, expiresAt: 100)
        let bound = JoinGrant(hash: secret.hash, node: "n1", expiresAt: 100)
        #expect(try node(open, "a") == "a")
        #expect(try node(open, host: "h") == "h")
        #expect(try node(bound) == "n1")
        #expect(try node(bound, host: "h") == "n1")
        #expect(try node(bound, "n1") == "n1")
        #expect(throws: JoinGrant.Refusal.otherNode(id: secret.id, node: "n1", found: "n2")) { try node(bound, "n2") }
        #expect(throws: JoinGrant.Refusal.noName(id: secret.id)) { try node(open) }
    }

    @Test func `an expired token, a used one and one of another secret admit nobody`() throws {
        var grant = JoinGrant(hash: secret.hash, node: nil, expiresAt: 100)
        #expect(throws: JoinGrant.Refusal.expired(id: secret.id)) { try node(grant, "a", now: 100) }
        #expect(throws: JoinGrant.Refusal.unknown) {
            try grant.admittedNode(JoinSecret(bytes: Array(1..<17)), node: "a", hostName: "", keyFingerprint: "k", now: 1)
        }
        grant.use = .init(node: "a", keyFingerprint: "k", certificatePEM: "", at: 40)
        #expect(throws: JoinGrant.Refusal.used(id: secret.id, node: "a")) { try node(grant, "a", key: "other") }
        #expect(throws: JoinGrant.Refusal.used(id: secret.id, node: "a")) { try node(grant, "b") }
    }

    @Test func `the key that used a token is answered again until it expires`() throws {
        var grant = JoinGrant(hash: secret.hash, node: nil, expiresAt: 100)
        grant.use = .init(node: "a", keyFingerprint: "k", certificatePEM: "", at: 40)
        #expect(try node(grant, "a") == "a")
        #expect(try node(grant, host: "h") == "a")
        #expect(throws: JoinGrant.Refusal.expired(id: secret.id)) { try node(grant, "a", now: 100) }
    }
}

@Suite struct SigningRequestTests {
    private static let now: Int64 = 1_800_000_000
    private let authority = try! Authority.make(name: "test", now: Date(timeIntervalSince1970: Double(now)))

    private func request(
        _ key: Certificate.PrivateKey, _ algorithm: Certificate.SignatureAlgorithm = .ecdsaWithSHA256, wanting extensions: Bool = false
    ) throws -> String {
        var attributes: [CertificateSigningRequest.Attribute] = []
        if extensions {
            attributes.append(
                try .init(
                    ExtensionRequest(
                        extensions: try .init {
                            Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                            Critical(KeyUsage(keyCertSign: true))
                            try ExtendedKeyUsage([.serverAuth, .any])
                            SubjectAlternativeNames([.dnsName("kubernetes"), .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1]))])
                        })))
        }
        return try CertificateSigningRequest(
            version: .v1,
            subject: try DistinguishedName {
                OrganizationName("system:masters")
                CommonName("system:node:other")
            }, privateKey: key, attributes: .init(attributes), signatureAlgorithm: algorithm
        ).serializeAsPEM().pemString
    }

    /// CVE-free by construction where KubeEdge copies subject, names and usages of the request (kubeedge.md, section 3).
    @Test func `a request for a server, an authority or another node becomes a client's certificate of the node that the cloud names`()
        throws
    {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let pem = try authority.issueNode(
            "n1", try SigningRequest(pem: try request(key, wanting: true)), now: Self.now, validFor: 86400)
        let certificate = try Certificate(pemEncoded: pem)
        #expect(
            certificate.subject
                == (try DistinguishedName {
                    OrganizationName("system:nodes"); CommonName("system:node:n1")
                }))
        #expect(try certificate.extensions.extendedKeyUsage.map { Array($0) } == [.clientAuth])
        #expect(try certificate.extensions.subjectAlternativeNames == nil)
        #expect(try certificate.extensions.basicConstraints == .notCertificateAuthority)
        #expect(try certificate.extensions.keyUsage == KeyUsage(digitalSignature: true))
        #expect(certificate.publicKey == key.publicKey)
        let node = try NodeCertificate(pem: pem)
        #expect(node.node == "n1")
        #expect((node.validFrom, node.validUntil) == (Self.now - 3600, Self.now + 86400))
        #expect(node.isSigned(by: authority))
        #expect(!node.isSigned(by: try Authority.make(name: "test", now: Date(timeIntervalSince1970: Double(Self.now)))))
    }

    @Test func `keys of P-256 and P-384 are taken, all others refused`() throws {
        _ = try SigningRequest(pem: try request(.init(P256.Signing.PrivateKey())))
        _ = try SigningRequest(pem: try request(.init(P384.Signing.PrivateKey()), .ecdsaWithSHA384))
        for other in [
            try request(.init(P521.Signing.PrivateKey()), .ecdsaWithSHA512),
            try request(.init(Curve25519.Signing.PrivateKey()), .ed25519), Self.rsa,
        ] {
            let error = #expect(throws: IdentityError.self) { try SigningRequest(pem: other) }
            #expect(error?.description.contains("P-256 or P-384") == true, "\(error?.description ?? "")")
        }
    }

    @Test func `what is no request of its own key is refused`() throws {
        let good = try request(.init(P256.Signing.PrivateKey()))
        let other = try request(.init(P256.Signing.PrivateKey()))
        var changed = try PEMDocument(pemString: good).derBytes
        changed[changed.count - 1] ^= 1
        var renamed = try PEMDocument(pemString: good).derBytes
        let at = try #require(renamed.indices.first { renamed[$0...].starts(with: Array("other".utf8)) })
        renamed[at] = UInt8(ascii: "0")
        func pem(_ bytes: [UInt8], _ type: String = "CERTIFICATE REQUEST") -> String { PEMDocument(type: type, derBytes: bytes).pemString }
        let issued = try authority.issueUser(
            name: "x", groups: [], now: Date(timeIntervalSince1970: Double(Self.now)), validFor: 60)
        for bad in [
            "", "nonsense", String(repeating: "x", count: SigningRequest.bytesMax + 1), pem(changed), pem(renamed), pem([]),
            pem([0x30, 0x80]),
            pem(Array(repeating: 0x30, count: 4000)), pem(Array(try PEMDocument(pemString: good).derBytes.dropLast())),
            pem(try PEMDocument(pemString: good).derBytes + [0]), issued.certificatePEM, issued.keyPEM, good + "\n" + other,
        ] {
            #expect(throws: IdentityError.self, "\(bad.prefix(60))") { try SigningRequest(pem: bad) }
        }
    }

    @Test func `an edge's own request is taken, and its fingerprint is that of its key`() throws {
        let key = SigningRequest.newKeyPEM()
        let request = try SigningRequest(pem: try SigningRequest.make(node: "n1", keyPEM: key))
        #expect(request.keyFingerprint == (try SigningRequest.fingerprint(ofKeyPEM: key)))
        #expect(request.keyFingerprint != (try SigningRequest.fingerprint(ofKeyPEM: SigningRequest.newKeyPEM())))
        #expect(throws: IdentityError.self) { try SigningRequest.make(node: "n1", keyPEM: "nonsense") }
    }

    @Test func `a renewal is proven by the certificate's key, for one request and one authority`() throws {
        let key = SigningRequest.newKeyPEM()
        let certificate = try NodeCertificate(
            pem: try authority.issueNode(
                "n1", try SigningRequest(pem: try SigningRequest.make(node: "n1", keyPEM: key)), now: Self.now, validFor: 60))
        let request = try SigningRequest.make(node: "n1", keyPEM: SigningRequest.newKeyPEM())
        let proof = try NodeCertificate.renewalProof(request, authority: authority.fingerprint, keyPEM: key)
        #expect(certificate.isProven(by: proof, request, authority: authority.fingerprint))
        #expect(!certificate.isProven(by: proof, request + " ", authority: authority.fingerprint))
        #expect(!certificate.isProven(by: proof, request, authority: String(repeating: "0", count: 64)))
        let foreign = try NodeCertificate.renewalProof(request, authority: authority.fingerprint, keyPEM: SigningRequest.newKeyPEM())
        for bad in [foreign, "", "AA==", "?", String(repeating: "A", count: 4000)] {
            #expect(!certificate.isProven(by: bad, request, authority: authority.fingerprint))
        }
    }

    @Test func `an authority is known by its digest, and what comes with it is left out`() throws {
        let other = try Authority.make(name: "other", now: Date(timeIntervalSince1970: Double(Self.now)))
        let pinned = try PinnedAuthority(
            pem: authority.certificatePEM + other.certificatePEM, expecting: authority.fingerprint)
        #expect(pinned.fingerprint == authority.fingerprint)
        #expect(try PEMDocument.parseMultiple(pemString: pinned.certificatePEM).count == 1)
        #expect(throws: IdentityError.self) {
            try PinnedAuthority(pem: other.certificatePEM + authority.certificatePEM, expecting: authority.fingerprint)
        }
        let server = try authority.issueServer(
            names: ["x"], addresses: [], now: Date(timeIntervalSince1970: Double(Self.now)), validFor: 60)
        for bad in ["", "nonsense", server.certificatePEM, String(repeating: "x", count: 20_000)] {
            #expect(throws: IdentityError.self) { try PinnedAuthority(pem: bad) }
        }
    }

    @Test func `a certificate that is not a node's is none`() throws {
        let date = Date(timeIntervalSince1970: Double(Self.now))
        for (name, groups) in [
            ("admin", ["system:masters"]), ("system:node:n1", []), ("n1", ["system:nodes"]), ("system:node:", ["system:nodes"]),
        ] {
            let issued = try authority.issueUser(name: name, groups: groups, now: date, validFor: 60)
            #expect(throws: IdentityError.self, "\(name)") { try NodeCertificate(pem: issued.certificatePEM) }
        }
        #expect(throws: IdentityError.self) { try NodeCertificate(pem: authority.certificatePEM) }
        #expect(throws: IdentityError.self) { try NodeCertificate(der: [1, 2, 3]) }
    }

    /// `openssl req -new -newkey rsa:2048 -nodes -subj /CN=x`.
    private static let rsa = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIICUTCCATkCAQAwDDEKMAgGA1UEAwwBeDCCASIwDQYJKoZIhvcNAQEBBQADggEP
        ADCCAQoCggEBALEcmzdFTu1Up7hCYOFVwfORxIj7Gc0wKVBRA1mhB/MjKYAsA0F6
        3Wjf5Pz5wfqHwoiqYc+/OflszNHUD4HEm/nFU5r7Xh7WCYvZOegcJ0vrPGc+gx2L
        2WOcLG4gyaH/gIFfobiNUF8p7t9XwsWsJ7iE26/TaWAjDNppYfglZlDSOL3Cpwoz
        uLpacMuSJFdKM8+GJOH4uDC3gTEh9nPYDx/RLOifKxN4CxjjQUQ2QjOrpHu6XYCx
        liBv8J4VI3jOowxOSBWe4uyNKHgwd6x0piZPB+aSBshlPpDZLQZddpuDCnFg8hGF
        THt1bZ1yWtDtv4LbgyhahACzHsv039vUI00CAwEAAaAAMA0GCSqGSIb3DQEBCwUA
        A4IBAQANy346GSDg4ibUsAkWxkffs2RJdMX4/0boWBjA+//HBe15yC6QSMwEXS4C
        V7CpbuhzmlRIw/tdLuH5lzj7RVNZjs0jBLzpgkNRGIR8VxgtoUUx6z3yJO/S7l5z
        LuWTP2cgpMQ9rL695AWBZopCCfW48qv46wZnmCYUZ64/dlwbiWqXbydej4/djQfZ
        3WJG9Pij705eGbPcVPK1BZdlbDPDosYA5TgY7DhDNGZRHWQkhdYfMJHdjyB8QsIA
        Nj4XTDVMagukFo4HaRpSxtN1JMhkDsisMFmwStKHqbUEouGg52hXJwOeP9VxVjbV
        5RxVd/cEHDDOeqlUhu7JQD7tRBCi
        -----END CERTIFICATE REQUEST-----
        """
}

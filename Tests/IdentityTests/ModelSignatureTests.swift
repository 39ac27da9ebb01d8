import Identity
import Testing

/// Signatures of models: in-toto statements in DSSE envelopes in Sigstore bundles, as OpenSSF model signing writes them.
@Suite struct ModelSignatureTests {
    private static let files = [
        "model.onnx": "sha256:97ff8a35544dcf40ad84047074439dd6aa3a0be469ea578a1b1c017d939ec61c",
        "notes.txt": "sha256:ab5aa97074c454a0632057e704220d9a6678fbf773a0a5806fc09b8173b07309",
    ]

    /// Written by PyPI's model-signing 1.1.1 (`model_signing sign key`) of two files: "a model" and "notes".
    private enum Theirs {
        static let key = """
            -----BEGIN PUBLIC KEY-----
            MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAERhHmkJWxyI+DU9Id1azsZF34gc57
            Sn5yt5J1x7xHxV0TNwEHmx6n14G1HywsTKdC6p2MBSFUWFpJ2JPcTtbJRQ==
            -----END PUBLIC KEY-----
            """
        static let id = "972f8a405c8f5ee2c72d69e52c9b20daab49b447853b1c6c6bc1f01f23bfaee3"
        static let payload = """
            ewogICJfdHlwZSI6ICJodHRwczovL2luLXRvdG8uaW8vU3RhdGVtZW50L3YxIiwKICAic3ViamVjdCI6IFsKICAgIHsKICAgICAgIm5hbWUiOiAiZyIsCiAg\
            ICAgICJkaWdlc3QiOiB7CiAgICAgICAgInNoYTI1NiI6ICIzY2QyYTEyYjg5OTNlMjY0MjIyNWVlZDQyYjM4OTdjMWIxNmM5YThhYTQ0MDk2MDMxMzI5NWUy\
            ZDI2ZDVhNzA3IgogICAgICB9CiAgICB9CiAgXSwKICAicHJlZGljYXRlVHlwZSI6ICJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLAog\
            ICJwcmVkaWNhdGUiOiB7CiAgICAic2VyaWFsaXphdGlvbiI6IHsKICAgICAgImlnbm9yZV9wYXRocyI6IFsKICAgICAgICAiLmdpdGh1YiIsCiAgICAgICAg\
            Ii5naXRpZ25vcmUiLAogICAgICAgICIuZ2l0IiwKICAgICAgICAiLmdpdGF0dHJpYnV0ZXMiCiAgICAgIF0sCiAgICAgICJhbGxvd19zeW1saW5rcyI6IGZh\
            bHNlLAogICAgICAiaGFzaF90eXBlIjogInNoYTI1NiIsCiAgICAgICJtZXRob2QiOiAiZmlsZXMiCiAgICB9LAogICAgInJlc291cmNlcyI6IFsKICAgICAg\
            ewogICAgICAgICJhbGdvcml0aG0iOiAic2hhMjU2IiwKICAgICAgICAibmFtZSI6ICJtb2RlbC5vbm54IiwKICAgICAgICAiZGlnZXN0IjogIjk3ZmY4YTM1\
            NTQ0ZGNmNDBhZDg0MDQ3MDc0NDM5ZGQ2YWEzYTBiZTQ2OWVhNTc4YTFiMWMwMTdkOTM5ZWM2MWMiCiAgICAgIH0sCiAgICAgIHsKICAgICAgICAiYWxnb3Jp\
            dGhtIjogInNoYTI1NiIsCiAgICAgICAgIm5hbWUiOiAibm90ZXMudHh0IiwKICAgICAgICAiZGlnZXN0IjogImFiNWFhOTcwNzRjNDU0YTA2MzIwNTdlNzA0\
            MjIwZDlhNjY3OGZiZjc3M2EwYTU4MDZmYzA5YjgxNzNiMDczMDkiCiAgICAgIH0KICAgIF0KICB9Cn0=
            """
        static let bundle = """
            {"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",\
            "verificationMaterial":{"publicKey":{"hint":"\(id)"},"tlogEntries":[]},\
            "dsseEnvelope":{"payload":"\(payload)","payloadType":"application/vnd.in-toto+json",\
            "signatures":[{"sig":"MEUCIQDKgwnW9bJxdt8DOaCRF/U/Naz0cxAn1G1Cmw0IWbGK1wIgYHIdQ3Ln0JBvOIJGDcfZFMWmVkBtXzmcusfGuN8/w0A=","keyid":""}]}}
            """
    }

    private static func fault(_ trust: ModelTrust, _ signature: String, _ files: [String: String] = files) -> ModelSignatureError? {
        do throws(ModelSignatureError) {
            _ = try trust.verify(signature, files: files)
            return nil
        } catch { return error }
    }

    @Test func `what the tool of OpenSSF has signed is verified, with the key's name as it writes it`() throws {
        let key = try ModelVerifyingKey(pem: Theirs.key)
        #expect(key.id == Theirs.id)
        #expect(key.pem == Theirs.key + "\n")
        let signer = try ModelTrust([key]).verify(Theirs.bundle, files: Self.files)
        #expect(signer == Theirs.id)
        #expect(ModelTrust.files(in: Theirs.bundle) == ["model.onnx", "notes.txt"])
    }

    @Test func `a signature is verified by its key, and by no other`() throws {
        let key = try ModelSigningKey(pem: ModelSigningKey.newPEM())
        let other = try ModelSigningKey(pem: ModelSigningKey.newPEM())
        let signature = try key.sign(model: "homes/comfort", files: Self.files)
        let signer = try ModelTrust([other.verifying, key.verifying]).verify(signature, files: Self.files)
        #expect(signer == key.verifying.id)
        let unknown = Self.fault(ModelTrust([other.verifying]), signature)
        #expect(unknown == .unknownKey(id: key.verifying.id, known: [other.verifying.id]))
        // Without a hint every key is tried.
        let unnamed = signature.replacing("\"hint\":\"\(key.verifying.id)\"", with: "\"hint\":\"\"")
        #expect(Self.fault(ModelTrust([other.verifying, key.verifying]), unnamed) == nil)
        let wrong = signature.replacing(key.verifying.id, with: other.verifying.id)
        #expect(Self.fault(ModelTrust([other.verifying, key.verifying]), wrong) == .wrongSignature(key: other.verifying.id))
    }

    @Test func `each file must be there as it was signed, and none besides`() throws {
        let key = try ModelSigningKey(pem: ModelSigningKey.newPEM())
        let trust = ModelTrust([key.verifying])
        let signature = try key.sign(model: "comfort", files: Self.files)
        let (model, notes) = (String(Self.files["model.onnx"]!.dropFirst(7)), String(Self.files["notes.txt"]!.dropFirst(7)))
        var files = Self.files
        files["model.onnx"] = "sha256:" + notes
        #expect(Self.fault(trust, signature, files) == .otherFile(name: "model.onnx", signed: model, found: notes))
        files["model.onnx"] = nil
        #expect(Self.fault(trust, signature, files) == .otherFile(name: "model.onnx", signed: model, found: nil))
        files = Self.files.merging(["more.bin": "sha256:" + model]) { $1 }
        #expect(Self.fault(trust, signature, files) == .otherFile(name: "more.bin", signed: nil, found: "sha256:" + model))
        let single = try key.sign(model: "comfort", files: ["a.onnx": model])
        let signer = try trust.verify(single, file: model)
        #expect(signer == key.verifying.id)
    }

    @Test func `no byte of a statement or a signature can be changed`() throws {
        let trust = ModelTrust([try ModelVerifyingKey(pem: Theirs.key)])
        let bytes = Array(Theirs.payload.utf8)
        for place in stride(from: 0, to: bytes.count - 4, by: 7) {
            var changed = bytes
            changed[place] = changed[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            let bundle = Theirs.bundle.replacing(Theirs.payload, with: String(decoding: changed, as: UTF8.self))
            #expect(Self.fault(trust, bundle) == .wrongSignature(key: Theirs.id), "byte \(place)")
        }
    }

    @Test func `what is no signature is refused with what was found`() throws {
        let trust = ModelTrust([try ModelVerifyingKey(pem: Theirs.key)])
        let cases = [
            ("", "no Sigstore bundle"), ("{}", "no Sigstore bundle"), (String(repeating: " ", count: 200_000), "200000 bytes"),
            ("{\"mediaType\":\"x\"}", "no DSSE envelope"),
            (Theirs.bundle.replacing("application/vnd.in-toto+json", with: "text/plain"), "its payload is \"text/plain\""),
            (Theirs.bundle.replacing("\"signatures\":[{", with: "\"signatures\":[],\"other\":[{"), "needs one signature"),
        ]
        for (text, words) in cases {
            let fault = Self.fault(trust, text)
            #expect(fault.map { "\($0)".contains(words) } == true, "\(text.prefix(80)): \(fault.map { "\($0)" } ?? "taken")")
        }
        #expect(throws: IdentityError.self) { try ModelVerifyingKey(pem: ModelSigningKey.newPEM()) }
        #expect(throws: IdentityError.self) { try ModelSigningKey(pem: Theirs.key) }
        let key = try ModelSigningKey(pem: ModelSigningKey.newPEM())
        #expect(throws: IdentityError.self) { try key.sign(model: "m", files: ["a": "sha256:12"]) }
        #expect(throws: IdentityError.self) { try key.sign(model: "m", files: [:]) }
    }

    @Test func `versions must be signed where a key is known, unless the model says otherwise`() throws {
        let key = try ModelSigningKey(pem: ModelSigningKey.newPEM())
        let signature = try key.sign(model: "m", files: Self.files)
        let (none, some) = (ModelTrust([]), ModelTrust([key.verifying]))
        func verdict(_ trust: ModelTrust, _ signature: String?, _ policy: ModelTrust.Policy, isVersion: Bool = true) -> String {
            do throws(ModelSignatureError) {
                return try trust.check(signature: signature, files: Self.files, policy: policy, isVersion: isVersion).map { _ in "signed" }
                    ?? "taken"
            } catch { return error == .missing ? "unsigned" : "refused" }
        }
        #expect(verdict(none, nil, .unsaid) == "taken")
        #expect(verdict(none, nil, .required) == "unsigned")
        #expect(verdict(none, signature, .unsaid) == "taken")
        #expect(verdict(none, signature, .required) == "refused")
        #expect(verdict(some, nil, .unsaid) == "unsigned")
        #expect(verdict(some, nil, .ifPresent) == "taken")
        #expect(verdict(some, nil, .unsaid, isVersion: false) == "taken")
        #expect(verdict(some, nil, .required, isVersion: false) == "unsigned")
        #expect(verdict(some, signature, .unsaid) == "signed")
        #expect(verdict(some, signature.replacing("dsseEnvelope", with: "envelope"), .ifPresent) == "refused")
    }
}

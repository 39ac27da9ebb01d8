import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Signatures of models as OpenSSF model signing writes them: an in-toto statement (v1) that names every file by its SHA-256, in a DSSE
/// envelope (secure-systems-lab/dsse), in a Sigstore bundle. What is signed here verifies with PyPI's `model-signing`, and the other way.
package enum ModelSignature {
    /// A longer bundle is refused unread.
    package static let bytesMax = 128 << 10
    /// Files that a statement may name.
    package static let filesMax = 256
    static let payloadType = "application/vnd.in-toto+json"
    static let statementType = "https://in-toto.io/Statement/v1"
    static let predicateType = "https://model_signing/signature/v1.0"
    static let mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

    // MARK: What is written

    struct Bundle: Codable {
        struct Material: Codable {
            struct Key: Codable { var hint: String? }
            var publicKey: Key?
            var tlogEntries: [String]?
        }
        struct Envelope: Codable {
            struct Signature: Codable {
                var sig: String
                var keyid: String?
            }
            var payload: String
            var payloadType: String
            var signatures: [Signature]
        }
        var mediaType: String
        var verificationMaterial: Material?
        var dsseEnvelope: Envelope?
    }

    struct Statement: Codable {
        struct Subject: Codable {
            var name: String
            var digest: [String: String]
        }
        struct Resource: Codable {
            var name: String
            var algorithm: String
            var digest: String
        }
        struct Serialization: Codable {
            var method: String
            var hash_type: String
            var allow_symlinks: Bool
            var ignore_paths: [String]?
        }
        struct Predicate: Codable {
            var resources: [Resource]
            var serialization: Serialization
        }
        var _type: String
        var subject: [Subject]
        var predicateType: String
        var predicate: Predicate
    }

    /// The pre-authentication encoding: what is signed of a payload.
    static func encoded(_ payload: Data, type: String = payloadType) -> Data {
        Data("DSSEv1 \(type.utf8.count) \(type) \(payload.count) ".utf8) + payload
    }

    /// The digits of a digest with or without `sha256:`; nil for anything else.
    static func digits(_ digest: String) -> String? {
        let hex = digest.hasPrefix("sha256:") ? digest.dropFirst(7) : digest[...]
        let isHex = hex.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        return hex.utf8.count == 64 && isHex ? String(hex) : nil
    }

    /// SHA-256 over the digests of all files in the order of their names.
    static func root(_ resources: [Statement.Resource]) -> String {
        var hasher = SHA256()
        for resource in resources { hasher.update(data: bytes(resource.digest)) }
        return hex(hasher.finalize())
    }

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8)
        func value(_ digit: UInt8) -> UInt8 { digit < 0x3a ? digit - 0x30 : digit - 0x57 }
        return stride(from: 0, to: digits.count - 1, by: 2).map { value(digits[$0]) << 4 | value(digits[$0 + 1]) }
    }

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// Why a model's files are not what somebody trusted has signed.
package enum ModelSignatureError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no signature where one is needed.
    case missing
    /// Not a bundle of ours, or not of a form that is read.
    case malformed(String)
    /// Signed by a key that is not trusted.
    case unknownKey(id: String, known: [String])
    /// The signature does not belong to the statement and the key.
    case wrongSignature(key: String)
    /// A file is another than was signed, is missing, or was not signed at all.
    case otherFile(name: String, signed: String?, found: String?)

    /// What is wrong and what to do.
    package var description: String {
        switch self {
        case .missing: "it is not signed; push it through the cloud, or sign it: skerry model push --sign-key KEY.pem"
        case .malformed(let reason): "its signature cannot be read: \(reason); sign it anew"
        case .unknownKey(let id, let known):
            "it is signed by key \(id.prefix(16)), which is not trusted here (trusted: \(known.isEmpty ? "none" : known.map { String($0.prefix(16)) }.joined(separator: ", "))); trust it by 'skerry model keys add', or sign it by another key"
        case .wrongSignature(let key):
            "its signature is not by key \(key.prefix(16)), or the statement was changed; do not load it, fetch or sign it anew"
        case .otherFile(let name, let signed, let found):
            switch (signed, found) {
            case (let signed?, let found?):
                "file \(name) has sha256 \(found.prefix(16))…, signed was \(signed.prefix(16))…; do not load it, fetch it anew"
            case (_?, nil): "file \(name) was signed and is missing; fetch it anew"
            default: "file \(name) was not signed; remove it, or sign it anew"
            }
        }
    }
}

/// A key that signs models: ECDSA on P-256.
package struct ModelSigningKey: Sendable {
    private let key: P256.Signing.PrivateKey
    /// What verifies its signatures.
    package let verifying: ModelVerifyingKey

    /// - Parameter pem: a private key on P-256, PKCS #8 or SEC 1.
    package init(pem: String) throws(IdentityError) {
        do {
            key = try P256.Signing.PrivateKey(pemRepresentation: pem)
        } catch {
            throw IdentityError(
                "the key that signs models cannot be read: \(error); give a private key on P-256 in PEM, as 'skerry model keys create' makes"
            )
        }
        verifying = ModelVerifyingKey(key: .p256(key.publicKey), der: key.publicKey.derRepresentation)
    }

    /// A new key in PEM, PKCS #8.
    package static func newPEM() -> String { P256.Signing.PrivateKey().pemRepresentation + "\n" }

    /// A signature of all files of a model: a Sigstore bundle in JSON.
    ///
    /// - Parameters:
    ///   - model: its name, for people; verifying does not look at it.
    ///   - files: digests by name.
    /// - Throws: a digest that is none, more files than a statement may name.
    package func sign(model: String, files: [String: String]) throws(IdentityError) -> String {
        guard !files.isEmpty, files.count <= ModelSignature.filesMax else {
            throw IdentityError("model \(model): \(files.count) files; a signature is of 1 to \(ModelSignature.filesMax)")
        }
        var resources: [ModelSignature.Statement.Resource] = []
        for (name, digest) in files.sorted(by: { $0.key < $1.key }) {
            guard let digits = ModelSignature.digits(digest) else {
                throw IdentityError("model \(model): file \(name) has no digest of 64 digits, but \"\(digest.prefix(80))\"")
            }
            resources.append(.init(name: name, algorithm: "sha256", digest: digits))
        }
        let statement = ModelSignature.Statement(
            _type: ModelSignature.statementType,
            subject: [.init(name: model, digest: ["sha256": ModelSignature.root(resources)])],
            predicateType: ModelSignature.predicateType,
            predicate: .init(
                resources: resources,
                serialization: .init(method: "files", hash_type: "sha256", allow_symlinks: false, ignore_paths: ["model.sig"])))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            let payload = try encoder.encode(statement)
            let signature = try key.signature(for: ModelSignature.encoded(payload)).derRepresentation
            let bundle = ModelSignature.Bundle(
                mediaType: ModelSignature.mediaType,
                verificationMaterial: .init(publicKey: .init(hint: verifying.id), tlogEntries: []),
                dsseEnvelope: .init(
                    payload: payload.base64EncodedString(), payloadType: ModelSignature.payloadType,
                    signatures: [.init(sig: signature.base64EncodedString(), keyid: "")]))
            return String(decoding: try encoder.encode(bundle), as: UTF8.self)
        } catch { throw IdentityError("model \(model) cannot be signed: \(error)") }
    }
}

/// A key that is trusted to have signed models: ECDSA on P-256, P-384 or P-521.
package struct ModelVerifyingKey: Sendable {
    enum Key: Sendable {
        case p256(P256.Signing.PublicKey)
        case p384(P384.Signing.PublicKey)
        case p521(P521.Signing.PublicKey)
    }

    private let key: Key
    /// SHA-256 of `pem`, 64 digits: the hint of Sigstore bundles.
    package let id: String
    /// The key in PEM, SubjectPublicKeyInfo, in lines of 64 characters.
    package let pem: String

    init(key: Key, der: Data) {
        self.key = key
        let text = Array(der.base64EncodedString())
        let lines = stride(from: 0, to: text.count, by: 64).map { String(text[$0..<min($0 + 64, text.count)]) }
        pem = (["-----BEGIN PUBLIC KEY-----"] + lines + ["-----END PUBLIC KEY-----"]).joined(separator: "\n") + "\n"
        id = ModelSignature.hex(SHA256.hash(data: Data(pem.utf8)))
    }

    /// - Parameter pem: a public key, SubjectPublicKeyInfo.
    package init(pem: String) throws(IdentityError) {
        if let key = try? P256.Signing.PublicKey(pemRepresentation: pem) {
            self.init(key: .p256(key), der: key.derRepresentation)
        } else if let key = try? P384.Signing.PublicKey(pemRepresentation: pem) {
            self.init(key: .p384(key), der: key.derRepresentation)
        } else if let key = try? P521.Signing.PublicKey(pemRepresentation: pem) {
            self.init(key: .p521(key), der: key.derRepresentation)
        } else {
            throw IdentityError(
                "no public key on P-256, P-384 or P-521 in PEM (-----BEGIN PUBLIC KEY-----); a private key stays with who signs")
        }
    }

    func isValid(_ der: Data, for message: Data) -> Bool {
        switch key {
        case .p256(let key):
            (try? P256.Signing.ECDSASignature(derRepresentation: der)).map { key.isValidSignature($0, for: message) } ?? false
        case .p384(let key):
            (try? P384.Signing.ECDSASignature(derRepresentation: der)).map { key.isValidSignature($0, for: message) } ?? false
        case .p521(let key):
            (try? P521.Signing.ECDSASignature(derRepresentation: der)).map { key.isValidSignature($0, for: message) } ?? false
        }
    }
}

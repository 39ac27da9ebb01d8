#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Whose signatures of models are trusted, and what must be signed. Pure: nodes, the cloud and a person with two files decide by the same.
package struct ModelTrust: Sendable {
    /// What a Model asks for in `spec.signature`.
    package enum Policy: String, Sendable {
        /// Nothing unsigned is loaded.
        case required
        /// What is unsigned is loaded; a signature that does not hold is refused all the same.
        case ifPresent
        /// Nothing was said: versions must be signed as soon as a key is known; the file of the spec need not be.
        case unsaid = ""
    }

    /// Keys that are read from one place; further ones are not read.
    package static let keysMax = 64
    /// Trusted, in no order that matters.
    package let keys: [ModelVerifyingKey]

    /// - Parameter keys: the trusted ones.
    package init(_ keys: [ModelVerifyingKey]) { self.keys = keys }

    /// Whether a model may be loaded.
    ///
    /// - Parameters:
    ///   - files: digests of all its files, by name.
    ///   - isVersion: false for the file of a Model's spec.
    /// - Returns: the id of the key that signed it; nil for a model that needs no signature and has none.
    package func check(
        signature: String?, files: [String: String], policy: Policy = .unsaid, isVersion: Bool = true
    ) throws(ModelSignatureError) -> String? {
        guard let signature else {
            let isNeeded = policy == .required || policy == .unsaid && isVersion && !keys.isEmpty
            if isNeeded { throw .missing }
            return nil
        }
        // Without any key nothing can be said of a signature, and a cluster without keys asks for none.
        if keys.isEmpty, policy != .required { return nil }
        return try verify(signature, files: files)
    }

    /// Verifies a signature of all files of a model.
    ///
    /// - Parameter files: digests by name.
    /// - Returns: the id of the key that signed them.
    package func verify(_ signature: String, files: [String: String]) throws(ModelSignatureError) -> String {
        let (statement, key) = try open(signature)
        var signed: [String: String] = [:]
        for resource in statement.predicate.resources { signed[resource.name] = resource.digest }
        for (name, digest) in signed.sorted(by: { $0.key < $1.key }) {
            let found = files[name].map { ModelSignature.digits($0) ?? $0 }
            guard found == digest else { throw .otherFile(name: name, signed: digest, found: found) }
        }
        if let extra = files.keys.sorted().first(where: { signed[$0] == nil }) {
            throw .otherFile(name: extra, signed: nil, found: files[extra])
        }
        return key
    }

    /// Verifies a signature of one file, whatever it was called.
    package func verify(_ signature: String, file digest: String) throws(ModelSignatureError) -> String {
        let (statement, key) = try open(signature)
        let resources = statement.predicate.resources
        guard resources.count == 1 else { throw .malformed("it is of \(resources.count) files; give the folder that holds them") }
        let found = ModelSignature.digits(digest) ?? digest
        guard resources[0].digest == found else { throw .otherFile(name: resources[0].name, signed: resources[0].digest, found: found) }
        return key
    }

    /// Names of the files that a signature speaks of, whoever made it; empty for one that cannot be read.
    package static func files(in signature: String) -> [String] {
        guard let payload = try? envelope(signature).payload, let statement = try? statement(payload) else { return [] }
        return statement.predicate.resources.map(\.name)
    }

    // MARK: Reading

    private func open(_ text: String) throws(ModelSignatureError) -> (ModelSignature.Statement, key: String) {
        let (payload, signature, hint) = try Self.envelope(text)
        let candidates = hint.isEmpty ? keys : keys.filter { $0.id == hint }
        guard !candidates.isEmpty else { throw .unknownKey(id: hint.isEmpty ? "of no name" : hint, known: keys.map(\.id).sorted()) }
        let message = ModelSignature.encoded(payload)
        guard let key = candidates.first(where: { $0.isValid(signature, for: message) }) else {
            throw .wrongSignature(key: hint.isEmpty ? "any trusted" : hint)
        }
        return (try Self.statement(payload), key.id)
    }

    private static func envelope(_ text: String) throws(ModelSignatureError) -> (payload: Data, signature: Data, hint: String) {
        guard text.utf8.count <= ModelSignature.bytesMax else {
            throw .malformed("it has \(text.utf8.count) bytes, at most \(ModelSignature.bytesMax) are read")
        }
        let bundle: ModelSignature.Bundle
        do { bundle = try JSONDecoder().decode(ModelSignature.Bundle.self, from: Data(text.utf8)) } catch {
            throw .malformed("it is no Sigstore bundle in JSON")
        }
        guard let envelope = bundle.dsseEnvelope else { throw .malformed("its bundle holds no DSSE envelope") }
        guard envelope.payloadType == ModelSignature.payloadType else {
            throw .malformed("its payload is \"\(envelope.payloadType.prefix(80))\", expected \(ModelSignature.payloadType)")
        }
        guard envelope.signatures.count == 1, let signature = Data(base64Encoded: envelope.signatures[0].sig),
            let payload = Data(base64Encoded: envelope.payload)
        else { throw .malformed("its envelope needs one signature and a payload in base64") }
        return (payload, signature, bundle.verificationMaterial?.publicKey?.hint ?? "")
    }

    /// The statement of a payload, consistent in itself.
    private static func statement(_ payload: Data) throws(ModelSignatureError) -> ModelSignature.Statement {
        let statement: ModelSignature.Statement
        do { statement = try JSONDecoder().decode(ModelSignature.Statement.self, from: payload) } catch {
            throw .malformed("its payload is no statement about a model")
        }
        guard statement._type == ModelSignature.statementType, statement.predicateType == ModelSignature.predicateType else {
            throw .malformed(
                "it states \"\(statement.predicateType.prefix(80))\" in \"\(statement._type.prefix(80))\", expected \(ModelSignature.predicateType)"
            )
        }
        let (form, resources) = (statement.predicate.serialization, statement.predicate.resources)
        guard form.method == "files", form.hash_type == "sha256" else {
            throw .malformed("files are hashed by \(form.method.prefix(40)) and \(form.hash_type.prefix(40)), expected files and sha256")
        }
        guard (1...ModelSignature.filesMax).contains(resources.count), Set(resources.map(\.name)).count == resources.count,
            resources.allSatisfy({ $0.algorithm == "sha256" && ModelSignature.digits($0.digest) == $0.digest })
        else { throw .malformed("it must name 1 to \(ModelSignature.filesMax) files once each, by sha256") }
        guard statement.subject.count == 1, statement.subject[0].digest["sha256"] == ModelSignature.root(resources) else {
            throw .malformed("the digest of its subject is not that of its files")
        }
        return statement
    }
}

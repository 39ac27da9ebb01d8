package import Resources

/// Whoever keeps the cloud's key that signs models, and its files.
package protocol ModelNotary: Sendable {
    /// The public key that it signs with now, in PEM, and its id.
    func current() async -> (id: String, pem: String)
    /// Makes a new key, from now on the current one; nothing happens if the current one is another already.
    ///
    /// - Parameter id: of the key that is to be replaced.
    /// - Throws: 503 if it cannot be kept.
    func rotate(from id: String) async throws(APIStatus)
    /// Whether the cloud has a file.
    func has(_ digest: String) async -> Bool
    /// Signs files by their digests.
    ///
    /// - Throws: 422 for what cannot be signed.
    func sign(model: String, files: [String: String]) async throws(APIStatus) -> String
    /// Who signed: the entry of a trusted key, or why the signature does not hold.
    ///
    /// - Parameter keys: trusted ones in PEM, by their entries' names.
    func verdict(_ signature: String, files: [String: String], keys: [String: String]) async -> ModelVerdict
}

/// What a signature is worth.
package enum ModelVerdict: Sendable, Equatable {
    /// It holds, by the key of this entry.
    case signed(entry: String)
    /// It does not: a sentence with file, key and remedy.
    case fault(String)
}

package import Resources

/// Whoever knows which keys are trusted on this node.
package protocol ModelTrustDoor: Sendable {
    /// Why a version of a model must not be loaded; nil for one that may be.
    ///
    /// - Parameters:
    ///   - model: the object.
    ///   - version: the one that serves; 0 for the file of the spec.
    ///   - files: digests of all its files, by name.
    func refusal(of model: JSON, version: Int64, files: [String: String]) async -> ModelRefusal?
    /// Whether no file may be loaded without a signature, whatever its Model says; also while the list of trusted keys cannot be read.
    func isDemandedOfAll() async -> Bool
    /// Why a file of the node that no version names must not be loaded; nil for one that a trusted key has signed.
    ///
    /// - Parameter signature: what lies beside it; nil for nothing.
    func refusal(ofFile digest: String, signature: String?) async -> ModelRefusal?
}

/// Why a model is not loaded.
package struct ModelRefusal: Sendable, Hashable {
    /// Names the file, the key and the remedy.
    package var sentence: String
    /// It has no signature yet: the cloud may be about to sign it.
    package var isUnsigned: Bool

    /// Nothing is checked.
    package init(_ sentence: String, isUnsigned: Bool = false) { (self.sentence, self.isUnsigned) = (sentence, isUnsigned) }
}

/// What a server or a client shows and trusts.
package struct TLSIdentity: Sendable {
    /// PEM: the certificate first, then those that signed it.
    package var chainPEM: String
    /// PEM, PKCS #8.
    package var keyPEM: String
    /// PEM of the authorities whose certificates peers may show.
    package var trustedPEM: String

    /// Nothing is read here: a server or client that is given it refuses what is no PEM. A client without a certificate leaves the first
    /// two empty.
    package init(chainPEM: String, keyPEM: String, trustedPEM: String) {
        self.chainPEM = chainPEM
        self.keyPEM = keyPEM
        self.trustedPEM = trustedPEM
    }
}

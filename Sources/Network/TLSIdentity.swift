/// What a server shows, and whose certificates it takes from its clients.
package struct TLSIdentity: Sendable {
    /// PEM: the certificate first, then those that signed it.
    package var chainPEM: String
    /// PEM, PKCS #8.
    package var keyPEM: String
    /// PEM of the authorities whose certificates peers may show.
    package var trustedPEM: String

    /// Nothing is read here: a server that is given it refuses what is no PEM.
    package init(chainPEM: String, keyPEM: String, trustedPEM: String) {
        self.chainPEM = chainPEM
        self.keyPEM = keyPEM
        self.trustedPEM = trustedPEM
    }
}

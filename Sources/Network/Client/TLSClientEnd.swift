import NIOCore
import NIOSSL

/// A client's end of TLS: what it trusts and shows, and who the server must be.
struct TLSClientEnd: Sendable {
    private let context: NIOSSLContext
    private let peer: PeerIdentity
    private let isUnverified: Bool

    /// - Parameters:
    ///   - host: what is dialled; the server must be that unless the trust names another.
    ///   - isPatient: a server of ours lets others go first when many come at once.
    ///   - offersHTTP2: beside HTTP/1.1, and before it.
    /// - Throws: `NetworkError` for a certificate or key that cannot be read.
    init(_ trust: TLSTrust, host: String, isPatient: Bool = false, offersHTTP2: Bool = false) throws {
        peer = PeerIdentity(trust.serverName.isEmpty ? host : trust.serverName)
        isUnverified = trust.isUnverified
        let protocols = (isPatient ? [HandshakeTurns.patientProtocol] : []) + (offersHTTP2 ? [ProtocolChoice.http2] : []) + ["http/1.1"]
        context = try Self.context(trust, protocols)
    }

    /// For one connection.
    func handler() throws -> NIOSSLClientHandler {
        if isUnverified { return try NIOSSLClientHandler(context: context, serverHostname: peer.serverName) }
        return try NIOSSLClientHandler._makeSSLClientHandler(context: context, serverHostname: peer.serverName) {
            [peer] certificate, channel in
            channel.eventLoop.makeCompletedFuture { try peer.check(certificate) }
        }
    }

    private static func context(_ trust: TLSTrust, _ protocols: [String]) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = protocols
        precondition(!trust.isUnverified || trust.chainPEM.isEmpty, "no certificate is shown to a server that is not known")
        // For whom a certificate is, `handler` checks: NIOSSL would also take one for the address that was dialled where a name is asked for.
        configuration.certificateVerification = trust.isUnverified ? .none : .noHostnameVerification
        do {
            if !trust.trustedPEM.isEmpty {
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(trust.trustedPEM.utf8)))
            }
        } catch { throw NetworkError("the certificate of the server's authority cannot be read as PEM: \(error)") }
        do {
            if !trust.chainPEM.isEmpty {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(trust.chainPEM.utf8)).map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(trust.keyPEM.utf8), format: .pem))
            }
            return try NIOSSLContext(configuration: configuration)
        } catch { throw NetworkError("the client's certificate or key cannot be used: \(error)") }
    }
}

import APIServer
import Identity
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The files of a cloud: its store, its authority and keys, the administrator's kubeconfig.
struct CloudDirectory {
    let path: String

    var store: String { "\(path)/objects.db" }
    var artifacts: String { "\(path)/artifacts" }
    var knowledge: String { "\(path)/knowledge.db" }
    var kubeconfig: String { "\(path)/admin.kubeconfig" }

    /// Opens the folder, and makes it if it is not there; only its owner may look into it.
    init(_ path: String) throws {
        guard !path.isEmpty else { throw CloudError("--data-dir is empty; name a folder") }
        self.path = path
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw CloudError("cannot make \(path): \(String(cString: strerror(errno))); choose another --data-dir")
        }
    }

    /// `audit.log` in this folder, a line a request.
    ///
    /// - Parameters:
    ///   - bytesMax: of one file; beyond, the next begins.
    ///   - filesMax: files that are kept, the current one among them; the oldest go.
    func auditLog(bytesMax: Int, filesMax: Int) throws -> AuditLog {
        let file = try RotatingFile(path: "\(path)/audit.log", bytesMax: bytesMax, filesMax: filesMax)
        return AuditLog { try file.append($0) }
    }

    private func read(_ name: String) throws -> String? {
        let file = "\(path)/\(name)"
        guard access(file, F_OK) == 0 else { return nil }
        return try String(contentsOf: URL(filePath: file), encoding: .utf8)
    }

    func write(_ name: String, _ text: String) throws {
        let file = try WholeFile(path: "\(path)/\(name)", isPrivate: true)
        try file.write(Array(text.utf8))
        try file.commit()
    }

    /// The authority of this cloud, made the first time.
    func authority(now: Date) throws -> Authority {
        if let certificate = try read("ca.crt"), let key = try read("ca.key") {
            return try Authority(certificatePEM: certificate, keyPEM: key)
        }
        let authority = try Authority.make(name: "skerry", now: now)
        // The key first: a certificate without its key would stop the next start.
        try write("ca.key", authority.keyPEM)
        try write("ca.crt", authority.certificatePEM)
        return authority
    }

    /// The key that signs tokens of service accounts, made the first time.
    func tokens() throws -> ServiceTokens {
        if let key = try read("sa.key") { return try ServiceTokens(keyPEM: key) }
        let key = ServiceTokens.newKeyPEM()
        try write("sa.key", key)
        return try ServiceTokens(keyPEM: key)
    }

    /// The key that signs models, made the first time, or anew.
    func modelKey(isNew: Bool = false) throws -> ModelSigningKey {
        if !isNew, let key = try read("models.key") { return try ModelSigningKey(pem: key) }
        let key = ModelSigningKey.newPEM()
        try write("models.key", key)
        return try ModelSigningKey(pem: key)
    }

    /// Writes the administrator's kubeconfig for a server at an address, with a certificate of its own.
    func writeKubeconfig(server: String, _ authority: Authority, now: Date) throws {
        let user = try authority.issueUser(name: "kubernetes-admin", groups: ["system:masters"], now: now, validFor: 365 * 86400)
        func encoded(_ text: String) -> String { Base64.encode(Array(text.utf8)) }
        try write(
            "admin.kubeconfig",
            """
            apiVersion: v1
            kind: Config
            current-context: skerry
            clusters:
            - name: skerry
              cluster:
                server: \(server)
                certificate-authority-data: \(encoded(authority.certificatePEM))
            users:
            - name: admin
              user:
                client-certificate-data: \(encoded(user.certificatePEM))
                client-key-data: \(encoded(user.keyPEM))
            contexts:
            - name: skerry
              context: {cluster: skerry, user: admin, namespace: default}

            """)
    }
}

/// What stops a cloud; a sentence with a remedy.
struct CloudError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

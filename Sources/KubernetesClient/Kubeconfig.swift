package import Network
import Resources

/// Why a kubeconfig cannot be used: names the file, the entry and what to do.
package struct KubeconfigError: Error, Equatable, CustomStringConvertible {
    /// One sentence: the file, the entry, what was found there, the remedy.
    package let description: String
    init(_ description: String) { self.description = description }
}

/// Where a server is and how to speak to it: what one context of a kubeconfig says.
package struct ClusterAccess: Sendable, CustomStringConvertible {
    /// A name or an address, without brackets.
    package var host: String
    /// 1 to 65535; the scheme's own where the file names none.
    package var port: Int
    /// What stands before `/api` and `/apis`; empty, or `/k8s/clusters/c-1`.
    package var basePath: String
    /// Nil for plain text, which is taken on loopback only.
    package var trust: TLSTrust?
    /// Files that `trust` shows the certificate and key of, to be read again as they are renewed; nil where the kubeconfig holds them.
    package var certificateFiles: CertificateFiles?
    /// Sent with each request, as `Authorization: Bearer`.
    package var token: TokenSource
    /// The namespace of commands that name none.
    package var namespace: String
    /// Where this was read, for messages.
    package var origin: String

    /// Nothing is checked: `Kubeconfig` does so for what it reads.
    package init(
        host: String, port: Int, basePath: String = "", trust: TLSTrust?, token: TokenSource = .none, namespace: String = "default",
        origin: String
    ) {
        self.host = host
        self.port = port
        self.basePath = basePath
        self.trust = trust
        self.token = token
        self.namespace = namespace
        self.origin = origin
    }

    /// The server's URL; nothing secret.
    package var description: String {
        "\(trust == nil ? "http" : "https")://\(host.contains(":") ? "[\(host)]" : host):\(port)\(basePath)"
    }
}

/// The files of a client's certificate and its key; they may be one.
package struct CertificateFiles: Sendable, Equatable {
    /// PEM: the certificate first, then those that signed it.
    package var chainPath: String
    /// PEM of its key.
    package var keyPath: String

    /// Nothing is read here.
    package init(chainPath: String, keyPath: String) {
        self.chainPath = chainPath
        self.keyPath = keyPath
    }
}

/// Where the bearer token of a request comes from.
package enum TokenSource: Sendable {
    case none
    case fixed(String)
    /// Read before each request, since tokens are renewed in their file.
    case file(path: String)
}

/// Reads files that a kubeconfig names.
///
/// - Throws: anything that describes itself; the path is added to it.
package typealias FileReader = @Sendable (_ path: String) throws -> [UInt8]

/// What `kubectl` and client-go read from `$KUBECONFIG`.
package struct Kubeconfig: Sendable {
    /// Bytes of the file, and of each that it names.
    package static let bytesMax = 1 << 20
    private let root: JSON
    private let path: String
    private let read: FileReader

    /// - Parameters:
    ///   - path: of the file; paths within it begin at its folder.
    ///   - read: opens files; called for `path` too.
    package init(path: String, read: @escaping FileReader) throws(KubeconfigError) {
        self.path = path
        self.read = read
        let bytes = try Self.contents(path, read, what: "kubeconfig")
        do throws(YAMLParseError) {
            var limits = YAMLParser.Limits()
            limits.bytesMax = Self.bytesMax
            root = try YAMLParser.parse(bytes, limits: limits)
        } catch { throw KubeconfigError("\(path): \(error)") }
        guard root.object != nil, root["kind"] == nil || root["kind"] == "Config" else {
            throw KubeconfigError("\(path): no kubeconfig; expected 'kind: Config' with clusters, users and contexts")
        }
    }

    private static func contents(_ path: String, _ read: FileReader, what: String) throws(KubeconfigError) -> [UInt8] {
        let bytes: [UInt8]
        do { bytes = try read(path) } catch { throw KubeconfigError("cannot read \(what) \(path): \(error)") }
        guard bytes.count <= bytesMax else {
            throw KubeconfigError("\(what) \(path) has \(bytes.count) bytes, at most \(bytesMax) are read")
        }
        return bytes
    }

    /// Names of all contexts, in the order of the file.
    package var contexts: [String] { (root["contexts"]?.array ?? []).compactMap { $0["name"]?.string } }

    /// The context that is used when none is named; empty without one.
    package var currentContext: String { root["current-context"]?.string ?? "" }

    /// What a context says.
    ///
    /// - Parameter context: its name; nil for the current one.
    package func access(context: String? = nil) throws(KubeconfigError) -> ClusterAccess {
        let name = context ?? currentContext
        guard !name.isEmpty else {
            throw KubeconfigError("\(path): no current-context; set one of \(contexts) with 'kubectl config use-context'")
        }
        let entry = try entry("contexts", "context", name)
        guard let cluster = entry["cluster"]?.string, !cluster.isEmpty else {
            throw KubeconfigError("\(path): context \"\(name)\" names no cluster")
        }
        let user = entry["user"]?.string ?? ""
        var access = try server(try self.entry("clusters", "cluster", cluster), cluster)
        if !user.isEmpty { try identify(&access, try self.entry("users", "user", user), user) }
        if let namespace = entry["namespace"]?.string, !namespace.isEmpty { access.namespace = namespace }
        return access
    }

    private func entry(_ list: String, _ member: String, _ name: String) throws(KubeconfigError) -> JSON {
        let entries = root[list]?.array ?? []
        guard let found = entries.first(where: { $0["name"]?.string == name }) else {
            throw KubeconfigError("\(path): no \(member) \"\(name)\"; found \(entries.compactMap { $0["name"]?.string })")
        }
        return found[member] ?? [:]
    }

    // MARK: The server

    private func server(_ cluster: JSON, _ name: String) throws(KubeconfigError) -> ClusterAccess {
        let place = "\(path): cluster \"\(name)\""
        if cluster["insecure-skip-tls-verify"] == true {
            throw KubeconfigError(
                "\(place) has insecure-skip-tls-verify, with which anyone could pose as the server; put its authority into certificate-authority-data"
            )
        }
        if let proxy = cluster["proxy-url"]?.string, !proxy.isEmpty {
            throw KubeconfigError("\(place) has proxy-url \(proxy), which is not supported; name a server that can be reached directly")
        }
        guard let address = cluster["server"]?.string, let url = ServerURL(address) else {
            throw KubeconfigError("\(place): server: found \(cluster["server"]?.string ?? "nothing"), expected https://HOST[:PORT][/PATH]")
        }
        var access = ClusterAccess(host: url.host, port: url.port, basePath: url.path, trust: nil, origin: path)
        guard url.isSecure else {
            guard url.isLoopback else { throw KubeconfigError("\(place): server \(address) is not encrypted; use https") }
            return access
        }
        var trust = TLSTrust()
        trust.trustedPEM = try text(cluster, "certificate-authority", place) ?? ""
        trust.serverName = cluster["tls-server-name"]?.string ?? ""
        access.trust = trust
        return access
    }

    /// The text of a member that holds data in base64 (`NAME-data`) or names a file; the data wins.
    private func text(_ entry: JSON, _ member: String, _ place: String) throws(KubeconfigError) -> String? {
        let bytes: [UInt8]
        if let data = entry[member + "-data"]?.string, !data.isEmpty {
            guard let decoded = Base64.decode(data) else { throw KubeconfigError("\(place): \(member)-data is no base64") }
            bytes = decoded
        } else if let file = entry[member]?.string, !file.isEmpty {
            bytes = try Self.contents(resolved(file), read, what: "\(member) of \(place):")
        } else {
            return nil
        }
        guard let text = String(validating: bytes, as: UTF8.self), text.contains("-----BEGIN ") else {
            throw KubeconfigError("\(place): \(member) is no PEM; expected a text with -----BEGIN")
        }
        return text
    }

    /// The file that a member names, unless its data stands in the kubeconfig.
    private func file(_ entry: JSON, _ member: String) -> String? {
        guard (entry[member + "-data"]?.string ?? "").isEmpty, let file = entry[member]?.string, !file.isEmpty else { return nil }
        return resolved(file)
    }

    private func resolved(_ file: String) -> String {
        guard !file.hasPrefix("/"), let slash = path.lastIndex(of: "/") else { return file }
        return path[...slash] + file
    }

    // MARK: The user

    private func identify(_ access: inout ClusterAccess, _ user: JSON, _ name: String) throws(KubeconfigError) {
        let place = "\(path): user \"\(name)\""
        try refuseUnsupported(user, place)
        let chain = try text(user, "client-certificate", place)
        let key = try text(user, "client-key", place)
        guard (chain == nil) == (key == nil) else {
            throw KubeconfigError(
                "\(place) has \(chain == nil ? "client-key without client-certificate" : "client-certificate without client-key")")
        }
        if access.trust != nil {
            access.trust?.chainPEM = chain ?? ""
            access.trust?.keyPEM = key ?? ""
            if let chain = file(user, "client-certificate"), let key = file(user, "client-key") {
                access.certificateFiles = CertificateFiles(chainPath: chain, keyPath: key)
            }
        }
        if let file = user["tokenFile"]?.string, !file.isEmpty {
            access.token = .file(path: resolved(file))
        } else if let token = user["token"]?.string, !token.isEmpty {
            guard token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
                throw KubeconfigError("\(place): token has characters that no token has")
            }
            access.token = .fixed(token)
        }
    }

    private func refuseUnsupported(_ user: JSON, _ place: String) throws(KubeconfigError) {
        let remedies = [
            ("exec", "runs a program to get a token, which is not done here; put a token of a service account into token or tokenFile"),
            ("auth-provider", "is gone from Kubernetes; put a token of a service account into token or tokenFile"),
            ("username", "with a password is gone from Kubernetes; use a token or a client certificate"),
            ("as", "acts for another user, which is not supported; use that user's own token or certificate"),
            ("as-uid", "acts for another user, which is not supported; use that user's own token or certificate"),
            ("as-groups", "acts for other groups, which is not supported; use that user's own token or certificate"),
        ]
        for (member, remedy) in remedies where user[member] != nil && user[member] != .null && user[member] != "" {
            throw KubeconfigError("\(place): \(member) \(remedy)")
        }
    }
}

/// `https://host:port/path`, taken apart.
struct ServerURL {
    let isSecure: Bool
    let host: String
    let port: Int
    let path: String

    var isLoopback: Bool { host == "localhost" || host == "::1" || (host.hasPrefix("127.") && host.utf8.allSatisfy { $0 < 0x3a }) }

    /// Nil for what is no such URL, or says more than that.
    init?(_ text: String) {
        var rest = Substring(text)
        if rest.hasPrefix("https://") {
            isSecure = true
            rest.removeFirst(8)
        } else if rest.hasPrefix("http://") {
            isSecure = false
            rest.removeFirst(7)
        } else {
            return nil
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        var path = rest[slash...]
        while path.last == "/" { path.removeLast() }
        let authority = rest[..<slash]
        guard !text.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f }), !path.contains("?"), !path.contains("#"), !authority.contains("@")
        else { return nil }
        var host = authority
        var port = Substring(isSecure ? "443" : "80")
        if authority.first == "[" {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<end]
            let tail = authority[authority.index(after: end)...]
            guard tail.isEmpty || tail.first == ":" else { return nil }
            if !tail.isEmpty { port = tail.dropFirst() }
        } else if let colon = authority.firstIndex(of: ":") {
            host = authority[..<colon]
            port = authority[authority.index(after: colon)...]
        }
        guard !host.isEmpty, !host.contains("?"), !host.contains("#"), let number = UInt16(port), number > 0 else { return nil }
        self.host = String(host)
        self.port = Int(number)
        self.path = String(path)
    }
}

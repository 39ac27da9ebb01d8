import Identity
import KubernetesClient
import Network
import Resources
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite(.offThePool) struct KubeconfigTests {
    private static let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
    private static let encoded = Base64.encode(Array(pem.utf8))

    private static func text(cluster: String = "", user: String = "token: abc") -> String {
        """
        # what kubectl writes
        apiVersion: v1
        kind: Config
        preferences: {}
        current-context: main
        clusters:
        - cluster:
            certificate-authority-data: \(encoded)
            server: https://example.org:6443
            \(cluster)
          name: one
        - name: "two"
          cluster: {server: "https://[::1]/k8s/clusters/c-1/", certificate-authority: ca.crt}
        contexts:
        - context:
            cluster: one
            user: someone
            namespace: shop
          name: main
        - name: other
          context: {cluster: two, user: files}
        - name: broken
          context: {cluster: three, user: files}
        users:
        - name: someone
          user:
            \(user)
        - name: files
          user: {client-certificate: a/c.crt, client-key: /k.key, tokenFile: token}
        """
    }

    private func config(_ text: String) throws(KubeconfigError) -> Kubeconfig {
        try Kubeconfig(path: "/home/me/.kube/config") { path in
            switch path {
            case "/home/me/.kube/config": Array(text.utf8)
            case "/home/me/.kube/ca.crt", "/home/me/.kube/a/c.crt", "/k.key": Array(Self.pem.utf8)
            default: throw NotRefused(text: "no such file")
            }
        }
    }

    private func error(cluster: String = "", user: String = "token: abc") throws -> String {
        do {
            let access = try config(Self.text(cluster: cluster, user: user)).access()
            throw NotRefused(text: "\(access)")
        } catch let error as KubeconfigError { return error.description }
    }

    @Test func `the current context says where the server is and who asks`() throws {
        let config = try config(Self.text())
        #expect(config.contexts == ["main", "other", "broken"] && config.currentContext == "main")
        let access = try config.access()
        #expect(access.host == "example.org" && access.port == 6443 && access.basePath == "" && access.namespace == "shop")
        #expect(access.trust?.trustedPEM == Self.pem && access.trust?.chainPEM == "")
        guard case .fixed("abc") = access.token else { throw NotRefused(text: "\(access.token)") }
        #expect("\(access)" == "https://example.org:6443")
    }

    @Test func `another context is taken by its name, and files begin at the kubeconfig's folder`() throws {
        let access = try config(Self.text()).access(context: "other")
        #expect(access.host == "::1" && access.port == 443 && access.basePath == "/k8s/clusters/c-1" && access.namespace == "default")
        #expect(access.trust?.trustedPEM == Self.pem && access.trust?.chainPEM == Self.pem && access.trust?.keyPEM == Self.pem)
        #expect(access.certificateFiles?.chainPath.hasPrefix("/home/me/.kube/") ?? false)
        guard case .file("/home/me/.kube/token") = access.token else { throw NotRefused(text: "\(access.token)") }
    }

    @Test func `what is not there is named with what is`() throws {
        let config = try config(Self.text())
        #expect(throws: KubeconfigError.self) { try config.access(context: "nowhere") }
        do { _ = try config.access(context: "broken") } catch {
            #expect(error.description == "/home/me/.kube/config: no cluster \"three\"; found [\"one\", \"two\"]")
        }
    }

    @Test(arguments: [
        ("insecure-skip-tls-verify: true", "insecure-skip-tls-verify"), ("proxy-url: http://p:1", "proxy-url"),
        ("tls-server-name: x\n    bad", "line"),
    ]) func `of a cluster what would be unsafe or ignored is refused`(_ line: String, _ word: String) throws {
        #expect(try error(cluster: line).contains(word))
    }

    @Test(arguments: [
        ("exec: {command: aws, args: [eks, get-token]}", "exec"), ("auth-provider: {name: gcp}", "auth-provider"),
        ("username: a\n    password: b", "username"), ("as: root", "as"), ("client-key-data: \(encoded)", "client-certificate"),
        ("client-certificate-data: '!'", "base64"), ("client-certificate: /missing.crt", "/missing.crt"), ("token: 'a b'", "token"),
    ]) func `of a user what would be unsafe or ignored is refused`(_ line: String, _ word: String) throws {
        let error = try error(user: line)
        #expect(error.contains(word) && error.hasPrefix("/home/me/.kube/config") || error.contains("/missing.crt"), "\(error)")
    }

    @Test func `a token is not sent in the clear`() throws {
        let plain = Self.text().replacing("https://example.org:6443", with: "http://example.org:6443")
        #expect(throws: KubeconfigError.self) { try config(plain).access() }
        let local = try config(Self.text().replacing("https://example.org:6443", with: "http://127.0.0.1:8001")).access()
        #expect(local.trust == nil && local.port == 8001)
    }

    @Test(arguments: [
        "ftp://h", "https://", "https://h:0", "https://h:x", "https://u:p@h", "https://h?x", "https://[::1", "https://a b", "h:6443",
    ]) func `an address that is none is refused`(_ url: String) throws {
        #expect(throws: KubeconfigError.self) { try config(Self.text().replacing("https://example.org:6443", with: "'\(url)'")).access() }
    }

    @Test func `the cloud's own kubeconfig can be read`() throws {
        let text = """
            apiVersion: v1
            kind: Config
            current-context: skerry
            clusters:
            - name: skerry
              cluster:
                server: https://127.0.0.1:7443
                certificate-authority-data: \(Self.encoded)
            users:
            - name: admin
              user:
                client-certificate-data: \(Self.encoded)
                client-key-data: \(Self.encoded)
            contexts:
            - name: skerry
              context: {cluster: skerry, user: admin, namespace: default}

            """
        #expect(try config(text).access().trust?.keyPEM == Self.pem)
    }
}

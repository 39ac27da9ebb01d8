import NIOCore
import NIOSSL

/// The name or address that a server's certificate must bear (RFC 9110, section 4.3.4): in its alternative names, never in its subject.
struct PeerIdentity: Sendable, Equatable, CustomStringConvertible {
    private enum Wanted: Sendable, Equatable {
        /// Four or sixteen bytes.
        case address([UInt8])
        /// In lower case, without a period at its end.
        case name(String)
    }

    /// As it was asked for.
    let description: String
    private let wanted: Wanted

    init(_ text: String) {
        description = text
        if let address = Self.address(text) {
            wanted = .address(address)
        } else {
            wanted = .name(Self.plain(text))
        }
    }

    /// What the server is told that it is asked for; addresses are not told.
    var serverName: String? { if case .name(let name) = wanted { name } else { nil } }

    private static func plain(_ name: some StringProtocol) -> String {
        (name.hasSuffix(".") ? String(name.dropLast()) : String(name)).lowercased()
    }

    private static func address(_ text: String) -> [UInt8]? {
        guard let address = try? SocketAddress(ipAddress: text, port: 0) else { return nil }
        // Four bytes behind the port, or sixteen behind port and flow.
        return address.withSockAddr { start, size in
            let bytes = UnsafeRawBufferPointer(start: start, count: size)
            return address.protocol == .inet ? Array(bytes[4..<8]) : address.protocol == .inet6 ? Array(bytes[8..<24]) : nil
        }
    }

    /// Whether a certificate with these alternative names is of this server.
    func isBorne(names: [String], addresses: [[UInt8]]) -> Bool {
        switch wanted {
        case .address(let address): addresses.contains(address)
        case .name(let name): names.contains { Self.covers($0, name) }
        }
    }

    /// A star stands for the whole first label, and for one label only.
    private static func covers(_ pattern: String, _ name: String) -> Bool {
        let pattern = plain(pattern)
        if pattern == name { return !name.contains("*") }
        guard pattern.hasPrefix("*."), let dot = name.firstIndex(of: "."), dot > name.startIndex else { return false }
        let domain = pattern.dropFirst(1)
        // Nobody speaks for all names of a country.
        return name[dot...] == domain && domain.dropFirst().contains(".")
    }

    /// - Throws: `HTTPClientError` with code `.untrusted`, naming what the certificate bears instead.
    func check(_ certificate: NIOSSLCertificate) throws {
        var names: [String] = []
        var addresses: [[UInt8]] = []
        for name in certificate._subjectAlternativeNames() {
            let bytes = Array(name.contents)
            switch name.nameType {
            case .dnsName: names.append(String(decoding: bytes, as: UTF8.self))
            case .ipAddress: addresses.append(bytes)
            default: break
            }
        }
        guard !isBorne(names: names, addresses: addresses) else { return }
        let borne = names + addresses.map { $0.map(String.init).joined(separator: $0.count == 4 ? "." : ",") }
        throw HTTPClientError(
            .untrusted, "the server's certificate is not for \(self): it is for \(borne.isEmpty ? "nobody" : borne.joined(separator: ", "))"
        )
    }
}

import Resources
import Storage

extension ObjectService {
    private static let leases = BuiltInKinds.all.first { $0.kind == "Lease" }!

    /// Renews the Leases of nodes that live: what thousands of them need every few seconds is written without reading the objects.
    ///
    /// Only for who knows that the nodes are who they say. What a patch of `spec.renewTime` would leave in the store lies there afterwards, and
    /// watches tell of it; many are one transaction.
    ///
    /// - Parameter manager: whose fields these Leases are.
    /// - Returns: the nodes whose Lease was not written: it is not there, or is not one that only its time would be new in. A patch tells more.
    package func renewLeases(of nodes: [String], manager: String) async -> [String] {
        let now = environment.now().text
        var left: [String] = []
        var written: [String] = []
        var writes: [RevisionWrite] = []
        for node in nodes {
            let key = Self.leases.key(namespace: "kube-node-lease", name: node)
            guard let value = store.get(Self.leases.collection, key),
                let bytes = LeaseText.renewed(value.bytes, of: node, by: manager, at: now)
            else {
                left.append(node)
                continue
            }
            // Renewed in this very second, as a patch would find too.
            if bytes == value.bytes { continue }
            written.append(node)
            writes.append(.update(Self.leases.collection, key, bytes, from: value.revision))
        }
        for (node, result) in zip(written, await store.writeEach(writes)) { if case .failure = result { left.append(node) } }
        return left
    }
}

/// A node's Lease as it lies in the store, with other times. Pure.
enum LeaseText {
    /// The Lease renewed at a time; nil where more than its times would have to change, or where they do not stand in it exactly once.
    ///
    /// - Parameters:
    ///   - node: who must hold it.
    ///   - manager: who must own its fields, alone.
    ///   - time: 20 bytes of RFC 3339.
    static func renewed(_ bytes: [UInt8], of node: String, by manager: String, at time: String) -> [UInt8]? {
        // No text of a user's can hold these: quotes within texts are escaped, and of metadata only `managedFields` has objects that begin so.
        let spec = "\"spec\":{\"holderIdentity\":\"\(node)\",\"leaseDurationSeconds\":40,\"renewTime\":\""
        let owner = "\"manager\":\"\(manager)\",\"operation\":\"Update\",\"apiVersion\":\"coordination.k8s.io/v1\",\"time\":\""
        guard time.utf8.count == 20, let renewedAt = onlyEnd(of: spec, in: bytes), let ownedAt = onlyEnd(of: owner, in: bytes),
            onlyEnd(of: "\"manager\":\"", in: bytes) != nil,
            // 2026-11-20T23:30:05.000000Z, and without the fraction.
            isText(bytes, from: renewedAt, count: 27), isText(bytes, from: ownedAt, count: 20)
        else { return nil }
        var result = bytes
        result.replaceSubrange(renewedAt..<renewedAt + 19, with: time.utf8.prefix(19))
        result.replaceSubrange(ownedAt..<ownedAt + 20, with: time.utf8)
        return result
    }

    /// Whether a text of so many bytes stands there, to its closing quote.
    private static func isText(_ bytes: [UInt8], from start: Int, count: Int) -> Bool {
        start + count < bytes.count && bytes[start + count] == UInt8(ascii: "\"")
            && !bytes[start..<start + count].contains { $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }
    }

    /// The place behind the only occurrence of a text; nil if there is none, or another.
    private static func onlyEnd(of text: String, in bytes: [UInt8]) -> Int? {
        let wanted = Array(text.utf8)
        var found: Int?
        var start = 0
        while start + wanted.count <= bytes.count {
            guard bytes[start] == wanted[0], bytes[start + 1] == wanted[1], bytes[start..<start + wanted.count].elementsEqual(wanted) else {
                start += 1
                continue
            }
            if found != nil { return nil }
            start += wanted.count
            found = start
        }
        return found
    }
}

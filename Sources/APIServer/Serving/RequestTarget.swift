import Resources

/// A request's path and query, decoded.
struct RequestTarget: Sendable {
    /// Most parameters of a query; further ones are left out.
    private static let parametersMax = 100
    let path: String
    let segments: [String]
    private let parameters: [(String, String)]

    /// - Throws: `APIStatus` 400 for escapes that are none.
    init(path: String, query: String) throws(APIStatus) {
        self.path = path
        var segments: [String] = []
        for part in path.utf8.split(separator: UInt8(ascii: "/")) {
            guard let text = Self.decoded(part, plusIsSpace: false) else {
                throw .badRequest("the path \(path) holds an invalid escape")
            }
            segments.append(text)
        }
        self.segments = segments
        var parameters: [(String, String)] = []
        for part in query.utf8.split(separator: UInt8(ascii: "&")).prefix(Self.parametersMax) {
            let sides = part.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(sides[0], plusIsSpace: true),
                let value = Self.decoded(sides.dropFirst().first ?? Substring().utf8, plusIsSpace: true)
            else { throw .badRequest("the query holds an invalid escape: \(Substring(part))") }
            parameters.append((name, value))
        }
        self.parameters = parameters
    }

    /// The first value of a parameter.
    subscript(name: String) -> String? { parameters.first { $0.0 == name }?.1 }

    func all(_ name: String) -> [String] { parameters.filter { $0.0 == name }.map(\.1) }

    /// True for `true`, `1` and a parameter without a value.
    func flag(_ name: String) -> Bool { self[name].map { $0 == "true" || $0 == "1" || $0.isEmpty } ?? false }

    static func decoded(_ bytes: Substring.UTF8View, plusIsSpace: Bool) -> String? {
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x41...0x46: byte - 0x37
            case 0x61...0x66: byte - 0x57
            default: nil
            }
        }
        // Most parts are written as they are meant.
        if !bytes.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") || $0 >= 0x80 }) { return String(Substring(bytes)) }
        var result: [UInt8] = []
        var rest = bytes[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%") {
                guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else { return nil }
                result.append(high << 4 | low)
            } else {
                result.append(plusIsSpace && byte == UInt8(ascii: "+") ? 0x20 : byte)
            }
        }
        return String(validating: result, as: UTF8.self)
    }
}

/// A path below `/api` or `/apis` as what it names.
struct ResourcePath: Sendable, Equatable {
    var groupVersion = ""
    var namespace = ""
    var plural = ""
    var name = ""
    var subresource = ""
    /// The old form `/watch/…`.
    var isWatch = false

    /// Nil for a path that names no resource.
    init?(_ segments: [String]) {
        var rest = segments[...]
        switch rest.popFirst() {
        case "api":
            guard rest.popFirst() == "v1" else { return nil }
            groupVersion = "v1"
        case "apis":
            guard let group = rest.popFirst(), let version = rest.popFirst() else { return nil }
            groupVersion = "\(group)/\(version)"
        default: return nil
        }
        if rest.first == "watch" {
            isWatch = true
            rest = rest.dropFirst()
        }
        // `namespaces/NAME`, `namespaces/NAME/status` and `namespaces/NAME/finalize` are about the namespace itself.
        let isInNamespace =
            rest.first == "namespaces" && rest.count >= 3
            && !(groupVersion == "v1" && rest.count == 3 && ["status", "finalize"].contains(rest.last))
        if isInNamespace {
            namespace = rest[rest.startIndex + 1]
            rest = rest.dropFirst(2)
        }
        guard let plural = rest.popFirst(), rest.count <= 2 else { return nil }
        self.plural = plural
        name = rest.popFirst() ?? ""
        subresource = rest.popFirst() ?? ""
    }
}

/// Kubernetes' rules for names, label keys and label values.
package enum NameRules {
    private static func isLower(_ byte: UInt8) -> Bool { byte >= 0x61 && byte <= 0x7a }
    private static func isUpper(_ byte: UInt8) -> Bool { byte >= 0x41 && byte <= 0x5a }
    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
    private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool { isLower(byte) || isDigit(byte) }
    private static func isAlphanumeric(_ byte: UInt8) -> Bool { isLowerAlphanumeric(byte) || isUpper(byte) }

    /// RFC 1123 label: up to 63 of a–z, 0–9 and `-`, with an alphanumeric at both ends.
    package static func isLabel(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        guard let first = bytes.first, let last = bytes.last, bytes.count <= 63 else { return false }
        return isLowerAlphanumeric(first) && isLowerAlphanumeric(last) && bytes.allSatisfy { isLowerAlphanumeric($0) || $0 == 0x2d }
    }

    /// RFC 1123 subdomain: up to 253 characters of labels joined by dots, where labels may be long.
    package static func isSubdomain(_ text: some StringProtocol) -> Bool {
        guard text.utf8.count <= 253 else { return false }
        // Byte by byte: asked for every key of every object, and letters take many times as long to find.
        let dot: UInt8 = 0x2e
        var previous = dot
        for byte in text.utf8 {
            switch byte {
            case dot: if !isLowerAlphanumeric(previous) { return false }
            case 0x2d: if previous == dot { return false }
            default: if !isLowerAlphanumeric(byte) { return false }
            }
            previous = byte
        }
        return isLowerAlphanumeric(previous)
    }

    /// A name that may stand as one segment of a path: no `/`, no `%`, not `.` or `..`.
    package static func isPathSegment(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 253 && text != "." && text != ".." && !text.utf8.contains { $0 == 0x2f || $0 == 0x25 }
    }

    private static func isQualified(_ bytes: some Collection<UInt8>) -> Bool {
        guard let first = bytes.first, bytes.count <= 63, isAlphanumeric(first) else { return false }
        var last = first
        for byte in bytes {
            guard isAlphanumeric(byte) || byte == 0x2d || byte == 0x5f || byte == 0x2e else { return false }
            last = byte
        }
        return isAlphanumeric(last)
    }

    /// A key of a label or an annotation: a name, with an optional DNS prefix and `/`.
    package static func isQualifiedName(_ text: String) -> Bool {
        guard let slash = text.utf8.firstIndex(of: 0x2f) else { return isQualified(text.utf8) }
        return isSubdomain(text[..<slash]) && isQualified(text.utf8[text.utf8.index(after: slash)...])
    }

    /// Empty, or up to 63 letters, digits, `-`, `_`, `.` between a letter or digit and another.
    package static func isLabelValue(_ text: String) -> Bool { text.isEmpty || isQualified(text.utf8) }

    /// A key of a ConfigMap or a Secret.
    package static func isDataKey(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 253 && text != "." && text != ".."
            && text.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2d || $0 == 0x5f || $0 == 0x2e }
    }

    static let subdomainText =
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
        + "character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    static let labelText =
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character "
        + "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    static let labelValueText =
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        + "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    static let qualifiedNameText =
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
        + "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
}

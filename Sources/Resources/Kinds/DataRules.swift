/// Defaults and checks of ConfigMaps and Secrets.
enum DataRules {
    /// Total of all values.
    static let bytesMax = 1 << 20

    private static func keyErrors(_ object: JSON, _ fields: [String]) -> [FieldError] {
        var errors: [FieldError] = []
        var bytes = 0
        for field in fields {
            for (key, value) in object[field]?.object ?? [:] {
                if !NameRules.isDataKey(key) {
                    errors.append(
                        .invalid(
                            "\(field)[\(key)]", .string(key),
                            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                        ))
                }
                bytes += value.string?.utf8.count ?? 0
            }
        }
        if bytes > bytesMax { errors.append(FieldError("", .tooLong, "Too long: may not be more than \(bytesMax) bytes")) }
        return errors
    }

    private static func immutableErrors(_ new: JSON, _ old: JSON?, _ fields: [String]) -> [FieldError] {
        guard let old, old["immutable"]?.bool == true else { return [] }
        var errors = fields.filter { new[$0] != old[$0] }.map { FieldError.forbidden($0, "field is immutable when `immutable` is set") }
        if new["immutable"]?.bool != true { errors.append(.forbidden("immutable", "field is immutable when `immutable` is set")) }
        return errors
    }

    static func configMapErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        keyErrors(new, ["data", "binaryData"]) + immutableErrors(new, old, ["data", "binaryData"])
    }

    /// Moves `stringData` into `data`, in base64, and fills in the type.
    static func applySecretDefaults(_ object: inout JSON) {
        if object["type"] == nil { object["type"] = "Opaque" }
        for (key, value) in object["stringData"]?.object ?? [:] {
            object[path: ["data", key]] = .string(Base64.encode(Array((value.string ?? "").utf8)))
        }
        object["stringData"] = nil
    }

    static func secretErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        var errors = keyErrors(new, ["data"]) + immutableErrors(new, old, ["data"])
        for (key, value) in new["data"]?.object ?? [:] where Base64.decode(value.string ?? "") == nil {
            errors.append(FieldError("data[\(key)]", .invalid, "Invalid value: \"<redacted>\": must be base64"))
        }
        if let old, old["type"] != new["type"] {
            errors.append(.invalid("type", new["type"] ?? .null, "field is immutable"))
        }
        return errors
    }
}

/// Base64 with padding, RFC 4648.
package enum Base64 {
    private static let alphabet = [UInt8]("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let values: [UInt8] = {
        var table = [UInt8](repeating: 0xff, count: 256)
        for (value, byte) in alphabet.enumerated() { table[Int(byte)] = UInt8(value) }
        return table
    }()

    /// The text, in one line.
    package static func encode(_ bytes: some Collection<UInt8>) -> String {
        var result: [UInt8] = []
        result.reserveCapacity((bytes.count + 2) / 3 * 4)
        var buffer: UInt32 = 0
        var count = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            count += 1
            if count == 3 {
                for shift in [18, 12, 6, 0] { result.append(alphabet[Int(buffer >> UInt32(shift) & 63)]) }
                buffer = 0
                count = 0
            }
        }
        if count > 0 {
            buffer <<= UInt32(8 * (3 - count))
            result.append(alphabet[Int(buffer >> 18 & 63)])
            result.append(alphabet[Int(buffer >> 12 & 63)])
            result.append(count == 2 ? alphabet[Int(buffer >> 6 & 63)] : 0x3d)
            result.append(0x3d)
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Nil for text that is no base64; line breaks are skipped.
    package static func decode(_ text: String) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count / 4 * 3)
        var buffer: UInt32 = 0
        var count = 0
        var padding = 0
        for byte in text.utf8 where byte != 0x0a && byte != 0x0d {
            if byte == 0x3d {
                padding += 1
                continue
            }
            guard padding == 0, values[Int(byte)] != 0xff else { return nil }
            buffer = buffer << 6 | UInt32(values[Int(byte)])
            count += 1
            if count == 4 {
                result += [UInt8(buffer >> 16 & 255), UInt8(buffer >> 8 & 255), UInt8(buffer & 255)]
                buffer = 0
                count = 0
            }
        }
        switch (count, padding) {
        case (0, 0): break
        case (2, 2): result.append(UInt8(buffer >> 4 & 255))
        case (3, 1): result += [UInt8(buffer >> 10 & 255), UInt8(buffer >> 2 & 255)]
        default: return nil
        }
        return result
    }
}

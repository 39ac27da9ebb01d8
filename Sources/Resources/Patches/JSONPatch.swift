/// JSON patch, RFC 6902: a list of operations that all succeed or change nothing.
package enum JSONPatch {
    /// A patch with more operations is refused.
    package static let operationsMax = 10_000
    /// Bytes that the `copy` operations of a patch may copy together, about as they are written; a copy of copies doubles what it copies.
    private static let copiedBytesMax = 3 << 20
    /// Most arrays and objects inside one another in what is copied.
    private static let copiedDepthMax = 200

    /// - Throws: `PatchError.malformed` for what is no list of operations; `.inapplicable` naming the operation and the path that fails.
    package static func apply(_ patch: JSON, to target: JSON) throws(PatchError) -> JSON {
        guard let operations = patch.array else { throw .malformed("a JSON patch is a list of operations, found \(patch.typeName)") }
        guard operations.count <= operationsMax else {
            throw .malformed("the patch has \(operations.count) operations, at most \(operationsMax) are applied")
        }
        var result = target
        var copiedBytes = 0
        for operation in operations {
            guard let name = operation["op"]?.string, let path = operation["path"]?.string else {
                throw .malformed("an operation of a JSON patch needs 'op' and 'path': \(operation.text.prefixShortened(200))")
            }
            try perform(name, at: path, operation, on: &result, &copiedBytes)
        }
        return result
    }

    /// Adds about how many bytes a value takes when it is written, and stops where it is too much.
    private static func measure(_ value: JSON, _ depth: Int, _ bytes: inout Int) throws(PatchError) {
        bytes += 4
        guard bytes <= copiedBytesMax, depth <= copiedDepthMax else {
            throw .malformed(
                "the patch copies more than \(copiedBytesMax) bytes or more than \(copiedDepthMax) levels; send what it makes instead")
        }
        switch value {
        case .string(let text), .decimal(let text): bytes += text.utf8.count
        case .array(let elements): for element in elements { try measure(element, depth + 1, &bytes) }
        case .object(let members):
            for (key, member) in members {
                bytes += key.utf8.count + 4
                try measure(member, depth + 1, &bytes)
            }
        case .null, .bool, .integer: bytes += 4
        }
    }

    private static func perform(
        _ name: String, at path: String, _ operation: JSON, on target: inout JSON, _ copiedBytes: inout Int
    ) throws(PatchError) {
        func value() throws(PatchError) -> JSON {
            guard let value = operation["value"] else { throw .malformed("operation '\(name)' at \(path) needs a 'value'") }
            return value
        }
        func source() throws(PatchError) -> String {
            guard let from = operation["from"]?.string else { throw .malformed("operation '\(name)' at \(path) needs a 'from'") }
            return from
        }
        switch name {
        case "add": try add(try value(), try pointer(path), path, &target)
        case "remove": _ = try remove(try pointer(path), path, &target)
        case "replace":
            let tokens = try pointer(path)
            if tokens.isEmpty {
                target = try value()
            } else {
                _ = try remove(tokens, path, &target)
                try add(try value(), tokens, path, &target)
            }
        case "move":
            let from = try source()
            guard !(path + "/").hasPrefix(from + "/") || path == from else {
                throw .malformed("cannot move \(from) into itself at \(path)")
            }
            try add(try remove(try pointer(from), from, &target), try pointer(path), path, &target)
        case "copy":
            let from = try source()
            let copied = try get(try pointer(from), from, target)
            try measure(copied, path.utf8.count { $0 == UInt8(ascii: "/") }, &copiedBytes)
            try add(copied, try pointer(path), path, &target)
        case "test":
            guard let found = try? get(try pointer(path), path, target), found == (try value()) else {
                throw .inapplicable("testing path \(path) failed")
            }
        default: throw .malformed("unknown operation '\(name)'; a JSON patch knows add, remove, replace, move, copy and test")
        }
    }

    private static func pointer(_ path: String) throws(PatchError) -> [String] {
        guard path.isEmpty || path.hasPrefix("/") else { throw .malformed("path '\(path)' must begin with '/'") }
        return path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map { unescaped($0) }
    }

    private static func unescaped(_ token: Substring) -> String {
        guard token.contains("~") else { return String(token) }
        var result = ""
        var rest = token[...]
        while let tilde = rest.firstIndex(of: "~") {
            result += rest[..<tilde]
            let after = rest[tilde...].dropFirst()
            switch after.first {
            case "0": result += "~"
            case "1": result += "/"
            default: result += "~" + (after.first.map(String.init) ?? "")
            }
            rest = after.dropFirst()
        }
        return result + rest
    }

    private static func missing(_ path: String) -> PatchError { .inapplicable("the path \(path) does not exist in the object") }

    private static func position(_ token: String, count: Int, _ path: String, orEnd: Bool) throws(PatchError) -> Int {
        if orEnd && token == "-" { return count }
        guard let index = Int(token), index >= 0, index < count + (orEnd ? 1 : 0), String(index) == token else {
            throw .inapplicable("'\(token)' in \(path) is no index of a list of \(count)")
        }
        return index
    }

    private static func get(_ tokens: [String], _ path: String, _ target: JSON) throws(PatchError) -> JSON {
        var value = target
        for token in tokens {
            switch value {
            case .object(let object):
                guard let next = object[token] else { throw missing(path) }
                value = next
            case .array(let elements): value = elements[try position(token, count: elements.count, path, orEnd: false)]
            default: throw missing(path)
            }
        }
        return value
    }

    private static func add(_ value: JSON, _ tokens: [String], _ path: String, _ target: inout JSON) throws(PatchError) {
        guard let token = tokens.first else { return target = value }
        let rest = Array(tokens.dropFirst())
        if var object = takenObject(&target) {
            if rest.isEmpty {
                object[token] = value
            } else {
                guard var inner = object[token] else { throw missing(path) }
                object[token] = .null
                try add(value, rest, path, &inner)
                object[token] = inner
            }
            target = .object(object)
        } else if var elements = takenArray(&target) {
            if rest.isEmpty {
                elements.insert(value, at: try position(token, count: elements.count, path, orEnd: true))
            } else {
                let index = try position(token, count: elements.count, path, orEnd: false)
                try add(value, rest, path, &elements[index])
            }
            target = .array(elements)
        } else {
            throw missing(path)
        }
    }

    private static func remove(_ tokens: [String], _ path: String, _ target: inout JSON) throws(PatchError) -> JSON {
        guard let token = tokens.first else { throw .inapplicable("the whole object cannot be removed") }
        let rest = Array(tokens.dropFirst())
        let removed: JSON
        if var object = takenObject(&target) {
            guard var inner = object[token] else { throw missing(path) }
            if rest.isEmpty {
                removed = inner
                object[token] = nil
            } else {
                object[token] = .null
                removed = try remove(rest, path, &inner)
                object[token] = inner
            }
            target = .object(object)
        } else if var elements = takenArray(&target) {
            let index = try position(token, count: elements.count, path, orEnd: false)
            removed = rest.isEmpty ? elements.remove(at: index) : try remove(rest, path, &elements[index])
            target = .array(elements)
        } else {
            throw missing(path)
        }
        return removed
    }

    /// An object, which is gone from its place: as the only reference it is changed without a copy. A patch that fails is dropped with its
    /// half-made result.
    private static func takenObject(_ value: inout JSON) -> JSONObject? {
        guard case .object(let object) = value else { return nil }
        value = .null
        return object
    }

    private static func takenArray(_ value: inout JSON) -> [JSON]? {
        guard case .array(let elements) = value else { return nil }
        value = .null
        return elements
    }
}

import Resources

/// A ConfigMap or Secret that a Pod names.
struct PodReference: Sendable, Hashable, Comparable {
    enum Kind: String, Sendable, Hashable { case configMap = "configmap", secret }

    let kind: Kind
    let name: String

    static func < (left: PodReference, right: PodReference) -> Bool {
        (left.kind.rawValue, left.name) < (right.kind.rawValue, right.name)
    }
}

/// What a Pod's variables and volumes are made of: the Pod, the node, and the objects it names. Pure.
struct PodSources: Sendable {
    /// Most bytes of a volume made of objects.
    static let volumeBytesMax = 16 << 20

    var pod: PodSpec
    /// ConfigMaps and Secrets as a server has them; one that is not here does not exist.
    var objects: [PodReference: JSON] = [:]
    /// Tokens that were to be had.
    var tokens: [TokenNeed: String] = [:]
    /// The certificate, in PEM, by which the server is known.
    var authorityPEM = ""
    var nodeName: String
    var address: String
    /// What the node has to give: stands in for limits that a container does not have.
    var allocatable: JSON

    init(pod: PodSpec, nodeName: String, address: String, allocatable: JSON) {
        self.pod = pod
        self.nodeName = nodeName
        self.address = address
        self.allocatable = allocatable
    }

    // MARK: What is named

    /// Objects that the volumes are made of.
    static func volumeReferences(_ pod: PodSpec) -> Set<PodReference> {
        var found: Set<PodReference> = []
        for volume in pod.volumes {
            if let name = volume["configMap"]?["name"]?.string { found.insert(PodReference(kind: .configMap, name: name)) }
            if let name = volume["secret"]?["secretName"]?.string { found.insert(PodReference(kind: .secret, name: name)) }
            for source in volume["projected"]?["sources"]?.array ?? [] {
                if let name = source["configMap"]?["name"]?.string { found.insert(PodReference(kind: .configMap, name: name)) }
                if let name = source["secret"]?["name"]?.string { found.insert(PodReference(kind: .secret, name: name)) }
            }
        }
        return found
    }

    /// Tokens that the volumes are made of.
    static func tokenNeeds(_ pod: PodSpec) -> Set<TokenNeed> {
        var found: Set<TokenNeed> = []
        for volume in pod.volumes {
            for source in volume["projected"]?["sources"]?.array ?? [] {
                if let token = source["serviceAccountToken"] { found.insert(TokenNeed(token)) }
            }
        }
        return found
    }

    /// Objects that a container's variables are made of.
    static func variableReferences(_ container: ContainerSpec) -> Set<PodReference> {
        var found: Set<PodReference> = []
        for source in container.object["envFrom"]?.array ?? [] {
            if let name = source["configMapRef"]?["name"]?.string { found.insert(PodReference(kind: .configMap, name: name)) }
            if let name = source["secretRef"]?["name"]?.string { found.insert(PodReference(kind: .secret, name: name)) }
        }
        for variable in container.object["env"]?.array ?? [] {
            let source = variable["valueFrom"]
            if let name = source?["configMapKeyRef"]?["name"]?.string { found.insert(PodReference(kind: .configMap, name: name)) }
            if let name = source?["secretKeyRef"]?["name"]?.string { found.insert(PodReference(kind: .secret, name: name)) }
        }
        return found
    }

    // MARK: Variables

    /// The variables that a container asks for, in order, references to earlier ones put in.
    ///
    /// - Throws: `CreateContainerConfigError` that names the object and key that are missing.
    func variables(_ container: ContainerSpec) throws(ContainerRefusal) -> [ContainerSetup.Variable] {
        var result: [ContainerSetup.Variable] = []
        var known: [String: String] = [:]
        func add(_ name: String, _ value: String) {
            known[name] = value
            result.append(.init(name, value))
        }
        for source in container.object["envFrom"]?.array ?? [] {
            let prefix = source["prefix"]?.string ?? ""
            for (kind, field) in [(PodReference.Kind.configMap, "configMapRef"), (.secret, "secretRef")] {
                guard let reference = source[field], let name = reference["name"]?.string else { continue }
                guard let values = try values(kind, name, isOptional: reference["optional"]?.bool ?? false) else { continue }
                for (key, bytes) in values where Self.isVariableName(prefix + key) {
                    add(prefix + key, String(decoding: bytes, as: UTF8.self))
                }
            }
        }
        for variable in container.object["env"]?.array ?? [] {
            guard let name = variable["name"]?.string else { continue }
            if let source = variable["valueFrom"] {
                if let value = try value(source, container) { add(name, value) }
            } else {
                add(name, Self.expanded(variable["value"]?.string ?? "", known))
            }
        }
        return result
    }

    private static func isVariableName(_ name: String) -> Bool {
        !name.isEmpty && !name.first!.isNumber && !name.contains("=") && !name.contains("\0")
    }

    private func value(_ source: JSON, _ container: ContainerSpec) throws(ContainerRefusal) -> String? {
        if let field = source["fieldRef"]?["fieldPath"]?.string {
            guard let value = value(ofField: field) else {
                throw ContainerRefusal("CreateContainerConfigError", "env: fieldPath \(field) is none that a Pod has here")
            }
            return value
        }
        if let resource = source["resourceFieldRef"] { return try value(resource: resource, in: container) }
        for (kind, field) in [(PodReference.Kind.configMap, "configMapKeyRef"), (.secret, "secretKeyRef")] {
            guard let reference = source[field], let name = reference["name"]?.string, let key = reference["key"]?.string else { continue }
            let isOptional = reference["optional"]?.bool ?? false
            guard let values = try values(kind, name, isOptional: isOptional) else { return nil }
            if let found = values.first(where: { $0.key == key }) { return String(decoding: found.bytes, as: UTF8.self) }
            if isOptional { return nil }
            throw ContainerRefusal(
                "CreateContainerConfigError", "couldn't find key \(key) in \(Self.word(kind)) \(pod.key.namespace)/\(name)")
        }
        return nil
    }

    private static func word(_ kind: PodReference.Kind) -> String { kind == .configMap ? "ConfigMap" : "Secret" }

    /// Keys and values of an object in the order of the keys; nil if it is not there and need not be.
    private func values(
        _ kind: PodReference.Kind, _ name: String, isOptional: Bool
    ) throws(ContainerRefusal) -> [(key: String, bytes: [UInt8])]? {
        guard let object = objects[PodReference(kind: kind, name: name)] else {
            if isOptional { return nil }
            throw ContainerRefusal("CreateContainerConfigError", "\(kind.rawValue) \"\(name)\" not found")
        }
        var found: [(key: String, bytes: [UInt8])] = []
        for (key, value) in object["data"]?.object ?? [:] {
            guard let text = value.string else { continue }
            if kind == .configMap { found.append((key, Array(text.utf8))) } else { found.append((key, Base64.decode(text) ?? [])) }
        }
        for (key, value) in object["binaryData"]?.object ?? [:] { found.append((key, value.string.flatMap { Base64.decode($0) } ?? [])) }
        return found.sorted { $0.key < $1.key }
    }

    /// `$(NAME)` becomes the value of a known variable, `$$` a dollar; what names none stays as it is.
    static func expanded(_ text: String, _ known: [String: String]) -> String {
        guard text.utf8.contains(UInt8(ascii: "$")) else { return text }
        var result = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            if rest.first == "$" {
                result += "$"
                rest = rest.dropFirst()
            } else if rest.first == "(", let end = rest.firstIndex(of: ")") {
                let name = rest[rest.index(after: rest.startIndex)..<end]
                result += known[String(name)] ?? "$(\(name))"
                rest = rest[rest.index(after: end)...]
            } else {
                result += "$"
            }
        }
        return result + rest
    }

    // MARK: Facts of the Pod

    /// Name of the service account.
    var account: String { pod.account }

    /// The value of a field as the downward API gives it; nil for one it does not have.
    func value(ofField path: String) -> String? {
        let metadata = pod.object["metadata"]
        switch path {
        case "metadata.name": return pod.key.name
        case "metadata.namespace": return pod.key.namespace
        case "metadata.uid": return pod.uid
        case "metadata.labels": return Self.lines(metadata?["labels"]?.object)
        case "metadata.annotations": return Self.lines(metadata?["annotations"]?.object)
        case "spec.nodeName": return nodeName
        case "spec.serviceAccountName": return account
        case "status.hostIP", "status.podIP", "status.hostIPs", "status.podIPs": return address
        default: break
        }
        for map in ["labels", "annotations"] where path.hasPrefix("metadata.\(map)['") && path.hasSuffix("']") {
            let key = path.dropFirst("metadata.\(map)['".count).dropLast(2)
            return metadata?[map]?[String(key)]?.string ?? ""
        }
        return nil
    }

    private static func lines(_ map: JSONObject?) -> String {
        (map ?? [:]).map { key, value in "\(key)=\(JSON.string(value.string ?? "").text)" }.sorted().joined(separator: "\n")
    }

    private func value(resource: JSON, in container: ContainerSpec) throws(ContainerRefusal) -> String {
        let words = (resource["resource"]?.string ?? "").split(separator: ".", maxSplits: 1).map(String.init)
        let source = resource["containerName"]?.string.flatMap { pod.container($0) } ?? container
        guard words.count == 2, ["limits", "requests"].contains(words[0]) else {
            throw ContainerRefusal(
                "CreateContainerConfigError", "resourceFieldRef: found resource \"\(resource["resource"]?.string ?? "")\"")
        }
        let resources = source.object["resources"]
        let amount =
            Quantity(resources?[words[0]]?[words[1]]) ?? (words[0] == "requests" ? Quantity(resources?["limits"]?[words[1]]) : nil)
            ?? (words[0] == "limits" ? Quantity(allocatable[words[1]]) : nil) ?? Quantity(0)
        let divisor = Quantity(resource["divisor"])?.value ?? 1
        return String(Int64((amount.value / (divisor > 0 ? divisor : 1) - 1e-9).rounded(.up)))
    }

    // MARK: Volumes

    /// The content of the volumes that are made of objects.
    ///
    /// - Throws: `ContainerCreating` with a sentence that names what is missing.
    func volumeFiles() throws(ContainerRefusal) -> [VolumeFiles] {
        var result: [VolumeFiles] = []
        for volume in pod.volumes {
            guard let name = volume["name"]?.string else { continue }
            var files: [VolumeFiles.File]?
            do {
                if let source = volume["configMap"] {
                    files = try self.files(.configMap, source["name"]?.string ?? "", source, mode: Self.mode(source["defaultMode"], 0o644))
                } else if let source = volume["secret"] {
                    files = try self.files(
                        .secret, source["secretName"]?.string ?? "", source, mode: Self.mode(source["defaultMode"], 0o600))
                } else if let source = volume["downwardAPI"] {
                    files = try downward(source, mode: Self.mode(source["defaultMode"], 0o644))
                } else if let source = volume["projected"] {
                    files = try projected(source)
                }
            } catch {
                // What was not asked for is left as it is while it cannot be had.
                if volume["projected"]?["isOptional"] == true { continue }
                throw ContainerRefusal("ContainerCreating", "MountVolume.SetUp failed for volume \"\(name)\" : \(error.message)")
            }
            guard let files else { continue }
            guard files.reduce(0, { $0 + $1.bytes.count }) <= Self.volumeBytesMax else {
                throw ContainerRefusal("ContainerCreating", "volume \"\(name)\" would hold more than \(Self.volumeBytesMax) bytes")
            }
            result.append(VolumeFiles(volume: name, files: files))
        }
        return result
    }

    /// Permission bits of a field, or others if there is none. Secrets are their owner's alone where nothing else is asked for.
    private static func mode(_ value: JSON?, _ other: UInt32) -> UInt32 {
        guard let number = value?.integer, (0...0o777).contains(number) else { return other }
        return UInt32(number)
    }

    private func files(
        _ kind: PodReference.Kind, _ name: String, _ source: JSON, mode: UInt32
    ) throws(ContainerRefusal) -> [VolumeFiles.File] {
        let isOptional = source["optional"]?.bool ?? false
        guard let values = try values(kind, name, isOptional: isOptional) else { return [] }
        guard let items = source["items"]?.array else { return values.map { .init(path: $0.key, bytes: $0.bytes, mode: mode) } }
        var result: [VolumeFiles.File] = []
        for item in items {
            let key = item["key"]?.string ?? ""
            guard let found = values.first(where: { $0.key == key }) else {
                if isOptional { continue }
                throw ContainerRefusal("ContainerCreating", "references non-existent \(Self.word(kind).lowercased()) key: \(key)")
            }
            result.append(.init(path: try Self.path(item["path"]), bytes: found.bytes, mode: Self.mode(item["mode"], mode)))
        }
        return result
    }

    /// A path below a volume.
    private static func path(_ value: JSON?) throws(ContainerRefusal) -> String {
        let path = value?.string ?? ""
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard !path.isEmpty, !path.hasPrefix("/"), parts.allSatisfy({ !$0.isEmpty && $0 != ".." && $0 != "." }), !parts[0].hasPrefix("..")
        else {
            throw ContainerRefusal("ContainerCreating", "path: found \"\(path)\"; must be relative and without ..")
        }
        return path
    }

    private func downward(_ source: JSON, mode: UInt32) throws(ContainerRefusal) -> [VolumeFiles.File] {
        var result: [VolumeFiles.File] = []
        for item in source["items"]?.array ?? [] {
            let text: String
            if let field = item["fieldRef"]?["fieldPath"]?.string {
                guard let value = value(ofField: field) else {
                    throw ContainerRefusal("ContainerCreating", "fieldPath \(field) is none that a Pod has here")
                }
                text = value
            } else {
                let named = item["resourceFieldRef"]?["containerName"]?.string.flatMap { pod.container($0) }
                guard let resource = item["resourceFieldRef"], let container = named ?? pod.containers.first else { continue }
                text = try value(resource: resource, in: container)
            }
            result.append(.init(path: try Self.path(item["path"]), bytes: Array(text.utf8), mode: Self.mode(item["mode"], mode)))
        }
        return result
    }

    private func projected(_ volume: JSON) throws(ContainerRefusal) -> [VolumeFiles.File] {
        let mode = Self.mode(volume["defaultMode"], 0o644)
        var result: [VolumeFiles.File] = []
        for source in volume["sources"]?.array ?? [] {
            if let map = source["configMap"] {
                result += try files(.configMap, map["name"]?.string ?? "", map, mode: mode)
            } else if let secret = source["secret"] {
                result += try files(.secret, secret["name"]?.string ?? "", secret, mode: Self.mode(volume["defaultMode"], 0o600))
            } else if let downward = source["downwardAPI"] {
                result += try self.downward(downward, mode: mode)
            } else if let token = source["serviceAccountToken"] {
                guard let text = tokens[TokenNeed(token)] else {
                    throw ContainerRefusal("ContainerCreating", "no token of service account \"\(account)\" could be had")
                }
                // Whoever has it is the account, and processes share the machine's files: only another mode than the default is heard.
                let mode = mode == 0o644 ? 0o600 : mode
                result.append(.init(path: try Self.path(token["path"]), bytes: Array(text.utf8), mode: mode))
            } else if let authority = source["serverAuthority"] {
                result.append(.init(path: try Self.path(authority["path"]), bytes: Array(authorityPEM.utf8), mode: mode))
            }
        }
        return result
    }
}

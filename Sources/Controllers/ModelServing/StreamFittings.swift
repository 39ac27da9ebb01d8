import Resources

/// What a serving worker gets for the sources and sinks of its Model: the folders of files, Secrets as files, and the variable `STREAMS` with
/// the fields of the Model as the worker finds them. Pure.
struct StreamFittings {
    private static let folder = "\(WorkerPods.prefix)/streams"

    private(set) var variables: [JSON] = []
    private(set) var volumes: [JSON] = []
    private(set) var mounts: [JSON] = []
    private var folders: [String] = []
    private var secrets: [String] = []

    /// Nothing for a Model without sources.
    init(_ model: JSON) {
        let spec = model["spec"] ?? .null
        let (streams, errors) = ModelStreams.read(spec, at: "spec")
        // Admission has refused the others.
        guard errors.isEmpty, !streams.sources.isEmpty else { return }
        var told: JSON = [:]
        for list in ["sources", "sinks"] { told[list] = .array((spec[list]?.array ?? []).map { place($0) }) }
        if let letter = spec["deadLetter"] { told["deadLetter"] = place(letter) }
        variables = [
            ["name": "STREAMS", "value": .string(told.text)],
            ["name": "NODE_NAME", "valueFrom": ["fieldRef": ["fieldPath": "spec.nodeName"]]],
        ]
        for (number, path) in folders.enumerated() {
            mount("streams-\(number)", ["hostPath": ["path": .string(path), "type": "DirectoryOrCreate"]], "\(Self.folder)/\(number)")
        }
        for (number, secret) in secrets.enumerated() {
            mount(
                "streams-secret-\(number)", ["secret": ["secretName": .string(secret)]], "\(Self.folder)/secret-\(number)", isReadOnly: true
            )
        }
    }

    /// A source or sink with paths of the container.
    private mutating func place(_ json: JSON) -> JSON {
        var json = json
        if let path = json["file"]?["path"]?.string {
            let parts = path.split(separator: "/")
            let number = Self.place(of: "/" + parts.dropLast().joined(separator: "/"), in: &folders)
            json[path: ["file", "name"]] = .string(path)
            json[path: ["file", "path"]] = .string("\(Self.folder)/\(number)/\(parts.last ?? "")")
        }
        if let secret = json["mqtt"]?["credentialName"]?.string, !secret.isEmpty {
            json[path: ["mqtt", "credentials"]] = .string("\(Self.folder)/secret-\(Self.place(of: secret, in: &secrets))")
        }
        return json
    }

    private static func place(of name: String, in names: inout [String]) -> Int {
        if let known = names.firstIndex(of: name) { return known }
        names.append(name)
        return names.count - 1
    }

    private mutating func mount(_ name: String, _ source: JSON, _ path: String, isReadOnly: Bool = false) {
        var volume = source
        volume["name"] = .string(name)
        volumes.append(volume)
        var place: JSON = ["name": .string(name), "mountPath": .string(path)]
        if isReadOnly { place["readOnly"] = true }
        mounts.append(place)
    }
}

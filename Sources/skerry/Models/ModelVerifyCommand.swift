import ArgumentParser
import Identity
import Inference
import KubernetesClient
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct ModelVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Check that a model's files are those that a trusted key has signed.",
        discussion: """
            TARGET is a file or folder, checked without any cloud against --signature (default: model.sig in the folder) and --key; or a model of \
            a cloud: then every file of its version is fetched and checked against the cloud's list of keys, or --key.
            """)

    @OptionGroup var place: NamespaceOptions
    @Argument(help: "A file, a folder, or a model of the cloud.") var target: String
    @Option(help: "The signature: a Sigstore bundle of OpenSSF model signing.") var signature: String?
    @Option(name: .customLong("key"), help: "A public key in PEM that is trusted; may be given more than once.") var keys: [String] = []
    @Option(help: "Of a model of the cloud (default: the version that serves).") var version: Int64?

    func run() async throws {
        let trusted = try keys.map { try ModelKeyFile.verifying($0) }
        guard signature != nil || ModelKeyFile.isThere(target) else { return try await verifyInCloud(trusted) }
        guard !trusted.isEmpty else {
            throw ValidationError("--key is missing: whose signature is trusted? (skerry model keys show > cloud.pub)")
        }
        if version != nil { throw ValidationError("--version: \(target) is a file, which has no versions") }
        let folder = ModelKeyFile.isFolder(target)
        guard let path = signature ?? (folder ? "\(target)/\(ModelFolder.signatureName)" : nil) else {
            throw ValidationError("--signature is missing: name the file that holds it")
        }
        let text = String(decoding: try ModelKeyFile.read(path, bytesMax: ModelSignature.bytesMax), as: UTF8.self)
        let trust = ModelTrust(trusted)
        do {
            let key = try folder ? trust.verify(text, files: files(of: target)) : trust.verify(text, file: digest(target))
            try say("\(target): signed by key \(key)")
        } catch { throw CloudError("\(target): \(error)") }
    }

    private func digest(_ path: String) throws -> String {
        ArtifactDigest(of: try ModelKeyFile.read(path, bytesMax: ModelLimits.edge.bytes)).description
    }

    /// Digests of the files of a folder, by name; the signature itself is none of them.
    private func files(of folder: String) throws -> [String: String] {
        var files: [String: String] = [:]
        for name in try ModelKeyFile.names(in: folder) where name != ModelFolder.signatureName && "\(folder)/\(name)" != signature {
            guard files.count < ModelSignature.filesMax else {
                throw CloudError("it holds more than the \(ModelSignature.filesMax) files that a signature may be of")
            }
            guard !ModelKeyFile.isFolder("\(folder)/\(name)") else {
                throw CloudError("\(name) is a folder; only files side by side are checked")
            }
            files[name] = try digest("\(folder)/\(name)")
        }
        return files
    }

    private func verifyInCloud(_ trusted: [ModelVerifyingKey]) async throws {
        try await place.with { client, namespace in
            let entry = try await ModelRegistry(client: client, namespace: namespace).entry(target)
            let version = try entry.named(version)
            let number = version["version"]?.text ?? ""
            let keys = trusted.isEmpty ? try await KeyList(client: client).keys().map(\.key) : trusted
            var found: [String: String] = [:]
            for (name, digest) in ModelVersions.allFiles(version) {
                let bytes = try await client.download(digest, bytesMax: ModelLimits.edge.bytes)
                found[name] = ArtifactDigest(of: bytes).description
            }
            do {
                guard let key = try ModelTrust(keys).check(signature: version["signature"]?.string, files: found, policy: .required) else {
                    return
                }
                try say("model \(target) version \(number): \(found.count == 1 ? "1 file" : "\(found.count) files"), signed by key \(key)")
            } catch { throw CloudError("model \(target) version \(number): \(error)") }
        }
    }
}

/// Keys, signatures and models as files of this machine.
enum ModelKeyFile {
    static func read(_ path: String, bytesMax: Int) throws -> [UInt8] {
        do { return try SmallFile.read(path, bytesMax: bytesMax) } catch { throw CloudError("cannot read \(path): \(error)") }
    }

    private static func text(_ path: String) throws -> String { String(decoding: try read(path, bytesMax: 64 << 10), as: UTF8.self) }

    static func verifying(_ path: String) throws -> ModelVerifyingKey {
        let text = try text(path)
        do { return try ModelVerifyingKey(pem: text) } catch { throw CloudError("\(path): \(error)") }
    }

    static func signing(_ path: String) throws -> ModelSigningKey {
        let text = try text(path)
        do { return try ModelSigningKey(pem: text) } catch { throw CloudError("\(path): \(error)") }
    }

    static func isThere(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func isFolder(_ path: String) -> Bool {
        guard let open = opendir(path) else { return false }
        closedir(open)
        return true
    }

    /// Names in a folder, in order.
    static func names(in folder: String) throws -> [String] {
        guard let open = opendir(folder) else { throw CloudError("cannot read \(folder): \(String(cString: strerror(errno)))") }
        defer { closedir(open) }
        var names: [String] = []
        while let entry = readdir(open) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}

import ArgumentParser
import Identity
import Inference
import KubernetesClient
import Resources
import Storage

struct ModelPushCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push", abstract: "Check a model, send it to a cloud and make it a version there.",
        discussion: """
            The first version of a model serves at once, later ones with --promote or after 'skerry model promote'. The same file again is no \
            new version.
            """)

    @OptionGroup var place: NamespaceOptions
    @OptionGroup var table: TableOptions
    @Argument(help: "The model's file.") var file: String
    @Option(help: "The model (default: the file's name).") var name: String?
    @Option(help: "Its format (default: the file's ending); what is onnx is read and screened here first.") var format: String?
    @Option(name: .customLong("with"), help: "A further file that belongs to it, shown to workers beside it; may be given more than once.")
    var companions: [String] = []
    @Option(name: .customLong("metric"), help: "A figure of its evaluation, as accuracy=0.91; may be given more than once.")
    var metrics: [Figure] = []
    @Option(help: "Version it was made from (default: the one that serves).") var parent: Int64?
    @Flag(help: "Have it serve at once.") var promote = false
    @Option(help: "Sign it here, with a private key in PEM (skerry model keys create); the cloud must trust its public key.")
    var signKey: String?
    @Option(help: "A signature that was made elsewhere: a Sigstore bundle of OpenSSF model signing.") var signature: String?
    @Option(name: .customLong("signing"), help: "For a model that is new to the cloud: required or ifPresent; see its spec.signature.")
    var policy: SigningPolicy?

    enum SigningPolicy: String, ExpressibleByArgument, CaseIterable { case required, ifPresent }

    /// `accuracy=0.91`.
    struct Figure: ExpressibleByArgument {
        let name: String
        let value: JSON

        init?(argument: String) {
            let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty, Double(parts[1])?.isFinite == true, let value = try? JSON(parsing: parts[1])
            else {
                return nil
            }
            (name, self.value) = (parts[0], value)
        }
    }

    /// The name that is meant.
    private var wanted: String {
        name ?? String((file.split(separator: "/").last ?? "").prefix { $0 != "." }).lowercased().replacing("_", with: "-")
    }

    private var kind: String { format ?? file.split(separator: "/").last?.split(separator: ".").dropFirst().last.map(String.init) ?? "" }

    func validate() throws {
        if !NameRules.isSubdomain(wanted) {
            throw ValidationError("--name: \"\(wanted)\" is no name of a model; give one of lower-case letters, digits, '-' and '.'")
        }
        if signKey != nil, signature != nil { throw ValidationError("--sign-key and --signature both sign it; give one") }
        if format == nil, kind != "onnx" {
            throw ValidationError(
                "\(file) does not end in .onnx, which is what workers load; name its --format to keep it here all the same")
        }
    }

    func run() async throws {
        let bytes = try Self.read(file)
        if kind == "onnx" { do { _ = try ModelFile(bytes) } catch { throw CloudError("\(file): \(error)") } }
        var new = ModelVersions.NewVersion(
            digest: ArtifactDigest(of: bytes).description, format: kind, size: Int64(bytes.count))
        new.parent = parent
        new.metrics = JSONObject(metrics.map { ($0.name, $0.value) })
        var files: [(digest: String, bytes: [UInt8])] = [(new.digest, bytes)]
        for path in companions {
            let name = path.split(separator: "/").last.map(String.init) ?? path
            guard name != "model.\(kind)", new.files[name] == nil else { throw CloudError("--with \(path): \(name) is there already") }
            let companion = try Self.read(path)
            let digest = ArtifactDigest(of: companion).description
            new.files[name] = digest
            files.append((digest, companion))
        }
        new.signature = try signed(new)
        try await place.with { [new] client, namespace in
            if let signature = new.signature { try await Self.check(signature, new, KeyList(client: client)) }
            for file in files { try await client.upload(file.bytes, digest: file.digest) }
            let registry = ModelRegistry(client: client, namespace: namespace)
            let (number, isNew, serving) = try await registry.push(new, to: wanted, serves: promote, policy: policy?.rawValue)
            try say(told(number, isNew: isNew, serving: serving, new.digest))
        }
    }

    private static func files(_ new: ModelVersions.NewVersion) -> [String: String] {
        new.files.merging(["model.\(new.format)": new.digest]) { $1 }
    }

    /// The signature that goes with it, if one was asked for.
    private func signed(_ new: ModelVersions.NewVersion) throws -> String? {
        if let signKey { return try ModelKeyFile.signing(signKey).sign(model: wanted, files: Self.files(new)) }
        return try signature.map { String(decoding: try ModelKeyFile.read($0, bytesMax: ModelSignature.bytesMax), as: UTF8.self) }
    }

    /// A signature that nodes would refuse is refused before anything is sent.
    private static func check(_ signature: String, _ new: ModelVersions.NewVersion, _ list: KeyList) async throws {
        let trust = ModelTrust(try await list.keys().map(\.key))
        do { _ = try trust.verify(signature, files: files(new)) } catch { throw CloudError("the signature is not taken: \(error)") }
    }

    private func told(_ number: Int64, isNew: Bool, serving: Int64, _ digest: String) -> String {
        guard table.format == .table else {
            var rows = AlignedTable(["NAME", "VERSION", "NEW", "SERVING", "DIGEST"], texts: ["NAME", "DIGEST"])
            rows.rows = [[wanted, String(number), String(isNew), String(serving), digest]]
            return rows.text(table.format)
        }
        let begin = "model/\(wanted): \(isNew ? "version \(number)" : "the same file is version \(number) already")"
        return number == serving
            ? "\(begin), serves" : "\(begin); version \(serving) serves (skerry model promote \(wanted) \(number))"
    }

    private static func read(_ path: String) throws -> [UInt8] {
        do { return try SmallFile.read(path, bytesMax: ModelLimits.edge.bytes) } catch { throw CloudError("cannot read \(path): \(error)") }
    }
}

struct ModelPullCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull", abstract: "Fetch a version of a model into a folder, each file checked by its digest.")

    @OptionGroup var place: NamespaceOptions
    @Argument(help: "The model.") var name: String
    @Option(help: "The version (default: the one that serves).") var version: Int64?
    @Option(name: .customLong("to"), help: "The folder, made if it is not there.") var folder: String

    func run() async throws {
        try await place.with { client, namespace in
            let entry = try await ModelRegistry(client: client, namespace: namespace).entry(name)
            let version = try entry.named(version)
            let output = try ModelFolder(folder)
            for (name, digest) in ModelVersions.allFiles(version).sorted(by: { $0.key < $1.key }) {
                let bytes = try await client.download(digest, bytesMax: ModelLimits.edge.bytes)
                guard ArtifactDigest(of: bytes).description == digest else {
                    throw CloudError("\(name): the cloud sent \(ArtifactDigest(of: bytes)) for \(digest); nothing was written of it")
                }
                try output.write(name, bytes)
            }
            if let signature = version["signature"]?.string { try output.write(ModelFolder.signatureName, Array(signature.utf8)) }
            try say("\(folder): version \(version["version"]?.text ?? "") of model \(name)")
        }
    }
}

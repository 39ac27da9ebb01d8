import ArgumentParser
import Identity
import KubernetesClient
import Resources
import Storage

/// `skerry model keys`: whose signatures a cluster trusts.
struct ModelKeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Whose signatures of models a cloud and its nodes trust.",
        discussion: """
            A cloud signs every version with a key of its own, in models.key of its folder. With a new one ('rotate') versions are signed anew; old \
            keys are trusted until they are removed. Further keys ('add') are those of people and build servers.
            """,
        subcommands: [
            ModelKeysListCommand.self, ModelKeysShowCommand.self, ModelKeysAddCommand.self, ModelKeysRemoveCommand.self,
            ModelKeysRotateCommand.self, ModelKeysCreateCommand.self, ModelKeysDemandCommand.self,
        ], defaultSubcommand: ModelKeysListCommand.self)
}

/// The list of trusted keys of a cluster: a ConfigMap.
struct KeyList {
    private static let attemptsMax = 20
    let client: RESTClient

    func map() async throws -> JSON? {
        do throws(APIStatus) { return try await client.get(KnownKinds.configMap, ModelKeys.key) } catch {
            guard error.code == 404 else { throw error }
            return nil
        }
    }

    func keys() async throws -> [(entry: String, key: ModelVerifyingKey)] { try TrustedKeys.read(ModelKeys.all(try await map())) }

    /// Changes the list, and decides anew when somebody else was faster.
    func change(_ change: (inout JSON) throws -> Void) async throws {
        var failure = APIStatus(code: 409, reason: "Conflict", message: "")
        for attempt in 0..<Self.attemptsMax {
            let known = try await map()
            var list: JSON =
                known ?? [
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": ["namespace": .string(ModelKeys.key.namespace), "name": .string(ModelKeys.key.name)],
                ]
            try change(&list)
            do throws(APIStatus) {
                if known == nil {
                    try await client.create(KnownKinds.configMap, list)
                } else {
                    try await client.update(KnownKinds.configMap, list)
                }
                return
            } catch {
                guard error.code == 409 else { throw error }
                failure = error
            }
            try await Task.sleep(for: .milliseconds(10 << min(attempt, 6)))
        }
        throw failure
    }
}

struct ModelKeysListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the trusted keys (the default).")

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var table: TableOptions

    func run() async throws {
        try await cluster.with { client, _ in
            let list = KeyList(client: client)
            let current = try await list.map()?["metadata"]?["annotations"]?[ModelKeys.currentAnnotation]?.string
            var rows = AlignedTable(["ENTRY", "OWNER", "USE", "SHA-256"], texts: ["ENTRY", "OWNER", "USE", "SHA-256"])
            rows.rows = try await list.keys().map { entry, key in
                [entry, entry.hasPrefix(ModelKeys.ownPrefix) ? "cloud" : "other", entry == current ? "signs" : "trusted", key.id]
            }
            try say(rows.text(table.format))
        }
    }
}

struct ModelKeysShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print a trusted key in PEM, as 'skerry model verify --key' takes it.")

    @OptionGroup var cluster: ClusterOptions
    @Argument(help: "The entry (default: the key that the cloud signs with).") var entry: String?

    func run() async throws {
        try await cluster.with { client, _ in
            let map = try await KeyList(client: client).map()
            let wanted = entry ?? map?["metadata"]?["annotations"]?[ModelKeys.currentAnnotation]?.string ?? ""
            guard let pem = ModelKeys.all(map)[wanted] else {
                throw CloudError(
                    entry == nil
                        ? "this cloud has signed nothing yet, and trusts no key" : "there is no key \(wanted); see skerry model keys list")
            }
            try say(String(pem.reversed().drop { $0.isNewline }.reversed()))
        }
    }
}

struct ModelKeysAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "add", abstract: "Trust a public key.")

    @OptionGroup var cluster: ClusterOptions
    @Argument(help: "The key in PEM, on P-256, P-384 or P-521.") var file: String

    func run() async throws {
        let key = try ModelKeyFile.verifying(file)
        let entry = ModelKeys.entry(id: key.id, isOwn: false)
        try await cluster.with { client, _ in
            try await KeyList(client: client).change { list in
                guard ModelKeys.all(list).count < ModelTrust.keysMax else {
                    throw CloudError("\(ModelTrust.keysMax) keys are trusted already; remove one first")
                }
                list[path: ["data", entry]] = .string(key.pem)
            }
        }
        try say("\(entry) is trusted")
    }
}

struct ModelKeysRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Trust a key no longer: nodes load nothing more that it signed.")

    @OptionGroup var cluster: ClusterOptions
    @Argument(help: "The entry, as 'skerry model keys list' shows it.") var entry: String

    func run() async throws {
        try await cluster.with { client, _ in
            try await KeyList(client: client).change { list in
                guard list["data"]?[entry] != nil else { throw CloudError("there is no key \(entry); see skerry model keys list") }
                guard list["metadata"]?["annotations"]?[ModelKeys.currentAnnotation]?.string != entry else {
                    throw CloudError("the cloud signs with \(entry); have it make another first: skerry model keys rotate")
                }
                list[path: ["data", entry]] = nil
            }
        }
        try say("\(entry) is not trusted any more")
    }
}

struct ModelKeysRotateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Have the cloud make itself a new key, and wait until it signs with it.")

    @OptionGroup var cluster: ClusterOptions
    @Option(help: "Longest wait, seconds.") var timeout: Double = 60

    func run() async throws {
        guard (0...3600).contains(timeout) else { throw ValidationError("--timeout \(timeout): expected 0 to 3600 seconds") }
        try await cluster.with { client, _ in
            let list = KeyList(client: client)
            let before = try await list.map()?["metadata"]?["annotations"]?[ModelKeys.currentAnnotation]?.string
            try await list.change { $0[path: ["metadata", "annotations", ModelKeys.rotateAnnotation]] = "now" }
            let end = ContinuousClock.now + .seconds(timeout)
            while true {
                let now = try await list.map()?["metadata"]?["annotations"]
                if now?[ModelKeys.rotateAnnotation] == nil, let current = now?[ModelKeys.currentAnnotation]?.string, current != before {
                    return try say("\(current) signs\(before.map { "; \($0) stays trusted until it is removed" } ?? "")")
                }
                guard ContinuousClock.now < end else {
                    throw CloudError("the cloud has made no new key within \(timeout) seconds; does its control plane run?")
                }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }
}

struct ModelKeysCreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a key to sign models with: FILE for the owner alone, FILE.pub for everybody.")

    @Argument(help: "Where to write; it must not exist.") var file: String

    func run() throws {
        for path in [file, file + ".pub"] where ModelKeyFile.isThere(path) {
            throw CloudError("\(path) is there already; name another file")
        }
        let pem = ModelSigningKey.newPEM()
        for (path, text, isPrivate) in [(file, pem, true), (file + ".pub", try ModelSigningKey(pem: pem).verifying.pem, false)] {
            let output = try WholeFile(path: path, isPrivate: isPrivate)
            try output.write(Array(text.utf8))
            try output.commit()
        }
        try say("\(file) signs, \(file).pub verifies")
    }
}

struct ModelKeysDemandCommand: AsyncParsableCommand {
    enum Extent: String, ExpressibleByArgument, CaseIterable { case all, models }

    static let configuration = CommandConfiguration(
        commandName: "demand", abstract: "Have nodes load nothing unsigned ('all'), or what each Model asks for ('models', as at first).",
        discussion: """
            With 'all' files are meant too that a Model names by a path or a digest, and those that 'skerry edge deploy' and Pods of the built-in \
            worker take from the node itself: a signature is to lie beside them, as FILE.sig or model.sig.
            """)

    @OptionGroup var cluster: ClusterOptions
    @Argument(help: "all or models.") var extent: Extent

    func run() async throws {
        try await cluster.with { client, _ in
            try await KeyList(client: client).change { list in
                list[path: ["metadata", "annotations", ModelKeys.demandAnnotation]] = extent == .all ? "required" : nil
            }
        }
        try say(extent == .all ? "nodes load nothing unsigned" : "nodes load what each Model asks for")
    }
}

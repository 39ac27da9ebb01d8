import ArgumentParser
import Resources

/// `skerry model`: the registry of a cloud.
struct ModelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Keep models in a cloud: versions that never change, and the one that serves.",
        subcommands: [
            ModelPushCommand.self, ModelListCommand.self, ModelShowCommand.self, ModelPullCommand.self, ModelPromoteCommand.self,
            ModelRollbackCommand.self, ModelVerifyCommand.self, ModelKeysCommand.self,
        ])
}

/// Models and versions as rows.
enum ModelRows {
    static func list(_ entries: [ModelVersions], now: Timestamp) -> AlignedTable {
        var table = AlignedTable(
            ["NAME", "SERVING", "VERSIONS", "DIGEST", "SIZE", "ACCURACY", "JOB", "SIGNED", "AGE"],
            texts: ["NAME", "DIGEST", "SIZE", "JOB", "AGE"])
        table.rows = entries.map { entry in
            let version = entry.version(entry.serving)
            let digest = version?["digest"]?.string ?? entry.model["spec"]?["url"]?.string ?? ""
            return [
                ObjectKey(entry.model).name, String(entry.serving), String(entry.versions.count), short(digest),
                version?["size"]?.integer.map(ModelVersions.sizeText) ?? "", figure(version, "accuracy"),
                version?["job"]?.string.map(ModelVersions.jobName) ?? "", seal(version, entry),
                age(version?["createdAt"] ?? entry.model["metadata"]?["creationTimestamp"], now),
            ]
        }
        return table
    }

    static func versions(_ entry: ModelVersions, now: Timestamp) -> AlignedTable {
        var table = AlignedTable(
            ["VERSION", "ALIAS", "PARENT", "DIGEST", "SIZE", "ACCURACY", "JOB", "ROUND", "FILES", "SIGNED", "AGE"],
            texts: ["ALIAS", "DIGEST", "SIZE", "JOB", "AGE"])
        table.rows = entry.versions.map { version in
            let number = version["version"]?.integer ?? 0
            return [
                String(number), number == entry.serving ? "serving" : number == entry.previous ? "previous" : "",
                version["parent"]?.text ?? "", short(version["digest"]?.string ?? ""),
                version["size"]?.integer.map(ModelVersions.sizeText) ?? "", figure(version, "accuracy"),
                version["job"]?.string.map(ModelVersions.jobName) ?? "", version["round"]?.text ?? "",
                String(1 + ModelVersions.files(version).count), seal(version, entry), age(version["createdAt"], now),
            ]
        }
        return table
    }

    /// Every field of one version, a line each.
    static func fields(_ version: JSON) -> AlignedTable {
        var table = AlignedTable(["FIELD", "VALUE"], texts: ["FIELD", "VALUE"])
        for key in ["version", "digest", "size", "format", "createdAt", "parent", "job", "round"] {
            if let value = version[key] { table.rows.append([key, value.string ?? value.text]) }
        }
        for (name, value) in version["metrics"]?.object ?? [:] { table.rows.append(["metrics.\(name)", value.string ?? value.text]) }
        for (name, digest) in ModelVersions.files(version).sorted(by: { $0.key < $1.key }) { table.rows.append(["files.\(name)", digest]) }
        return table
    }

    private static func seal(_ version: JSON?, _ entry: ModelVersions) -> String {
        switch version.map({ entry.seal($0) }) ?? ModelVersions.Seal.none {
        case .none: "no"
        case .held: "yes"
        case .refused: "refused"
        }
    }

    private static func short(_ digest: String) -> String { digest.hasPrefix("sha256:") ? String(digest.dropFirst(7).prefix(12)) : digest }

    private static func figure(_ version: JSON?, _ name: String) -> String {
        version?["metrics"]?[name]?.number.map(ModelVersions.digits) ?? ""
    }

    private static func age(_ time: JSON?, _ now: Timestamp) -> String { time?.string.flatMap { Timestamp($0) }?.age(at: now) ?? "" }
}

struct ModelListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the models of a namespace and what serves of each.")

    @OptionGroup var place: NamespaceOptions
    @OptionGroup var table: TableOptions

    func run() async throws {
        try await place.with { client, namespace in
            let entries = try await ModelRegistry(client: client, namespace: namespace).all()
            try say(ModelRows.list(entries, now: Timestamp(seconds: ClusterOptions.now)).text(table.format))
        }
    }
}

struct ModelShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show the versions of a model and where they come from, or all that is known of one version.")

    @OptionGroup var place: NamespaceOptions
    @OptionGroup var table: TableOptions
    @Argument(help: "The model.") var name: String
    @Option(help: "One version, with all its fields.") var version: Int64?

    func run() async throws {
        try await place.with { client, namespace in
            let entry = try await ModelRegistry(client: client, namespace: namespace).entry(name)
            guard let version else {
                return try say(ModelRows.versions(entry, now: Timestamp(seconds: ClusterOptions.now)).text(table.format))
            }
            try say(ModelRows.fields(try entry.found(version)).text(table.format))
        }
    }
}

extension ModelVersions {
    /// A version by its number.
    ///
    /// - Throws: `CloudError` with the versions there are.
    func found(_ number: Int64) throws -> JSON {
        if let version = version(number) { return version }
        let numbers = numbers.map(String.init).joined(separator: ", ")
        throw CloudError(
            "model \(ObjectKey(model).name) has no version \(number); \(numbers.isEmpty ? "it has none" : "it has \(numbers)")")
    }

    /// The version that is meant where one may be named: that, or the one that serves.
    func named(_ number: Int64?) throws -> JSON {
        let wanted = number ?? serving
        guard wanted > 0 || number != nil else {
            throw CloudError(
                "no version of model \(ObjectKey(model).name) serves, but the file of its spec (\(model["spec"]?["url"]?.string ?? "none")); name one by --version"
            )
        }
        return try found(wanted)
    }
}

struct ModelPromoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote", abstract: "Have a version serve; nodes take it over between two requests.")

    @OptionGroup var place: NamespaceOptions
    @Argument(help: "The model.") var name: String
    @Argument(help: "Number of the version.") var version: Int64

    func run() async throws {
        try await place.with { client, namespace in
            let registry = ModelRegistry(client: client, namespace: namespace)
            let now = Timestamp(seconds: ClusterOptions.now)
            let (before, after) = try await registry.change(name) { try $0.promote(version, now: now) }
            try say(
                before == after
                    ? "model/\(name): version \(after) serves already" : "model/\(name): version \(after) serves (before: \(before))")
        }
    }
}

struct ModelRollbackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rollback", abstract: "Have the version serve that served before.")

    @OptionGroup var place: NamespaceOptions
    @Argument(help: "The model.") var name: String

    func run() async throws {
        try await place.with { client, namespace in
            let registry = ModelRegistry(client: client, namespace: namespace)
            let now = Timestamp(seconds: ClusterOptions.now)
            let (before, after) = try await registry.change(name) { try $0.rollback(now: now) }
            try say("model/\(name): version \(after) serves again (before: \(before))")
        }
    }
}

/// A Model object as a registry entry: its versions, which never change, and the one that serves. Pure.
package struct ModelVersions: Sendable {
    /// Versions that are kept; beyond, the oldest that neither serves nor served before goes.
    package static let kept = 32
    /// The object as it is after all changes.
    package private(set) var model: JSON

    /// - Parameter model: the object, with or without a status.
    package init(_ model: JSON) { self.model = model }

    // MARK: Reading

    /// All that are kept, the newest last.
    package var versions: [JSON] { model["status"]?["versions"]?.array ?? [] }
    /// 0 for the file of the spec.
    package var serving: Int64 { model["status"]?["serving"]?.integer ?? 0 }
    /// The version that served before; 0 for the file of the spec, and where none did.
    package var previous: Int64 { model["status"]?["previous"]?.integer ?? 0 }
    /// Numbers of all that are kept.
    package var numbers: [Int64] { versions.compactMap { $0["version"]?.integer } }

    /// A version by its number; nil if it is not kept, and for 0.
    package func version(_ number: Int64) -> JSON? { versions.first { $0["version"]?.integer == number } }

    /// The version a round of a job made; nil if it made none, or the version was forgotten.
    ///
    /// - Parameter job: `NAMESPACE/NAME/UID`: the uid tells a job from an earlier one of its name.
    package func version(of job: String, round: Int64) -> JSON? {
        versions.last { $0["job"]?.string == job && $0["round"]?.integer == round }
    }

    /// The newest version of the same files; nil if there is none.
    package func version(like new: NewVersion) -> JSON? {
        versions.last { $0["digest"]?.string == new.digest && Self.files($0) == new.files }
    }

    /// What to call the file of a version: `model.onnx`.
    package static func mainName(_ version: JSON?) -> String { "model.\(version?["format"]?.string ?? "onnx")" }

    /// Digests of the files beside a version's model, by name.
    package static func files(_ version: JSON) -> [String: String] {
        let files = (version["files"]?.object ?? [:]).map { ($0.0, $0.1.string ?? "") }
        return Dictionary(files, uniquingKeysWith: { $1 })
    }

    /// All files of a version, what a signature speaks of: digests by name.
    package static func allFiles(_ version: JSON) -> [String: String] {
        files(version).merging([mainName(version): version["digest"]?.string ?? ""]) { $1 }
    }

    // MARK: Changing

    /// What a version is made of.
    package struct NewVersion: Sendable, Hashable {
        /// `sha256:` of the model's file.
        package var digest: String
        /// As `onnx`.
        package var format: String
        /// Bytes of the model's file.
        package var size: Int64?
        /// Digests of further files, by name.
        package var files: [String: String] = [:]
        /// `NAMESPACE/NAME/UID` of the job that made it.
        package var job: String?
        /// Its round.
        package var round: Int64?
        /// Version that it was made from; nil for the one that serves.
        package var parent: Int64?
        /// Figures of its evaluation.
        package var metrics: JSONObject = [:]
        /// A signature of its files: a Sigstore bundle as text.
        package var signature: String?

        /// - Parameters:
        ///   - digest: `sha256:` and 64 digits.
        ///   - format: as `onnx`.
        ///   - size: bytes.
        package init(digest: String, format: String, size: Int64? = nil) {
            (self.digest, self.format, self.size) = (digest, format, size)
        }
    }

    /// Adds a version.
    ///
    /// - Parameter serves: it takes over at once.
    /// - Returns: its number, one more than any before.
    @discardableResult
    package mutating func add(_ new: NewVersion, serves: Bool, now: Timestamp) -> Int64 {
        let number = max(numbers.max() ?? 0, serving, previous) + 1
        var version: JSON = [
            "version": .integer(number), "digest": .string(new.digest), "format": .string(new.format), "createdAt": .string(now.text),
        ]
        version["size"] = new.size.map { .integer($0) }
        version["job"] = new.job.map { .string($0) }
        version["round"] = new.round.map { .integer($0) }
        let parent = new.parent ?? serving
        if parent > 0 { version["parent"] = .integer(parent) }
        if !new.metrics.isEmpty { version["metrics"] = .object(new.metrics) }
        if !new.files.isEmpty {
            version["files"] = .object(JSONObject(new.files.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
        }
        version["signature"] = new.signature.map { .string($0) }
        var all = versions + [version]
        let wanted = Set([serving, number] + (serves ? [] : [previous]))
        while all.count > Self.kept, let old = all.firstIndex(where: { !wanted.contains($0["version"]?.integer ?? 0) }) {
            all.remove(at: old)
        }
        model[path: ["status", "versions"]] = .array(all)
        model[path: ["status", "updateTime"]] = .string(now.text)
        if serves { serve(number) }
        return number
    }

    /// Has a version serve; the one that did is what `rollback` goes back to. Nothing happens if it serves already.
    ///
    /// - Parameter number: 0 for the file of the spec.
    /// - Throws: a version that is not kept.
    package mutating func promote(_ number: Int64, now: Timestamp) throws(ModelVersionError) {
        if number == serving { return }
        guard number == 0 ? hasFileOfSpec : version(number) != nil else { throw missing(number) }
        serve(number)
        model[path: ["status", "updateTime"]] = .string(now.text)
    }

    /// Has the version serve that did before.
    ///
    /// - Returns: its number.
    /// - Throws: none served before, or it is not kept any more.
    @discardableResult
    package mutating func rollback(now: Timestamp) throws(ModelVersionError) -> Int64 {
        guard previous != serving, previous > 0 || hasFileOfSpec else {
            throw ModelVersionError("\(name): no version served before version \(serving); name one to promote\(told)")
        }
        let number = previous
        try promote(number, now: now)
        return number
    }

    /// Puts a signature in the place of a version's; nothing else of a version ever changes.
    package mutating func sign(_ number: Int64, _ signature: String) {
        model[path: ["status", "versions"]] = .array(
            versions.map { version in
                guard version["version"]?.integer == number else { return version }
                var version = version
                version["signature"] = .string(signature)
                return version
            })
    }

    /// What the signature of a version is worth, as the cloud has found.
    package enum Seal: Sendable, Hashable {
        /// There is none.
        case none
        /// There is one, and nothing is known against it.
        case held
        /// It does not hold, or nobody trusts the key.
        case refused
    }

    /// - Parameter version: one of `versions`.
    package func seal(_ version: JSON) -> Seal {
        guard version["signature"]?.string != nil else { return .none }
        return (model["status"]?["refused"]?.array ?? []).contains { $0.integer == version["version"]?.integer } ? .refused : .held
    }

    /// Says of which versions the signature does not hold; of all others it does.
    package mutating func refuse(_ numbers: [Int64]) {
        model[path: ["status", "refused"]] = numbers.isEmpty ? nil : .array(numbers.map { .integer($0) })
    }

    private mutating func serve(_ number: Int64) {
        model[path: ["status", "previous"]] = .integer(serving)
        model[path: ["status", "serving"]] = .integer(number)
        model[path: ["status", "metrics"]] = .array(
            (version(number)?["metrics"]?.object ?? [:]).compactMap { name, value in
                value.number.map { ["key": .string(name), "value": .string(Self.digits($0))] }
            })
    }

    private var name: String { "model \(ObjectKey(model))" }
    /// The entry that a job made for itself has no file before its first version.
    private var hasFileOfSpec: Bool {
        let isJobs = (model["metadata"]?["ownerReferences"]?.array ?? []).contains { $0["controller"]?.bool == true }
        return !isJobs && !(model["spec"]?["url"]?.string ?? "").isEmpty
    }

    private var told: String {
        let numbers = numbers.map(String.init).joined(separator: ", ")
        return numbers.isEmpty ? " (it has none)" : " (it has \(numbers))"
    }

    private func missing(_ number: Int64) -> ModelVersionError {
        ModelVersionError("\(name) has no version \(number)\(told); the newest \(Self.kept) are kept")
    }

    /// Four decimals, as conditions and columns show figures.
    package static func digits(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e11 else { return "\(value)" }
        let scaled = Int64((abs(value) * 10_000).rounded())
        let fraction = String(scaled % 10_000)
        return "\(value < 0 && scaled > 0 ? "-" : "")\(scaled / 10_000).\(String(repeating: "0", count: 4 - fraction.count))\(fraction)"
    }

    // MARK: Where it lies

    /// How a worker gets the version that serves: by digest, or from the node's disk where only the spec names a file.
    package var source: Source? {
        if serving > 0, let version = version(serving), let digest = version["digest"]?.string {
            return .digest(digest, name: Self.mainName(version), others: Self.files(version))
        }
        guard let url = model["spec"]?["url"]?.string else { return nil }
        if url.hasPrefix("sha256:") { return .digest(url, name: "model.\(model["spec"]?["format"]?.string ?? "onnx")", others: [:]) }
        return hasFileOfSpec ? .path(url) : nil
    }

    /// Where the files of a version are found.
    package enum Source: Sendable, Hashable {
        /// In the cloud's store.
        ///
        /// - Parameter others: digests of files beside it, by name.
        case digest(String, name: String, others: [String: String])
        /// On the node's disk.
        case path(String)
    }
}

/// Why a version cannot serve; a sentence that names the versions there are.
package struct ModelVersionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The sentence.
    package let description: String

    init(_ description: String) { self.description = description }
}

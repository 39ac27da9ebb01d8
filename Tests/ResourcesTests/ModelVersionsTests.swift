import Resources
import Testing

/// A Model as a registry entry: versions that never change, and one that serves.
@Suite struct ModelVersionsTests {
    private static let now = Timestamp(seconds: 1_000_000)

    private static func empty(url: String = "sha256:" + String(repeating: "0", count: 64)) -> ModelVersions {
        ModelVersions(["metadata": ["name": "comfort", "namespace": "homes"], "spec": ["url": .string(url), "format": "onnx"]])
    }

    private static func version(_ letter: Character, accuracy: Double? = nil) -> ModelVersions.NewVersion {
        var new = ModelVersions.NewVersion(digest: "sha256:" + String(repeating: letter, count: 64), format: "onnx", size: 7)
        if let accuracy { new.metrics = ["accuracy": .number(accuracy)] }
        return new
    }

    @Test func `versions count up, each with the one that served as its parent`() {
        var entry = Self.empty()
        #expect(entry.add(Self.version("a"), serves: true, now: Self.now) == 1)
        #expect(entry.add(Self.version("b"), serves: false, now: Self.now) == 2)
        #expect(entry.add(Self.version("c"), serves: false, now: Self.now) == 3)
        #expect(entry.numbers == [1, 2, 3])
        #expect(entry.serving == 1)
        #expect(entry.version(1)?["parent"] == nil)
        #expect(entry.version(3)?["parent"]?.integer == 1)
        #expect(entry.version(like: Self.version("b"))?["version"]?.integer == 2)
        #expect(entry.version(like: Self.version("d")) == nil)
    }

    @Test func `a promoted version serves with its own figures, and a rollback brings back the one before`() throws {
        var entry = Self.empty()
        entry.add(Self.version("a", accuracy: 0.5), serves: true, now: Self.now)
        entry.add(Self.version("b", accuracy: 0.6125), serves: false, now: Self.now)
        try entry.promote(2, now: Self.now)
        #expect(entry.serving == 2)
        #expect(entry.model["status"]?["metrics"] == [["key": "accuracy", "value": "0.6125"]])
        #expect(try entry.rollback(now: Self.now) == 1)
        #expect(entry.model["status"]?["metrics"] == [["key": "accuracy", "value": "0.5000"]])
        #expect(try entry.rollback(now: Self.now) == 2)
        try entry.promote(2, now: Self.now)
        #expect(entry.previous == 1, "to promote what serves changes nothing")
    }

    @Test func `what cannot serve is refused with what there is`() {
        var entry = Self.empty()
        entry.add(Self.version("a"), serves: true, now: Self.now)
        entry.add(Self.version("b"), serves: true, now: Self.now)
        let refusal = #expect(throws: ModelVersionError.self) { try entry.promote(9, now: Self.now) }
        #expect(refusal?.description == "model homes/comfort has no version 9 (it has 1, 2); the newest 32 are kept")
        var jobs = ModelVersions([
            "metadata": ["name": "rooms", "ownerReferences": [["controller": true, "kind": "LifelongLearningJob"]]],
            "spec": ["url": "/rooms"],
        ])
        jobs.add(Self.version("a"), serves: true, now: Self.now)
        let none = #expect(throws: ModelVersionError.self) { _ = try jobs.rollback(now: Self.now) }
        #expect(none?.description == "model rooms: no version served before version 1; name one to promote (it has 1)")
    }

    @Test func `the oldest versions go, those that serve and served before stay`() throws {
        var entry = Self.empty()
        entry.add(Self.version("a"), serves: true, now: Self.now)
        entry.add(Self.version("b"), serves: true, now: Self.now)
        for _ in 0..<100 { entry.add(Self.version("c"), serves: false, now: Self.now) }
        #expect(entry.numbers == [1, 2] + Array((103 - ModelVersions.kept + 2)...102).map(Int64.init))
        try entry.rollback(now: Self.now)
        #expect(entry.serving == 1)
    }

    @Test func `the file of the spec serves until a version does`() {
        var entry = Self.empty()
        #expect(entry.source == .digest("sha256:" + String(repeating: "0", count: 64), name: "model.onnx", others: [:]))
        var new = Self.version("a")
        new.files = ["signs.bin": "sha256:" + String(repeating: "1", count: 64)]
        entry.add(new, serves: true, now: Self.now)
        #expect(entry.source == .digest(new.digest, name: "model.onnx", others: new.files))
        #expect(Self.empty(url: "/models/a.onnx").source == .path("/models/a.onnx"))
    }

    @Test func `at the API a version never changes but for its signature, and only what is there serves`() throws {
        let kind = try #require(BuiltInKinds.all.first { $0.kind == "Model" && $0.group == "sedna.io" })
        var entry = Self.empty()
        entry.add(Self.version("a", accuracy: 0.5), serves: true, now: Self.now)
        let old = entry.model
        entry.sign(1, "{}")
        #expect(kind.validation(entry.model, old).isEmpty)

        var changed = ModelVersions(old).model
        var version = try #require(entry.version(1))
        version["digest"] = "sha256:other"
        changed[path: ["status", "versions"]] = [version]
        #expect(
            kind.validation(changed, old) == [
                .forbidden("status.versions[0]", "a version of a model never changes, but for its signature; add another one")
            ])
        var other = old
        other[path: ["status", "serving"]] = 4
        #expect(kind.validation(other, old).map(\.field) == ["status.serving"])
        other = old
        other[path: ["status", "versions"]] = .array([["version": 2, "digest": "x"], ["version": 1, "digest": "y"]])
        #expect(kind.validation(other, nil).map(\.field) == ["status.versions"])
    }

    @Test func `columns tell of the version that serves`() throws {
        let kind = try #require(BuiltInKinds.all.first { $0.kind == "Model" && $0.group == "sedna.io" })
        var entry = Self.empty()
        var new = Self.version("a", accuracy: 0.61249)
        (new.size, new.job) = (286_850, "homes/rooms/0-1-2")
        entry.add(new, serves: true, now: Self.now)
        let cells = Dictionary(uniqueKeysWithValues: kind.columns.map { ($0.name, $0.cell(entry.model, Self.now)) })
        #expect(cells["Serving"] == 1)
        #expect(cells["Digest"] == "aaaaaaaaaaaa")
        #expect(cells["Size"] == "287 kB")
        #expect(cells["Accuracy"] == "61.2%")
        #expect(cells["Job"] == "rooms")
        #expect(cells["Signed"] == "False")
        #expect(
            [0, 999, 1000, 9949, 999_499, 999_500, 1_234_567].map(ModelVersions.sizeText) == [
                "0 B", "999 B", "1.0 kB", "9.9 kB", "999 kB", "1.0 MB", "1.2 MB",
            ])
    }
}

import Controllers
import Reconciliation
import Resources
import TestKit
import Testing

/// Versions of models and the keys that sign them: what the controller does with the cloud's notary.
@Suite(.offThePool) struct ModelSealTests {
    /// Signs by naming its key and the files; whoever knows the key's entry believes it.
    actor Notary: ModelNotary {
        private(set) var made = 1
        private var files: Set<String> = []

        private func id(_ number: Int) -> String { String(repeating: "\(number)", count: 16) }
        func current() -> (id: String, pem: String) { (id(made), "key \(made)") }
        func rotate(from id: String) { if id == self.id(made) { made += 1 } }
        func take(_ digest: String) { files.insert(digest) }
        func has(_ digest: String) -> Bool { files.contains(digest) }
        func sign(model: String, files: [String: String]) -> String { Self.words(made, files) }

        static func words(_ number: Int, _ files: [String: String]) -> String {
            "key \(number): \(files.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ","))"
        }

        func verdict(_ signature: String, files: [String: String], keys: [String: String]) -> ModelVerdict {
            guard let key = keys.first(where: { signature == Self.words(Int($0.value.dropFirst(4)) ?? 0, files) }) else {
                return .fault("file model.onnx: the signature is of no trusted key")
            }
            return .signed(entry: key.key)
        }
    }

    private static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")

    private static func simulation(_ notary: Notary, seed: UInt64 = 1) async throws -> Simulation {
        var simulation = Simulation(seed: seed) { client in
            OwnControllers.all(client, notary: notary).filter { $0.name == "model-controller" }
        }
        simulation.faults = .none
        for name in ["default", "kube-system"] { try await simulation.server.create(.namespace, ["metadata": ["name": .string(name)]]) }
        return simulation
    }

    private static func keys(_ server: MemoryServer) -> JSON? { server.find(configMap, ModelKeys.key) }

    private static func note(_ key: String, _ server: MemoryServer) -> String? {
        keys(server)?["metadata"]?["annotations"]?[key]?.string
    }

    private static func ask(_ server: MemoryServer) async throws {
        _ = try await server.patch(
            configMap, ModelKeys.key, ObjectPatch(.merge, ["metadata": ["annotations": .object([ModelKeys.rotateAnnotation: "now"])]]),
            part: .whole)
    }

    /// A Model with a version of a file.
    private static func make(_ name: String, _ server: MemoryServer, signature: String? = nil) async throws {
        let model = try await server.create(
            JobCluster.model,
            ["metadata": ["name": .string(name), "namespace": "default"], "spec": ["url": .string(digest), "format": "onnx"]])
        var entry = ModelVersions(model)
        var new = ModelVersions.NewVersion(digest: digest, format: "onnx", size: 10)
        new.signature = signature
        entry.add(new, serves: true, now: server.now)
        try await server.updateStatus(JobCluster.model, entry.model)
    }

    private static let digest = JobCluster.digest("a model")

    private static func seal(_ name: String, _ server: MemoryServer) -> ModelVersions.Seal? {
        server.find(JobCluster.model, ObjectKey(namespace: "default", name: name)).flatMap { model in
            let entry = ModelVersions(model)
            return entry.version(1).map { entry.seal($0) }
        }
    }

    @Test func `a version waits for its file, and is then signed by a key that is trusted already`() async throws {
        let notary = Notary()
        var simulation = try await Self.simulation(notary)
        try await Self.make("comfort", simulation.server)
        #expect(await simulation.settle(quietSeconds: 30) { _ in false })
        let key = ObjectKey(namespace: "default", name: "comfort")
        let condition = simulation.server.find(JobCluster.model, key)?["status"]?["conditions"]?.array?.first
        #expect(condition?["reason"] == "FileMissing" && Self.seal("comfort", simulation.server) == ModelVersions.Seal.none)
        await notary.take(Self.digest)
        simulation.advance(seconds: 10)
        #expect(await simulation.settle(quietSeconds: 30) { _ in false })
        #expect(Self.seal("comfort", simulation.server) == .held)
        #expect(Self.keys(simulation.server)?["data"]?["cloud-1111111111111111.pem"] == "key 1")
    }

    @Test func `a signature that nobody trusts is told of its version, until a person replaces it`() async throws {
        let notary = Notary()
        await notary.take(Self.digest)
        var simulation = try await Self.simulation(notary)
        try await Self.make("comfort", simulation.server, signature: "key 9: forged")
        #expect(await simulation.settle(quietSeconds: 30) { _ in false })
        #expect(Self.seal("comfort", simulation.server) == .refused)
        let key = ObjectKey(namespace: "default", name: "comfort")
        var entry = ModelVersions(try #require(simulation.server.find(JobCluster.model, key)))
        #expect(entry.model["status"]?["conditions"]?.array?.first?["reason"] == "SignatureRefused")
        entry.sign(1, await notary.sign(model: "comfort", files: ["model.onnx": Self.digest]))
        try await simulation.server.updateStatus(JobCluster.model, entry.model)
        #expect(await simulation.settle(quietSeconds: 30) { _ in false })
        #expect(Self.seal("comfort", simulation.server) == .held)
        #expect(simulation.server.find(JobCluster.model, key)?["status"]?["refused"] == nil)
    }

    /// Many models make many looks at a list that each sees at another age.
    @Test(arguments: 1...20) func `a wish for a new key makes one, however late that is seen`(_ seed: UInt64) async throws {
        let notary = Notary()
        await notary.take(Self.digest)
        var simulation = try await Self.simulation(notary, seed: seed)
        for number in 0..<5 { try await Self.make("comfort-\(number)", simulation.server) }
        #expect(await simulation.settle(quietSeconds: 30) { _ in false })
        for wish in 1...3 {
            simulation.faults = Simulation.Faults()
            try await Self.ask(simulation.server)
            for _ in 0..<150 { if await !simulation.step() { simulation.advance(seconds: 5) } }
            simulation.faults = .none
            #expect(await simulation.settle(quietSeconds: 300) { _ in false })
            let made = await notary.made
            #expect(made == 1 + wish)
            #expect(Self.note(ModelKeys.rotateAnnotation, simulation.server) == nil)
            let current = ModelKeys.entry(id: await notary.current().id, isOwn: true)
            #expect(Self.note(ModelKeys.currentAnnotation, simulation.server) == current)
        }
        // The old keys stay trusted, and every version is signed by the newest.
        #expect(Self.keys(simulation.server)?["data"]?.object?.count == 4)
        let signed = simulation.server.all(JobCluster.model).compactMap { ModelVersions($0).version(1)?["signature"]?.string }
        #expect(signed.count == 5 && signed.allSatisfy { $0.hasPrefix("key 4:") })
    }

    @Test func `of two clouds beside one server the last signs, and both come to rest`() async throws {
        let (one, two) = (Notary(), Notary())
        await two.rotate(from: two.current().id)
        for notary in [one, two] { await notary.take(Self.digest) }
        var simulation = Simulation(seed: 3) { client in
            [one, two].flatMap { notary in OwnControllers.all(client, notary: notary).filter { $0.name == "model-controller" } }
        }
        simulation.faults = .none
        for name in ["default", "kube-system"] { try await simulation.server.create(.namespace, ["metadata": ["name": .string(name)]]) }
        try await Self.make("comfort", simulation.server)
        #expect(await simulation.settle(quietSeconds: 60) { _ in false })
        #expect(Self.keys(simulation.server)?["data"]?.object?.count == 2)
        #expect(Self.seal("comfort", simulation.server) == .held)
    }

    @Test func `a wish before there is any key is granted once there is one`() async throws {
        let notary = Notary()
        var simulation = try await Self.simulation(notary)
        try await simulation.server.create(
            Self.configMap,
            [
                "metadata": [
                    "namespace": "kube-system", "name": .string(ModelKeys.key.name),
                    "annotations": .object([ModelKeys.rotateAnnotation: "now"]),
                ]
            ])
        #expect(await simulation.settle(quietSeconds: 30) { _ in false })
        let made = await notary.made
        #expect(made == 2 && Self.note(ModelKeys.rotateAnnotation, simulation.server) == nil)
    }
}

import Controllers
import Identity
import NodeAgent
import Resources
import Storage

/// The key of a cloud that signs models, in its data folder, and the files that it has.
actor CloudNotary: ModelNotary {
    private let directory: CloudDirectory
    private let artifacts: ArtifactStore
    private var key: ModelSigningKey

    init(_ directory: CloudDirectory, artifacts: ArtifactStore) throws {
        (self.directory, self.artifacts) = (directory, artifacts)
        key = try directory.modelKey()
    }

    func current() -> (id: String, pem: String) { (key.verifying.id, key.verifying.pem) }

    func rotate(from id: String) throws(APIStatus) {
        // A wish that was heard twice is granted once.
        guard key.verifying.id == id else { return }
        do { key = try directory.modelKey(isNew: true) } catch {
            throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "a new key for models cannot be kept: \(error)")
        }
    }

    func has(_ digest: String) -> Bool { ArtifactDigest(reference: digest).flatMap { artifacts.size($0) } != nil }

    func sign(model: String, files: [String: String]) throws(APIStatus) -> String {
        do throws(IdentityError) { return try key.sign(model: model, files: files) } catch {
            throw APIStatus(code: 422, reason: "Invalid", message: error.description)
        }
    }

    func verdict(_ signature: String, files: [String: String], keys: [String: String]) -> ModelVerdict {
        do {
            let known = try TrustedKeys.read(keys)
            let id = try ModelTrust(known.map(\.key)).verify(signature, files: files)
            return .signed(entry: known.first { $0.key.id == id }?.entry ?? id)
        } catch { return .fault("\(error)") }
    }
}

/// The list of trusted keys, read.
enum TrustedKeys {
    /// - Throws: `CloudError` that names the first entry that is no key.
    static func read(_ keys: [String: String]) throws -> [(entry: String, key: ModelVerifyingKey)] {
        guard keys.count <= ModelTrust.keysMax else {
            throw CloudError("ConfigMap \(ModelKeys.key) has \(keys.count) keys, at most \(ModelTrust.keysMax) are read; remove old ones")
        }
        return try keys.sorted { $0.key < $1.key }.map { entry, pem in
            do throws(IdentityError) { return (entry, try ModelVerifyingKey(pem: pem)) } catch {
                throw CloudError("entry \(entry) of ConfigMap \(ModelKeys.key): \(error); skerry model keys remove \(entry)")
            }
        }
    }
}

/// Whose models a node loads: the list as the node has it.
struct NodeModelTrust: ModelTrustDoor {
    let client: any ObjectClient

    func refusal(of model: JSON, version: Int64, files: [String: String]) async -> ModelRefusal? {
        do {
            let map = try await list()
            let wish = (model["spec"]?["signature"]?.string).flatMap { ModelTrust.Policy(rawValue: $0) } ?? .unsaid
            let signature = ModelVersions(model).version(version)?["signature"]?.string
            _ = try ModelTrust(try Self.keys(map)).check(
                signature: signature, files: files, policy: ModelKeys.isDemanded(map) ? .required : wish, isVersion: version > 0)
            return nil
        } catch { return ModelRefusal("\(error)", isUnsigned: error as? ModelSignatureError == .missing) }
    }

    func isDemandedOfAll() async -> Bool {
        do { return ModelKeys.isDemanded(try await list()) } catch { return true }
    }

    func refusal(ofFile digest: String, signature: String?) async -> ModelRefusal? {
        do {
            let trust = ModelTrust(try Self.keys(try await list()))
            guard let signature else {
                return ModelRefusal(
                    "it is not signed, and a signature is asked for; lay one beside it as FILE.sig (skerry model pull brings a version's as model.sig), or push the model: skerry model push",
                    isUnsigned: true)
            }
            _ = try trust.verify(signature, file: digest)
            return nil
        } catch { return ModelRefusal("\(error)") }
    }

    private static func keys(_ map: JSON?) throws -> [ModelVerifyingKey] { try TrustedKeys.read(ModelKeys.all(map)).map(\.key) }

    /// Nil where there is none.
    private func list() async throws -> JSON? {
        do throws(APIStatus) { return try await client.get(KnownKinds.configMap, ModelKeys.key) } catch {
            guard error.code == 404 else { throw CloudError("the list of trusted keys cannot be read: \(error.message)") }
            return nil
        }
    }
}

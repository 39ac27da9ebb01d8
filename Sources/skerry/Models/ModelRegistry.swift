import KubernetesClient
import Resources

/// The Models of a namespace, read and written through the API. Every write names the revision it was decided on, and is decided again
/// when somebody else was faster.
struct ModelRegistry {
    private static let attemptsMax = 20
    let client: RESTClient
    let namespace: String

    func entry(_ name: String) async throws -> ModelVersions {
        do throws(APIStatus) {
            return ModelVersions(try await client.get(KnownKinds.model, ObjectKey(namespace: namespace, name: name)))
        } catch {
            guard error.code == 404 else { throw error }
            let names = try await client.listAll(KnownKinds.model, ListQuery(namespace: namespace)).items.map { ObjectKey($0).name }
            throw CloudError(
                "namespace \(namespace) has no model \"\(name)\""
                    + (names.isEmpty
                        ? "; push one: skerry model push FILE.onnx --name \(name)" : "; there are: \(names.joined(separator: ", "))"))
        }
    }

    func all() async throws -> [ModelVersions] {
        try await client.listAll(KnownKinds.model, ListQuery(namespace: namespace)).items.map { ModelVersions($0) }
    }

    /// The entry, made with the file as that of its spec if there is none.
    private func entry(_ name: String, makingOf new: ModelVersions.NewVersion, signature: String?) async throws -> ModelVersions {
        let key = ObjectKey(namespace: namespace, name: name)
        do throws(APIStatus) { return ModelVersions(try await client.get(KnownKinds.model, key)) } catch {
            guard error.code == 404 else { throw error }
        }
        var object: JSON = [
            "apiVersion": .string(KnownKinds.model.apiVersion), "kind": "Model",
            "metadata": ["name": .string(name), "namespace": .string(namespace)],
            "spec": ["url": .string(new.digest), "format": .string(new.format)],
        ]
        if let signature { object[path: ["spec", "signature"]] = .string(signature) }
        do throws(APIStatus) { return ModelVersions(try await client.create(KnownKinds.model, object)) } catch {
            guard error.code == 409 else { throw error }
            return ModelVersions(try await client.get(KnownKinds.model, key))
        }
    }

    /// Adds a version, unless the newest ones hold the same files.
    ///
    /// - Parameters:
    ///   - serves: it takes over; the first version does in any case.
    ///   - policy: `required` or `ifPresent`, for an entry that is made now.
    /// - Returns: its number, whether it is new, and what serves then.
    func push(
        _ new: ModelVersions.NewVersion, to name: String, serves: Bool, policy: String?
    ) async throws -> (number: Int64, isNew: Bool, serving: Int64) {
        if let parent = new.parent, parent > 0 {
            let known = try await entry(name)
            guard known.version(parent) != nil else {
                throw CloudError("--parent \(parent): model \(name) has versions \(known.numbers.map(String.init).joined(separator: ", "))")
            }
        }
        return try await writing { () async throws -> (ModelVersions, (Int64, Bool, Int64))? in
            var entry = try await entry(name, makingOf: new, signature: policy)
            let known = entry.version(like: new)?["version"]?.integer
            let number: Int64
            if let known {
                number = known
                if let signature = new.signature, entry.version(known)?["signature"]?.string != signature { entry.sign(known, signature) }
                if serves { try entry.promote(known, now: Self.now) }
            } else {
                number = entry.add(new, serves: serves || entry.serving == 0, now: Self.now)
            }
            return (entry, (number, known == nil, entry.serving))
        }
    }

    /// Changes an entry.
    ///
    /// - Returns: what served before, and what serves then.
    func change(_ name: String, _ change: (inout ModelVersions) throws -> Void) async throws -> (before: Int64, after: Int64) {
        try await writing {
            var entry = try await entry(name)
            let before = entry.serving
            try change(&entry)
            return (entry, (before, entry.serving))
        }
    }

    private func writing<Result>(_ body: () async throws -> (ModelVersions, Result)?) async throws -> Result {
        var failure = APIStatus(code: 409, reason: "Conflict", message: "")
        for attempt in 0..<Self.attemptsMax {
            guard let (entry, result) = try await body() else { break }
            do throws(APIStatus) {
                try await client.updateStatus(KnownKinds.model, entry.model)
                return result
            } catch {
                guard error.code == 409 else { throw error }
                failure = error
            }
            try await Task.sleep(for: .milliseconds(10 << min(attempt, 6)))
        }
        throw failure
    }

    private static var now: Timestamp { Timestamp(seconds: ClusterOptions.now) }
}

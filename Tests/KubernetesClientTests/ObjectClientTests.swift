import APIServer
import Identity
import KubernetesClient
import Resources
import Storage
import TestKit
import Testing

/// What every `ObjectClient` promises, asked of each one about the same server.
@Suite(.offThePool) struct ObjectClientTests {
    enum Way: String, CaseIterable { case inProcess, overTheNetwork }

    private func with(_ way: Way, _ body: (any ObjectClient) async throws -> Void) async throws {
        try await ForeignServer.with { server, client in
            switch way {
            case .overTheNetwork: try await body(client)
            case .inProcess: try await body(ServiceClient(server.service, user: User(name: "admin", groups: ["system:masters"])))
            }
        }
    }

    @Test(arguments: Way.allCases) func `an object is made, read, changed and deleted`(_ way: Way) async throws {
        try await with(way) { client in
            let made = try await client.create(configMap, settings("c"))
            #expect(made["kind"] == "ConfigMap" && made["metadata"]?["uid"]?.string?.isEmpty == false)
            var changed = try await client.get(configMap, ObjectKey(made))
            #expect(changed == made)
            changed["data"] = ["a": "2"]
            let updated = try await client.update(configMap, changed)
            #expect(updated["data"] == ["a": "2"])
            #expect(updated["metadata"]?["resourceVersion"] != made["metadata"]?["resourceVersion"])
            let key = ObjectKey(made)
            try await client.delete(configMap, key, Deletion(uid: made["metadata"]?["uid"]?.string))
            let gone = try await refusal { () async throws(APIStatus) in try await client.get(configMap, key) }
            #expect(gone.code == 404 && gone.reason == "NotFound" && gone.message == "configmaps \"c\" not found" && gone.name == "c")
        }
    }

    @Test(arguments: Way.allCases) func `refusals are the server's words`(_ way: Way) async throws {
        try await with(way) { client in
            let made = try await client.create(configMap, settings("c"))
            let twice = try await refusal { () async throws(APIStatus) in try await client.create(configMap, settings("c")) }
            #expect(twice.code == 409 && twice.reason == "AlreadyExists")
            var stale = made
            stale["data"] = ["a": "2"]
            try await client.update(configMap, stale)
            stale["data"] = ["a": "3"]
            let lost = stale
            let conflict = try await refusal { () async throws(APIStatus) in try await client.update(configMap, lost) }
            #expect(conflict.code == 409 && conflict.reason == "Conflict")
            let other = try await refusal { () async throws(APIStatus) in
                try await client.delete(configMap, ObjectKey(made), Deletion(uid: "another"))
            }
            #expect(other.code == 409)
            let pod: JSON = ["apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p", "namespace": "default"], "spec": [:]]
            let invalid = try await refusal { () async throws(APIStatus) in try await client.create(.pod, pod) }
            #expect(invalid.code == 422 && invalid.reason == "Invalid" && invalid.causes.contains { $0.field == "spec.containers" })
            var nowhere = settings("c")
            nowhere[path: ["metadata", "namespace"]] = "nowhere"
            let unknown = nowhere
            let missing = try await refusal { () async throws(APIStatus) in try await client.create(configMap, unknown) }
            #expect(missing.code == 404)
            let noKind = ResourceKind(group: "example.org", version: "v1", kind: "Nothing", plural: "nothings")
            let unserved = try await refusal { () async throws(APIStatus) in try await client.list(noKind, ListQuery()) }
            #expect(unserved.code == 404)
        }
    }

    @Test(arguments: Way.allCases) func `each form of patch does what it is for`(_ way: Way) async throws {
        try await with(way) { client in
            let key = ObjectKey(try await client.create(configMap, settings("c")))
            let merged = try await client.patch(configMap, key, ObjectPatch(.merge, ["data": ["b": "2"]]), part: .whole)
            #expect(merged["data"] == ["a": "1", "b": "2"])
            let listed = try await client.patch(
                configMap, key, ObjectPatch(.json, [["op": "remove", "path": "/data/a"]]), part: .whole)
            #expect(listed["data"] == ["b": "2"])
            let strategic = try await client.patch(
                configMap, key, ObjectPatch(.strategic, ["metadata": ["labels": ["x": "y"]]]), part: .whole)
            #expect(strategic["metadata"]?["labels"] == ["x": "y"])
            var wanted = settings("c", ["b": "3"])
            wanted["metadata"]?["labels"] = nil
            let body = wanted
            let conflict = try await refusal { () async throws(APIStatus) in
                try await client.patch(configMap, key, ObjectPatch(.apply, body, fieldManager: "applier"), part: .whole)
            }
            #expect(conflict.code == 409 && conflict.causes.first?.field == ".data.b")
            let applied = try await client.patch(
                configMap, key, ObjectPatch(.apply, body, fieldManager: "applier", isForced: true), part: .whole)
            #expect(applied["data"] == ["b": "3"])
            let managers = (applied["metadata"]?["managedFields"]?.array ?? []).compactMap { $0["manager"]?.string }
            #expect(managers.contains("applier") && managers.contains("skerry"))
        }
    }

    @Test(arguments: Way.allCases) func `parts of objects are written apart`(_ way: Way) async throws {
        try await with(way) { client in
            try await client.create(.node, ["apiVersion": "v1", "kind": "Node", "metadata": ["name": "n"]])
            let pod: JSON = [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p", "namespace": "default"],
                "spec": ["containers": [["name": "c", "image": "x"]]],
            ]
            var made = try await client.create(.pod, pod)
            made["status"] = ["phase": "Running"]
            made[path: ["spec", "nodeName"]] = "taken-by-no-status"
            let shown = try await client.updateStatus(.pod, made)
            #expect(shown["status"]?["phase"] == "Running" && shown["spec"]?["nodeName"] == nil)
            let binding: JSON = [
                "apiVersion": "v1", "kind": "Binding", "metadata": ["name": "p", "namespace": "default"],
                "target": ["apiVersion": "v1", "kind": "Node", "name": "n"],
            ]
            _ = try await client.create(.pod, binding, part: .binding)
            #expect(try await client.get(.pod, ObjectKey(pod))["spec"]?["nodeName"] == "n")
        }
    }

    @Test(arguments: Way.allCases) func `a list comes whole, by pages too, and names the revision to watch from`(_ way: Way) async throws {
        try await with(way) { client in
            for index in 0..<7 { try await client.create(configMap, settings("c\(index)", labels: ["odd": .string("\(index % 2)")])) }
            var query = ListQuery(namespace: "default", labelSelector: "odd in (1)")
            query.limit = 2
            let odd = try await client.listAll(configMap, query)
            #expect(odd.items.compactMap { $0["metadata"]?["name"]?.string } == ["c1", "c3", "c5"])
            #expect(odd.items.allSatisfy { $0["kind"] == "ConfigMap" && $0["apiVersion"] == "v1" })
            let one = try await client.list(configMap, ListQuery(fieldSelector: "metadata.name=c4"))
            #expect(one.items.count == 1)
            let late = try await client.create(configMap, settings("late"))
            var events = try await client.watch(configMap, WatchQuery(from: odd.resourceVersion)).makeAsyncIterator()
            #expect(try await events.next() == .added(late))
        }
    }

    @Test(arguments: Way.allCases) func `a watch tells of what is selected, and ends in time`(_ way: Way) async throws {
        try await with(way) { client in
            let made = try await client.create(configMap, settings("c", labels: ["a": "1"]))
            var query = WatchQuery(from: made["metadata"]?["resourceVersion"]?.string ?? "")
            query.labelSelector = "a=1"
            query.namespace = "default"
            query.timeoutSeconds = 2
            try await client.create(configMap, settings("other"))
            let changed = try await client.patch(configMap, ObjectKey(made), ObjectPatch(.merge, ["data": ["a": "2"]]), part: .whole)
            _ = try await client.patch(configMap, ObjectKey(made), ObjectPatch(.merge, ["metadata": ["labels": ["a": "2"]]]), part: .whole)
            // From a revision before all this: it is told at once, however busy the machine is.
            var events = try await client.watch(configMap, query).makeAsyncIterator()
            var seen: [WatchEvent] = []
            while let event = try await events.next() { if case .bookmark = event { continue } else { seen.append(event) } }
            #expect(seen.first == .modified(changed) && seen.count == 2)
            if case .deleted(let last)? = seen.last { #expect(ObjectKey(last) == ObjectKey(made)) } else { Issue.record("\(seen)") }
        }
    }

    @Test(arguments: Way.allCases) func `a watch from a forgotten revision is told 410`(_ way: Way) async throws {
        try await ForeignServer.with { server, network in
            let client: any ObjectClient =
                way == .overTheNetwork
                ? network : ServiceClient(await server.service, user: User(name: "admin", groups: ["system:masters"]))
            let made = try await client.create(configMap, settings("c"))
            try await client.create(configMap, settings("d"))
            try await server.store.compact(to: server.store.revision)
            let version = made["metadata"]?["resourceVersion"]?.string ?? ""
            let expired = try await refusal { () async throws(APIStatus) in
                var events = try await client.watch(configMap, WatchQuery(from: version)).makeAsyncIterator()
                return try await events.next()
            }
            #expect(expired.code == 410 && expired.reason == "Expired")
        }
    }

    @Test(arguments: Way.allCases) func `a watch ends when its task is cancelled`(_ way: Way) async throws {
        try await with(way) { client in
            let revision = try await client.list(configMap, ListQuery()).resourceVersion
            let reader = Task { () async throws -> Int in
                var events = try await client.watch(configMap, WatchQuery(from: revision)).makeAsyncIterator()
                var count = 0
                while try await events.next() != nil { count += 1 }
                return count
            }
            reader.cancel()
            // Cancelled before the watch was there it may be refused as well; it must end.
            let count = try? await reader.value
            #expect(count == nil || count == 0)
        }
    }

    @Test(arguments: Way.allCases) func `discovery finds every kind once`(_ way: Way) async throws {
        try await with(way) { client in
            let kinds = try await client.kinds()
            #expect(Set(kinds.map(\.description)).count == kinds.count)
            #expect(Set(kinds).isSuperset(of: [.pod, .node, .deployment, .lease, configMap]))
            #expect(kinds.allSatisfy { $0.plural != "tokenreviews" })
        }
    }
}

import Resources
import Testing

@Suite struct ManagedFieldsTests {
    private let walk = FieldWalk(catalog: .kubernetes)
    private let dataset = BuiltInKinds.all.first { $0.kind == "Dataset" }!.schema
    private let deployment = BuiltInKinds.all.first { $0.kind == "Deployment" }!.schema

    private func author(_ name: String, isApply: Bool = true) -> ManagedFields.Author {
        .init(manager: name, isApply: isApply, subresource: "", apiVersion: "sedna.io/v1alpha1")
    }

    private func object(_ spec: JSON) -> JSON {
        ["apiVersion": "sedna.io/v1alpha1", "kind": "Dataset", "metadata": ["name": "s1", "namespace": "default"], "spec": spec]
    }

    @Test func `a conflict is told in the words of the real server`() throws {
        var fields = ManagedFields(nil)
        let live = object(["url": "/a", "format": "csv", "nodeName": "edge-node"])
        fields.recordUpdate(from: nil, to: live, author: author("a", isApply: false), schema: dataset, walk: walk, time: "t1")
        #expect(throws: ManagedFields.Conflicts.self) {
            _ = try fields.apply(
                object(["url": "/b"]), to: live, author: author("other"), isForced: false, schema: dataset, walk: walk, time: "t2")
        }
        do throws(ManagedFields.Conflicts) {
            _ = try fields.apply(
                object(["url": "/b"]), to: live, author: author("other"), isForced: false, schema: dataset, walk: walk, time: "t2")
        } catch {
            let status = APIStatus.applyConflicts(error.conflicts)
            #expect(status.message == #"Apply failed with 1 conflict: conflict with "a" using sedna.io/v1alpha1: .spec.url"#)
            #expect(status.causes.map(\.field) == [".spec.url"])
        }
    }

    @Test func `force takes a field over as the real server records it`() throws {
        var fields = ManagedFields(nil)
        let live = object(["url": "/a", "format": "csv", "nodeName": "edge-node"])
        fields.recordUpdate(from: nil, to: live, author: author("a", isApply: false), schema: dataset, walk: walk, time: "t1")
        let applied = object(["url": "/b", "format": "csv", "nodeName": "edge-node"])
        let result = try fields.apply(applied, to: live, author: author("other"), isForced: true, schema: dataset, walk: walk, time: "t2")
        #expect(result["spec"]?["url"] == "/b")
        // ../reference: ssa-apply.json
        let other = try JSON(parsing: #"{"f:spec":{"f:format":{},"f:nodeName":{},"f:url":{}}}"#)
        let a = try JSON(parsing: #"{"f:spec":{".":{},"f:format":{},"f:nodeName":{}}}"#)
        let byManager = Dictionary(uniqueKeysWithValues: fields.entries.map { ($0.manager, $0.fields.fieldsV1) })
        #expect(byManager == ["other": other, "a": a])
    }

    @Test func `what an applier no longer names goes unless another owns it`() throws {
        var fields = ManagedFields(nil)
        func apply(_ spec: JSON, to live: JSON?, by name: String) throws -> JSON {
            try fields.apply(object(spec), to: live, author: author(name), isForced: false, schema: dataset, walk: walk, time: "t")
        }
        var live = try apply(["url": "/a", "format": "csv"], to: nil, by: "one")
        live = try apply(["format": "csv"], to: live, by: "two")
        live = try apply(["nodeName": "n"], to: live, by: "one")
        #expect(live["spec"] == ["format": "csv", "nodeName": "n"])
    }

    @Test func `list elements with keys have owners of their own`() throws {
        func deployment(_ containers: JSON) -> JSON {
            [
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "d"],
                "spec": ["template": ["spec": ["containers": containers]]],
            ]
        }
        var fields = ManagedFields(nil)
        var live = try fields.apply(
            deployment([["name": "a", "image": "1"]]), to: nil, author: author("one"), isForced: false, schema: self.deployment, walk: walk,
            time: "t")
        live = try fields.apply(
            deployment([["name": "b", "image": "1"]]), to: live, author: author("two"), isForced: false, schema: self.deployment,
            walk: walk, time: "t")
        #expect(live["spec"]?["template"]?["spec"]?["containers"]?.array?.count == 2)
        live = try fields.apply(
            deployment([]), to: live, author: author("two"), isForced: false, schema: self.deployment, walk: walk, time: "t")
        #expect(live["spec"]?["template"]?["spec"]?["containers"] == [["name": "a", "image": "1"]])
    }

    @Test func `field sets survive being written and read`() throws {
        let text =
            #"{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:list":{"k:{\"name\":\"x\"}":{".":{},"f:name":{}}},"f:set":{"v:\"y\"":{}}}}"#
        let value = try JSON(parsing: text)
        #expect(FieldSet(fieldsV1: value).fieldsV1 == value)
    }
}

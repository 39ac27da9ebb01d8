import Resources
import Testing

@Suite struct NewFieldsTests {
    private static let objects: [(String, JSON)] = [
        ("Pod", ["metadata": ["name": "a"]]), ("Pod", ["apiVersion": "v1", "kind": "Pod"]),
        (
            "Pod",
            [
                "apiVersion": "v1", "kind": "Pod",
                "metadata": [
                    "name": "a", "namespace": "b", "uid": "u", "labels": ["app": "x", "a/b": "c"], "annotations": [:],
                    "finalizers": ["z/z", "a/a"], "ownerReferences": [["uid": "1", "kind": "K"]], "creationTimestamp": "t",
                ],
                "spec": [
                    "nodeSelector": ["x": "y"], "tolerations": [["key": "k"]],
                    "containers": [
                        [
                            "name": "c", "image": "i", "args": ["a", "b"], "env": [["name": "A", "value": "1"], ["name": "B"]],
                            "ports": [["containerPort": 80], ["containerPort": 80, "protocol": "UDP"]], "resources": ["limits": ["cpu": 1]],
                        ], ["name": "d", "env": []],
                    ],
                ], "status": ["phase": "Pending", "conditions": [["type": "Ready", "status": "True"]]],
            ]
        ), ("ConfigMap", ["metadata": ["name": "a"], "data": ["z": "1", "a": "2"], "immutable": true]),
        ("Dataset", ["metadata": ["name": "a", "labels": [:]], "spec": ["url": "u", "unknown": [1, ["a": .null]]]]),
    ]

    @Test(arguments: objects) func `the fields of a new object are those by which it differs from nothing`(_ kind: String, _ object: JSON) {
        let definition = BuiltInKinds.all.first { $0.kind == kind }!
        let walk = FieldWalk(catalog: .kubernetes)
        let author = ManagedFields.Author(manager: "m", isApply: false, subresource: "", apiVersion: definition.groupVersion)
        var slow = ManagedFields(nil)
        slow.recordUpdate(from: nil, to: object, author: author, schema: definition.schema, walk: walk, time: "t")
        let quick = ManagedFields.json(ofNew: object, author: author, schema: definition.schema, walk: walk, time: "t")
        #expect(quick == slow.json)
        #expect(quick?.text == slow.json?.text)
        // Byte for byte, the order of the fields too.
        #expect(quick?.bytes() == slow.json?.bytes())
    }
}

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

    @Test func `objects of one outline have the same fields owned`() throws {
        let schema = BuiltInKinds.all.first { $0.kind == "Pod" }!.schema
        let walk = FieldWalk(catalog: .kubernetes)
        var state: UInt64 = 72
        func next(_ count: UInt64) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % count)
        }
        func word() -> JSON { .string("\(next(2))") }
        func object() -> JSON {
            var metadata: JSON = ["name": word(), "finalizers": .array((0..<next(2)).map { _ in word() })]
            if next(2) > 0 { metadata["labels"] = next(2) > 0 ? ["a": word()] : ["b": word()] }
            let ports = (0..<next(3)).map { _ in JSON.object(["containerPort": .integer(Int64(next(2))), "name": word()]) }
            let tolerations = (0..<next(3)).map { _ in JSON.object(["key": word()]) }
            return [
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": [
                    "nodeName": next(4) > 0 ? word() : [:], "nodeSelector": ["x": word()], "tolerations": .array(tolerations),
                    "containers": [["name": word(), "image": word(), "ports": .array(ports)]],
                ],
            ]
        }
        var alike = 0
        for _ in 0..<4000 {
            let (left, right) = (object(), object())
            let outline = walk.outline(of: left, schema: schema)
            #expect(walk.matches(left, outline: outline, schema: schema))
            guard walk.matches(right, outline: outline, schema: schema) else { continue }
            alike += 1
            #expect(walk.fieldsOfNew(left, schema: schema).bytes() == walk.fieldsOfNew(right, schema: schema).bytes())
        }
        #expect(alike > 20)
    }

    @Test func `an outline holds no values but those that tell elements apart`() {
        let schema = BuiltInKinds.all.first { $0.kind == "Secret" }!.schema
        let secret: JSON = ["metadata": ["name": "a"], "data": ["key": "c2VjcmV0"], "type": "Opaque"]
        let outline = FieldWalk(catalog: .kubernetes).outline(of: secret, schema: schema)
        #expect(outline == ["metadata": ["name": .null], "data": ["key": .null], "type": .null])
    }

    @Test func `a whole object is owned field by field even where its schema says atomic`() {
        let schema = Schema(.object, properties: [], additional: Schema(.string), merge: .atomic)
        let walk = FieldWalk(catalog: .kubernetes)
        let outline = walk.outline(of: ["a": "1"], schema: schema)
        #expect(walk.matches(["a": "2"], outline: outline, schema: schema))
        #expect(!walk.matches(["b": "1"], outline: outline, schema: schema))
    }

    @Test func `an update that leaves every owner what it has is recorded as any other`() {
        let schema = BuiltInKinds.all.first { $0.kind == "Pod" }!.schema
        let walk = FieldWalk(catalog: .kubernetes)
        var state: UInt64 = 27
        func next(_ count: UInt64) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % count)
        }
        func object() -> JSON {
            var labels: JSON = [:]
            for key in ["a", "b"] where next(3) > 0 { labels[key] = .string("\(next(2))") }
            let ports = (0..<next(3)).map { JSON.object(["containerPort": .integer(Int64(80 + $0)), "name": .string("\(next(2))")]) }
            return [
                "metadata": ["labels": labels],
                "spec": ["nodeName": .string("\(next(3))"), "containers": [["name": "c", "ports": .array(ports)]]],
            ]
        }
        var kept = 0
        for _ in 0..<200 {
            var fields = ManagedFields(nil)
            var old: JSON = [:]
            for round in 0..<6 {
                let new = object()
                let author = ManagedFields.Author(manager: "m\(next(2))", isApply: false, subresource: "", apiVersion: "v1")
                let before = fields.json
                let renewed = ManagedFields.renewed(
                    before, from: old, to: new, author: author, schema: schema, walk: walk, time: "\(round)")
                fields.recordUpdate(from: old, to: new, author: author, schema: schema, walk: walk, time: "\(round)")
                if let renewed {
                    kept += 1
                    #expect(fields.json?.array ?? [] == renewed)
                }
                old = new
            }
        }
        #expect(kept > 20)
    }
}

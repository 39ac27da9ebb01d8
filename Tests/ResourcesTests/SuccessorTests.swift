import Resources
import Testing

@Suite struct SuccessorTests {
    private static let pods = BuiltInKinds.all.first { $0.kind == "Pod" }!
    private static let pod: JSON = [
        "apiVersion": "v1", "kind": "Pod",
        "metadata": [
            "name": "a", "labels": ["app": "x"],
            "managedFields": [
                ["manager": "m", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": ["f:spec": ["f:nodeName": [:]]]]
            ],
        ],
        "spec": [
            "nodeName": "n", "tolerations": [["key": "k"]],
            "containers": [
                ["name": "c", "image": "i", "ports": [["containerPort": 80], ["containerPort": 81]]], ["name": "d", "image": "i"],
            ],
        ], "status": ["phase": "Pending", "conditions": [["type": "Ready", "status": "True"]]],
    ]
    private static let values: [JSON] = [
        "x", 1, .null, true, [:], [], ["x"], ["unknown": 1], [["name": "c"], ["name": "c"]], [["name": "c", "image": "j"]],
        [["containerPort": 80], ["containerPort": 80]], ["a": "b"], ["a": .null], ["nodeName": "n"], "Always", .decimal("1.5"),
    ]
    private static let paths: [[String]] = [
        [], ["bogus"], ["metadata"], ["metadata", "labels"], ["metadata", "labels", "app"], ["metadata", "bogus"],
        ["metadata", "managedFields"],
        ["spec"], ["spec", "nodeName"], ["spec", "containers"], ["spec", "restartPolicy"], ["spec", "tolerations"], ["spec", "bogus"],
        ["status"],
        ["status", "phase"], ["status", "conditions"],
    ]

    @Test(arguments: paths) func `an object made of a plain one is plain or not whether that one is known or not`(_ path: [String]) {
        let schema = Self.pods.schema
        func isPlain(_ object: JSON, known: JSON?) -> Bool {
            schema.isPlain(object, catalog: .kubernetes, checksRequired: false, known: known)
        }
        #expect(isPlain(Self.pod, known: nil))
        #expect(isPlain(Self.pod, known: Self.pod))
        for value in Self.values {
            let patch = path.reversed().reduce(value) { [$1: $0] }
            let new = MergePatch.apply(patch, to: Self.pod)
            let alone = isPlain(new, known: nil)
            let beside = isPlain(new, known: Self.pod)
            #expect(alone == beside, "\(patch.text)")
        }
    }

    @Test func `an element that is wrong is found between elements that are known`() {
        for list in ["containers", "tolerations"] {
            for place in 0..<2 {
                var elements = Self.pod["spec"]?[list]?.array ?? []
                elements.insert(["name": "e", "key": "e", "bogus": 1], at: min(place, elements.count))
                var new = Self.pod
                new[path: ["spec", list]] = .array(elements)
                let isPlain = Self.pods.schema.isPlain(new, catalog: .kubernetes, checksRequired: false, known: Self.pod)
                #expect(!isPlain)
            }
        }
    }

    @Test func `what lies at one place is equal, and what is changed lies at another`() {
        let copy = Self.pod
        var changed = Self.pod
        changed[path: ["metadata", "labels", "app"]] = "y"
        let parts = ["metadata", "spec", "status"].map { key in
            (key, Self.pod[key]!.isShared(with: copy[key]!), Self.pod[key]!.isShared(with: changed[key]!))
        }
        #expect(parts.map(\.0) == ["metadata", "spec", "status"])
        #expect(parts.map(\.1) == [true, true, true])
        #expect(parts.map(\.2) == [false, true, true])
        #expect(changed != Self.pod)
        changed[path: ["metadata", "labels", "app"]] = "x"
        #expect(changed == Self.pod)
    }

    @Test func `a Pod that has all defaults keeps its containers where they lie`() {
        var first = Self.pod
        Self.pods.defaulting(&first)
        var second = first
        Self.pods.defaulting(&second)
        let isShared = second["spec"]?["containers"].map { $0.isShared(with: first["spec"]?["containers"] ?? .null) }
        #expect(isShared == true)
        #expect(first["spec"]?["containers"]?.array?.first?["imagePullPolicy"] == "Always")
    }
}

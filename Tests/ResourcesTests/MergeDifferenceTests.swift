import Resources
import Testing

@Suite struct MergeDifferenceTests {
    @Test(arguments: [
        ("{}", "{}"), (#"{"a":1}"#, #"{"a":1}"#), (#"{"a":1}"#, #"{"a":2}"#), (#"{"a":1,"b":2}"#, #"{"b":2}"#),
        (#"{"a":{"b":1,"c":[1,2]}}"#, #"{"a":{"b":1,"c":[2,1]}}"#), (#"{"a":{"b":1}}"#, #"{"a":{}}"#), (#"{"a":1}"#, #"{"a":{"b":1}}"#),
        (#"{"a":{"b":1}}"#, #"{"a":1}"#), (#"{"a":[{"b":null}]}"#, #"{"a":[{"b":null},1]}"#), ("{}", #"{"a":{"b":{"c":{}}}}"#),
    ]) func `the difference of two objects makes the one of the other, and says no more than it must`(_ old: String, _ new: String) throws {
        let (before, after) = (try JSONParser.parse(Array(old.utf8)), try JSONParser.parse(Array(new.utf8)))
        let patch = MergePatch.difference(from: before, to: after)
        #expect(MergePatch.apply(patch, to: before) == after)
        #expect((patch == [:]) == (before == after))
    }

    @Test func `members that are equal are not in it`() {
        let old: JSON = ["spec": ["a": 1, "b": ["c": 2, "d": 3]], "status": ["x": 1]]
        let new: JSON = ["spec": ["a": 1, "b": ["c": 2, "d": 4]], "status": ["x": 1]]
        #expect(MergePatch.difference(from: old, to: new) == ["spec": ["b": ["d": 4]]])
    }

    @Test func `a Pod names the ConfigMaps and Secrets of its volumes, environments and image pulls`() {
        let pod: JSON = [
            "spec": [
                "volumes": [
                    ["configMap": ["name": "a"]], ["secret": ["secretName": "b"]],
                    ["projected": ["sources": [["configMap": ["name": "c"]], ["secret": ["name": "d"]]]]],
                ],
                "imagePullSecrets": [["name": "e"]],
                "initContainers": [["envFrom": [["configMapRef": ["name": "f"]]]]],
                "containers": [["env": [["valueFrom": ["secretKeyRef": ["name": "g", "key": "k"]]]]]],
            ]
        ]
        let named = PodReferences(pod)
        #expect(named.configMaps == ["a", "c", "f"])
        #expect(named.secrets == ["b", "d", "e", "g"])
        #expect(named.contains(resource: "secrets", name: "g") && !named.contains(resource: "configmaps", name: "g"))
        #expect(PodReferences([:]) == PodReferences(["spec": ["volumes": "none"]]))
    }
}

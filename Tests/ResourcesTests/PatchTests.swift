import Resources
import Testing

@Suite struct PatchTests {
    @Test func `a merge patch sets, removes and replaces lists`() throws {
        // RFC 7386, section 3 and appendix A.
        let target = try JSON(
            parsing: #"{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"]}"#)
        let patch = try JSON(parsing: #"{"title":"Hello!","phone":"+01","author":{"familyName":null},"tags":["example"]}"#)
        let wanted = try JSON(parsing: #"{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"phone":"+01"}"#)
        #expect(MergePatch.apply(patch, to: target) == wanted)
    }

    @Test(arguments: [
        (#"[{"op":"add","path":"/a/1","value":9}]"#, #"{"a":[1,9,2]}"#), (#"[{"op":"add","path":"/a/-","value":9}]"#, #"{"a":[1,2,9]}"#),
        (#"[{"op":"remove","path":"/a/0"}]"#, #"{"a":[2]}"#), (#"[{"op":"replace","path":"/a","value":"x"}]"#, #"{"a":"x"}"#),
        (#"[{"op":"move","from":"/a/0","path":"/b"}]"#, #"{"a":[2],"b":1}"#),
        (#"[{"op":"copy","from":"/a/0","path":"/b"}]"#, #"{"a":[1,2],"b":1}"#),
        (#"[{"op":"test","path":"/a/1","value":2},{"op":"add","path":"/x~1y~0","value":0}]"#, #"{"a":[1,2],"x/y~":0}"#),
    ])
    func `a JSON patch does what RFC 6902 says`(patch: String, wanted: String) throws {
        #expect(try JSONPatch.apply(JSON(parsing: patch), to: ["a": [1, 2]]) == JSON(parsing: wanted))
    }

    @Test(arguments: [
        #"{"op":"add"}"#, #"[{"op":"add","path":"/a"}]"#, #"[{"op":"remove","path":"/none"}]"#,
        #"[{"op":"replace","path":"/none","value":1}]"#,
        #"[{"op":"test","path":"/a","value":1}]"#, #"[{"op":"add","path":"/a/01","value":1}]"#, #"[{"op":"add","path":"/a/3","value":1}]"#,
        #"[{"op":"move","from":"/a","path":"/a/0"}]"#, #"[{"op":"jump","path":"/a"}]"#, #"[{"op":"add","path":"a","value":1}]"#,
    ])
    func `a JSON patch that does not fit is refused`(patch: String) {
        #expect(throws: PatchError.self) { try JSONPatch.apply(JSON(parsing: patch), to: ["a": [1, 2]]) }
    }

    private let strategic = StrategicMergePatch(catalog: .kubernetes)
    private let pod = BuiltInKinds.all.first { $0.kind == "Pod" }!.schema

    @Test func `a strategic patch merges containers by name and env by name`() throws {
        let target = try JSON(
            parsing: #"{"spec":{"containers":[{"name":"a","image":"1","env":[{"name":"X","value":"1"}]},{"name":"b","image":"1"}]}}"#)
        let patch = try JSON(
            parsing: #"{"spec":{"containers":[{"name":"a","image":"2","env":[{"name":"Y","value":"2"}]},{"name":"b","$patch":"delete"}]}}"#)
        let result = try strategic.apply(patch, to: target, schema: pod)
        #expect(
            result
                == (try JSON(
                    parsing:
                        #"{"spec":{"containers":[{"name":"a","image":"2","env":[{"name":"X","value":"1"},{"name":"Y","value":"2"}]}]}}"#)))
    }

    @Test func `a strategic patch orders lists, takes finalizers away and replaces where told`() throws {
        let target = try JSON(
            parsing: #"{"metadata":{"finalizers":["a","b"]},"spec":{"nodeSelector":{"x":"1"},"tolerations":[{"key":"k"}]}}"#)
        let patch = try JSON(
            parsing:
                #"{"metadata":{"$deleteFromPrimitiveList/finalizers":["a"]},"spec":{"nodeSelector":{"$patch":"replace","y":"2"},"tolerations":[{"key":"z"}]}}"#
        )
        let result = try strategic.apply(patch, to: target, schema: pod)
        #expect(result["metadata"]?["finalizers"] == ["b"])
        #expect(result["spec"]?["nodeSelector"] == ["y": "2"])
        #expect(result["spec"]?["tolerations"] == [["key": "z"]])
        let order = try JSON(
            parsing: #"{"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}],"containers":[{"name":"b","image":"1"}]}}"#)
        let ordered = try strategic.apply(order, to: ["spec": ["containers": [["name": "a", "image": "1"]]]], schema: pod)
        #expect(ordered["spec"]?["containers"]?.array?.compactMap { $0["name"] } == ["b", "a"])
    }

    @Test func `a strategic patch without the merge key or with an unknown directive is refused`() {
        for patch: JSON in [["spec": ["containers": [["image": "2"]]]], ["spec": ["$patch": "explode"]], [1]] {
            #expect(throws: PatchError.self) { try strategic.apply(patch, to: ["spec": ["containers": []]], schema: pod) }
        }
    }
}

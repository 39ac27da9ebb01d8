import APIServer
import Network
import Resources
import Storage
import TestKit
import Testing

@Suite(.offThePool) struct VerbTests {
    @Test func `objects made after one like them say who owns their fields as the first did`() async throws {
        let api = try await TestAPI()
        let path = "/api/v1/namespaces/default/pods"
        var texts: [String] = []
        for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
            var object = pod(name)
            object[path: ["metadata", "labels", label]] = "1"
            let made = try await api.create(path, object)
            let read = try await api.send("GET", "\(path)/\(name)").json
            #expect(made == read)
            let entries = read["metadata"]?["managedFields"]?.array ?? []
            #expect(entries.count == 1)
            texts.append(entries.first?["fieldsV1"]?.text ?? "")
        }
        #expect(texts[0] == texts[1])
        #expect(texts[2] == texts[0].replacing("f:x", with: "f:y"))
        #expect(texts[0].contains(#""f:labels":{".":{},"f:x":{}}"#))
    }

    @Test func `an object is created, read, replaced, patched and deleted`() async throws {
        let api = try await TestAPI()
        let made = try await api.create(datasets, dataset("a"))
        #expect(made["metadata"]?["generation"] == 1)
        #expect(made["metadata"]?["creationTimestamp"] == "2027-01-15T08:00:00Z")
        #expect(made["metadata"]?["uid"]?.string?.count == 36)
        #expect(try await api.send("GET", datasets + "/a").json == made)
        var changed = made
        changed[path: ["spec", "url"]] = "/b"
        let replaced = try await api.send("PUT", datasets + "/a", changed)
        #expect(replaced.status == 200)
        #expect(replaced.json["metadata"]?["generation"] == 2)
        let stale = try await api.send("PUT", datasets + "/a", changed)
        #expect(stale.status == 409)
        #expect(
            stale.message
                == #"Operation cannot be fulfilled on datasets.sedna.io "a": the object has been modified; please apply your changes to the latest version and try again"#
        )
        let patched = try await api.send("PATCH", datasets + "/a", ["spec": ["format": "txt"]], type: "application/merge-patch+json")
        #expect(patched.json["spec"] == ["url": "/b", "format": "txt", "nodeName": "edge-node"])
        let deleted = try await api.send("DELETE", datasets + "/a")
        #expect(deleted.json["status"] == "Success")
        #expect(deleted.json["details"]?["uid"] == made["metadata"]?["uid"])
        #expect(try await api.send("GET", datasets + "/a").message == #"datasets.sedna.io "a" not found"#)
    }

    @Test func `refusals have the real server's code, reason and words`() async throws {
        let api = try await TestAPI()
        _ = try await api.create(datasets, dataset("a"))
        func refusal(_ method: String, _ target: String, _ body: JSON? = nil, type: String = "application/json") async throws -> [String] {
            let answer = try await api.send(method, target, body, type: type)
            return [String(answer.status), answer.json["reason"]?.string ?? "", answer.message]
        }
        #expect(try await refusal("POST", datasets, dataset("a")) == ["409", "AlreadyExists", #"datasets.sedna.io "a" already exists"#])
        var unknown = dataset("b")
        unknown[path: ["spec", "bogus"]] = 1
        #expect(
            try await refusal("POST", datasets + "?fieldValidation=Strict", unknown)
                == [
                    "400", "BadRequest",
                    #"Dataset in version "v1alpha1" cannot be handled as a Dataset: strict decoding error: unknown field "spec.bogus""#,
                ])
        #expect(
            try await refusal("PATCH", datasets + "/a", [:], type: "application/strategic-merge-patch+json")
                == [
                    "415", "UnsupportedMediaType",
                    "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                ])
        #expect(try await refusal("GET", "/apis/none.io/v1/things")[0] == "404")
        #expect(try await refusal("PUT", datasets, dataset("a"))[0...1] == ["405", "MethodNotAllowed"])
        #expect(
            try await refusal("POST", "/apis/sedna.io/v1alpha1/namespaces/none/datasets", dataset("x"))[2]
                == #"namespaces "none" not found"#)
        #expect(try await refusal("GET", datasets + "?fieldSelector=spec.url%3Dx")[0] == "400")
        #expect(try await refusal("GET", datasets + "?labelSelector=a%20b")[0] == "400")
        #expect(try await refusal("GET", datasets + "?continue=nonsense")[2] == "invalid continue token: continue key is not valid")
        // An informer that was ahead of a restored server lists anew when it reads this cause, and only then.
        for target in ["?resourceVersion=99999", "?watch=1&resourceVersion=99999"] {
            let answer = try await api.send("GET", datasets + target)
            #expect(answer.status == 504)
            #expect(
                answer.json["details"]?["causes"] == [["reason": "ResourceVersionTooLarge", "message": "Too large resource version"]],
                "\(answer.json.text)")
        }
        let notAcceptable = try await api.send("GET", datasets, accept: "application/xml")
        #expect(notAcceptable.status == 406)
    }

    @Test func `an unknown field is a warning unless it is refused or ignored`() async throws {
        let api = try await TestAPI()
        var object = dataset("a")
        object[path: ["spec", "bogus"]] = 1
        let warned = try await api.send("POST", datasets, object)
        #expect(warned.status == 201)
        #expect(warned.headers["Warning"] == #"299 - "unknown field \"spec.bogus\"""#)
        #expect(warned.json["spec"]?["bogus"] == nil)
        object[path: ["metadata", "name"]] = "b"
        #expect(try await api.send("POST", datasets + "?fieldValidation=Ignore", object).headers["Warning"] == nil)
    }

    @Test func `status and specification are written apart`() async throws {
        let api = try await TestAPI()
        var made = try await api.create(datasets, dataset("a"))
        made["status"] = ["numberOfSamples": 5]
        made[path: ["spec", "url"]] = "/other"
        let status = try await api.send("PUT", datasets + "/a/status", made)
        #expect(status.json["status"]?["numberOfSamples"] == 5)
        #expect(status.json["spec"]?["url"] == "/a")
        #expect(status.json["metadata"]?["generation"] == 1)
        var next = status.json
        next["status"] = ["numberOfSamples": 9]
        next[path: ["spec", "url"]] = "/other"
        let main = try await api.send("PUT", datasets + "/a", next)
        #expect(main.json["status"]?["numberOfSamples"] == 5)
        #expect(main.json["spec"]?["url"] == "/other")
    }

    @Test func `a write that changes nothing is no write`() async throws {
        let api = try await TestAPI()
        let made = try await api.create(datasets, dataset("a"))
        let again = try await api.send("PATCH", datasets + "/a", ["spec": ["url": "/a"]], type: "application/merge-patch+json")
        #expect(again.json["metadata"]?["resourceVersion"] == made["metadata"]?["resourceVersion"])
    }

    @Test func `an object that is patched becomes what it becomes when it is replaced`() async throws {
        let api = try await TestAPI()
        let path = "/api/v1/namespaces/default/pods"
        for name in ["a", "b"] { _ = try await api.create(path, pod(name)) }
        let changes: [(String, JSON)] = [
            ("", ["metadata": ["labels": ["x": "1"]]]), ("", ["metadata": ["labels": ["x": "2", "y": "1"]]]),
            ("/status", ["status": ["phase": "Running", "message": "m"]]), ("", ["metadata": ["labels": ["x": .null]]]),
            ("", ["metadata": ["annotations": ["n": "1"], "managedFields": .null]]), ("/status", ["status": ["message": "n"]]),
            ("", ["metadata": ["managedFields": [[:]]]]), ("", ["metadata": ["labels": ["z": "1"]]]),
        ]
        for (part, change) in changes {
            _ = try await api.send("PATCH", "\(path)/a\(part)", change, type: "application/merge-patch+json")
            let whole = MergePatch.apply(change, to: try await api.send("GET", "\(path)/b").json)
            _ = try await api.send("PUT", "\(path)/b\(part)", whole)
            let patched = try await api.send("GET", "\(path)/a").json
            let replaced = try await api.send("GET", "\(path)/b").json
            for key in ["labels", "annotations", "managedFields", "generation"] {
                #expect(patched["metadata"]?[key] == replaced["metadata"]?[key], "\(key) after \(change.text)")
            }
            #expect(patched["spec"] == replaced["spec"])
            #expect(patched["status"] == replaced["status"])
        }
    }

    @Test func `a patch is refused for what it brings, whatever the object holds`() async throws {
        let api = try await TestAPI()
        let path = "/api/v1/namespaces/default/pods"
        _ = try await api.create(path, pod("a"))
        for patch: JSON in [
            ["metadata": ["labels": ["x": 1]]], ["metadata": ["labels": ["-": "1"]]], ["spec": ["nodeName": [:]]],
            ["status": ["conditions": [["type": "A", "status": "True"], ["type": "A", "status": "True"]]]], ["spec": ["containers": []]],
            ["spec": ["bogus": 1]],
        ] {
            let target = patch["status"] == nil ? "\(path)/a" : "\(path)/a/status"
            let answer = try await api.send("PATCH", target + "?fieldValidation=Strict", patch, type: "application/merge-patch+json")
            #expect([400, 422].contains(answer.status), "\(patch.text): \(answer.status) \(answer.message)")
        }
    }

    @Test func `a dry run says what would be and stores nothing`() async throws {
        let api = try await TestAPI()
        let revision = api.store.revision
        #expect(try await api.send("POST", datasets + "?dryRun=All", dataset("a")).status == 201)
        #expect(try await api.send("GET", datasets + "/a").status == 404)
        #expect(api.store.revision == revision)
        _ = try await api.create(datasets, dataset("a"))
        _ = try await api.send("PATCH", datasets + "/a?dryRun=All", ["spec": ["url": "/b"]], type: "application/merge-patch+json")
        _ = try await api.send("DELETE", datasets + "/a?dryRun=All")
        #expect(try await api.send("GET", datasets + "/a").json["spec"]?["url"] == "/a")
    }

    @Test func `server-side apply makes, owns, contests and takes over`() async throws {
        let api = try await TestAPI()
        func apply(_ spec: JSON, _ query: String) async throws -> TestAPI.Answer {
            var object = dataset("a")
            object["spec"] = spec
            return try await api.send("PATCH", "\(datasets)/a?\(query)", object, type: "application/apply-patch+yaml")
        }
        let full: JSON = ["url": "/a", "format": "csv", "nodeName": "n"]
        let made = try await apply(full, "fieldManager=one")
        #expect(made.status == 201)
        let same = try await apply(full, "fieldManager=one")
        #expect(same.json["metadata"]?["resourceVersion"] == made.json["metadata"]?["resourceVersion"])
        let contested = try await apply(["url": "/b", "format": "csv", "nodeName": "n"], "fieldManager=two")
        #expect(contested.status == 409)
        #expect(contested.message == #"Apply failed with 1 conflict: conflict with "one": .spec.url"#)
        let taken = try await apply(["url": "/b", "format": "csv", "nodeName": "n"], "fieldManager=two&force=true")
        #expect(taken.json["spec"]?["url"] == "/b")
        #expect(try await apply(full, "").status == 422)
    }

    @Test func `a generated name is new and keeps its beginning`() async throws {
        let api = try await TestAPI()
        var object = dataset("x")
        object["metadata"] = ["generateName": "run-"]
        var names: Set<String> = []
        for _ in 0..<50 { names.insert(try await api.create(datasets, object)["metadata"]?["name"]?.string ?? "") }
        #expect(names.count == 50)
        #expect(names.allSatisfy { $0.hasPrefix("run-") && $0.count == 9 })
    }

    @Test func `finalizers hold a deleted object until they are taken away`() async throws {
        let api = try await TestAPI()
        var object = dataset("a")
        object[path: ["metadata", "finalizers"]] = ["example.org/hold"]
        _ = try await api.create(datasets, object)
        let pending = try await api.send("DELETE", datasets + "/a")
        #expect(pending.json["metadata"]?["deletionTimestamp"] != nil)
        let more = try await api.send(
            "PATCH", datasets + "/a", ["metadata": ["finalizers": ["example.org/hold", "example.org/late"]]],
            type: "application/merge-patch+json")
        #expect(more.status == 422)
        _ = try await api.send("PATCH", datasets + "/a", ["metadata": ["finalizers": .null]], type: "application/merge-patch+json")
        #expect(try await api.send("GET", datasets + "/a").status == 404)
    }

    @Test func `a deletion keeps to its preconditions`() async throws {
        let api = try await TestAPI()
        let made = try await api.create(datasets, dataset("a"))
        let wrong = try await api.send("DELETE", datasets + "/a", ["preconditions": ["uid": "other"]])
        #expect(wrong.status == 409)
        let old = try await api.send("DELETE", datasets + "/a", ["preconditions": ["resourceVersion": "1"]])
        #expect(old.status == 409)
        let right = try await api.send("DELETE", datasets + "/a", ["preconditions": ["uid": made["metadata"]!["uid"]!]])
        #expect(right.status == 200)
    }

    @Test func `a Pod on a node has time to end, one without does not`() async throws {
        let api = try await TestAPI()
        let pods = "/api/v1/namespaces/default/pods"
        _ = try await api.create(pods, pod("bound", node: "n"))
        _ = try await api.create(pods, pod("free"))
        #expect(try await api.send("DELETE", pods + "/free").json["status"] == "Success")
        let ending = try await api.send("DELETE", pods + "/bound")
        #expect(ending.json["metadata"]?["deletionGracePeriodSeconds"] == 30)
        #expect(ending.json["metadata"]?["deletionTimestamp"] == "2027-01-15T08:00:30Z")
        #expect(try await api.send("DELETE", pods + "/bound", ["gracePeriodSeconds": 0]).status == 200)
        #expect(try await api.send("GET", pods + "/bound").status == 404)
    }

    @Test func `a Pod is bound once`() async throws {
        let api = try await TestAPI()
        let pods = "/api/v1/namespaces/default/pods"
        _ = try await api.create(pods, pod("a"))
        let binding: JSON = ["apiVersion": "v1", "kind": "Binding", "metadata": ["name": "a"], "target": ["kind": "Node", "name": "n1"]]
        #expect(try await api.send("POST", pods + "/a/binding", binding).status == 201)
        #expect(try await api.send("POST", pods + "/a/binding", binding).status == 409)
        #expect(try await api.send("GET", pods + "/a").json["spec"]?["nodeName"] == "n1")
    }

    @Test func `scale reads and writes the replicas and nothing else`() async throws {
        let api = try await TestAPI()
        let deployments = "/apis/apps/v1/namespaces/default/deployments"
        _ = try await api.create(
            deployments,
            [
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "d"],
                "spec": [
                    "replicas": 2, "selector": ["matchLabels": ["a": "b"]],
                    "template": ["metadata": ["labels": ["a": "b"]], "spec": pod("x")["spec"]!],
                ],
            ])
        let scale = try await api.send("GET", deployments + "/d/scale").json
        #expect(scale["kind"] == "Scale")
        #expect(scale["spec"]?["replicas"] == 2)
        #expect(scale["status"]?["selector"] == "a=b")
        let patched = try await api.send("PATCH", deployments + "/d/scale", ["spec": ["replicas": 5]], type: "application/merge-patch+json")
        #expect(patched.json["spec"]?["replicas"] == 5)
        #expect(try await api.send("GET", deployments + "/d").json["spec"]?["replicas"] == 5)
        let bad = try await api.send("PATCH", deployments + "/d/scale", ["spec": ["replicas": -1]], type: "application/merge-patch+json")
        #expect(bad.status == 422)
    }

    @Test func `deletecollection takes what is selected`() async throws {
        let api = try await TestAPI()
        for name in ["a", "b", "c"] { _ = try await api.create(datasets, dataset(name, ["keep": name == "b" ? "yes" : "no"])) }
        let deleted = try await api.send("DELETE", datasets + "?labelSelector=keep%3Dno")
        #expect(deleted.json["items"]?.array?.count == 2)
        #expect(try await api.send("GET", datasets).json["items"]?.array?.compactMap { $0["metadata"]?["name"] } == ["b"])
    }

    @Test func `bodies are taken as YAML too`() async throws {
        let api = try await TestAPI()
        let text = "apiVersion: sedna.io/v1alpha1\nkind: Dataset\nmetadata:\n  name: y\nspec: {url: /a, format: csv, nodeName: n}\n"
        let made = try await api.send("POST", datasets, raw: Array(text.utf8), type: "application/yaml")
        #expect(made.status == 201 && made.json["spec"] == ["url": "/a", "format": "csv", "nodeName": "n"])
        let applied = try await api.send(
            "PATCH", datasets + "/z?fieldManager=curl", raw: Array(text.replacing("name: y", with: "name: z").utf8),
            type: "application/apply-patch+yaml")
        #expect(applied.status == 201)
        #expect(applied.json["metadata"]?["managedFields"]?.array?.first?["operation"] == "Apply")
        let broken = try await api.send("POST", datasets, raw: Array("a: [1".utf8), type: "application/yaml")
        #expect(broken.status == 400 && broken.message.contains("line 1"), "\(broken.message)")
    }

    @Test func `what asks for a deletion that is not understood deletes nothing`() async throws {
        let api = try await TestAPI()
        _ = try await api.create(datasets, dataset("a"))
        for target in [datasets + "/a?dryRun=all", datasets + "?dryRun=Yes", datasets + "/a?gracePeriodSeconds=soon"] {
            #expect(try await api.send("DELETE", target).status == 400, "\(target)")
        }
        let bodies: [JSON] = [["dryRun": ["Yes"]], ["dryRun": ["All", "Some"]]]
        for body in bodies {
            #expect(try await api.send("DELETE", datasets + "/a", body).status == 400, "\(body)")
        }
        // As with a real server, a collection is deleted namespace by namespace.
        #expect(try await api.send("DELETE", "/apis/sedna.io/v1alpha1/datasets").status == 405)
        #expect(try await api.send("POST", "/apis/sedna.io/v1alpha1/datasets", dataset("b")).status == 405)
        #expect(try await api.send("GET", datasets).json["items"]?.array?.count == 1)
        #expect(try await api.send("DELETE", datasets + "?dryRun=All").status == 200)
        #expect(try await api.send("GET", datasets + "/a").status == 200)
        #expect(try await api.send("DELETE", datasets).status == 200)
        #expect(try await api.send("GET", datasets + "/a").status == 404)
    }

    @Test func `a taught kind is served at once, in all its versions, and gone with its definition`() async throws {
        let api = try await TestAPI()
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        func version(_ name: JSON, _ storage: JSON) -> JSON {
            [
                "name": name, "served": true, "storage": storage,
                "schema": [
                    "openAPIV3Schema": [
                        "type": "object",
                        "properties": [
                            "spec": [
                                "type": "object",
                                "properties": [
                                    "n": ["type": "integer", "default": 3, "minimum": 1, "maximum": .decimal("9.5")],
                                    "s": ["type": "string", "pattern": "^[a-z]+$", "maxLength": 5, "nullable": true],
                                ],
                            ]
                        ],
                    ]
                ],
            ]
        }
        let made = try await api.create(
            definitions,
            [
                "metadata": ["name": "widgets.example.org"],
                "spec": [
                    "group": "example.org", "scope": "Namespaced", "names": ["kind": "Widget", "plural": "widgets"],
                    "versions": [version("v1", true), version("v2", false)],
                ],
            ])
        #expect(made["status"]?["conditions"]?.array?.last?["type"] == "Established")
        let widgets = "/apis/example.org/v1/namespaces/default/widgets"
        let widget = try await api.create(widgets, ["metadata": ["name": "w"], "spec": ["s": "x", "unknown": 1]])
        #expect(widget["spec"] == ["s": "x", "n": 3])
        let other = try await api.send("GET", "/apis/example.org/v2/namespaces/default/widgets/w").json
        #expect(other["apiVersion"] == "example.org/v2")
        #expect(other["spec"] == ["s": "x", "n": 3])
        #expect(try await api.send("POST", widgets, ["metadata": ["name": "bad"], "spec": ["n": "text"]]).status == 422)
        let document = try await api.send("GET", "/openapi/v3/apis/example.org/v1").json
        let fields = document["components"]?["schemas"]?["org.example.v1.Widget"]?["properties"]?["spec"]?["properties"]
        #expect(fields?["n"] == ["type": "integer", "default": 3, "minimum": 1, "maximum": .decimal("9.5")])
        #expect(fields?["s"] == ["type": "string", "nullable": true, "maxLength": 5, "pattern": "^[a-z]+$"])
        let older = try await api.send("GET", "/openapi/v2").json["definitions"]?["org.example.v1.Widget"]?["properties"]?["spec"]
        #expect(older?["properties"]?["s"] == ["type": "string", "maxLength": 5, "pattern": "^[a-z]+$"])
        #expect(try await api.send("DELETE", definitions + "/widgets.example.org").status == 200)
        #expect(try await api.send("GET", widgets).status == 404)
    }

    @Test(arguments: [
        "", "{", "[]", "5", "null", #"{"metadata":5}"#, #"{"metadata":{"name":{}}}"#, #"{"metadata":{"name":"a","labels":{"x":5}}}"#,
        #"{"metadata":{"name":"a"},"spec":[]}"#, #"{"apiVersion":"v9"}"#, #"{"kind":"Pod"}"#, "{\"a\":\"\\ud800\"",
        "{\"metadata\":{\"name\":\"\u{0}\"}}",
        #"{"metadata":{"name":"a"},"spec":{"url":1e999}}"#,
    ])
    func `bodies that are no object of the kind are refused with 4xx`(text: String) async throws {
        let api = try await TestAPI()
        let answer = try await api.send("POST", datasets, raw: Array(text.utf8))
        #expect((400..<500).contains(answer.status), "\(answer.status) \(answer.message)")
        #expect(answer.json["kind"] == "Status")
    }

    @Test func `deep, wide and badly encoded bodies are refused with 4xx`() async throws {
        let api = try await TestAPI()
        let deep = Array(String(repeating: "{\"a\":", count: 5000).utf8)
        #expect(try await api.send("POST", datasets, raw: deep).status == 400)
        let wide = Array(
            ("{\"metadata\":{\"name\":\"a\"},\"spec\":{" + (0..<100_000).map { "\"k\($0)\":1" }.joined(separator: ",") + "}}").utf8)
        #expect(try await api.send("POST", datasets, raw: wide).status == 422)
        #expect(try await api.send("POST", datasets, raw: [0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).status == 400)
        let twice = Array(#"{"metadata":{"name":"a","name":"b"},"spec":{"url":"/a","format":"csv","nodeName":"n"}}"#.utf8)
        #expect(try await api.send("POST", datasets + "?fieldValidation=Strict", raw: twice).status == 400)
        #expect(try await api.send("PATCH", datasets + "/x", raw: Array("[{}]".utf8), type: "application/json-patch+json").status == 404)
    }
}

import Resources
import Testing

@Suite struct KindTests {
    private let catalog = SchemaCatalog.kubernetes

    private func kind(_ name: String) -> KindDefinition { BuiltInKinds.all.first { $0.kind == name && $0.group != "events.k8s.io" }! }

    @Test(arguments: [
        ("a", "Always"), ("a:1", "IfNotPresent"), ("a:latest", "Always"), ("host:5000/a", "Always"), ("host:5000/a:2", "IfNotPresent"),
        ("a@sha256:00", "IfNotPresent"), ("a:latest@sha256:00", "IfNotPresent"), ("a:1/", "IfNotPresent"), ("", "Always"),
    ]) func `an image without a tag of its own is fetched each time`(_ image: String, _ policy: String) {
        var pod: JSON = ["spec": ["containers": [["name": "c", "image": .string(image)], "no container"]]]
        BuiltInKinds.all.first { $0.kind == "Pod" }!.defaulting(&pod)
        #expect(pod["spec"]?["containers"]?.array?[0]["imagePullPolicy"]?.string == policy)
        #expect(pod["spec"]?["containers"]?.array?[1] == "no container")
    }

    @Test func `defaults are found behind references, and in schemas that refer to themselves`() {
        let pod: JSON = ["spec": ["containers": [["name": "c", "ports": [["containerPort": 80]]]]]]
        for _ in 0..<2 {
            let whole = kind("Pod").schema.defaulted(pod, catalog: catalog)
            #expect(whole["spec"]?["containers"]?.array?[0]["ports"]?.array?[0] == ["containerPort": 80, "protocol": "TCP"])
        }
        let properties: JSON = ["properties": ["a": ["properties": ["b": ["type": "string"]]]]]
        let definition: JSON = ["spec": ["versions": [["schema": ["openAPIV3Schema": properties]]]]]
        #expect(BuiltInKinds.customResourceDefinition.schema.defaulted(definition, catalog: catalog) == definition)
    }

    @Test func `members are filled in where they are missing and stand behind the others`() {
        var object: JSON = ["b": 1, "a": .null]
        object.fill([("a", 2), ("c", 3), ("b", 4), ("d", 5)])
        #expect(object == ["b": 1, "a": .null, "c": 3, "d": 5])
        #expect(object.object?.keys == ["b", "a", "c", "d"])
        var text: JSON = "text"
        text.fill([("a", 1)])
        #expect(text == "text")
    }

    @Test func `every built-in kind has a schema with a text for each field`() {
        for definition in BuiltInKinds.all {
            let tree = catalog.resolved(definition.schema)
            #expect(!tree.properties.isEmpty, "\(definition.kind)")
            #expect(!tree.description.isEmpty, "\(definition.kind)")
        }
        for (name, tree) in catalog.schemas {
            for property in tree.properties {
                let schema = property.schema
                #expect(schema.reference == nil || catalog.schemas[schema.reference!] != nil, "\(name).\(property.name)")
            }
        }
    }

    @Test func `a Dataset is refused in the words of the real server`() {
        let definition = kind("Dataset")
        let errors = definition.schema.errors(in: ["spec": ["url": 5]], catalog: catalog)
        let status = APIStatus.invalid(definition, name: "s3", errors)
        #expect(
            status.message
                == #"Dataset.sedna.io "s3" is invalid: [spec.url: Invalid value: "integer": spec.url in body must be of type string: "integer", spec.format: Required value, spec.nodeName: Required value]"#
        )
        #expect(status.causes.map(\.reason) == ["FieldValueTypeInvalid", "FieldValueRequired", "FieldValueRequired"])
    }

    @Test func `a Pod without containers is refused in the words of the real server`() {
        let definition = kind("Pod")
        let status = APIStatus.invalid(definition, name: "p", definition.validation(["spec": [:]], nil))
        #expect(status.message == #"Pod "p" is invalid: spec.containers: Required value"#)
    }

    @Test func `a name that is no subdomain is refused in the words of the real server`() {
        let errors = MetadataRules.errors(["metadata": ["name": "S_3"]], definition: kind("Dataset"))
        #expect(errors.map(\.field) == ["metadata.name"])
        #expect(errors[0].message.hasPrefix(#"Invalid value: "S_3": a lowercase RFC 1123 subdomain must consist of"#))
    }

    @Test func `unknown fields are named with their path and pruned`() {
        let object: JSON = ["metadata": ["name": "a"], "spec": ["url": "/a", "bogus": 1], "extra": []]
        let (value, unknown) = kind("Dataset").schema.pruned(object, catalog: catalog)
        #expect(unknown == ["spec.bogus", "extra"])
        #expect(value == ["metadata": ["name": "a"], "spec": ["url": "/a"]])
    }

    @Test func `a Pod and a Deployment get Kubernetes' defaults`() {
        var pod: JSON = ["spec": ["containers": [["name": "a", "image": "x"]]]]
        kind("Pod").defaulting(&pod)
        #expect(pod["spec"]?["restartPolicy"] == "Always")
        #expect(pod["spec"]?["containers"]?.array?[0]["imagePullPolicy"] == "Always")
        #expect(pod["status"]?["phase"] == "Pending")
        var deployment: JSON = ["spec": ["template": pod]]
        kind("Deployment").defaulting(&deployment)
        #expect(deployment["spec"]?["replicas"] == 1)
        #expect(deployment["spec"]?["strategy"]?["rollingUpdate"]?["maxSurge"] == "25%")
    }

    @Test func `stringData of a Secret becomes data`() {
        var secret: JSON = ["stringData": ["a": "b"]]
        kind("Secret").defaulting(&secret)
        #expect(secret == ["type": "Opaque", "data": ["a": "Yg=="]])
    }

    @Test(arguments: [
        ("a=b", true), ("a!=b", false), ("a in (b,c)", true), ("a notin (b)", false), ("a", true), ("!a", false), ("!z", true),
        ("n>3", true),
        ("n<3", false), ("a==b,z!=y", true), ("", true),
    ])
    func `label selectors choose as Kubernetes' do`(text: String, matches: Bool) throws {
        #expect(try LabelSelector(text).matches(["a": "b", "n": "5"]) == matches)
    }

    @Test(arguments: ["a in b", "a in (b", "=b", "a=b,,c=d", "a b", "a=b c", "-a", "n>x", "a in (b))"])
    func `text that is no label selector is refused`(text: String) {
        #expect(throws: SelectorError.self) { try LabelSelector(text) }
    }

    @Test func `field selectors read escapes and both signs`() throws {
        let selector = try FieldSelector(#"metadata.name=a\,b,status.phase!=Running,x==y"#)
        #expect(selector.requirements.map(\.value) == ["a,b", "Running", "y"])
        #expect(selector.requirements.map(\.isEqual) == [true, false, true])
        #expect(throws: SelectorError.self) { try FieldSelector("metadata.name") }
    }

    private func definition(_ schema: JSON) -> JSON {
        [
            "metadata": ["name": "widgets.example.org"],
            "spec": [
                "group": "example.org", "scope": "Namespaced", "names": ["kind": "Widget", "plural": "widgets", "shortNames": ["wd"]],
                "versions": [
                    [
                        "name": "v1", "served": true, "storage": true, "schema": ["openAPIV3Schema": schema],
                        "subresources": ["status": [:], "scale": ["specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"]],
                        "additionalPrinterColumns": [["name": "Size", "type": "integer", "jsonPath": ".spec.n"]],
                    ]
                ],
            ],
        ]
    }

    @Test func `a custom kind validates, defaults, prunes and prints by its definition`() throws {
        let spec: JSON = [
            "type": "object", "required": ["n"],
            "properties": [
                "n": ["type": "integer", "minimum": 1, "maximum": 5],
                "color": ["type": "string", "default": "red", "enum": ["red", "blue"]],
                "code": ["type": "string", "pattern": "^[a-z]+$", "maxLength": 3],
            ],
        ]
        let crd = definition(["type": "object", "properties": ["spec": spec]])
        #expect(BuiltInKinds.customResourceDefinition.validation(crd, nil).isEmpty)
        let widget = try #require(CustomKind.definitions(crd).first)
        #expect(widget.scale?.specReplicas == ["spec", "n"])
        #expect(widget.schema.defaulted(["spec": ["n": 1]], catalog: catalog) == ["spec": ["n": 1, "color": "red"]])
        #expect(widget.schema.pruned(["spec": ["n": 1, "x": 2]], catalog: catalog).unknown == ["spec.x"])
        for (bad, field): (JSON, String) in [
            (["n": 0], "spec.n"), (["n": 6], "spec.n"), ([:], "spec.n"), (["n": 1, "color": "green"], "spec.color"),
            (["n": 1, "code": "abcd"], "spec.code"),
            (["n": 1, "code": "A"], "spec.code"), (["n": "1"], "spec.n"),
        ] {
            #expect(widget.schema.errors(in: ["spec": bad], catalog: catalog).map(\.field) == [field], "\(bad)")
        }
        #expect(widget.columns.map(\.name) == ["Name", "Size"])
        #expect(widget.columns[1].cell(["spec": ["n": 3]], Timestamp(seconds: 0)) == 3)
    }

    @Test func `a definition whose schema is not structural or has rules it cannot keep is refused`() {
        for schema: JSON in [
            ["type": "object", "properties": ["a": ["description": "no type"]]], ["type": "string"],
            ["type": "object", "properties": ["a": ["type": "array"]]],
            ["type": "object", "properties": ["a": ["type": "string", "pattern": "("]]],
            ["type": "object", "x-kubernetes-validations": [["rule": "self.a > 1"]]], ["type": "object", "$ref": "#/x"],
        ] {
            #expect(!BuiltInKinds.customResourceDefinition.validation(definition(schema), nil).isEmpty, "\(schema.text)")
        }
    }

    @Test func `a definition with CEL rules is refused by the field, the rule and what to write instead`() {
        let rules: JSON = ["type": "object", "x-kubernetes-validations": [["rule": "self.low < self.high"]]]
        let errors = BuiltInKinds.customResourceDefinition.validation(
            definition(["type": "object", "properties": ["spec": rules]]), nil)
        #expect(errors.map(\.field) == ["spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations"])
        for words in ["self.low < self.high", "minimum", "leave x-kubernetes-validations out"] {
            #expect(errors.first?.message.contains(words) == true, "\(words)")
        }
    }

    @Test(arguments: [
        ("Running", #"{"done": 430, "total": 1000}"#, "Train Running 43%"), ("Running", #"{"done": 3}"#, "Train Running"),
        ("Running", #"{"done": 9, "total": 3}"#, "Train Running 100%"), ("Running", "{}", "Train Running"),
        ("Running", #"{"done": 1e300, "total": 1e-300}"#, "Train Running 100%"), ("Failed", #"{"done": 1, "total": 2}"#, "Train Failed"),
    ]) func `the stage of a job tells how far its worker is, where it says so`(type: String, progress: String, cell: String) throws {
        let job: JSON = [
            "status": [
                "conditions": [["type": .string(type), "stage": "Train", "status": "True"]], "progress": try JSON(parsing: progress),
            ]
        ]
        let column = try #require(kind("LifelongLearningJob").columns.first { $0.name == "Stage" })
        #expect(column.cell(job, Timestamp(seconds: 0)) == .string(cell))
    }

    @Test func `JSON paths of printer columns find keys, indices, filters and quoted keys`() throws {
        let object = try JSON(parsing: #"{"a":{"b.c":1},"l":[{"type":"Ready","status":"True"},{"type":"X"}]}"#)
        #expect(JSONPath(".a['b.c']")?.values(in: object) == [1])
        #expect(JSONPath(#".l[?(@.type=="Ready")].status"#)?.values(in: object) == ["True"])
        #expect(JSONPath(".l[*].type")?.values(in: object) == ["Ready", "X"])
        #expect(JSONPath("{.l[-1].type}")?.values(in: object) == ["X"])
        for text in ["..a", ".a[", ".a[?(@.x)]"] { #expect(JSONPath(text) == nil) }
    }

    @Test func `a Pod's line of kubectl get sums up its containers`() {
        let pod: JSON = [
            "metadata": ["name": "p", "creationTimestamp": "1970-01-01T00:00:00Z"], "spec": ["containers": [[:], [:]]],
            "status": [
                "phase": "Running",
                "containerStatuses": [
                    ["ready": true, "restartCount": 1, "state": ["running": [:]]],
                    ["ready": false, "restartCount": 2, "state": ["waiting": ["reason": "CrashLoopBackOff"]]],
                ],
            ],
        ]
        let cells = kind("Pod").columns.filter { !$0.isWide }.map { $0.cell(pod, Timestamp(seconds: 60)) }
        #expect(cells == ["p", "1/2", "CrashLoopBackOff", "3", "60s"])
    }
}

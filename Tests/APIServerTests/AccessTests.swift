import APIServer
import Network
import Resources
import Synchronization
import TestKit
import Testing

@Suite(.offThePool) struct AccessTests {
    @Test func `nobody without a name gets more than health and version`() async throws {
        let api = try await TestAPI()
        for path in ["/livez", "/readyz", "/version"] { #expect(try await api.send("GET", path, as: .some(nil)).status == 200) }
        for path in [
            "/", "/healthz", "/livez/ping", "/api", "/apis", "/api/v1", "/openapi/v2", "/openapi/v3", "/api/v1/nodes", "/metrics", datasets,
        ] {
            #expect(try await api.send("GET", path, as: .some(nil)).status == 403, "\(path)")
        }
        #expect(
            try await api.send("GET", "/api/v1/nodes", as: .some(nil)).message
                == #"nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope"#)
        #expect(
            String(decoding: try await api.send("GET", "/metrics").bytes, as: UTF8.self).contains(
                "skerry_objects{resource=\"namespaces\"} 4"))
        let badToken = try await api.send("GET", "/version", headers: [("Authorization", "Bearer x.y.z")], as: .some(nil))
        #expect(badToken.status == 401)
    }

    @Test func `metrics tell of jobs, and only whom may read them`() async throws {
        let api = try await TestAPI()
        let jobs = "/apis/sedna.io/v1alpha1/namespaces/default/lifelonglearningjobs"
        let template: JSON = ["template": ["spec": ["containers": [["name": "a", "image": "b"]]]]]
        var train = template
        train["trigger"] = ["condition": ["operator": ">", "threshold": 5, "metric": "num_of_samples"]]
        var job = try await api.create(
            jobs,
            [
                "metadata": ["name": "rooms"],
                "spec": [
                    "dataset": ["name": "rows", "trainProb": .decimal("0.8")], "outputDir": "/output", "trainSpec": train,
                    "evalSpec": template, "deploySpec": template, "knowledge": ["shareWith": ["annex"]],
                ],
            ])
        #expect(job["spec"]?["knowledge"]?["shareWith"] == ["annex"])
        func metrics() async throws -> String { String(decoding: try await api.send("GET", "/metrics").bytes, as: UTF8.self) }
        let before = try await metrics()
        #expect(before.contains("skerry_jobs_left_out 0\n") && !before.contains("skerry_job_round"))
        job["status"] = [
            "round": 3, "results": ["Kept": 1], "knowledge": ["job": "cellar", "round": 2],
            "knowledgeBase": [
                "AIModels": ["numberOfAIModels": 2], "AIClasses": ["numberOfAIClasses": 4],
                "samples": ["numberOfLabeledUnseenSample": 0, "numberOfUnseenSample": 0],
                "relations": 6, "samplesByState": ["hard": 9],
            ],
        ]
        let written = try await api.send("PUT", jobs + "/rooms/status", job)
        #expect(written.status == 200, "\(written.message)")
        let after = try await metrics()
        for line in [
            #"skerry_job_round{namespace="default",kind="LifelongLearningJob",job="rooms"} 3"#,
            #"skerry_job_rounds_total{namespace="default",kind="LifelongLearningJob",job="rooms",result="Kept"} 1"#,
            #"skerry_knowledge_relations{namespace="default",kind="LifelongLearningJob",job="rooms"} 6"#,
            #"skerry_knowledge_samples{namespace="default",kind="LifelongLearningJob",job="rooms",state="hard"} 9"#,
        ] {
            #expect(after.contains(line), "\(line)")
        }
        #expect(try await api.send("GET", "/metrics", as: .some(nil)).status == 403)
    }

    @Test func `a service account's token is worth its roles until the account is gone`() async throws {
        let api = try await TestAPI()
        let accounts = "/api/v1/namespaces/default/serviceaccounts"
        _ = try await api.create(accounts, ["metadata": ["name": "reader"]])
        let request = try await api.create(accounts + "/reader/token", ["spec": ["expirationSeconds": 3600]])
        let token = request["status"]?["token"]?.string ?? ""
        func get() async throws -> Int {
            try await api.send("GET", datasets, headers: [("Authorization", "Bearer \(token)")], as: .some(nil)).status
        }
        #expect(try await get() == 403)
        _ = try await api.create(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
            [
                "metadata": ["name": "r"], "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"],
                "subjects": [["kind": "ServiceAccount", "name": "reader", "namespace": "default"]],
            ])
        #expect(try await get() == 200)
        api.clock.seconds.store(3601, ordering: .relaxed)
        #expect(try await get() == 401)
        api.clock.seconds.store(0, ordering: .relaxed)
        _ = try await api.send("DELETE", accounts + "/reader")
        #expect(try await get() == 401)
    }

    @Test func `who is to be another is never answered as themselves`() async throws {
        let api = try await TestAPI()
        func status(_ headers: [(String, String)], as user: [UInt8]? = nil) async throws -> Int {
            try await api.send("GET", datasets, headers: headers, as: .some(user ?? api.admin())).status
        }
        #expect(try await status([("Impersonate-User", "bob")]) == 403)
        #expect(try await status([("Impersonate-User", "bob"), ("Impersonate-Group", "system:masters")]) == 200)
        for headers in [
            [("Impersonate-Group", "readers")], [("Impersonate-User", "bob"), ("Impersonate-Uid", "1")], [("impersonate-extra-a", "b")],
        ] {
            #expect(try await status(headers) == 400, "\(headers)")
        }
        _ = try await api.create(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
            [
                "metadata": ["name": "r"], "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"],
                "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:serviceaccounts:default"]],
            ])
        // Who is a service account has its groups, and is so by the right to be service accounts, not users.
        let account = ("Impersonate-User", "system:serviceaccount:default:any")
        #expect(try await status([account]) == 200)
        let carol = try api.certificate("carol", [])
        _ = try await api.create(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
            ["metadata": ["name": "be"], "rules": [["apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]]]])
        #expect(try await status([account], as: carol) == 403)
        _ = try await api.create(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
            [
                "metadata": ["name": "be"], "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "be"],
                "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol"]],
            ])
        #expect(try await status([account], as: carol) == 200)
        #expect(try await status([("Impersonate-User", "system:serviceaccount:kube-system:any")], as: carol) == 403)
    }

    @Test func `who asks for more is told what is checked and where the API begins`() async throws {
        let api = try await TestAPI()
        func text(_ path: String) async throws -> String { String(decoding: try await api.send("GET", path).bytes, as: UTF8.self) }
        #expect(try await text("/readyz") == "ok")
        #expect(try await text("/readyz?verbose") == "[+]ping ok\n[+]store ok\nreadyz check passed\n")
        let paths = try await api.send("GET", "/").json["paths"]?.array?.compactMap(\.string) ?? []
        #expect(Set(paths).count == paths.count)
        for path in paths { #expect(try await api.send("GET", path).status == 200, "\(path)") }
    }

    @Test func `nobody grants what they may not do`() async throws {
        let api = try await TestAPI()
        let user = try api.certificate("carol", [])
        let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
        func binding(_ name: String, _ role: String) -> JSON {
            [
                "metadata": ["name": .string(name)],
                "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": .string(role)],
                "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol"]],
            ]
        }
        _ = try await api.create(bindings, binding("a", "admin"))
        #expect(try await api.send("POST", bindings, binding("b", "view"), as: user).status == 201)
        #expect(try await api.send("POST", bindings, binding("c", "cluster-admin"), as: user).status == 403)
        let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
        let everything: JSON = ["metadata": ["name": "all"], "rules": [["verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]]]]
        #expect(try await api.send("POST", roles, everything, as: user).status == 403)
        // A patch is measured by what it makes, in each of its forms.
        func patch(_ name: String, _ type: String, _ body: JSON) async throws -> Int {
            try await api.send("PATCH", "\(roles)/\(name)?fieldManager=carol&force=true", body, type: "application/\(type)", as: user)
                .status
        }
        func rules(_ resource: JSON) -> JSON { [["verbs": ["get"], "apiGroups": [""], "resources": [resource]]] }
        func applied(_ name: JSON, _ resource: JSON) -> JSON {
            ["apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": ["name": name], "rules": rules(resource)]
        }
        #expect(try await patch("mine", "apply-patch+yaml", applied("mine", "nodes")) == 403)
        #expect(try await patch("mine", "apply-patch+yaml", applied("mine", "pods")) == 201)
        #expect(try await patch("mine", "merge-patch+json", ["metadata": ["labels": ["a": "b"]]]) == 200)
        #expect(try await patch("mine", "strategic-merge-patch+json", ["rules": rules("configmaps")]) == 200)
        #expect(try await patch("mine", "merge-patch+json", ["rules": rules("*")]) == 403)
        #expect(try await patch("mine", "strategic-merge-patch+json", ["rules": rules("nodes")]) == 403)
        #expect(try await patch("mine", "json-patch+json", [["op": "add", "path": "/rules/0/verbs/-", "value": "escalate"]]) == 403)
        #expect(try await patch("mine", "apply-patch+yaml", applied("mine", "nodes")) == 403)
        let left = try await api.send("GET", roles + "/mine").json
        #expect(left["rules"] == rules("configmaps") && left["metadata"]?["labels"] == ["a": "b"])
    }

    /// Two nodes, everything that belongs to each, every verb: what is the other's is never granted.
    @Test func `no node reads or writes what belongs to another`() async throws {
        let api = try await TestAPI()
        for node in ["n1", "n2"] { try await furnish(api, node) }
        let agents = ["n1": try await api.agent("n1"), "n2": try await api.agent("n2")]
        var granted = 0
        for (own, certificate) in agents {
            for node in ["n1", "n2"] {
                for (path, body) in targets(node) {
                    for (method, type) in [
                        ("GET", ""), ("PUT", "application/json"), ("PATCH", "application/merge-patch+json"), ("DELETE", "application/json"),
                    ] {
                        let target = path + (method == "GET" ? "" : "?dryRun=All")
                        let answer = try await api.send(method, target, method == "GET" ? nil : body, type: type, as: certificate)
                        if own == node {
                            granted += answer.status < 300 ? 1 : 0
                        } else {
                            #expect(
                                answer.status == 403 || answer.status == 405 || answer.status == 404,
                                "\(own): \(method) \(path): \(answer.status) \(answer.message)")
                            if answer.status == 404 {
                                #expect(answer.message.contains("could not find the requested resource"), "\(answer.message)")
                            }
                        }
                    }
                }
                for list in lists(node) {
                    let answer = try await api.send("GET", list, as: certificate)
                    #expect((answer.status == 200) == (own == node), "\(own): \(list): \(answer.status)")
                }
            }
            for path in [
                "/api/v1/nodes", "/api/v1/pods", "/api/v1/secrets", "/api/v1/namespaces/default/configmaps",
                "/apis/sedna.io/v1alpha1/datasets",
            ] {
                #expect(try await api.send("GET", path, as: certificate).status == 403, "\(own): \(path)")
                #expect(try await api.send("DELETE", path, as: certificate).status >= 403, "\(own): \(path)")
            }
        }
        // Each node has its Node, Pod, Lease, ConfigMap, Secret and Dataset to read, and several of them to write.
        #expect(granted >= 2 * 10, "\(granted)")
    }

    @Test func `a node gets tokens that are bound to its own Pods, and a token ends with its Pod`() async throws {
        let api = try await TestAPI()
        for node in ["n1", "n2"] {
            try await furnish(api, node)
            _ = try await api.create("/api/v1/namespaces/default/serviceaccounts", ["metadata": ["name": .string("sa-\(node)")]])
        }
        let agent = try await api.agent("n1")
        func uid(_ pod: String) async throws -> JSON {
            let path = "/api/v1/namespaces/default/pods/\(pod)"
            return try await api.send("GET", path, as: try api.admin()).json["metadata"]?["uid"] ?? .null
        }
        func ask(_ account: String, _ pod: String, _ uid: JSON) async throws -> (status: Int, json: JSON) {
            let bound: JSON = ["kind": "Pod", "apiVersion": "v1", "name": .string(pod), "uid": uid]
            let answer = try await api.send(
                "POST", "/api/v1/namespaces/default/serviceaccounts/\(account)/token",
                ["spec": ["audiences": [], "boundObjectRef": bound]],
                as: agent)
            return (answer.status, answer.json)
        }
        let (own, others) = (try await uid("pod-n1"), try await uid("pod-n2"))
        let given = try await ask("sa-n1", "pod-n1", own)
        #expect(given.status == 201, "\(given.json.text)")
        // Another node's account, another node's Pod, another Pod of the name, and no Pod at all.
        let refusals = [
            try await ask("sa-n2", "pod-n2", others).status, try await ask("sa-n1", "pod-n2", others).status,
            try await ask("sa-n1", "pod-n1", "other").status,
            try await api.send(
                "POST", "/api/v1/namespaces/default/serviceaccounts/sa-n1/token", ["spec": ["audiences": []]], as: agent
            ).status,
        ]
        #expect(refusals == [403, 403, 403, 403])
        let token = given.json["status"]?["token"]?.string ?? ""
        func isKnown() async throws -> Bool {
            let review = try await api.send(
                "POST", "/apis/authentication.k8s.io/v1/tokenreviews", ["spec": ["token": .string(token)]], as: try api.admin())
            return review.json["status"]?["authenticated"] == true
        }
        let before = try await isKnown()
        let path = "/api/v1/namespaces/default/pods/pod-n1?gracePeriodSeconds=0"
        let deleted = try await api.send("DELETE", path, as: try api.admin()).status
        let after = try await isKnown()
        #expect(before && deleted == 200 && !after)
    }

    func furnish(_ api: TestAPI, _ node: String) async throws {
        _ = try await api.create("/api/v1/nodes", ["metadata": ["name": .string(node)]])
        _ = try await api.create("/api/v1/namespaces/default/configmaps", ["metadata": ["name": .string("cm-\(node)")]])
        _ = try await api.create("/api/v1/namespaces/default/secrets", ["metadata": ["name": .string("secret-\(node)")]])
        _ = try await api.create("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", ["metadata": ["name": .string(node)]])
        var object = pod("pod-\(node)", node: node)
        object[path: ["spec", "serviceAccountName"]] = .string("sa-\(node)")
        object[path: ["spec", "volumes"]] = [
            ["name": "a", "configMap": ["name": .string("cm-\(node)")]],
            ["name": "b", "secret": ["secretName": .string("secret-\(node)")]],
            WorkerContract.Volume.model.volume("c", ["model": "model-\(node)"]),
        ]
        _ = try await api.create("/api/v1/namespaces/default/pods", object)
        _ = try await api.create(
            "/apis/sedna.io/v1alpha1/namespaces/default/models",
            [
                "apiVersion": "sedna.io/v1alpha1", "kind": "Model", "metadata": ["name": .string("model-\(node)")],
                "spec": ["url": "/models/m.onnx", "format": "onnx"],
            ])
        var data = dataset("data-\(node)")
        data[path: ["spec", "nodeName"]] = .string(node)
        _ = try await api.create(datasets, data)
    }

    private func targets(_ node: String) -> [(String, JSON)] {
        func object(_ apiVersion: JSON, _ kind: JSON, _ name: String) -> JSON {
            ["apiVersion": apiVersion, "kind": kind, "metadata": ["name": .string(name), "annotations": ["touched": "yes"]]]
        }
        var bound = pod("pod-\(node)", node: node)
        bound["status"] = ["phase": "Running"]
        return [
            ("/api/v1/nodes/\(node)", object("v1", "Node", node)), ("/api/v1/nodes/\(node)/status", object("v1", "Node", node)),
            ("/api/v1/namespaces/default/pods/pod-\(node)", bound), ("/api/v1/namespaces/default/pods/pod-\(node)/status", bound),
            ("/api/v1/namespaces/default/configmaps/cm-\(node)", object("v1", "ConfigMap", "cm-\(node)")),
            ("/api/v1/namespaces/default/secrets/secret-\(node)", object("v1", "Secret", "secret-\(node)")),
            ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/\(node)", object("coordination.k8s.io/v1", "Lease", node)),
            (datasets + "/data-\(node)", dataset("data-\(node)")), (datasets + "/data-\(node)/status", dataset("data-\(node)")),
        ]
    }

    private func lists(_ node: String) -> [String] {
        [
            "/api/v1/pods?fieldSelector=spec.nodeName%3D\(node)", "/api/v1/nodes?fieldSelector=metadata.name%3D\(node)",
            "/api/v1/pods?fieldSelector=spec.nodeName%3D\(node)&watch=true",
            "/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Dcm-\(node)",
            "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dsecret-\(node)&watch=true",
        ]
    }

    @Test func `a node names no other node, its labels or its lease`() async throws {
        let api = try await TestAPI()
        let agent = try await api.agent("n1")
        func post(_ path: String, _ body: JSON) async throws -> Int { try await api.send("POST", path, body, as: agent).status }
        #expect(try await post("/api/v1/nodes", ["metadata": ["name": "n2"]]) == 403)
        #expect(try await post("/api/v1/nodes", ["metadata": ["name": "n1", "labels": ["node-restriction.kubernetes.io/x": "1"]]]) == 403)
        #expect(try await post("/api/v1/nodes", ["metadata": ["name": "n1"]]) == 409)
        for (path, body, type): (String, JSON, String) in [
            ("/api/v1/nodes/n1", ["metadata": ["labels": ["node-restriction.kubernetes.io/x": "1"]]], "merge-patch+json"),
            (
                "/api/v1/nodes/n1", [["op": "add", "path": "/metadata/labels", "value": ["node-restriction.kubernetes.io/x": "1"]]],
                "json-patch+json"
            ),
            ("/api/v1/nodes/n1/status", ["metadata": ["labels": ["node-restriction.kubernetes.io/x": "1"]]], "strategic-merge-patch+json"),
            ("/api/v1/nodes/n1", ["spec": ["taints": [["key": "a", "effect": "NoSchedule"]]]], "merge-patch+json"),
        ] {
            #expect(try await api.send("PATCH", path, body, type: "application/" + type, as: agent).status == 403, "\(body)")
        }
        #expect(
            try await api.send(
                "PATCH", "/api/v1/nodes/n1", ["metadata": ["labels": ["zone": "a"]]], type: "application/merge-patch+json", as: agent
            )
            .status == 200)
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        #expect(try await post(leases, ["metadata": ["name": "n2"]]) == 403)
        #expect(try await post(leases, ["metadata": ["name": "n1"]]) == 201)
        #expect(try await post("/api/v1/namespaces/default/pods", pod("x", node: "n1")) == 403)
    }
}

import APIServer
import Resources
import TestKit
import Testing

@Suite(.offThePool) struct EventTests {
    private static let core = "/api/v1/namespaces/default/events"
    private static let events = "/apis/events.k8s.io/v1/namespaces/default/events"
    private static let told: JSON = [
        "metadata": ["name": "old"], "involvedObject": ["kind": "Pod", "name": "p", "namespace": "default", "fieldPath": "spec"],
        "reason": "Pulled", "message": "image is here", "source": ["component": "kubelet", "host": "n1"], "type": "Normal",
        "firstTimestamp": "2027-01-15T08:00:00Z", "lastTimestamp": "2027-01-15T08:00:05Z", "count": 3,
    ]
    private static let new: JSON = [
        "metadata": ["name": "new"], "regarding": ["kind": "Pod", "name": "q", "namespace": "default"],
        "related": ["kind": "Node", "name": "n1"], "reason": "Placed", "note": "placed on n1", "type": "Warning", "action": "Binding",
        "eventTime": "2027-01-15T08:00:00.000000Z", "reportingController": "skerry.io/scheduler", "reportingInstance": "scheduler-1",
    ]

    @Test func `an event that was told in one form is read in the other`() async throws {
        let api = try await TestAPI()
        let old = try await api.create(Self.core, Self.told)
        let shown = try await api.send("GET", Self.events + "/old").json
        #expect(shown["apiVersion"] == "events.k8s.io/v1" && shown["kind"] == "Event")
        #expect(shown["note"] == "image is here" && shown["regarding"] == Self.told["involvedObject"])
        #expect(shown["deprecatedSource"] == Self.told["source"] && shown["deprecatedCount"] == 3)
        #expect(shown["deprecatedFirstTimestamp"] == Self.told["firstTimestamp"])
        #expect(shown["deprecatedLastTimestamp"] == Self.told["lastTimestamp"])
        #expect(shown["reportingController"] == "kubelet" && shown["reportingInstance"] == "n1")
        #expect(shown["message"] == nil && shown["involvedObject"] == nil)
        #expect(shown["metadata"]?["uid"] == old["metadata"]?["uid"])
        #expect(shown["metadata"]?["resourceVersion"] == old["metadata"]?["resourceVersion"])

        let made = try await api.create(Self.events, Self.new)
        #expect(made["note"] == "placed on n1" && made["apiVersion"] == "events.k8s.io/v1")
        let read = try await api.send("GET", Self.core + "/new").json
        #expect(read["apiVersion"] == "v1" && read["message"] == "placed on n1" && read["involvedObject"] == Self.new["regarding"])
        #expect(read["reportingComponent"] == "skerry.io/scheduler" && read["related"] == Self.new["related"])
        for (path, version) in [(Self.core, "v1"), (Self.events, "events.k8s.io/v1")] {
            let list = try await api.send("GET", path).json
            #expect(list["apiVersion"]?.string == version && list["kind"] == "EventList")
            #expect(list["items"]?.array?.compactMap { $0["metadata"]?["name"]?.string } == ["new", "old"])
            #expect(list["items"]?.array?.allSatisfy { $0["apiVersion"]?.string == version } == true)
        }
        #expect(api.service.registry.stored.count { $0.kind == "Event" } == 1)
    }

    @Test func `both forms are selected, printed, watched and deleted`() async throws {
        let api = try await TestAPI()
        _ = try await api.create(Self.core, Self.told)
        _ = try await api.create(Self.events, Self.new)
        for (path, field) in [(Self.core, "involvedObject"), (Self.events, "regarding")] {
            let found = try await api.send("GET", path + "?fieldSelector=\(field).name%3Dq,reason%3DPlaced").json
            #expect(found["items"]?.array?.compactMap { $0["metadata"]?["name"]?.string } == ["new"], "\(field)")
        }
        #expect(try await api.send("GET", Self.events + "?fieldSelector=involvedObject.name%3Dq").status == 400)
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        let tables = [
            try await api.send("GET", Self.core, accept: accept).json, try await api.send("GET", Self.events, accept: accept).json,
        ]
        let cells = tables.map { table in table["rows"]?.array?.map { $0["cells"] } }
        #expect(cells[0] == cells[1] && cells[0]?.count == 2)
        #expect(tables[0]["columnDefinitions"] == tables[1]["columnDefinitions"])
        #expect(try await api.send("DELETE", Self.events + "/old").status == 200)
        #expect(try await api.send("GET", Self.core + "/old").status == 404)
        #expect(try await api.send("GET", Self.events + "/old").message == "events.events.k8s.io \"old\" not found")
    }

    @Test func `a series is counted up in the new form, everything else of it stays`() async throws {
        let api = try await TestAPI()
        _ = try await api.create(Self.events, Self.new)
        let path = Self.events + "/new"
        let series: JSON = ["series": ["count": 2, "lastObservedTime": "2027-01-15T08:01:00.000000Z"]]
        let patched = try await api.send("PATCH", path, series, type: "application/merge-patch+json")
        #expect(patched.status == 200 && patched.json["series"]?["count"] == 2)
        #expect(try await api.send("GET", Self.core + "/new").json["series"]?["count"] == 2)
        for (field, value): (String, JSON) in [
            ("note", "other"), ("reason", "Other"), ("regarding", ["kind": "Pod", "name": "z", "namespace": "default"]), ("type", "Normal"),
        ] {
            let refused = try await api.send("PATCH", path, .object(JSONObject([(field, value)])), type: "application/merge-patch+json")
            #expect(refused.status == 422 && refused.message.contains("field is immutable"), "\(field): \(refused.message)")
        }
        // The old form may change what it likes.
        let counted = try await api.send("PATCH", Self.core + "/new", ["count": 4], type: "application/merge-patch+json")
        #expect(counted.status == 200)
        #expect(try await api.send("GET", path).json["deprecatedCount"] == 4)
    }

    @Test(
        arguments: [
            (["eventTime": .null], "eventTime: Required value"), (["reportingController": ""], "reportingController: Required value"),
            (["reportingInstance": .null], "reportingInstance"), (["action": .null], "action: Required"),
            (["reason": ""], "reason: Required"),
            (["type": "Odd"], "expected Normal or Warning"), (["deprecatedCount": 2], "deprecatedCount"),
            (["deprecatedSource": ["host": "n1"]], "needs to be unset"), (["series": ["count": 1]], "should be at least 2"),
            (["note": .string(String(repeating: "n", count: 1025))], "at most 1024"),
            (["regarding": ["kind": "Pod", "name": "q", "namespace": "kube-system"]], "does not match event.namespace"),
        ] as [(JSON, String)]) func `a new event that says too little is refused`(_ change: JSON, _ words: String) async throws
    {
        let api = try await TestAPI()
        var event = Self.new
        for (key, value) in change.object ?? [:] { event[key] = value }
        let refused = try await api.send("POST", Self.events, event)
        #expect(refused.status == 422 && refused.message.contains(words), "\(refused.status) \(refused.message)")
    }
}

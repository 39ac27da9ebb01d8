import APIServer
import Network
import Resources
import Storage
import TestKit
import Testing

@Suite(.offThePool) struct WatchTests {
    @Test func `a watch shows what happens after its revision, as the list's clients expect it`() async throws {
        let api = try await TestAPI()
        _ = try await api.create(datasets, dataset("a"))
        let list = try await api.send("GET", datasets).json
        let revision = list["metadata"]?["resourceVersion"]?.string ?? ""
        let stream = try #require(try await api.send("GET", "\(datasets)?watch=true&resourceVersion=\(revision)").stream)
        stream.start {}
        defer { stream.stop() }
        #expect(try lines(stream).isEmpty)
        _ = try await api.create(datasets, dataset("b"))
        _ = try await api.send("PATCH", datasets + "/a", ["spec": ["url": "/z"]], type: "application/merge-patch+json")
        _ = try await api.send("DELETE", datasets + "/b")
        let events = try lines(stream)
        #expect(events.map { $0["type"]?.string ?? "" } == ["ADDED", "MODIFIED", "DELETED"])
        #expect(events.map { $0["object"]?["metadata"]?["name"]?.string ?? "" } == ["b", "a", "b"])
        let revisions = events.compactMap { $0["object"]?["metadata"]?["resourceVersion"]?.string.flatMap { Int64($0) } }
        #expect(revisions == revisions.sorted() && Set(revisions).count == 3)
        #expect(revisions.last == api.store.revision)
    }

    @Test func `a watch without a revision begins with the state, one for lists ends it with a bookmark`() async throws {
        let api = try await TestAPI()
        for name in ["a", "b"] { _ = try await api.create(datasets, dataset(name)) }
        let plain = try #require(try await api.send("GET", datasets + "?watch=1").stream)
        #expect(try lines(plain).map { $0["type"]?.string } == ["ADDED", "ADDED"])
        let asList = try #require(
            try await api.send(
                "GET", datasets + "?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
            ).stream)
        let events = try lines(asList)
        #expect(events.map { $0["type"]?.string } == ["ADDED", "ADDED", "BOOKMARK"])
        #expect(events.last?["object"]?["metadata"]?["annotations"] == ["k8s.io/initial-events-end": "true"])
        #expect(events.last?["object"]?["metadata"]?["resourceVersion"]?.string == String(api.store.revision))
    }

    @Test func `watches of the same changes get each what is theirs, wherever they stand`() async throws {
        let api = try await TestAPI()
        _ = try await api.create("/api/v1/namespaces", ["metadata": ["name": "other"]])
        let start = api.store.revision
        func watch(_ path: String) async throws -> any HTTPBodyStream {
            try #require(try await api.send("GET", "\(path)?watch=true&resourceVersion=\(start)").stream)
        }
        func names(_ stream: any HTTPBodyStream) throws -> [String] {
            try lines(stream).map { $0["object"]?["metadata"]?["name"]?.string ?? "" }
        }
        let all = "/apis/sedna.io/v1alpha1/datasets"
        let (first, second) = (try await watch(all), try await watch(all))
        let (own, other) = (try await watch(datasets), try await watch(datasets.replacing("default", with: "other")))
        _ = try await api.create(datasets, dataset("a"))
        #expect(try names(first) == ["a"])
        #expect(try names(own) == ["a"])
        #expect(try names(other).isEmpty)
        _ = try await api.create(datasets.replacing("default", with: "other"), dataset("b"))
        #expect(try names(second) == ["a", "b"])
        #expect(try names(first) == ["b"])
        #expect(try names(own).isEmpty)
        #expect(try names(other) == ["b"])
        #expect(try names(try await watch(all)) == ["a", "b"])
    }

    @Test func `an object that enters or leaves a selection is added or deleted`() async throws {
        let api = try await TestAPI()
        _ = try await api.create(datasets, dataset("a", ["x": "1"]))
        let stream = try #require(
            try await api.send("GET", "\(datasets)?watch=true&labelSelector=x%3D2&resourceVersion=\(api.store.revision)").stream)
        func label(_ value: JSON) async throws {
            _ = try await api.send("PATCH", datasets + "/a", ["metadata": ["labels": ["x": value]]], type: "application/merge-patch+json")
        }
        try await label("2")
        _ = try await api.send("PATCH", datasets + "/a", ["spec": ["url": "/b"]], type: "application/merge-patch+json")
        try await label("3")
        try await label("4")
        #expect(try lines(stream).map { $0["type"]?.string } == ["ADDED", "MODIFIED", "DELETED"])
    }

    @Test func `a watch from a forgotten revision is told 410 and ends`() async throws {
        let api = try await TestAPI()
        _ = try await api.create(datasets, dataset("a"))
        let old = api.store.revision - 1
        try await api.store.compact(to: api.store.revision)
        let stream = try #require(try await api.send("GET", "\(datasets)?watch=true&resourceVersion=\(old)").stream)
        guard case .chunk(let bytes) = stream.next() else { return #expect(Bool(false), "no chunk") }
        let event = try JSONParser.parse(bytes)
        #expect(event["type"] == "ERROR")
        #expect(event["object"]?["code"] == 410)
        #expect(event["object"]?["reason"] == "Expired")
        guard case .end = stream.next() else { return #expect(Bool(false), "the stream goes on") }
    }

    @Test func `a watch shows its namespace only`() async throws {
        let api = try await TestAPI()
        let stream = try #require(try await api.send("GET", "\(datasets)?watch=true&resourceVersion=\(api.store.revision)").stream)
        _ = try await api.create("/apis/sedna.io/v1alpha1/namespaces/kube-system/datasets", dataset("other"))
        _ = try await api.create(datasets, dataset("own"))
        #expect(try lines(stream).map { $0["object"]?["metadata"]?["name"]?.string } == ["own"])
    }

    @Test func `a watch of tables has columns once and a row an event`() async throws {
        let api = try await TestAPI()
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
        let stream = try #require(
            try await api.send("GET", "\(datasets)?watch=true&resourceVersion=\(api.store.revision)", accept: accept).stream)
        for name in ["a", "b"] { _ = try await api.create(datasets, dataset(name)) }
        let events = try lines(stream)
        #expect(events.map { $0["object"]?["kind"]?.string } == ["Table", "Table"])
        #expect(events[0]["object"]?["columnDefinitions"]?.array?.isEmpty == false)
        #expect(events[1]["object"]?["columnDefinitions"]?.isNull == true)
        #expect(events.map { $0["object"]?["rows"]?.array?.count } == [1, 1])
    }

    @Test func `lists come in pages of one revision`() async throws {
        let api = try await TestAPI()
        for index in 0..<25 { _ = try await api.create(datasets, dataset("d\(index + 10)")) }
        var names: [String] = []
        var token = ""
        var revisions: Set<String> = []
        repeat {
            let page = try await api.send("GET", "\(datasets)?limit=10&continue=\(token.replacing("=", with: "%3D"))").json
            names += (page["items"]?.array ?? []).compactMap { $0["metadata"]?["name"]?.string }
            revisions.insert(page["metadata"]?["resourceVersion"]?.string ?? "")
            token = page["metadata"]?["continue"]?.string ?? ""
            _ = try await api.create(datasets, dataset("d1x\(names.count)"))
        } while !token.isEmpty
        #expect(names == (0..<25).map { "d\($0 + 10)" })
        #expect(revisions.count == 1)
    }

    @Test func `a page of a forgotten revision is told 410`() async throws {
        let api = try await TestAPI()
        for index in 0..<5 { _ = try await api.create(datasets, dataset("d\(index)")) }
        let token = try await api.send("GET", "\(datasets)?limit=2").json["metadata"]?["continue"]?.string ?? ""
        _ = try await api.create(datasets, dataset("e"))
        try await api.store.compact(to: api.store.revision)
        #expect(try await api.send("GET", "\(datasets)?limit=2&continue=\(token.replacing("=", with: "%3D"))").status == 410)
    }
}

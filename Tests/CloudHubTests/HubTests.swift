import APIServer
import CloudHub
import EdgeHub
import HubProtocol
import Resources
import Storage
import Synchronization
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite(.timeLimit(.minutes(30))) struct HubTests {
    private let settings = NodeNeeds.configMap
    private let secrets = NodeNeeds.secret

    private func world(_ change: (inout CloudHub.Limits) -> Void = { _ in }) async throws -> HubWorld {
        let world = try await HubWorld(change)
        try await world.makeNode("edge-1")
        try await world.makeNode("edge-2")
        return world
    }

    private func status(_ pod: JSON, _ phase: String) -> JSON {
        var pod = pod
        pod[path: ["status", "phase"]] = .string(phase)
        return pod
    }

    @Test func `a change made in the API arrives in the node's copy, and what the node reports arrives in the API`() async throws {
        let world = try await world()
        let edge = try world.edge("edge-1")
        try await edge.synced()
        try await world.create(settings, ["metadata": ["namespace": "default", "name": "s"], "data": ["a": "1"]])
        try await world.create(.pod, HubWorld.pod("web", node: "edge-1", settings: "s"))
        try await world.create(.pod, HubWorld.pod("other", node: "edge-2"))
        try await eventually { try await edge.hub.list(.pod, ListQuery()).items.count == 1 }
        try await eventually { (try? await edge.hub.get(settings, HubWorld.key("s")))?["data"]?["a"] == "1" }
        let pod = try await edge.hub.get(.pod, HubWorld.key("web"))
        try await edge.hub.updateStatus(.pod, status(pod, "Running"))
        #expect(try await edge.hub.get(.pod, HubWorld.key("web"))["status"]?["phase"] == "Running")
        try await eventually { try await world.admin.get(.pod, HubWorld.key("web"))["status"]?["phase"] == "Running" }
        try await eventually { await edge.hub.status.unansweredCount == 0 }
        #expect(world.hub.connectedNodes == ["edge-1"])
    }

    @Test func `a Model is in the copy of the node whose Pod shows it, with each version that comes to serve`() async throws {
        let world = try await world()
        let (edge, other) = (try world.edge("edge-1"), try world.edge("edge-2"))
        try await edge.synced()
        try await other.synced()
        let model = NodeNeeds.model
        try await world.create(
            model, ["metadata": ["namespace": "default", "name": "m"], "spec": ["url": "/models/m.onnx", "format": "onnx"]])
        var pod = HubWorld.pod("infer", node: "edge-1")
        pod[path: ["spec", "volumes"]] = [WorkerContract.Volume.model.volume("m", ["model": "m"])]
        try await world.create(.pod, pod)
        try await eventually { (try? await edge.hub.get(model, HubWorld.key("m"))) != nil }
        let status: JSON = ["status": ["serving": 3, "versions": [["version": 3, "digest": "sha256:00"]]]]
        _ = try await world.admin.patch(model, HubWorld.key("m"), ObjectPatch(.merge, status), part: .status)
        try await eventually { (try? await edge.hub.get(model, HubWorld.key("m")))?["status"]?["serving"] == 3 }
        #expect(try await other.hub.list(model, ListQuery()).items.isEmpty)
    }

    @Test func `a ConfigMap that no Pod of the node names any more leaves its copy, and a Pod that is deleted too`() async throws {
        let world = try await world()
        let edge = try world.edge("edge-1")
        try await world.create(settings, ["metadata": ["namespace": "default", "name": "s"]])
        try await world.create(.pod, HubWorld.pod("web", node: "edge-1", settings: "s"))
        try await eventually { (try? await edge.hub.get(settings, HubWorld.key("s"))) != nil }
        try await world.admin.delete(.pod, HubWorld.key("web"), Deletion(gracePeriodSeconds: 0))
        try await eventually { try await edge.hub.list(.pod, ListQuery()).items.isEmpty }
        try await eventually { try await edge.hub.list(settings, ListQuery()).items.isEmpty }
    }

    @Test func `what was reported without a link is told when there is one, each thing once, and in its last state`() async throws {
        let world = try await world()
        let edge = try world.edge("edge-1")
        try await world.create(.pod, HubWorld.pod("web", node: "edge-1"))
        try await eventually { (try? await edge.hub.get(.pod, HubWorld.key("web"))) != nil }
        edge.dialer.setDown(true)
        try await eventually { await !edge.hub.status.isConnected }
        for phase in ["Pending", "Running", "Succeeded"] {
            try await edge.hub.updateStatus(.pod, status(try await edge.hub.get(.pod, HubWorld.key("web")), phase))
        }
        for number in 0..<3 {
            try await edge.hub.create(
                .event,
                [
                    "metadata": ["namespace": "default"], "involvedObject": ["kind": "Pod", "namespace": "default", "name": "web"],
                    "reason": "Started", "message": .string("\(number)"), "source": ["component": "test", "host": "edge-1"],
                ])
        }
        #expect(await edge.hub.status.unansweredCount == 4)
        // The Pod was changed here meanwhile.
        _ = try await world.admin.patch(
            .pod, HubWorld.key("web"), ObjectPatch(.merge, ["metadata": ["labels": ["a": "b"]]]), part: .whole)
        edge.dialer.setDown(false)
        try await eventually { await edge.hub.status.unansweredCount == 0 }
        #expect(try await world.admin.get(.pod, HubWorld.key("web"))["status"]?["phase"] == "Succeeded")
        let events = try await world.admin.list(.event, ListQuery(namespace: "default")).items.filter { $0["reason"] == "Started" }
        #expect(Set(events.map { $0["message"]?.string ?? "" }) == ["0", "1", "2"] && events.count == 3)
        try await eventually { try await edge.hub.get(.pod, HubWorld.key("web"))["metadata"]?["labels"]?["a"] == "b" }
        #expect(try await edge.hub.get(.pod, HubWorld.key("web"))["status"]?["phase"] == "Succeeded")
    }

    @Test func `an edge that starts without a cloud has what it had, Secrets included, and none of them can be read on its disk`()
        async throws
    {
        let folder = FileManager.default.temporaryDirectory.path + "/skerry-hub-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = folder + "/edge.sqlite"
        let world = try await world()
        try await world.create(
            secrets,
            ["metadata": ["namespace": "default", "name": "s"], "data": ["password": .string(Base64.encode(Array("swordfish-27".utf8)))]])
        try await world.create(.pod, HubWorld.pod("web", node: "edge-1", secret: "s"))
        do {
            let edge = try world.edge("edge-1", .file(file))
            try await eventually { (try? await edge.hub.get(secrets, HubWorld.key("s"))) != nil }
            try await edge.synced()
            await edge.stop()
        }
        var showsPod = false
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let bytes = [UInt8](FileManager.default.contents(atPath: "\(folder)/\(name)") ?? Data())
            #expect(!bytes.contains(Array(Base64.encode(Array("swordfish-27".utf8)).utf8)), "\(name) shows the Secret")
            if bytes.contains(Array("\"secretName\":\"s\"".utf8)) { showsPod = true }
        }
        #expect(showsPod, "what is no Secret is not hidden: else this test would look at the wrong files")
        do {
            let offline = try world.edge("edge-1", .file(file))
            offline.dialer.setDown(true)
            #expect(
                try await offline.hub.get(secrets, HubWorld.key("s"))["data"]?["password"]?.string
                    == Base64.encode(Array("swordfish-27".utf8)))
            #expect(try await offline.hub.list(.pod, ListQuery(fieldSelector: "spec.nodeName=edge-1")).items.count == 1)
            await offline.stop()
        }
        // With another key the Secret is fetched again; everything else is there.
        let other = try world.edge("edge-1", .file(file), key: [UInt8](repeating: 8, count: 32))
        #expect(try await other.hub.list(.pod, ListQuery()).items.count == 1)
        try await eventually { (try? await other.hub.get(secrets, HubWorld.key("s"))) != nil }
    }

    @Test func `a node's watch tells what changes in its copy, from the cloud and by itself`() async throws {
        let world = try await world()
        let edge = try world.edge("edge-1")
        try await edge.synced()
        let list = try await edge.hub.list(.pod, ListQuery())
        let watch = try await edge.hub.watch(.pod, WatchQuery(from: list.resourceVersion)).makeAsyncIterator()
        var events = watch
        try await world.create(.pod, HubWorld.pod("web", node: "edge-1"))
        guard case .added(let pod)? = try await events.next() else { throw NeverHappened() }
        #expect(ObjectKey(pod) == HubWorld.key("web"))
        try await edge.hub.updateStatus(.pod, status(pod, "Running"))
        guard case .modified(let running)? = try await events.next() else { throw NeverHappened() }
        #expect(running["status"]?["phase"] == "Running")
        await #expect(throws: APIStatus.self) { try await edge.hub.updateStatus(.pod, pod) }
        try await edge.hub.delete(.pod, HubWorld.key("web"), Deletion(gracePeriodSeconds: 0, uid: pod["metadata"]?["uid"]?.string))
        // The cloud's own version of the status may come before.
        var last = try await events.next()
        while case .modified? = last { last = try await events.next() }
        guard case .deleted? = last else { throw NeverHappened() }
        try await eventually { (try? await world.admin.get(.pod, HubWorld.key("web"))) == nil }
    }

    @Test(arguments: [
        (ResourceKind.pod, Report.Verb.patch, ObjectPart.status), (.pod, .delete, .whole), (.pod, .create, .whole), (.pod, .patch, .whole),
        (.node, .patch, .status), (.node, .patch, .whole), (.node, .delete, .whole), (.node, .create, .whole),
        (NodeNeeds.secret, .patch, .whole), (NodeNeeds.configMap, .patch, .whole), (NodeNeeds.secret, .delete, .whole),
        (.lease, .patch, .whole), (.lease, .delete, .whole), (.deployment, .create, .whole), (NodeNeeds.dataset, .patch, .status),
    ]) func `a report on what is another node's is refused`(kind: ResourceKind, verb: Report.Verb, part: ObjectPart) async throws {
        let world = try await world()
        try await world.create(.pod, HubWorld.pod("victim", node: "edge-2"))
        try await world.create(secrets, ["metadata": ["namespace": "default", "name": "victim"]])
        try await world.create(settings, ["metadata": ["namespace": "default", "name": "victim"]])
        try await world.create(
            NodeNeeds.dataset,
            ["metadata": ["namespace": "default", "name": "victim"], "spec": ["url": "/a", "format": "csv", "nodeName": "edge-2"]])
        try await world.create(.lease, ["metadata": ["namespace": "kube-node-lease", "name": "edge-2"]])
        let key: ObjectKey =
            switch kind {
            case .node: ObjectKey(name: verb == .create ? "edge-3" : "edge-2")
            case .lease: ObjectKey(namespace: "kube-node-lease", name: "edge-2")
            default: HubWorld.key(verb == .create ? "new" : "victim")
            }
        let before = try? await world.admin.get(kind, key)
        // A node that does not keep to its own program: whatever it sends, only what its certificate allows is done.
        let link = RawLink()
        let (far, near) = MemoryLink.pair()
        far.connect(world.hub.accept(node: "edge-1", far))
        near.connect(link)
        var body: JSON = ["metadata": ["name": .string(key.name), "labels": ["owned": "yes"]], "status": ["phase": "Failed"]]
        if kind.isNamespaced { body[path: ["metadata", "namespace"]] = .string(key.namespace) }
        if kind == .pod, verb == .create { body = HubWorld.pod("new", node: "edge-2") }
        near.send(NumberedFrame(1, .hello(Hello(store: 1, digest: HoldingsDigest(), program: "evil"))).message)
        try await eventually { link.frames.contains { if case .welcome = $0 { true } else { false } } }
        let report = Report(
            id: 1, topic: .status, verb: verb, ref: ObjectRef(kind, key), part: part, body: verb == .delete ? [] : body.bytes())
        near.send(NumberedFrame(2, .report(report)).message)
        try await eventually { link.frames.contains { if case .results = $0 { true } else { false } } }
        for case .results(let results) in link.frames {
            guard case .refused(let code, _)? = results.first?.outcome else {
                Issue.record("\(results) for \(verb) \(kind)")
                continue
            }
            #expect(code == 403)
        }
        #expect((try? await world.admin.get(kind, key)) == before)
        near.close()
    }

    @Test func `a second living link of a node is refused and noted, one whose predecessor is dead takes its place`() async throws {
        let world = try await world { $0.challenge = .milliseconds(200) }
        let edge = try world.edge("edge-1")
        try await edge.synced()
        let copy = RawLink()
        let (far, near) = MemoryLink.pair()
        far.connect(world.hub.accept(node: "edge-1", far))
        near.connect(copy)
        near.send(NumberedFrame(1, .hello(Hello(store: 9, digest: HoldingsDigest(), program: "copy"))).message)
        try await eventually { copy.isClosed }
        #expect(copy.frames.contains { if case .goodbye(let goodbye) = $0 { goodbye.reason == .duplicate } else { false } })
        #expect(!copy.frames.contains { if case .welcome = $0 { true } else { false } })
        try await eventually {
            try await world.admin.list(.event, ListQuery(namespace: "default")).items.contains { $0["reason"] == "DuplicateNodeSession" }
        }
        #expect(await edge.hub.status.isConnected)
        await edge.stop()
        // Now one that is silent, and one that comes after it.
        let (silentFar, silentNear) = MemoryLink.pair()
        silentFar.connect(world.hub.accept(node: "edge-1", silentFar))
        silentNear.connect(RawLink())
        silentNear.send(NumberedFrame(1, .hello(Hello(store: 1, digest: HoldingsDigest(), program: "dead"))).message)
        try await eventually { world.hub.connectedNodes == ["edge-1"] }
        let next = try world.edge("edge-1")
        try await next.synced()
    }

    @Test func `an agent that comes by another link takes its own place at once, and nobody else does`() async throws {
        // Whoever is judged stays so for the whole test.
        let world = try await world { $0.challenge = .seconds(86_400) }
        func come(_ life: UInt64) -> RawLink {
            let (far, near) = MemoryLink.pair()
            far.connect(world.hub.accept(node: "edge-1", far))
            let link = RawLink()
            near.connect(link)
            near.send(NumberedFrame(1, .hello(Hello(store: 1, life: life, digest: HoldingsDigest(), program: "test"))).message)
            return link
        }
        @Sendable func isWelcome(_ link: RawLink) -> Bool { link.frames.contains { if case .welcome = $0 { true } else { false } } }
        let first = come(5)
        try await eventually { isWelcome(first) }
        let second = come(5)
        try await eventually { isWelcome(second) && first.isClosed }
        let copy = come(6)
        // Sent away because the one before it is being judged.
        let old = come(0)
        try await eventually { old.isClosed }
        #expect(!isWelcome(old) && !isWelcome(copy) && !copy.isClosed && !second.isClosed)
        #expect(world.hub.connectedNodes == ["edge-1"])
    }

    @Test func `a node that is removed loses its session`() async throws {
        let world = try await world()
        let edge = try world.edge("edge-1")
        try await edge.synced()
        try await world.admin.delete(.node, ObjectKey(name: "edge-1"), Deletion())
        try await eventually { await edge.hub.status.failure.contains("was removed") }
        try await eventually { world.hub.connectedNodes.isEmpty }
    }

    @Test func `a session ends when its node gets another certificate, and not before`() async throws {
        let world = try await world()
        func annotations(_ record: NodeIdentityRecord) -> Resources.ObjectPatch {
            ObjectPatch(.merge, ["metadata": ["annotations": record.annotations]])
        }
        let key = ObjectKey(name: "edge-1")
        _ = try await world.admin.patch(.node, key, annotations(NodeIdentityRecord(certificate: "first")), part: .whole)
        let links = Mutex<[RawLink]>([])
        let dial: @Sendable () -> Void = {
            let link = RawLink()
            let (far, near) = MemoryLink.pair()
            far.connect(world.hub.accept(node: "edge-1", certificate: "first", far))
            near.connect(link)
            near.send(NumberedFrame(1, .hello(Hello(store: 1, digest: HoldingsDigest(), program: "test"))).message)
            links.withLock { $0.append(link) }
        }
        dial()
        // Until the hub has heard of the certificate it may be refused.
        try await eventually {
            if links.withLock({ $0[$0.count - 1] }).isClosed { dial() }
            return world.hub.connectedNodes == ["edge-1"]
        }
        let link = links.withLock { $0[$0.count - 1] }
        _ = try await world.admin.patch(.node, key, ObjectPatch(.merge, ["metadata": ["labels": ["a": "b"]]]), part: .whole)
        try await eventually { (try? await world.admin.get(.lease, ObjectKey(namespace: "kube-node-lease", name: "edge-1"))) != nil }
        #expect(!link.isClosed)
        _ = try await world.admin.patch(.node, key, annotations(NodeIdentityRecord(certificate: "second")), part: .whole)
        try await eventually { link.isClosed }
        let isStranger = link.frames.contains { if case .goodbye(let goodbye) = $0 { goodbye.reason == .stranger } else { false } }
        #expect(isStranger)
        // Who comes with the old one once more is let in no more, whatever it was told at the door.
        dial()
        try await eventually { links.withLock { $0[$0.count - 1] }.isClosed }
        // Its end would end the hub.
        withExtendedLifetime(world) {}
    }

    @Test(arguments: [true, false])
    func `the Lease of a connected node is renewed without the node saying anything`(_ together: Bool) async throws {
        let world = try await HubWorld(renewsTogether: together)
        try await world.makeNode("edge-1")
        let edge = try world.edge("edge-1")
        try await edge.synced()
        let key = ObjectKey(namespace: "kube-node-lease", name: "edge-1")
        try await eventually { (try? await world.admin.get(.lease, key))?["spec"]?["holderIdentity"] == "edge-1" }
        let first = try await world.admin.get(.lease, key)["spec"]?["renewTime"]
        try await eventually { try await world.admin.get(.lease, key)["spec"]?["renewTime"] != first }
        await edge.stop()
    }

    @Test func `a call reaches the node's handler and its answer the asker, and a node without a link is said to be so`() async throws {
        let world = try await world()
        let edge = try world.edge("edge-1", calls: Echo())
        try await edge.synced()
        let call = NodeCall.logs(PodTarget(namespace: "default", pod: "web"), LogQuery())
        let stream = try await world.hub.open(call, on: "edge-1")
        try await stream.send(.data(.stdin, Array("hello".utf8)))
        try await stream.send(.end(.stdin))
        var received: [CallFrame] = []
        while let frame = try await stream.receive() { received.append(frame) }
        #expect(received == [.data(.stdout, Array("web".utf8)), .data(.stdout, Array("hello".utf8)), .end(.stdout)])
        await #expect(throws: APIStatus.self) { try await world.hub.open(call, on: "edge-2") }
        let cut = try await world.hub.open(call, on: "edge-1")
        #expect(try await cut.receive() == .data(.stdout, Array("web".utf8)))
        edge.dialer.setDown(true)
        await #expect(throws: APIStatus.self) { while try await cut.receive() != nil {} }
    }

    @Test func `of a storm of edges all are in at the end, however few are let in at once`() async throws {
        let world = try await world {
            $0.greetingsBurst = 5
            $0.greetingsPerSecond = 20
        }
        var edges: [TestEdge] = []
        for number in 10..<25 {
            try await world.makeNode("edge-\(number)")
            edges.append(try world.edge("edge-\(number)"))
        }
        try await eventually { world.hub.connectedNodes.count == 15 }
        withExtendedLifetime((world, edges)) {}
    }
}

/// What an edge sends and gets, frame by frame.
final class RawLink: LinkPeer {
    private let state = Mutex<(frames: [Frame], isClosed: Bool)>(([], false))
    var frames: [Frame] { state.withLock { $0.frames } }
    var isClosed: Bool { state.withLock { $0.isClosed } }
    func received(_ message: [UInt8]) {
        guard let frame = try? NumberedFrame(message) else { return }
        state.withLock { $0.frames.append(frame.frame) }
    }
    func closed() { state.withLock { $0.isClosed = true } }
}

/// Says the Pod's name, then what it is told.
struct Echo: NodeCallHandler {
    func serve(_ call: NodeCall, over stream: any CallStream) async {
        do throws(APIStatus) {
            try await stream.send(.data(.stdout, Array(call.target.pod.utf8)))
            loop: while let frame = try await stream.receive() {
                switch frame {
                case .data(_, let bytes): try await stream.send(.data(.stdout, bytes))
                case .end: break loop
                }
            }
            try await stream.send(.end(.stdout))
            stream.close(nil)
        } catch { stream.close(error) }
    }
}

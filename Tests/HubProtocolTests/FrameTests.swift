import HubProtocol
import Learning
import Resources
import Testing

/// One of every frame, as both sides send them.
enum ExampleFrames {
    static let pod = ObjectRef(.pod, ObjectKey(namespace: "default", name: "web"))
    static let lease = ObjectRef(.lease, ObjectKey(namespace: "kube-node-lease", name: "edge-1"))

    static let all: [Frame] = [
        .hello(
            Hello(
                versions: 1...3, store: .max, life: 8, digest: HoldingsDigest([Stamp(body: 1, status: 2), Stamp(body: 3, status: 0)]),
                program: "1.2"
            )),
        .hello(Hello(versions: 1...1, store: 2, digest: HoldingsDigest(), program: "1.0")),
        .welcome(Welcome(version: 1, seed: 7, wantsInventory: true, heartbeatSeconds: 30, timeSeconds: -1)),
        .inventory([HeldEntry(number: 9, stamp: Stamp(body: .max, status: 1))], isLast: false), .inventory([], isLast: true),
        .change(pod, Stamp(body: 5, status: 6), Array("{\"a\":1}".utf8)), .gone(lease),
        .drop([HeldEntry(number: 1, stamp: Stamp(body: 0, status: 0))]),
        .ack(through: 77),
        .report(
            Report(id: 3, topic: .event, verb: .create, ref: pod, part: .status, uid: "u-1", expected: 12, body: Array("{}".utf8))),
        .results([
            ReportResult(id: 1, .done(isExpected: true)), ReportResult(id: 2, .done(isExpected: false)),
            ReportResult(id: 3, .refused(code: 403, message: "nicht erlaubt: ü")), ReportResult(id: 4, .later(seconds: 9)),
        ]),
        .heartbeat, .digest(HoldingsDigest([Stamp(body: 4, status: 4)])), .open(stream: 1, call: [1, 2]),
        .data(stream: 1, .data(.stderr, [0, 255])), .data(stream: 1, .end(.stdin)), .credit(stream: 1, bytes: 12),
        .close(stream: 1, status: []),
        .goodbye(Goodbye(.busy, "später", retryAfterSeconds: 3)),
    ]
}

@Suite struct FrameTests {
    @Test(arguments: ExampleFrames.all) func `a frame comes back as it was sent`(frame: Frame) throws {
        let numbered = NumberedFrame(42, frame)
        #expect(try NumberedFrame(numbered.message) == numbered)
    }

    @Test(arguments: ExampleFrames.all) func `a frame that ends early, or goes on behind its end, is refused`(frame: Frame) {
        let message = NumberedFrame(1, frame).message
        for length in 0..<message.count { #expect(throws: FrameError.self) { try NumberedFrame(Array(message.prefix(length))) } }
        #expect(throws: FrameError.self) { try NumberedFrame(message + [0]) }
    }

    @Test func `lengths that announce more than there is are refused before anything is made of them`() {
        // A change whose body says four gigabytes; an inventory of 65535 entries in eight bytes; a text beyond its bound.
        var change = NumberedFrame(1, .change(ExampleFrames.pod, Stamp(body: 0, status: 0), [])).message
        change.replaceSubrange((change.count - 4)..., with: [255, 255, 255, 255])
        #expect(throws: FrameError.self) { try NumberedFrame(change) }
        #expect(throws: FrameError.self) { try NumberedFrame([3, 1, 0, 0, 0, 1, 255, 255] + [UInt8](repeating: 0, count: 8)) }
        #expect(throws: FrameError.self) { try NumberedFrame([16, 0, 0, 0, 0, 0, 0, 0, 255, 255] + [UInt8](repeating: 65, count: 65535)) }
        #expect(throws: FrameError.self) { try NumberedFrame([UInt8](repeating: 4, count: HubLimits.frameBytesMax + 1)) }
    }

    @Test func `whatever comes instead of a frame is refused or read, and what is read is written the same`() {
        var random = SeededGenerator(seed: 27)
        let messages = ExampleFrames.all.map { NumberedFrame(1, $0).message }
        for _ in 0..<20_000 {
            var message = messages.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<message.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: message[place] = UInt8.random(in: 0...255, using: &random)
                case 1: message.insert(UInt8.random(in: 0...255, using: &random), at: place)
                default: if message.count > 1 { message.remove(at: place) }
                }
            }
            guard let frame = try? NumberedFrame(message) else { continue }
            // A wait beyond an hour is read as an hour: only that is written differently.
            #expect((try? NumberedFrame(frame.message)) == frame)
        }
    }

    @Test func `texts beyond their bounds are cut at a character`() throws {
        let long = String(repeating: "ü", count: 800)
        guard case .goodbye(let goodbye) = try NumberedFrame(NumberedFrame(1, .goodbye(Goodbye(.gap, long))).message).frame else {
            Issue.record("no goodbye came back")
            return
        }
        #expect(goodbye.message == String(repeating: "ü", count: HubLimits.messageBytesMax / 2))
    }
}

@Suite struct StampTests {
    private func pod(_ changes: (inout JSON) -> Void = { _ in }) -> JSON {
        var pod: JSON = [
            "metadata": ["name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7"], "spec": ["a": 1, "b": 2],
            "status": ["phase": "Running"],
        ]
        changes(&pod)
        return pod
    }

    @Test func `revisions, owners of fields and the order of members do not count, everything else does`() {
        let stamp = Stamp(pod())
        #expect(stamp == Stamp(pod { $0[path: ["metadata", "resourceVersion"]] = "8" }))
        #expect(stamp == Stamp(pod { $0[path: ["metadata", "managedFields"]] = [["manager": "x"]] }))
        #expect(stamp == Stamp(pod { $0["spec"] = ["b": 2, "a": 1] }))
        #expect(stamp.body != Stamp(pod { $0["spec"] = ["a": 1, "b": 3] }).body)
        #expect(stamp.body != Stamp(pod { $0[path: ["metadata", "uid"]] = "v" }).body)
        #expect(stamp.status == Stamp(pod { $0["spec"] = [:] }).status)
        #expect(stamp.status != Stamp(pod { $0["status"] = ["phase": "Failed"] }).status)
    }

    @Test func `an object written once has the stamp and the text of one written for each`() throws {
        let changes: [(inout JSON) -> Void] = [
            { _ in }, { $0["status"] = nil }, { $0["status"] = [:] }, { $0["status"] = .null },
            { $0["metadata"] = ["resourceVersion": "7", "managedFields": [["manager": "x"]]] }, { $0["metadata"] = nil },
            { $0["metadata"] = "x" },
            { $0[path: ["metadata", "resourceVersion"]] = nil },
            { $0["data"] = ["z": "\"quoted\"", "a": "\\"] },
            { $0["spec"] = .object(JSONObject((0..<40).map { ("key-\(39 - $0)", JSON.integer(Int64($0))) })) },
        ]
        for change in changes {
            let object = pod(change)
            let text = StampedText(object)
            #expect(text.stamp == Stamp(object), "\(object.text)")
            var wanted = object
            if wanted["metadata"]?.object != nil { wanted[path: ["metadata", "managedFields"]] = nil }
            #expect(try JSONParser.parse(text.bytes) == wanted)
        }
        #expect(StampedText([:]).bytes == Array("{}".utf8) && StampedText(["status": ["a": 1]]).bytes == Array(#"{"status":{"a":1}}"#.utf8))
    }

    @Test func `the stamp of an object is the same in every process`() {
        // Written down by another process: edges keep stamps on their disks, and clouds of all versions must find the same.
        #expect(
            Stamp(["a": "b", "status": ["phase": "Running"]]) == Stamp(body: 4_737_425_408_105_333_878, status: 17_549_453_502_394_921_486))
        #expect(ExampleFrames.pod.number(seed: 7) == 16_197_228_141_058_945_859)
        #expect(Stamp.status(["status": [:]]) == 0)
        #expect(Stamp.status([:]) == 0)
    }

    @Test func `a digest does not depend on the order, and forgets what is taken away`() {
        let stamps = (0..<50).map { Stamp(body: UInt64($0), status: UInt64($0 * $0)) }
        var digest = HoldingsDigest(stamps.shuffled())
        #expect(digest == HoldingsDigest(stamps))
        digest.add(Stamp(body: 1000, status: 1))
        #expect(digest != HoldingsDigest(stamps))
        digest.remove(Stamp(body: 1000, status: 1))
        #expect(digest == HoldingsDigest(stamps))
        #expect(HoldingsDigest([stamps[1]]) != HoldingsDigest([Stamp(body: 1, status: 2)]))
    }
}

@Suite struct BackoffTests {
    @Test func `the ceiling doubles up to its limit, and the wait lies anywhere below`() {
        var backoff = Backoff(first: .milliseconds(500), limit: .seconds(60))
        #expect(backoff.failed(random: 0) == .zero)
        var ceilings: [Duration] = []
        for _ in 0..<10 { ceilings.append(backoff.failed(random: .max)) }
        for (ceiling, expected) in zip(ceilings, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]) {
            #expect(ceiling <= .seconds(expected) && ceiling > .milliseconds(expected * 999))
        }
        backoff.succeeded()
        #expect(backoff.failed(random: .max) <= .milliseconds(500))
    }

    @Test func `a cloud that cannot be reached is asked again within seconds, however long it is away`() {
        var backoff = Backoff(first: .milliseconds(500), limit: .seconds(60), unreachedLimit: .seconds(3))
        var ceilings: [Duration] = []
        for _ in 0..<1000 { ceilings.append(backoff.failed(random: .max, isReached: false)) }
        for (ceiling, expected) in zip(ceilings, [500, 1000, 2000, 3000, 3000]) {
            #expect(ceiling <= .milliseconds(expected) && ceiling > .milliseconds(expected * 999 / 1000))
        }
        #expect(ceilings.max()! <= .seconds(3))
        // Who is there again and gives no link is left alone as after a few failures, not as after a thousand.
        #expect(backoff.failed(random: .max) <= .seconds(8))
    }

    @Test func `who is asked to stay away does so, and not to the second like all others`() {
        var backoff = Backoff()
        #expect(backoff.failed(random: 0, asked: .seconds(20)) == .seconds(20))
        #expect(backoff.failed(random: .max, asked: .seconds(20)) > .seconds(29))
    }
}

import Reconciliation
import Resources
import Testing

@Suite struct ObjectMirrorTests {
    private func pod(_ name: String, _ revision: Int, owner: String? = nil) -> JSON {
        var pod: JSON = ["metadata": ["name": .string(name), "namespace": "n", "resourceVersion": .string("\(revision)")]]
        if let owner { pod[path: ["metadata", "ownerReferences"]] = [["uid": .string(owner)]] }
        return pod
    }

    private func key(_ name: String) -> ObjectKey { ObjectKey(namespace: "n", name: name) }

    @Test func `it lists, watches from the list's revision, and goes on from the last event`() {
        var mirror = ObjectMirror(kind: .pod)
        #expect(mirror.next(now: .zero) == .list)
        let made = mirror.listed(ObjectList(items: [pod("a", 3)], resourceVersion: "7"), now: .zero)
        #expect(made.map(\.key) == [key("a")] && made[0].old == nil)
        #expect(mirror.next(now: .zero) == .watch(from: "7"))
        _ = mirror.received(.modified(pod("a", 9)))
        mirror.ended(now: .zero, hadEvents: true)
        #expect(mirror.next(now: .zero) == .watch(from: "9"))
        _ = mirror.received(.bookmark(resourceVersion: "12"))
        #expect(mirror.next(now: .zero) == .watch(from: "12"))
    }

    @Test func `an event that comes twice changes nothing the second time`() {
        var mirror = ObjectMirror(kind: .pod)
        _ = mirror.listed(ObjectList(items: [], resourceVersion: "1"), now: .zero)
        #expect(mirror.received(.added(pod("a", 2))) != nil)
        #expect(mirror.received(.added(pod("a", 2))) == nil)
        #expect(mirror.received(.deleted(pod("a", 3))) != nil)
        #expect(mirror.received(.deleted(pod("a", 3))) == nil)
    }

    @Test func `a revision that is no longer known leads to a new list, and what it lacks is gone`() {
        var mirror = ObjectMirror(kind: .pod)
        _ = mirror.listed(ObjectList(items: [pod("a", 1), pod("b", 2)], resourceVersion: "2"), now: .zero)
        mirror.failed(.expired("too old"), now: .zero)
        #expect(mirror.next(now: .zero) == .list)
        let changes = mirror.listed(ObjectList(items: [pod("b", 2), pod("c", 8)], resourceVersion: "9"), now: .zero)
        #expect(changes.map(\.key) == [key("c"), key("a")])
        #expect(changes[1].new == nil)
    }

    @Test func `a server that fails is asked less and less often, and its wish is kept`() {
        var mirror = ObjectMirror(kind: .pod, backoff: .init(first: .seconds(1), limit: .seconds(4)))
        var waits: [ObjectMirror.Step] = []
        for _ in 0..<4 {
            mirror.failed(.internalError("x"), now: .zero)
            waits.append(mirror.next(now: .zero))
        }
        #expect(waits == [.wait(.seconds(1)), .wait(.seconds(2)), .wait(.seconds(4)), .wait(.seconds(4))])
        mirror.failed(.tooManyRequests(retryAfterSeconds: 9), now: .zero)
        #expect(mirror.next(now: .zero) == .wait(.seconds(9)))
        #expect(mirror.next(now: .seconds(9)) == .list)
    }

    @Test func `a server that keeps saying 410 is not asked in a circle without a pause`() {
        var mirror = ObjectMirror(kind: .pod)
        mirror.failed(.expired("x"), now: .zero)
        #expect(mirror.next(now: .zero) == .list)
        mirror.failed(.expired("x"), now: .zero)
        #expect(mirror.next(now: .zero) != .list)
    }

    @Test func `a kind that is not served counts as seen and empty`() {
        var mirror = ObjectMirror(kind: .pod)
        #expect(!mirror.isSynced)
        mirror.failed(.noSuchPath, now: .zero)
        #expect(mirror.isSynced && mirror.shelf.count == 0)
    }

    @Test func `an old list is replaced even if all watches went well`() {
        var mirror = ObjectMirror(kind: .pod, relistAfter: .seconds(60))
        _ = mirror.listed(ObjectList(items: [], resourceVersion: "1"), now: .zero)
        #expect(mirror.next(now: .seconds(59)) == .watch(from: "1"))
        #expect(mirror.next(now: .seconds(60)) == .list)
    }

    @Test func `a view knows what an owner owns, as owners come and go`() {
        var view = ObjectView()
        view.add(.pod)
        _ = view.listed(ObjectList(items: [pod("a", 1, owner: "u"), pod("b", 2)], resourceVersion: "2"), of: .pod, now: .zero)
        #expect(view.dependents(of: "u").map(\.key) == [key("a")])
        _ = view.received(.modified(pod("b", 3, owner: "u")), of: .pod)
        _ = view.received(.modified(pod("a", 4, owner: "v")), of: .pod)
        #expect(view.dependents(of: "u").map(\.key) == [key("b")])
        #expect(view.dependents(of: "v").map(\.key) == [key("a")])
        _ = view.received(.deleted(pod("b", 5)), of: .pod)
        #expect(view.dependents(of: "u").isEmpty)
        view.remove(.pod)
        #expect(view.dependents(of: "v").isEmpty)
    }
}

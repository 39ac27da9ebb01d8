import Storage
import TestKit
import Testing

/// Random operations against the store and against a plain model that keeps every state it ever had.
@Suite(.offThePool) struct RevisionModelTests {
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
            return value ^ (value >> 31)
        }
    }

    struct Model {
        var history: [[String: [UInt8]]] = [[:]]
        var revisions: [String: Int64] = [:]
        var floor: Int64 = 0
        var newest: Int64 { Int64(history.count - 1) }
    }

    @Test(arguments: [1, 2, 3, 27, 4711, 65537] as [UInt64], [true, false])
    func `the store does what a plain model does, with and without a log`(seed: UInt64, isLogged: Bool) async throws {
        var random = Generator(state: seed)
        var options = RevisionStore.Options()
        options.isLogged = isLogged
        let store = try RevisionStore(.memory, options)
        var model = Model()
        for _ in 0..<1500 {
            let name = "ns\(Int.random(in: 0..<3, using: &random))/p\(Int.random(in: 0..<400, using: &random))"
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<80: try await write(name, &model, store, &random)
            case 80..<98: try check(&model, store, &random)
            default:
                let revision = Int64.random(in: 0...model.newest, using: &random)
                try await store.compact(to: revision)
                model.floor = max(model.floor, revision)
            }
        }
        #expect(store.revision == model.newest)
    }

    private func write(_ name: String, _ model: inout Model, _ store: RevisionStore, _ random: inout Generator) async throws {
        let bytes = [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: Int.random(in: 0..<40, using: &random))
        let current = model.revisions[name]
        // One in eight expects what is not there.
        let isWrong = Int.random(in: 0..<8, using: &random) == 0
        let expected = isWrong ? (current ?? 0) + 1 : current
        let write: RevisionWrite =
            expected == nil || (isWrong && Bool.random(using: &random))
            ? .create("pods", name, bytes)
            : Bool.random(using: &random) ? .update("pods", name, bytes, from: expected!) : .delete("pods", name, from: expected!)
        let isLegal = write.expectation == .absent ? current == nil : write.expectation == current.map { .revision($0) }
        guard isLegal else {
            await #expect(throws: RevisionError.self) { try await store.write(write) }
            return
        }
        let revision = try await store.write(write)
        #expect(revision == model.newest + 1)
        var state = model.history[model.history.count - 1]
        state[name] = write.bytes
        model.history.append(state)
        model.revisions[name] = write.bytes == nil ? nil : revision
    }

    private func check(_ model: inout Model, _ store: RevisionStore, _ random: inout Generator) throws {
        let revision = Int64.random(in: 0...model.newest, using: &random)
        let prefix = ["", "ns0/", "ns1/p1", "zzz"].randomElement(using: &random)!
        let wanted = model.history[Int(revision)].filter { $0.key.hasPrefix(prefix) }.sorted { $0.key < $1.key }
        do throws(RevisionError) {
            let found = try store.list("pods", prefix: prefix, at: revision)
            #expect(found.values.map(\.name) == wanted.map(\.key))
            #expect(found.values.map(\.bytes) == wanted.map(\.value))
            let (events, newest) = try store.events("pods", after: revision, countMax: .max)
            #expect(events.map(\.revision) == Array((revision + 1)..<(model.newest + 1)))
            #expect(newest == model.newest)
            // The changes laid over the old list are the new list.
            var state = model.history[Int(revision)]
            for event in events {
                #expect(event.previous?.bytes == state[event.name])
                state[event.name] = event.value?.bytes
            }
            #expect(state == model.history[Int(model.newest)])
        } catch {
            #expect(error == .compacted(oldest: model.floor))
            #expect(revision < model.floor)
        }
    }
}

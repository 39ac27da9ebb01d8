import Storage
import Synchronization
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The store on a disk that fails at any call: what was acknowledged stays, what was not is whole or absent, and it opens again by itself.
///
/// `make test` tries a spread of the calls, `make prove-storage` every one of them (SKERRY_FAULT_POINTS=all).
@Suite(.offThePool) struct StorageFaultTests {
    private static var triesAll: Bool { getenv("SKERRY_FAULT_POINTS").map { String(cString: $0) } == "all" }
    private static let pointsInShare = 40
    private static let writerCount = 6
    private static let writesEach = 7

    /// What the writers know: the states that were acknowledged, and those that were asked for and answered with a failure.
    private struct Promises {
        /// Newest acknowledged state of each name: nil bytes for a deletion.
        var kept: [String: (revision: Int64, bytes: [UInt8]?)] = [:]
        /// The state that was asked for when the answer was a failure, with the failures since the last acknowledged one.
        var uncertain: [String: [[UInt8]?]] = [:]
        var newest: Int64 = 0

        mutating func keep(_ name: String, _ revision: Int64, _ bytes: [UInt8]?) {
            kept[name] = (revision, bytes)
            uncertain[name] = nil
            newest = max(newest, revision)
        }
    }

    private static func bytes(_ name: String, _ number: Int) -> [UInt8] {
        // From a few bytes to many pages, so that commits are of one frame and of a hundred.
        let size = [20, 3000, 40_000, 400_000][number * 7 % 4]
        return (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number &+ name.utf8.count &* 7) }
    }

    private static func options(_ system: SimulatedFileSystem) -> RevisionStore.Options {
        var options = RevisionStore.Options()
        options.fileSystem = system.name
        return options
    }

    /// Creates, changes and deletes names by several writers at once, and compacts between; every answer is noted.
    private static func load(_ store: RevisionStore, _ promises: borrowing Mutex<Promises>, from first: Int) async {
        for number in first..<(first + writesEach) {
            // Rounds, so that a run has about the same calls as the last one.
            await withTaskGroup(of: (String, [UInt8]?, Int64?).self) { group in
                for writer in 0..<writerCount {
                    let name = "w\(writer)/\(number % 3)"
                    let current = store.get("things", name)
                    let wanted: [UInt8]? = current != nil && number % 5 == 4 ? nil : bytes(name, number + writer)
                    let write: RevisionWrite =
                        switch (current, wanted) {
                        case (nil, let wanted): .create("things", name, wanted ?? [])
                        case (let current?, nil): .delete("things", name, from: current.revision)
                        case (let current?, let wanted?): .update("things", name, wanted, from: current.revision)
                        }
                    group.addTask { (name, wanted, try? await store.write(write)) }
                }
                for await (name, wanted, revision) in group {
                    promises.withLock { promises in
                        if let revision {
                            promises.keep(name, revision, wanted)
                        } else {
                            promises.uncertain[name, default: []].append(wanted)
                        }
                    }
                }
            }
            if number % 4 == 3 { try? await store.compact(to: store.revision - 10) }
        }
    }

    private static func check(_ store: RevisionStore, _ promises: Promises, _ place: String) {
        #expect(store.revision >= promises.newest, "\(place): revision \(promises.newest) was acknowledged")
        for name in Set(promises.kept.keys).union(promises.uncertain.keys) {
            let found = store.get("things", name)
            let kept = promises.kept[name]
            let isKept = found?.bytes == kept?.bytes && (found == nil || found?.revision == kept?.revision)
            let isWhole = promises.uncertain[name]?.contains { $0 == found?.bytes } ?? false
            #expect(isKept || isWhole, "\(place): \(name) is neither what was acknowledged nor what was asked for")
        }
    }

    /// One life of a store with one fault, then its next life on the same disk.
    private static func tryFault(
        _ fault: SimulatedDisk.Fault?, at call: Int, path: String, seed: UInt64
    ) async throws -> (calls: Int, hasFailed: Bool) {
        let system = SimulatedFileSystem(seed: seed)
        // SQLite knows it by name only.
        defer { withExtendedLifetime(system) {} }
        let promises = Mutex(Promises())
        let place = "\(fault.map { "\($0)" } ?? "no fault") at call \(call), seed \(seed)"
        if let fault { system.disk.plan(fault, at: call) }
        if let store = try? RevisionStore(.file(path), options(system)) {
            await load(store, promises, from: 0)
            store.close()
        }
        let result = (system.disk.callCount, system.disk.hasFailed)
        system.disk.restart(losesPower: fault == .powerCut || seed % 2 == 0)
        do {
            let store = try RevisionStore(.file(path), options(system))
            check(store, promises.withLock { $0 }, place)
            // It goes on as if nothing had been: every write is taken.
            let before = promises.withLock { $0.newest }
            promises.withLock { $0.uncertain = [:] }
            await load(store, promises, from: writesEach)
            promises.withLock { promises in
                #expect(promises.uncertain.isEmpty, "\(place): \(promises.uncertain.count) writes failed after the restart")
                #expect(promises.newest > before)
            }
            store.close()
        } catch {
            Issue.record("\(place): the store does not open: \(error)")
            return result
        }
        system.disk.restart(losesPower: true)
        check(try RevisionStore(.file(path), options(system)), promises.withLock { $0 }, "\(place), once more")
        return result
    }

    @Test(arguments: [.failsOnce, .failsFromThere, .fullOnce, .fullFromThere, .powerCut] as [SimulatedDisk.Fault])
    func `a disk that fails at any call loses nothing that was acknowledged`(fault: SimulatedDisk.Fault) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "skerry-faults-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "store.db").path
        let whole = try await Self.tryFault(nil, at: 0, path: path, seed: 1)
        #expect(whole.calls > 2000, "a run of \(whole.calls) calls has checkpoints in its middle")
        let step = Self.triesAll ? 1 : max(1, whole.calls / Self.pointsInShare)
        var failures = 0
        // Beyond its first calls, where the file is made, a share begins at another call each time.
        let first = Self.triesAll ? 1 : Int.random(in: 1...step)
        for (number, call) in (Array(1...min(30, whole.calls)) + stride(from: 30 + first, through: whole.calls, by: step)).enumerated() {
            let result = try await Self.tryFault(fault, at: call, path: path, seed: UInt64(number) &* 2 &+ UInt64(call))
            if result.hasFailed { failures += 1 }
        }
        #expect(failures > 40, "\(failures) faults happened")
        if Self.triesAll { print("\(fault): \(failures) faults at \(whole.calls) calls") }
    }
}

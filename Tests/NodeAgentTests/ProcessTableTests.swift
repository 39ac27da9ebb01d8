import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

/// What processes use, as the kernel tells it.
@Suite(.offThePool) struct ProcessTableTests {
    private static func entry(_ parent: pid_t, session: pid_t, ticks: UInt64 = 0, bytes: Int64 = 0) -> ProcessTable.Entry {
        ProcessTable.Entry(stat: line(parent, session, ticks, bytes), pageBytes: 1)!
    }

    private static func line(_ parent: pid_t, _ session: pid_t, _ ticks: UInt64, _ bytes: Int64) -> String {
        "42 (a (b) c) S \(parent) 7 \(session) 0 0 0 0 0 0 0 \(ticks) 2 0 0 20 0 1 0 1000 4096 \(bytes) 0 0"
    }

    @Test func `a line of stat is read behind a name that may hold anything`() {
        let entry = ProcessTable.Entry(stat: Self.line(3, 9, 40, 5), pageBytes: 4096)
        #expect(entry == ProcessTable.Entry(stat: Self.line(3, 9, 40, 5), pageBytes: 4096))
        #expect(entry?.parent == 3 && entry?.session == 9 && entry?.ticks == 42 && entry?.residentBytes == 20480)
        #expect(ProcessTable.Entry(stat: "42 (x) S 1 2", pageBytes: 1) == nil && ProcessTable.Entry(stat: "", pageBytes: 1) == nil)
    }

    @Test func `a container is its first process, what that has started, its session and its group`() {
        let table = ProcessTable([
            10: Self.entry(1, session: 10), 11: Self.entry(10, session: 10), 12: Self.entry(11, session: 77),
            13: Self.entry(1, session: 10), 14: Self.entry(1, session: 5), 15: Self.entry(1, session: 6),
        ])
        #expect(table.family(of: 10) == [10, 11, 12, 13])
        #expect(table.family(of: 10, groups: [14, 99]) == [10, 11, 12, 13, 14])
        #expect(table.family(of: 99).isEmpty)
    }

    @Test func `processor time is what was used between two looks, memory what is there at the last`() {
        let before = ProcessTable([10: Self.entry(1, session: 10, ticks: 100), 11: Self.entry(10, session: 10, ticks: 50)])
        let after = ProcessTable([
            10: Self.entry(1, session: 10, ticks: 130, bytes: 7), 12: Self.entry(10, session: 10, ticks: 3, bytes: 5),
        ])
        // 30, and what the new one has used since it began: 3 and its 2 of the system's.
        #expect(after.ticks(of: [10, 12, 99], since: before) == 35)
        #expect(after.residentBytes(of: [10, 12, 99]) == 12)
    }

    @Test func `a machine's work is what its cores did not idle, its memory what is not available`() {
        let use = MachineUse(
            stat: "cpu  100 10 50 1000 30 5 2 1 0 0\ncpu0 1 2\n", memory: "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n")
        #expect(use == MachineUse(busyTicks: 167, memoryBytes: 600 * 1024))
        #expect(MachineUse(stat: "cpu 1", memory: "") == nil)
    }

    @Test func `this process is found on this machine`() {
        let table = ProcessTable.look()
        #expect(table.entries[getpid()]?.residentBytes ?? 0 > 0 && table.family(of: getpid()).contains(getpid()))
        #expect(MachineUse.look()?.memoryBytes ?? 0 > 0)
    }
}

import TestKit
import Testing

@testable import NodeAgent

@Suite(.offThePool) struct MachineFactsTests {
    @Test func `a node says so when memory, room or files run short, in Kubernetes' words`() {
        let (enough, short) = (
            MachineFacts.memoryPressure(availableBytes: 100 << 20), MachineFacts.memoryPressure(availableBytes: 99 << 20)
        )
        #expect(!enough.isTrue && enough.type == "MemoryPressure" && enough.reason == "KubeletHasSufficientMemory")
        #expect(short.isTrue && short.reason == "KubeletHasInsufficientMemory" && short.message.contains("99 MiB"))
        for (room, files, isShort) in [(0.1, 0.05, false), (0.09, 1, true), (1, 0.04, true)] {
            let condition = MachineFacts.diskPressure(freeShare: room, freeFileShare: files)
            #expect(condition.type == "DiskPressure" && condition.isTrue == isShort, "\(room) \(files)")
            #expect(condition.reason == (isShort ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure"))
        }
    }
}

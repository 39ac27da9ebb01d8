#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Bytes that arrive at the end and are taken at the beginning.
struct LoopBuffer {
    static let initialBytes = 8 << 10
    private(set) var memory: UnsafeMutableRawBufferPointer
    private(set) var start = 0
    private(set) var end = 0

    init() { memory = .allocate(byteCount: Self.initialBytes, alignment: 16) }

    func deallocate() { memory.deallocate() }

    var count: Int { end - start }
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[start..<end]) }

    mutating func drop(_ count: Int) {
        start += count
        if start == end { (start, end) = (0, 0) }
    }

    /// Makes room for some bytes behind the end, by moving or growing.
    mutating func makeRoom(_ wanted: Int) {
        if memory.count - end >= wanted { return }
        if memory.count - count >= wanted, start > 0 {
            memory.baseAddress!.copyMemory(from: memory.baseAddress! + start, byteCount: count)
        } else {
            var size = memory.count * 2
            while size - count < wanted { size *= 2 }
            let grown = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
            if count > 0 { grown.baseAddress!.copyMemory(from: memory.baseAddress! + start, byteCount: count) }
            memory.deallocate()
            memory = grown
        }
        (start, end) = (0, count)
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0 else { return }
        makeRoom(bytes.count)
        (memory.baseAddress! + end).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        end += bytes.count
    }

    mutating func filled(_ count: Int) { end += count }

    /// Gives the memory of a large request back.
    mutating func shrink() {
        guard memory.count > 1 << 16, count == 0 else { return }
        memory.deallocate()
        memory = .allocate(byteCount: Self.initialBytes, alignment: 16)
        (start, end) = (0, 0)
    }
}

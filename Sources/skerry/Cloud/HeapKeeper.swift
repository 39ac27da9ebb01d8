#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Gives memory back to the system: what a list or a burst of writes took and has freed, which the C library keeps for later, and pages of
/// the program that were needed last for the start. These are read again from the file, which the system keeps, when they are needed.
///
/// Measured with 10,000 Pods after a start: 264 MB resident without, 116 MB with the first of the two. While the library looks through its
/// heap nobody is given memory: so it looks when there is something to find.
enum HeapKeeper {
    private static let firstWait: Duration = .milliseconds(500)
    private static let period: Duration = .seconds(20)
    /// The heap is looked through when so much more is resident than after the last time, and a 128th of that,
    private static let grownBytesMin = 512 << 10
    /// and after so many periods all the same, for what was freed meanwhile.
    private static let periodsMax = 15
    /// It waits for a moment in which the program uses less than this share of a core, so many times at most.
    private static let quietShare = 0.04
    private static let quietLooksMax = 60
    private static let quietLook: Duration = .milliseconds(250)
    /// Between two looks. With them it makes no second: what a program does once a second would else fall into every look, or into none.
    private static let quietPause: Duration = .milliseconds(700)

    /// `M_ARENA_MAX` and `M_TRIM_THRESHOLD` of malloc.h, which Swift's Glibc leaves out like the two functions.
    private static let arenaMax: Int32 = -8
    private static let trimThreshold: Int32 = -1

    /// A function of the C library; nil on systems whose library lacks it, where memory is kept as that library likes.
    private static func function<Function>(_ name: String, as type: Function.Type) -> Function? {
        dlsym(nil, name).map { unsafeBitCast($0, to: type) }
    }

    /// Runs until its task is cancelled.
    static func run() async {
        var wait = firstWait
        var restingBytes = 0
        var periods = 0
        while !Task.isCancelled {
            try? await Task.sleep(for: wait)
            wait = period
            periods += 1
            let grownBytes = grownBytesMin + restingBytes / 128
            if periods >= periodsMax || heapBytes.map({ $0 > restingBytes + grownBytes }) ?? true {
                // What the start took goes at once.
                if restingBytes > 0 { await waitForQuiet() }
                giveBack()
                restingBytes = heapBytes ?? 0
                periods = 0
            }
            dropProgramPages()
        }
    }

    /// Gives back what is free in the heap, now.
    static func giveBack() {
        let trim = function("malloc_trim", as: (@convention(c) (Int) -> Int32).self)
        _ = trim?(0)
    }

    private static func waitForQuiet() async {
        for _ in 0..<quietLooksMax where !Task.isCancelled {
            let before = clock()
            try? await Task.sleep(for: quietLook)
            let used = Double(clock() - before) / Double(CLOCKS_PER_SEC)
            if used < quietShare * (quietLook / .seconds(1)) { return }
            try? await Task.sleep(for: quietPause)
        }
    }

    /// What is resident and of no file; nil where the system does not say.
    static var heapBytes: Int? {
        let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 128)
        let count = read(file, &text, text.count)
        let pages = String(decoding: text.prefix(max(0, count)), as: UTF8.self).split(separator: " ").prefix(3).compactMap { Int($0) }
        guard pages.count == 3 else { return nil }
        return (pages[1] - pages[2]) * sysconf(Int32(_SC_PAGESIZE))
    }

    /// To be called before threads are made, by a program that goes on to `run`.
    static func prepare() {
        shareAmongThreads()
        // Not page by page with every large buffer that is freed, to be taken again at once: `run` gives back what rests.
        set(trimThreshold, 16 << 20)
    }

    /// To be called before threads are made: few pools of memory, so that what one thread freed is there for the others.
    static func shareAmongThreads() { set(arenaMax, 2) }

    private static func set(_ parameter: Int32, _ value: Int32) {
        _ = function("mallopt", as: (@convention(c) (Int32, Int32) -> Int32).self)?(parameter, value)
    }

    /// What `dl_iterate_phdr` tells of a loaded file (link.h), as far as it is read here.
    private struct LoadedFile {
        let base: UInt
        let name: UnsafePointer<CChar>?
        let headers: UnsafePointer<ProgramHeader>?
        let headerCount: UInt16
    }

    /// A segment of a loaded file, 64 bits (elf.h).
    private struct ProgramHeader {
        let type: UInt32
        let flags: UInt32
        let offset: UInt64
        let address: UInt64
        let physicalAddress: UInt64
        let fileBytes: UInt64
        let memoryBytes: UInt64
        let alignment: UInt64
    }

    private static let loadedSegment: UInt32 = 1
    private static let writableFlag: UInt32 = 2

    /// Lets go of the pages of code and constants of this program and its libraries. Segments that can be written are left alone, also those
    /// that are closed to writing after the start: what was written there is nowhere else.
    private static func dropProgramPages() {
        typealias Visit = @convention(c) (UnsafeRawPointer?, Int, UnsafeMutableRawPointer?) -> Int32
        typealias Iterate = @convention(c) (Visit, UnsafeMutableRawPointer?) -> Int32
        guard MemoryLayout<UInt>.size == 8, let iterate = function("dl_iterate_phdr", as: Iterate.self) else { return }
        _ = iterate(
            { file, size, _ in
                guard let file, size >= MemoryLayout<LoadedFile>.size else { return 0 }
                let loaded = file.loadUnaligned(as: LoadedFile.self)
                for index in 0..<Int(loaded.headerCount) {
                    guard let header = loaded.headers?[index], header.type == HeapKeeper.loadedSegment,
                        header.flags & HeapKeeper.writableFlag == 0
                    else { continue }
                    HeapKeeper.drop(from: loaded.base + UInt(header.address), bytes: UInt(header.memoryBytes))
                }
                return 0
            }, nil)
    }

    private static func drop(from address: UInt, bytes: UInt) {
        let page = UInt(sysconf(Int32(_SC_PAGESIZE)))
        let start = address & ~(page - 1)
        let end = (address + bytes + page - 1) & ~(page - 1)
        guard let pointer = UnsafeMutableRawPointer(bitPattern: start) else { return }
        _ = madvise(pointer, Int(end - start), Int32(MADV_DONTNEED))
    }
}

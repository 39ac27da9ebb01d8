import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The file of a node's permits as memory that its processes share.
///
///     0   head: mark · limit · seats used so far · how many wait · how often and how long was waited
///     64  slots, 64 bytes each: 0, or 1 + the seat that computes by this permit
///     …   seats, 64 bytes each: since when its holder waits (nanoseconds of the machine's clock; 0: it does not) · a word it sleeps on
///
/// Who has a seat holds the byte of its number in the file locked, from `lockBase` on: the kernel frees it when the process ends, however it ends.
/// All fields are atomic, hence unchecked.
struct PermitTable: @unchecked Sendable {
    /// Permits at most.
    static let slotCount = 256
    /// Runs at most that compute or wait, of all processes together.
    static let seatCount = 256
    /// Where bytes are locked: behind everything that is ever written.
    static let lockBase = 1 << 20
    private static let lineBytes = 64
    private static let seatsPlace = lineBytes * (1 + slotCount)
    /// Of the file.
    static let byteCount = seatsPlace + lineBytes * seatCount
    /// `SKPERMIT`, then the version of this layout.
    static let mark: UInt64 = 0x5449_4d52_4550_4b53
    static let version: UInt32 = 1

    private let memory: UnsafeMutableRawPointer

    /// Maps an open file of at least `byteCount` bytes.
    ///
    /// - Returns: nil where it cannot be mapped; `errno` says why.
    init?(file: Int32) {
        guard let found = mmap(nil, Self.byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), found != MAP_FAILED else { return nil }
        memory = found
    }

    func unmap() { munmap(memory, Self.byteCount) }

    private func word(_ place: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        (memory + place).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
    private func number(_ place: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (memory + place).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    var markWord: UnsafeMutablePointer<Atomic<UInt64>> { number(0) }
    var versionWord: UnsafeMutablePointer<Atomic<UInt32>> { word(8) }
    /// Permits there are.
    var limit: UnsafeMutablePointer<Atomic<UInt32>> { word(12) }
    /// Seats from 0 on that were ever taken.
    var seatsUsed: UnsafeMutablePointer<Atomic<UInt32>> { word(16) }
    /// Never less than those that wait; more after one was killed while it waited.
    var waiting: UnsafeMutablePointer<Atomic<UInt32>> { word(20) }
    var waits: UnsafeMutablePointer<Atomic<UInt64>> { number(24) }
    var waitedNanoseconds: UnsafeMutablePointer<Atomic<UInt64>> { number(32) }

    func slot(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt32>> { word(Self.lineBytes * (1 + index)) }
    func since(_ seat: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { number(Self.seatsPlace + Self.lineBytes * seat) }
    func signal(_ seat: Int) -> UnsafeMutablePointer<Atomic<UInt32>> { word(Self.seatsPlace + Self.lineBytes * seat + 8) }
    /// The machine-wide place of a word that is slept on.
    func address(ofSignal seat: Int) -> UnsafeRawPointer { UnsafeRawPointer(memory + (Self.seatsPlace + Self.lineBytes * seat + 8)) }
}

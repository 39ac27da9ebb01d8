import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The system's random bits, fetched 4 KiB at a time: each object needs some, and asking the system takes as long as writing a part of the object.
///
/// Each number is given out once. Not for a process that forks and goes on in both.
final class SystemRandom: Sendable {
    private static let count = 512
    private let numbers = Mutex<[UInt64]>([])

    func next() -> UInt64 {
        numbers.withLock { numbers in
            if numbers.isEmpty { numbers = Self.fetched() }
            return numbers.removeLast()
        }
    }

    private static func fetched() -> [UInt64] {
        var numbers = [UInt64](repeating: 0, count: count)
        let isFilled = numbers.withUnsafeMutableBytes { bytes in
            // At most 256 bytes a call; a shorter answer is none.
            stride(from: 0, to: bytes.count, by: 256).allSatisfy { getentropy(bytes.baseAddress! + $0, 256) == 0 }
        }
        return isFilled ? numbers : (0..<count).map { _ in .random(in: 0 ... .max) }
    }
}

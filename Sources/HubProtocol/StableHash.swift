/// A 64-bit hash that is the same in every process and on every machine. Fast, and no protection against people who look for collisions:
/// where these would matter the seed is drawn by lot and kept.
enum StableHash {
    private static let keys: (UInt64, UInt64, UInt64) = (0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3)

    static func hash(_ bytes: [UInt8], seed: UInt64) -> UInt64 {
        bytes.withUnsafeBytes { buffer in
            var state = seed ^ keys.0
            var index = 0
            while index + 8 <= buffer.count {
                state = step(state, UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: index, as: UInt64.self)))
                index += 8
            }
            var rest: UInt64 = 0
            var shift: UInt64 = 0
            while index < buffer.count {
                rest |= UInt64(buffer[index]) << shift
                shift += 8
                index += 1
            }
            state = step(state, rest)
            return mix(state ^ keys.2, UInt64(buffer.count) ^ keys.1)
        }
    }

    private static func step(_ state: UInt64, _ word: UInt64) -> UInt64 {
        (state << 25 | state >> 39) ^ mix(word ^ keys.1, state ^ keys.2)
    }

    static func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}

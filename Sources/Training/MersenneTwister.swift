/// The generator MT19937 seeded and used as NumPy's `RandomState` does, so that hold-outs equal those of scikit-learn.
///
/// Source: M. Matsumoto, T. Nishimura, "Mersenne Twister", ACM TOMACS 8 (1998); `init_genrand` of their 2002 code.
package struct MersenneTwister {
    private var state: [UInt32]
    private var position: Int

    /// `init_genrand`: any seed, also 0, as `RandomState(seed)`.
    package init(seed: UInt32) {
        state = [seed]
        for index in 1..<624 {
            let last = state[index - 1]
            state.append(1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(index))
        }
        position = 624
    }

    /// 32 random bits.
    package mutating func next() -> UInt32 {
        if position == 624 { refill() }
        var value = state[position]
        position += 1
        value ^= value >> 11
        value ^= (value << 7) & 0x9d2c_5680
        value ^= (value << 15) & 0xefc6_0000
        return value ^ (value >> 18)
    }

    private mutating func refill() {
        for index in 0..<624 {
            let mixed = (state[index] & 0x8000_0000) | (state[(index + 1) % 624] & 0x7fff_ffff)
            state[index] = state[(index + 397) % 624] ^ (mixed >> 1) ^ (mixed & 1 == 0 ? 0 : 0x9908_b0df)
        }
        position = 0
    }

    /// `RandomState.permutation(count)`: Fisher–Yates from the end, each draw masked to the next power of two and repeated while too large.
    package mutating func permutation(_ count: Int) -> [Int] {
        var order = Array(0..<count)
        for last in stride(from: count - 1, to: 0, by: -1) {
            let mask = UInt32.max >> UInt32(last).leadingZeroBitCount
            var draw = next() & mask
            while draw > last { draw = next() & mask }
            order.swapAt(last, Int(draw))
        }
        return order
    }
}

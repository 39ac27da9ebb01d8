import Learning
import Testing

/// Detectors of drift, event for event against river 0.26.1 (`Fixtures` below: the places at which it tells a change of the same streams).
@Suite struct DriftDetectorTests {
    /// Numbers that Python makes alike: a linear congruential generator's high bits.
    private struct Evenly {
        var state: UInt64

        mutating func next() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 11) / 9_007_199_254_740_992
        }
    }

    /// Three thousand numbers: yes or no, bells, or a widening slope; their mean steps every 700.
    private static func stream(_ kind: Int) -> [Double] {
        var lots = Evenly(state: UInt64(1000 + kind))
        return (0..<3000).map { place in
            let mean = [0, 0.3, 0.1, 2.0][(place / 700 + kind) % 4]
            switch kind % 3 {
            case 0: return lots.next() < 0.2 + mean / 4 ? 1 : 0
            case 1: return lots.next() + lots.next() + lots.next() + lots.next() - 2 + mean
            default: return (lots.next() - 0.5) * (1 + 2 * mean) + Double(place) * 0.0005
            }
        }
    }

    private static func events(_ detector: some DriftDetector, _ values: [Double]) -> [Int] {
        var detector = detector
        return values.indices.filter { detector.update(values[$0]) }
    }

    /// `random.Random(seed)` of Python: MT19937, seeded by a key of one word.
    private struct PythonWords: WordSource {
        private var state: [UInt32]
        private var place = 624

        init(seed: UInt32) {
            state = [19_650_218]
            for i in 1..<624 { state.append(1_812_433_253 &* (state[i - 1] ^ (state[i - 1] >> 30)) &+ UInt32(i)) }
            var i = 1
            for _ in 0..<624 {
                state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) &* 1_664_525)) &+ seed
                i += 1
                if i == 624 { (state[0], i) = (state[623], 1) }
            }
            for _ in 0..<623 {
                state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) &* 1_566_083_941)) &- UInt32(i)
                i += 1
                if i == 624 { (state[0], i) = (state[623], 1) }
            }
            state[0] = 0x8000_0000
        }

        mutating func nextWord() -> UInt32 {
            if place == 624 {
                for i in 0..<624 {
                    let mixed = (state[i] & 0x8000_0000) | (state[(i + 1) % 624] & 0x7fff_ffff)
                    state[i] = state[(i + 397) % 624] ^ (mixed >> 1) ^ (mixed & 1 == 0 ? 0 : 0x9908_b0df)
                }
                place = 0
            }
            var word = state[place]
            place += 1
            word ^= word >> 11
            word ^= (word << 7) & 0x9d2c_5680
            word ^= (word << 15) & 0xefc6_0000
            return word ^ (word >> 18)
        }
    }

    @Test(arguments: 0..<6) func `ADWIN tells what river's tells, at the same numbers`(kind: Int) {
        let values = Self.stream(kind)
        #expect(Self.events(ADWIN(), values) == Self.river["adwin"]![kind])
        let sure = ADWIN(delta: 1e-5, clock: 16, bucketsMax: 3, windowMin: 10, grace: 50)
        #expect(Self.events(sure, values) == Self.river["adwinSure"]![kind])
    }

    @Test(arguments: 0..<6) func `Page-Hinkley tells what river's tells, in each direction`(kind: Int) {
        let values = Self.stream(kind)
        #expect(Self.events(PageHinkley(), values) == Self.river["pageHinkley"]![kind])
        #expect(Self.events(PageHinkley(.up, delta: 0.05, threshold: 10), values) == Self.river["pageHinkleyUp"]![kind])
        #expect(Self.events(PageHinkley(.down, delta: 0.05, threshold: 10), values) == Self.river["pageHinkleyDown"]![kind])
    }

    @Test(arguments: 0..<6) func `KSWIN tells what river's tells, given the lots of Python`(kind: Int) {
        let values = Self.stream(kind)
        #expect(Self.events(KSWIN(PythonWords(seed: 42)), values) == Self.river["kswin"]![kind])
        let large = KSWIN(PythonWords(seed: 7), alpha: 0.001, windowCount: 200, newestCount: 50)
        #expect(Self.events(large, values) == Self.river["kswinLarge"]![kind])
    }

    @Test func `the stability index is 0 for the same, tells another population once, and then knows it`() {
        var lots = Evenly(state: 5)
        let same = (0..<2000).map { _ in lots.next() }
        #expect(Self.events(PopulationStability(), same).isEmpty)
        let shifted = same.map { $0 * 0.5 + 0.5 }
        let events = Self.events(PopulationStability(), same + shifted)
        #expect(events.count == 1 && (2000..<2200).contains(events[0]), "\(events)")
        var detector = PopulationStability()
        for value in same.prefix(700) { _ = detector.update(value) }
        #expect(detector.index > 0 && detector.index < 0.2)
    }

    @Test func `memory of ADWIN grows with the logarithm of its window`() {
        var detector = ADWIN(), lots = Evenly(state: 6), changes = 0
        for _ in 0..<50_000 { changes += detector.update(lots.next()) ? 1 : 0 }
        #expect(changes == 0 && detector.width == 50_000 && abs(detector.mean - 0.5) < 0.01)
    }

    /// river's events: one list a stream.
    private static let river: [String: [[Int]]] = [
        "adwin": [
            [2143, 2847],
            [1215, 1439, 2111, 2879],
            [671, 1855, 2623],
            [767, 2879],
            [831, 1727, 2111, 2815],
            [831, 1631, 2591],
        ],
        "adwinSure": [
            [2175, 2863],
            [1423, 2127],
            [1167, 2223, 2959],
            [799, 2879],
            [991, 1951, 2127, 2831],
            [943, 2031, 2975],
        ],
        "pageHinkley": [
            [2172, 2891],
            [1082, 1418, 2121, 2928],
            [673, 997, 1660, 2341, 2876],
            [819, 2882],
            [857, 1644, 2127, 2810],
            [726, 1389, 1676, 1842, 2722],
        ],
        "pageHinkleyUp": [
            [1240, 2109],
            [1402, 1774],
            [401, 753, 830, 862, 892, 971, 1003, 1112, 1162, 1238, 1296, 1326, 1484, 1863, 2435, 2768],
            [2837],
            [643, 748, 1119, 2104],
            [493, 880, 1283, 1454, 1486, 1563, 1610, 1811, 1961, 2026, 2058, 2583],
        ],
        "pageHinkleyDown": [
            [2845],
            [735, 921, 2107, 2288, 2532],
            [716, 847, 877, 1094, 1144, 1198, 1274, 1349],
            [718],
            [144, 1512, 2806],
            [1751, 1892, 2038, 2081],
        ],
        "kswin": [
            [2117, 2823],
            [374, 716, 961, 1320, 1420, 1524, 1811, 2111, 2285],
            [176, 466, 610, 716, 1410, 2503],
            [727],
            [747, 1494, 1752, 2112, 2812],
            [372, 957, 1428, 1735, 1839, 2113, 2409, 2620],
        ],
        "kswinLarge": [
            [2135, 2829],
            [944, 1409, 2117, 2869],
            [735, 1421, 1831, 2789],
            [731, 2849],
            [767, 1384, 1754, 2118, 2543, 2819],
            [1448, 1751, 2125],
        ],
    ]
}

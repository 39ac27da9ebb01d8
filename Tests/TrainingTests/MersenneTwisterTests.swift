import Testing

import Training

struct MersenneTwisterTests {
    /// numpy.random.RandomState(42).permutation(10), and the first test rows of sklearn's train_test_split(range(1000), test_size=0.1, random_state=42).
    @Test func `permutations are NumPy's`() {
        var generator = MersenneTwister(seed: 42)
        #expect(generator.permutation(10) == [8, 1, 5, 0, 7, 2, 9, 4, 3, 6])
        generator = MersenneTwister(seed: 42)
        #expect(Array(generator.permutation(1000).prefix(5)) == [521, 737, 740, 660, 411])
    }

    @Test func `permutations of nothing and of one row are themselves`() {
        var generator = MersenneTwister(seed: 1)
        #expect(generator.permutation(0) == [] && generator.permutation(1) == [0])
    }
}

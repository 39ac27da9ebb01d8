import Learning
import Testing

@Suite struct NearestPointsTests {
    /// Points around some centres: a few coordinates of each are its own, the others one of two values, so that many are alike.
    private static func points(_ count: Int, dimensions: Int, _ generator: inout SeededGenerator) -> [[Float]] {
        let centres = (0..<max(1, count / 20)).map { _ in (0..<dimensions).map { _ in Float.random(in: -3...3, using: &generator) } }
        return (0..<count).map { _ in
            centres.randomElement(using: &generator)!.enumerated().map { place, value in
                guard place < 3 else { return value > 0 ? 9 : -1.5 }
                return place == 0
                    ? value : value + [0, 0, 1, Float.random(in: -1...1, using: &generator)].randomElement(using: &generator)!
            }
        }
    }

    /// By looking at all of them.
    private static func nearest(_ points: [[Float]], to point: [Float], count: Int) -> [Float] {
        let distances = points.map { other in
            zip(point, other).reduce(Float(0)) { sum, pair in
                let step = pair.0 - pair.1
                return sum + step * step
            }
        }
        let sorted = distances.sorted().prefix(count)
        return sorted + [Float](repeating: .infinity, count: count - sorted.count)
    }

    @Test(arguments: [(0, 4, 3), (1, 4, 1), (10, 1, 3), (16, 5, 20), (400, 3, 3), (700, 20, 1), (2000, 44, 5)])
    func `distances are to the last bit those of looking at all points`(count: Int, dimensions: Int, wanted: Int) {
        var generator = SeededGenerator(seed: UInt64(count + dimensions))
        let points = Self.points(count, dimensions: dimensions, &generator)
        let search = NearestPoints(points.flatMap { $0 }, dimensions: dimensions, count: wanted)
        for point in points.prefix(50) + Self.points(50, dimensions: dimensions, &generator) {
            var found = [Float](repeating: 7, count: wanted)
            point.withUnsafeBufferPointer { point in found.withUnsafeMutableBufferPointer { search.find(point, $0) } }
            let expected = Self.nearest(points, to: point, count: wanted)
            #expect(found == expected)
        }
    }

    @Test func `points that are no numbers, as of a damaged file, are far from all`() {
        let search = NearestPoints([Float](repeating: .nan, count: 200) + [1, 2], dimensions: 2, count: 2)
        var found: [Float] = [0, 0]
        let point: [Float] = [1, 2]
        point.withUnsafeBufferPointer { point in found.withUnsafeMutableBufferPointer { search.find(point, $0) } }
        #expect(found[1] == .infinity)
    }
}

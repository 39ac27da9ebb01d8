/// Finds how far the nearest of some points are without looking at all of them: they are halved along their widest dimension again and again, and
/// each part has a box around it that is passed over where even its nearest corner is too far.
///
/// The distances are those of looking at every point, to the last bit: a box's is summed up in the order of a point's, and rounding keeps order, so no
/// point of a box is nearer than the box.
package struct NearestPoints: Sendable {
    /// Parts of so many points are not halved.
    private static let leafPoints = 16

    /// A part: its points, and where the nodes of its halves stand; the first half stands right after it.
    private struct Node: Sendable {
        var start: Int32
        var end: Int32
        /// 0 for a part that is not halved.
        var second: Int32
    }

    /// Coordinates of a point.
    package let dimensions: Int
    /// How many are found.
    package let count: Int
    /// Those given, part by part; shape [points, dimensions].
    private var points: [Float] = []
    private var nodes: [Node] = []
    /// Of each node its lowest coordinates, then its highest; shape [nodes, 2, dimensions].
    private var boxes: [Float] = []

    /// - Parameters:
    ///   - points: shape [points, dimensions].
    ///   - count: how many are to be found, at least 1.
    package init(_ points: [Float], dimensions: Int, count: Int) {
        (self.dimensions, self.count) = (dimensions, count)
        var order = Array(0..<(dimensions > 0 ? points.count / dimensions : 0))
        if !order.isEmpty { divide(&order, 0..<order.count, points) }
        self.points = order.flatMap { points[$0 * dimensions..<($0 + 1) * dimensions] }
    }

    private mutating func divide(_ order: inout [Int], _ range: Range<Int>, _ points: [Float]) {
        let number = nodes.count
        nodes.append(Node(start: Int32(range.lowerBound), end: Int32(range.upperBound), second: 0))
        var low = [Float](repeating: .infinity, count: dimensions), high = [Float](repeating: -.infinity, count: dimensions)
        for point in order[range] {
            for place in 0..<dimensions {
                let value = points[point * dimensions + place]
                if value < low[place] { low[place] = value }
                if value > high[place] { high[place] = value }
            }
        }
        boxes += low
        boxes += high
        guard range.count > Self.leafPoints else { return }
        let widest = (0..<dimensions).max { high[$0] - low[$0] < high[$1] - low[$1] }!
        guard high[widest] > low[widest] else {
            // They are all alike: no more of them than can be found need be looked at.
            nodes[number].end = nodes[number].start + Int32(min(range.count, count))
            return
        }
        let sorted = order[range].sorted {
            let (left, right) = (points[$0 * dimensions + widest], points[$1 * dimensions + widest])
            return left != right ? left < right : $0 < $1
        }
        order.replaceSubrange(range, with: sorted)
        // Where the coordinate changes, so that those alike stay together.
        func changes(_ place: Int) -> Bool { points[order[place - 1] * dimensions + widest] < points[order[place] * dimensions + widest] }
        let half = range.lowerBound + range.count / 2
        guard let middle = (half..<range.upperBound).first(where: changes) ?? (range.lowerBound + 1..<half).last(where: changes) else {
            return
        }
        divide(&order, range.lowerBound..<middle, points)
        nodes[number].second = Int32(nodes.count)
        divide(&order, middle..<range.upperBound, points)
    }

    /// Squared distances to the nearest points, ascending; infinite where there are fewer points.
    ///
    /// - Parameters:
    ///   - point: `dimensions` coordinates.
    ///   - nearest: room for `count`; what is in it counts for nothing.
    package func find(_ point: UnsafeBufferPointer<Float>, _ nearest: UnsafeMutableBufferPointer<Float>) {
        precondition(point.count == dimensions && nearest.count == count, "a point of other dimensions, or room for another count")
        nearest.initialize(repeating: .infinity)
        guard !nodes.isEmpty else { return }
        points.withUnsafeBufferPointer { points in
            boxes.withUnsafeBufferPointer { boxes in
                nodes.withUnsafeBufferPointer { nodes in
                    Search(dimensions: dimensions, points: points, boxes: boxes, nodes: nodes, point: point, nearest: nearest).visit(0)
                }
            }
        }
    }

    /// One point's way through the parts.
    private struct Search {
        let dimensions: Int
        let points: UnsafeBufferPointer<Float>
        let boxes: UnsafeBufferPointer<Float>
        let nodes: UnsafeBufferPointer<Node>
        let point: UnsafeBufferPointer<Float>
        let nearest: UnsafeMutableBufferPointer<Float>

        var limit: Float { nearest[nearest.count - 1] }

        func visit(_ number: Int) {
            let node = nodes[number]
            guard node.second > 0 else {
                for place in Int(node.start)..<Int(node.end) {
                    let distance = distance(place)
                    if distance < limit { insert(distance) }
                }
                return
            }
            var near = number + 1, far = Int(node.second)
            var toNear = distanceToBox(near), toFar = distanceToBox(far)
            if toFar < toNear { (near, far, toNear, toFar) = (far, near, toFar, toNear) }
            if toNear < limit { visit(near) }
            if toFar < limit { visit(far) }
        }

        /// Infinite as soon as it must exceed the limit.
        private func distance(_ number: Int) -> Float {
            let start = number * dimensions, limit = limit
            var sum: Float = 0
            var next = 0
            while next < dimensions {
                let end = min(next + 8, dimensions)
                while next < end {
                    let step = point[next] - points[start + next]
                    sum += step * step
                    next += 1
                }
                if sum >= limit { return .infinity }
            }
            return sum
        }

        /// No more than that to any point in it; infinite as soon as it must exceed the limit.
        private func distanceToBox(_ number: Int) -> Float {
            let low = 2 * number * dimensions, high = low + dimensions, limit = limit
            var sum: Float = 0
            var next = 0
            while next < dimensions {
                let end = min(next + 8, dimensions)
                while next < end {
                    let below = boxes[low + next] - point[next], above = point[next] - boxes[high + next]
                    let step = below > 0 ? below : above > 0 ? above : 0
                    sum += step * step
                    next += 1
                }
                if sum >= limit { return .infinity }
            }
            return sum
        }

        private func insert(_ distance: Float) {
            var place = nearest.count - 1
            while place > 0 && nearest[place - 1] > distance {
                nearest[place] = nearest[place - 1]
                place -= 1
            }
            nearest[place] = distance
        }
    }
}

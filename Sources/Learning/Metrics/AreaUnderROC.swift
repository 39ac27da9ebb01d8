/// The chance that a score ranks a random positive above a random negative, ties counting half: area under the ROC curve, 0…1.
///
/// - Parameters: scores without NaN; higher means more likely positive.
/// - Returns: nil unless there are both positives and negatives.
/// - Complexity: n log n.
package func areaUnderROC(positives: [Double], negatives: [Double]) -> Double? {
    guard !positives.isEmpty && !negatives.isEmpty else { return nil }
    let sorted = (positives.map { ($0, 1) } + negatives.map { ($0, 0) }).sorted { $0.0 < $1.0 }
    var wins = 0.0
    var negativesBelow = 0
    var start = 0
    while start < sorted.count {
        let end = sorted[start...].firstIndex { $0.0 != sorted[start].0 } ?? sorted.count
        let positivesHere = sorted[start..<end].reduce(0) { $0 + $1.1 }
        let negativesHere = end - start - positivesHere
        wins += Double(positivesHere) * (Double(negativesBelow) + Double(negativesHere) / 2)
        negativesBelow += negativesHere
        start = end
    }
    return wins / (Double(positives.count) * Double(negatives.count))
}
